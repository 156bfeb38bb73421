"""Our own access tokens: whatever is wrong with one is a 401 that says what."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core.clock import FakeClock, SystemClock
from bellbird.core.errors import NotSignedIn
from bellbird.core.principals import Claims
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.signing import sign
from bellbird.entrypoints.tokens import MAX_LENGTH, Tokens
from tests.conftest import SECRET
from tests.issuer import pem, private_key

TENANT, USER, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
CLOCK = FakeClock()
NOW = int(CLOCK.now().timestamp())
CLAIMS: dict[str, Any] = {"tenant_id": str(TENANT), "user_id": str(USER), "iat": NOW, "exp": NOW + 60}
TOKENS = Tokens(SECRET, CLOCK)


def signed(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as another library makes it."""
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers=headers)


def written(header: str | bytes, payload: str | bytes, *, secret: str = SECRET) -> str:
    """A token of any header and payload, signed all the same."""
    parts = f"{base64url(header)}.{base64url(payload)}"
    return f"{parts}.{base64url(sign(secret.encode(), parts.encode()))}"


def base64url(part: str | bytes) -> str:
    return base64.urlsafe_b64encode(part.encode() if isinstance(part, str) else part).decode().rstrip("=")


def with_header(**header: Any) -> str:
    """A token whose header says something else than it was signed with."""
    _, payload, signature = signed().split(".")
    return f"{base64url(json.dumps({'typ': 'JWT', **header}))}.{payload}.{signature}"


def test_a_token_speaks_for_its_user_and_tenant() -> None:
    token = TOKENS.make(TENANT, USER, valid_for=timedelta(hours=1))
    assert TOKENS.claims(token) == Claims(TENANT, "user", str(USER))
    assert TOKENS.claims(signed()) == Claims(TENANT, "user", str(USER))


def test_what_a_token_is_made_with_is_what_it_says() -> None:
    token = TOKENS.make(
        TENANT, USER, valid_for=timedelta(hours=1), roles=["agent", "teller"], scopes=["contacts:read", "users:read"],
        visibility="team", session_id=SESSION,
    )  # fmt: skip
    assert TOKENS.claims(token) == Claims(
        TENANT, "user", str(USER), SESSION, ("agent", "teller"), frozenset({"contacts:read", "users:read"}), "team"
    )
    nothing = TOKENS.claims(TOKENS.make(TENANT, USER, valid_for=timedelta(hours=1), roles=[], scopes=[]))
    assert nothing
    assert (nothing.roles, nothing.scopes) == ((), frozenset()), "none is not the same as not said"


def test_other_libraries_read_our_tokens() -> None:
    token = TOKENS.make(TENANT, USER, valid_for=timedelta(hours=1), scopes=["a", "b"])
    found = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    assert found.pop("jti") != jwt.decode(
        TOKENS.make(TENANT, USER, valid_for=timedelta(hours=1)), options={"verify_signature": False}
    )["jti"]  # fmt: skip
    assert found == {
        "tenant_id": str(TENANT), "user_id": str(USER), "sub": str(USER), "iat": NOW, "exp": NOW + 3600, "scope": "a b",
    }  # fmt: skip


def test_a_token_made_as_the_guide_says_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Path(__file__).parents[2] / "docs/guides/sign-in-with-your-own-tokens.md"
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("BELLBIRD_SECRET", SECRET)
    made: dict[str, Any] = {}
    exec(example, made)
    claims = Tokens(SECRET, SystemClock()).claims(made["token"])
    assert claims
    assert (claims.kind, claims.roles, claims.scopes) == ("user", ("agent",), None)


SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sub in the place of user_id": ({"user_id": None, "sub": str(USER)}, {}),
    "user_id before sub": ({"sub": "somebody"}, {}),
    "issued by bellbird": ({"iss": "bellbird"}, {}),
    "for an audience, which ours need not be": ({"aud": ["crm"]}, {}),
    "one role": ({"role": "agent"}, {"roles": ("agent",)}),
    "one role, as roles": ({"roles": "key account manager"}, {"roles": ("key account manager",)}),
    "roles twice": ({"roles": ["agent", "viewer", "agent"]}, {"roles": ("agent", "viewer")}),
    "no roles at all": ({"roles": []}, {"roles": ()}),
    "scope as text": ({"scope": " contacts:read  x "}, {"scopes": frozenset({"contacts:read", "x"})}),
    "scopes as list": ({"scopes": ["contacts:read"]}, {"scopes": frozenset({"contacts:read"})}),
    "valid since now": ({"nbf": NOW}, {}),
    "with fractions of a second": ({"exp": NOW + 0.5}, {}),
    "a kid, which ours need not have": ({}, {}),
}


@pytest.mark.parametrize("case", SAID)
def test_claims_are_read_in_every_form_they_come_in(case: str) -> None:
    claims, expected = SAID[case]
    headers = {"kid": "any"} if "kid" in case else None
    assert TOKENS.claims(signed(headers=headers, **claims)) == Claims(TENANT, "user", str(USER), **expected)


GOOD = signed()
HEADER, PAYLOAD = '{"alg":"HS256"}', json.dumps(CLAIMS)
RSA_KEY = private_key("RS256")
FAULTS: dict[str, tuple[str, str]] = {
    "empty": ("", "must have three parts with dots between them, and has 1"),
    "a word": ("x", "three parts"),
    "two parts": (GOOD.rpartition(".")[0], "three parts with dots between them, and has 2"),
    "encrypted (JWE)": ("a.b.c.d.e", "has 5"),
    "only dots": ("..", "header is not a JSON object"),
    "truncated": (GOOD[: len(GOOD) // 2], "three parts"),
    "truncated in its signature": (GOOD[:-3], "not signed by this server"),
    "cut to a length that base64 cannot have": (GOOD[:-2], "signature is not base64url"),
    "blank before": (f" {GOOD}", "header is not base64url"),
    "line end after": (f"{GOOD}\n", "signature is not base64url"),
    "odd characters": ("é\u202e☃.☃.☃", "header is not base64url"),
    "padded": (f"{GOOD}=", "signature is not base64url"),
    "base64 of the other alphabet": (f"{GOOD[:-1]}/", "signature is not base64url"),
    "one megabyte": ("x" * 1_000_000, "longer than 8192"),
    "one megabyte of dots": ("." * 1_000_000, "longer than 8192"),
    "one too long": (signed(padding="x" * MAX_LENGTH), "longer than 8192"),
    "header no JSON": (f"{base64url('{')}.{GOOD.partition('.')[2]}", "header is not a JSON object"),
    "header a list": (written("[]", PAYLOAD), "header is not a JSON object"),
    "header no text": (f"{base64url(bytes([255, 254]))}.{GOOD.partition('.')[2]}", "header is not a JSON object"),
    "header in UTF-16": (f"{base64url(HEADER.encode('utf-16'))}.{GOOD.partition('.')[2]}", "header is not a JSON"),
    "payload no JSON": (written(HEADER, "x"), "payload is not a JSON object"),
    "payload a number": (written(HEADER, "5"), "payload is not a JSON object"),
    "payload too deep": (written(HEADER, "[" * 5000), "payload is not a JSON object"),
    "payload of a long number": (written(HEADER, '{"exp":' + "9" * 5000 + "}"), "payload is not a JSON object"),
    "claims twice": (written(HEADER, PAYLOAD[:-1] + f', "user_id": "{UUID(int=9)}"}}'), "payload has 'user_id' twice"),
    "claims twice inside": (written(HEADER, PAYLOAD[:-1] + ', "a": {"b": 1, "b": 1}}'), "payload has 'b' twice"),
    "header twice": (written('{"alg":"none","alg":"HS256"}', PAYLOAD), "header has 'alg' twice"),
    "no alg": (with_header(), "names no algorithm"),
    "alg not a text": (with_header(alg=5), "names no algorithm"),
    "alg a list": (with_header(alg=["HS256"]), "names no algorithm"),
    "alg none": (signed(None, "none"), "is not signed (alg none); it must be signed with HS256"),
    "alg none, its signature kept": (with_header(alg="none"), "is not signed (alg none)"),
    "alg nOnE": (with_header(alg="nOnE"), "is not signed (alg none)"),
    "alg of small letters": (with_header(alg="hs256"), "must be signed with HS256"),
    "RS256 in the header": (with_header(alg="RS256"), "must be signed with HS256"),
    "RS256 indeed": (signed(RSA_KEY, "RS256"), "must be signed with HS256"),
    "HS512": (signed(SECRET * 2, "HS512"), "must be signed with HS256"),
    "signed with a public key": (
        written(HEADER, PAYLOAD, secret=pem(RSA_KEY)),
        "not signed by this server",
    ),
    "kid a number": (with_header(alg="HS256", kid=5), "(kid) is not a text"),
    "kid null": (with_header(alg="HS256", kid=None), "(kid) is not a text"),
    "crit": (signed(headers={"crit": ["exp"], "exp": 1}), "extensions (crit)"),
    "crit empty": (signed(headers={"crit": []}), "extensions (crit)"),
    "another secret": (signed("another-secret-of-32-characters-or-more"), "not signed by this server"),
    "altered signature": (f"{GOOD[:-5]}{'AAAAA' if GOOD[-5:] != 'AAAAA' else 'BBBBB'}", "not signed by this server"),
    "altered claims": (
        ".".join([GOOD.split(".")[0], signed(tenant_id=str(UUID(int=3))).split(".")[1], GOOD.split(".")[2]]),
        "not signed by this server",
    ),
    "without its signature": (f"{GOOD.rpartition('.')[0]}.", "not signed by this server"),
    "of another issuer": (signed(iss="https://id.example.com"), "not trusted here (iss 'https://id.example.com')"),
    "of an issuer with a long name": (signed(iss="x" * 1000), "not trusted here"),
    "of an issuer of nothing but odd characters": (signed(iss="\u202e" * 500), "not trusted here"),
    "of an issuer with half a character": (written(HEADER, '{"iss": "\\ud800"}'), "not trusted here (iss '\\ud800')"),
    "issuer a list": (written(HEADER, '{"iss": ["bellbird"]}'), "(iss) is not a text"),
    "issuer null": (written(HEADER, '{"iss": null}'), "(iss) is not a text"),
    "expired": (signed(exp=NOW), "has expired"),
    "expired long ago": (signed(exp=1), "has expired"),
    "not valid yet": (signed(nbf=NOW + 5), "not valid yet"),
    "no exp": (signed(exp=None), "no expiry"),
    "exp null": (written(HEADER, json.dumps({**CLAIMS, "exp": None})), "no expiry"),
    "exp a text": (written(HEADER, json.dumps({**CLAIMS, "exp": "tomorrow"})), "exp is not a time in seconds"),
    "exp a number as text": (written(HEADER, json.dumps({**CLAIMS, "exp": str(NOW + 60)})), "exp is not a time"),
    "exp infinite": (written(HEADER, json.dumps({**CLAIMS, "exp": float("inf")})), "exp is not a time"),
    "exp no number": (written(HEADER, json.dumps({**CLAIMS, "exp": float("nan")})), "exp is not a time"),
    "exp beyond any number": (written(HEADER, PAYLOAD.replace(str(NOW + 60), "1e999")), "exp is not a time"),
    "exp in milliseconds, of another age": (signed(exp=2**53), "exp is not a time"),
    "exp negative": (signed(exp=-1), "exp is not a time"),
    "exp true": (written(HEADER, json.dumps({**CLAIMS, "exp": True})), "exp is not a time"),
    "nbf a text": (written(HEADER, json.dumps({**CLAIMS, "nbf": "now"})), "nbf is not a time"),
    "no tenant": (signed(tenant_id=None), "no tenant_id"),
    "tenant no id": (signed(tenant_id="acme"), "tenant_id is not a UUID"),
    "tenant a number": (signed(tenant_id=5), "tenant_id is not a UUID"),
    "no user": (signed(user_id=None), "no user_id"),
    "user a list": (signed(user_id=[]), "user_id is not a UUID"),
    "user empty": (signed(user_id=""), "user_id is not a UUID"),
    "roles a number": (signed(roles=5), "roles is neither a text nor a list of texts"),
    "roles of numbers": (signed(roles=["agent", 5]), "roles is neither a text nor a list of texts"),
    "scopes an object": (signed(scopes={"contacts:read": True}), "scopes is neither a text nor a list of texts"),
    "visibility unknown": (signed(visibility="everything"), "visibility is none of own, team, all"),
    "visibility a list": (signed(visibility=["all"]), "visibility is none of own, team, all"),
    "session no id": (signed(sid="1"), "sid is not a UUID"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_with_a_token_is_said(fault: str) -> None:
    token, why = FAULTS[fault]
    for _ in range(2):  # nothing wrong is remembered as right
        with pytest.raises(NotSignedIn) as refused:
            TOKENS.claims(token)
        assert why in refused.value.detail
        assert len(refused.value.detail) < 300
        assert refused.value.detail.endswith(".")
        assert SECRET not in refused.value.detail
        refused.value.detail.encode()
        with pytest.raises(NotSignedIn) as again:
            await TOKENS.fetch_claims(token)
        assert again.value.detail == refused.value.detail


@given(st.data())
def test_a_token_with_anything_altered_is_refused_and_never_breaks_anything(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    altered = GOOD[:at] + data.draw(st.text(max_size=3)) + GOOD[at + data.draw(st.integers(0, 4)) :]
    if altered == GOOD:
        assert TOKENS.claims(altered)
    else:
        # The last letter of a signature has bits that stand for nothing; all others count.
        with_spare_bits = altered[:-1] == GOOD[:-1] and len(altered) == len(GOOD)
        try:
            assert TOKENS.claims(altered) is not None
            assert with_spare_bits
        except NotSignedIn:
            pass


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_no_header_and_payload_break_anything(header: bytes, payload: bytes) -> None:
    with pytest.raises(NotSignedIn):
        TOKENS.claims(written(header, payload))


def test_a_token_that_was_good_once_expires_all_the_same() -> None:
    clock = FakeClock()
    tokens = Tokens(SECRET, clock)
    token = tokens.make(TENANT, USER, valid_for=timedelta(minutes=1))
    for _ in range(3):
        assert tokens.claims(token)
    clock.move(timedelta(seconds=59))
    assert tokens.claims(token)
    clock.move(timedelta(seconds=1))
    with pytest.raises(NotSignedIn, match="expired"):
        tokens.claims(token)


def test_what_was_verified_once_is_not_verified_again() -> None:
    tokens = Tokens(SECRET, CLOCK)
    first = tokens.claims(signed())
    assert all(tokens.claims(signed()) is first for _ in range(5))
    assert (tokens.hits, tokens.misses, tokens.fetches) == (5, 1, (0, 0))


def test_the_tokens_used_last_are_remembered_and_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellbird.entrypoints.tokens.MAX_VERIFIED", 3)
    tokens = Tokens(SECRET, CLOCK)
    first, second, third, fourth = (tokens.make(TENANT, USER, valid_for=timedelta(hours=1)) for _ in range(4))
    for each in (first, second, third, first, fourth):
        tokens.claims(each)
    assert (tokens.hits, tokens.misses) == (1, 4)
    for each in (first, third, fourth):
        tokens.claims(each)
    assert (tokens.hits, tokens.misses) == (4, 4)
    tokens.claims(second)
    assert (tokens.hits, tokens.misses) == (4, 5), "the one not used for longest went"


async def test_over_http_each_is_a_401(api: httpx.AsyncClient) -> None:
    headers: dict[str, bytes | None] = {
        fault: f"Bearer {token}".encode()
        for fault, (token, _) in FAULTS.items()
        if token.isprintable() and len(token) < 100_000  # longer headers do not come so far
    }
    headers |= {"none": None, "no header": b"", "no token": b"Bearer", "another scheme": b"Basic YTpi"}
    del api.headers["Authorization"]
    for fault, header in headers.items():
        given_headers = {} if header is None else {"Authorization": header}
        for method, path in (("GET", "/contacts"), ("POST", "/contacts")):
            answer = await api.request(
                method, path, headers=given_headers, json={"first_name": "Ann"} if method == "POST" else None
            )
            assert answer.status_code == 401, fault
            assert answer.json()["code"] == "not_signed_in"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/contacts"), ("GET", "/contacts/{id}"), ("POST", "/contacts"), ("PATCH", "/contacts/{id}"),
     ("DELETE", "/contacts/{id}"), ("PUT", "/contacts?match=external_id")],
)  # fmt: skip
async def test_a_token_of_a_tenant_that_does_not_exist_any_more_is_a_401(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant, method: str, path: str
) -> None:
    owner.execute("delete from tenants where id = %s", [tenant.id])
    body = {"first_name": "Ann", "external_id": "1"} if method in ("POST", "PUT") else {} if method == "PATCH" else None
    answer = await api.request(method, path.format(id=uuid4()), json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
