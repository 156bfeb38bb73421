"""BELLBIRD_ISSUERS: every mistake is told at the start, by the name of its field, and no secret is repeated."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bellbird.core.issuers import ALGORITHMS, ClaimNames, Issuer
from bellbird.core.settings import SettingsInvalid, described, load
from tests.issuer import pem, private_key

URL = "https://id.example.com/jwks"
GOOD: dict[str, Any] = {"issuer": "https://id.example.com", "jwks_url": URL, "audience": "crm"}
RSA_PEM, EC_PEM = pem(private_key("RS256")), pem(private_key("ES256"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without a .env file."""
    monkeypatch.chdir(tmp_path)


def issuers(monkeypatch: pytest.MonkeyPatch, value: str) -> tuple[Issuer, ...]:
    monkeypatch.setenv("BELLBIRD_ISSUERS", value)
    return load().issuers


def mistakes(monkeypatch: pytest.MonkeyPatch, value: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as refused:
        issuers(monkeypatch, value)
    return refused.value.mistakes


def test_without_the_setting_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().issuers == ()
    assert issuers(monkeypatch, "") == issuers(monkeypatch, " ") == issuers(monkeypatch, "[]") == ()


def test_an_issuer_needs_a_name_an_audience_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    (issuer,) = issuers(monkeypatch, json.dumps([GOOD]))
    assert (issuer.issuer, issuer.jwks_url, issuer.audience) == ("https://id.example.com", URL, ("crm",))
    assert (issuer.algorithms, issuer.leeway, issuer.tenant) == (("RS256",), 30, None)
    assert (issuer.claims.user_id, issuer.claims.visibility) == ("sub", None)
    shown = {row.name: row.value for row in described(load())}
    assert shown["BELLBIRD_ISSUERS"] == "https://id.example.com"


def test_all_of_it_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = issuers(
        monkeypatch,
        json.dumps([
            {**GOOD, "audience": ["crm", "phone"], "algorithms": ["RS256", "ES384"], "leeway": 5,
             "claims": {"tenant_id": "https://acme.example/tenant", "roles": "realm_access.roles", "scopes": None}},
            {"issuer": "acme", "public_key": EC_PEM, "audience": None, "algorithms": ["ES256"],
             "tenant": str(UUID(int=7))},
        ]),
    )  # fmt: skip
    assert (first.audience, first.claims.scopes) == (("crm", "phone"), None)
    assert (second.audience, second.tenant) == (None, UUID(int=7))


def private_pem(kind: str) -> str:
    return private_key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"issuer": None}, ".issuer: is needed"),
    "an empty name": ({"issuer": ""}, ".issuer: String should have at least 1 character"),
    "our own name": ({"issuer": "bellbird"}, ".issuer: must be another name than 'bellbird'"),
    "no audience": ({"audience": None}, ".audience: is needed"),
    "an empty audience": ({"audience": []}, ".audience: must name at least one"),
    "a number for an audience": ({"audience": 5}, ".audience: "),
    "no keys": ({"jwks_url": None}, ": must have either jwks_url (where its keys are) or public_key (its key); it has"),
    "keys twice": ({"public_key": RSA_PEM}, ": must have either jwks_url (where its keys are) or public_key"),
    "plain http": ({"jwks_url": "http://id.example.com/jwks"}, ".jwks_url: must begin with https://"),
    "a file": ({"jwks_url": "file:///etc/passwd"}, ".jwks_url: must be a URL such as"),
    "ftp": ({"jwks_url": "ftp://id.example.com/x"}, ".jwks_url: must begin with https://"),
    "loopback only by name": ({"jwks_url": "http://localhost.example.com/"}, ".jwks_url: must begin with https://"),
    "no URL": ({"jwks_url": "id.example.com"}, ".jwks_url: must be a URL such as"),
    "a broken URL": ({"jwks_url": "https://[::1/x"}, ".jwks_url: must be a URL such as"),
    "a port too high": ({"jwks_url": "https://id.example.com:99999/"}, ".jwks_url: must be a URL such as"),
    "a URL with a line end": ({"jwks_url": "https://id.example.com/\nx"}, ".jwks_url: must be a URL such as"),
    "a password in the URL": ({"jwks_url": "https://me:hunter2@id.example.com/"}, ".jwks_url: must have no user"),
    "our kind of algorithm": ({"algorithms": ["HS256"]}, ".algorithms[0]: Input should be 'RS256'"),
    "no signature": ({"algorithms": ["RS256", "none"]}, ".algorithms[1]: Input should be 'RS256'"),
    "no algorithm": ({"algorithms": []}, ".algorithms: must name at least one"),
    "too much leeway": ({"leeway": 301}, ".leeway: Input should be less than or equal to 300 (it is 301)"),
    "negative leeway": ({"leeway": -1}, ".leeway: Input should be greater than or equal to 0"),
    "a tenant's slug": ({"tenant": "acme"}, ".tenant: Input should be a valid UUID"),
    "two ways to the tenant": (
        {"tenant": str(UUID(int=1)), "claims": {"tenant_id": "org"}}, ": must have either tenant",
    ),
    "a claim of no name": ({"claims": {"user_id": ""}}, ".claims.user_id: String should have at least 1"),
    "a claim that must be": ({"claims": {"tenant_id": None}}, ".claims.tenant_id: Input should be a valid string"),
    "an unknown claim": ({"claims": {"name": "hunter2"}}, ".claims.name: is no field of it"),
    "an unknown field": ({"client_secret": "hunter2"}, ".client_secret: is no field of it"),
    "no PEM": ({"jwks_url": None, "public_key": "hunter2"}, ".public_key: must be a public key as PEM"),
    "half a PEM": ({"jwks_url": None, "public_key": RSA_PEM[:90]}, ".public_key: must be a public key as PEM"),
    "a private key": ({"jwks_url": None, "public_key": private_pem("ES256")}, ".public_key: must be the public key"),
    "a short key": (
        {"jwks_url": None, "public_key": pem(private_key("RSA-1024"))},
        ".public_key: must have 2048 to 8192 bits, being an RSA key; it has 1024",
    ),
    "a curve not used": (
        {"jwks_url": None, "public_key": pem(ec.generate_private_key(ec.SECP256K1()))},
        ".public_key: must be an RSA, P-256, P-384, Ed25519 or Ed448 key",
    ),
    "an algorithm of another key": (
        {"jwks_url": None, "public_key": EC_PEM, "algorithms": ["ES256", "RS256"]},
        ": algorithms: RS256 cannot be verified with this public_key, which is for ES256",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mistake_names_its_field(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed, expected = FAULTS[fault]
    value = {name: it for name, it in {**GOOD, "issuer": "acme", **changed}.items() if it is not None}
    (mistake,) = mistakes(monkeypatch, json.dumps([GOOD, value]))
    assert mistake.startswith(f"BELLBIRD_ISSUERS[1]{expected}")
    assert "hunter2" not in mistake
    assert "PRIVATE" not in mistake
    assert len(mistake) < 300


@pytest.mark.parametrize("value", ["x", "{}", "5", '"https://id.example.com"', "[" * 100_000, "[{]"])
def test_what_is_no_list_is_told_what_it_should_be(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (mistake,) = mistakes(monkeypatch, value)
    assert mistake.startswith("BELLBIRD_ISSUERS: must be ")
    assert '[{"issuer": "https://id.example.com", "jwks_url": ' in mistake


def test_every_mistake_of_every_issuer_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = mistakes(monkeypatch, json.dumps([{"issuer": "", "leeway": "long"}, 5, {**GOOD, "jwks_url": "x"}]))
    assert sorted(each.split(":")[0] for each in found) == [
        "BELLBIRD_ISSUERS[0].audience", "BELLBIRD_ISSUERS[0].issuer", "BELLBIRD_ISSUERS[0].leeway",
        "BELLBIRD_ISSUERS[1]", "BELLBIRD_ISSUERS[2].jwks_url",
    ]  # fmt: skip


def test_an_issuer_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (mistake,) = mistakes(monkeypatch, json.dumps([GOOD, {**GOOD, "audience": "other"}]))
    assert mistake == "BELLBIRD_ISSUERS: must name each issuer once; https://id.example.com is there several times"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:99", "127.9.9.9"])
def test_this_machine_may_be_asked_without_tls(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert issuers(monkeypatch, json.dumps([{**GOOD, "jwks_url": f"http://{host}/jwks"}]))


def test_a_certificate_is_no_public_key(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    (mistake,) = mistakes(monkeypatch, json.dumps([{"issuer": "a", "audience": None, "public_key": text}]))
    assert "not a certificate: openssl x509 -pubkey -noout" in mistake


GUIDE = (Path(__file__).parents[2] / "docs/guides/sign-in-with-your-own-tokens.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))
def test_the_guides_examples_are_accepted(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert issuers(monkeypatch, example)


def test_the_guide_names_every_field_and_algorithm_and_no_other_claim() -> None:
    for name in [*Issuer.model_fields, *ALGORITHMS]:
        assert f"`{name}`" in GUIDE, name
    rows = GUIDE.split("| In `claims` |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", rows, re.MULTILINE) == list(ClaimNames.model_fields)
