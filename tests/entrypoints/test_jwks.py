"""An issuer's keys over real HTTP: fetched once, renewed, rotated; and what happens when they cannot be had."""

import asyncio
import gzip
import json
import logging
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core.clock import FakeClock
from bellbird.core.errors import NotSignedIn
from bellbird.entrypoints import jwks
from bellbird.entrypoints.tokens import Tokens
from tests import issuer
from tests.conftest import SECRET
from tests.issuer import Answer, IssuerServer, jwk, private_key

TENANT, USER = UUID(int=1), UUID(int=2)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def idp(clock: FakeClock) -> Iterator[IssuerServer]:
    """An issuer with one key, whose tokens are good for a day."""
    with issuer.running(lambda: clock.now().timestamp()) as server:
        server.add("ES256")
        yield server


@pytest.fixture
def tokens(idp: IssuerServer, clock: FakeClock) -> Tokens:
    return Tokens(SECRET, clock, [idp.config()])


def a_token(idp: IssuerServer, **more: Any) -> str:
    day = int(FakeClock().now().timestamp()) + 86_400
    return idp.token(TENANT, USER, **{"exp": day, **more})


async def refusal(tokens: Tokens, token: str) -> str:
    with pytest.raises(NotSignedIn) as refused:
        await tokens.fetch_claims(token)
    return refused.value.detail


async def renewed(tokens: Tokens, idp: IssuerServer, times: int) -> None:
    """Wait for the renewal that goes on behind the requests' backs, which is the issuer's `times`-th question."""
    keys = tokens._trusted[idp.url].keys
    assert isinstance(keys, jwks.KeySet)
    assert keys._flight
    await keys._flight
    assert len(idp.requests) == times


async def test_a_key_that_is_new_is_fetched_when_a_token_names_it(tokens: Tokens, idp: IssuerServer) -> None:
    old = a_token(idp)
    assert await tokens.fetch_claims(old)
    idp.rotate("ES256")
    new = a_token(idp)
    assert tokens.claims(new) is None
    assert await tokens.fetch_claims(new)
    assert tokens.claims(new)
    assert idp.requests == ["/jwks"] * 2


async def test_a_key_that_was_taken_back_ends_its_tokens_with_the_next_fetch(tokens: Tokens, idp: IssuerServer) -> None:
    old = a_token(idp)
    assert await tokens.fetch_claims(old)
    assert tokens.claims(old)
    idp.rotate("ES256")
    assert tokens.claims(old), "nobody has asked yet"
    assert await tokens.fetch_claims(a_token(idp))
    with pytest.raises(NotSignedIn, match=r"signed with a key that .* does not have \(kid 'key-1'\)"):
        tokens.claims(old)


async def test_a_key_that_stays_keeps_its_tokens_verified(tokens: Tokens, idp: IssuerServer, clock: FakeClock) -> None:
    token = a_token(idp)
    claims = await tokens.fetch_claims(token)
    for number in range(3):
        idp.add("ES256")
        clock.move(5 * MINUTE)
        assert tokens.claims(token) is claims
        await renewed(tokens, idp, number + 2)
        assert tokens.claims(token) is claims
    assert tokens.misses == 1


async def test_another_key_under_the_same_name_does_not_inherit_its_tokens(
    tokens: Tokens, idp: IssuerServer, clock: FakeClock
) -> None:
    token = a_token(idp)
    assert await tokens.fetch_claims(token)
    idp.keys["key-1"].shown = jwk(private_key("ES256", 9), "ES256", kid="key-1")
    clock.move(5 * MINUTE)
    assert tokens.claims(token)
    await renewed(tokens, idp, 2)
    with pytest.raises(NotSignedIn, match="was not signed by"):
        tokens.claims(token)


async def test_without_names_the_one_key_is_tried_and_a_new_one_asked_for(tokens: Tokens, idp: IssuerServer) -> None:
    idp.keys.clear()
    idp.add("ES256", kid=None)
    assert await tokens.fetch_claims(a_token(idp, header={"kid": None}))
    idp.keys.clear()
    idp.add("ES256", kid=None)
    token = a_token(idp, header={"kid": None})
    assert tokens.claims(token) is None
    assert await tokens.fetch_claims(token)
    assert len(idp.requests) == 2


async def test_renewal_delays_nobody(tokens: Tokens, idp: IssuerServer, clock: FakeClock) -> None:
    first, second = a_token(idp), a_token(idp, jti="2")
    assert await tokens.fetch_claims(first)
    clock.move(5 * MINUTE - SECOND)
    assert tokens.claims(first)
    assert len(idp.requests) == 1, "kept for five minutes when nothing is said"
    idp.answer = Answer(delay=0.3)
    clock.move(SECOND)
    for _ in range(10):
        assert tokens.claims(first), "one that is known"
        assert tokens.claims(second), "and one that is not, of a key that is"
        await asyncio.sleep(0)
    await renewed(tokens, idp, 2)
    assert len(idp.requests) == 2


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("max-age=600", 600), ("public, max-age=900, must-revalidate", 900), ("MAX-AGE = 120", 120),
        ('max-age="600"', 600), ("max-age=1", 60), ("max-age=0", 60), ("no-store", 60), ("no-cache, max-age=600", 60),
        ("max-age=86400", 3600), ("max-age=99999999999999999999", 3600), ("max-age=-5", 300), ("max-age=x", 300),
        ("s-maxage=600", 300), ("private", 300), ("", 300),
    ],
)  # fmt: skip
def test_keys_are_kept_as_long_as_the_issuer_says_between_a_minute_and_an_hour(
    cache_control: str, seconds: int
) -> None:
    assert jwks.lifetime(cache_control) == seconds


async def test_what_the_answer_says_of_its_age_is_kept_to(tokens: Tokens, idp: IssuerServer, clock: FakeClock) -> None:
    idp.answer = Answer(headers={"Cache-Control": "public, max-age=1800"})
    token = a_token(idp)
    await tokens.fetch_claims(token)
    clock.move(30 * MINUTE - SECOND)
    assert tokens.claims(token)
    await asyncio.sleep(0.05)
    assert len(idp.requests) == 1
    clock.move(SECOND)
    assert tokens.claims(token)
    await renewed(tokens, idp, 2)


async def test_fifty_at_once_wait_for_one_fetch(tokens: Tokens, idp: IssuerServer) -> None:
    idp.answer = Answer(delay=0.3)
    found = await asyncio.gather(*(tokens.fetch_claims(a_token(idp, jti=str(number))) for number in range(50)))
    assert len(found) == 50
    assert idp.requests == ["/jwks"]
    idp.rotate("ES256")
    await asyncio.gather(*(tokens.fetch_claims(a_token(idp, jti=str(number))) for number in range(50)))
    assert len(idp.requests) == 2, "the same for a key that is new"


async def test_one_that_gives_up_waiting_takes_nobody_along(tokens: Tokens, idp: IssuerServer) -> None:
    idp.answer = Answer(delay=0.2)
    token = a_token(idp)
    leaving, staying = asyncio.create_task(tokens.fetch_claims(token)), asyncio.create_task(tokens.fetch_claims(token))
    await asyncio.sleep(0.05)
    leaving.cancel()
    assert await staying
    assert leaving.cancelled()
    assert len(idp.requests) == 1


async def test_for_unknown_keys_the_issuer_is_asked_twice_a_minute(
    tokens: Tokens, idp: IssuerServer, clock: FakeClock
) -> None:
    good = a_token(idp)
    await tokens.fetch_claims(good)
    for number in range(20):
        assert "does not have" in await refusal(tokens, a_token(idp, header={"kid": f"made-up-{number}"}))
    assert len(idp.requests) == 2
    clock.move(29 * SECOND)
    assert "does not have" in await refusal(tokens, a_token(idp, header={"kid": "x"}))
    assert len(idp.requests) == 2
    clock.move(SECOND)
    idp.rotate("ES256")
    assert await tokens.fetch_claims(a_token(idp))
    assert len(idp.requests) == 3


OVERSIZED = json.dumps({"keys": [jwk(private_key("ES256"), "ES256", kid="key-1", x5c="x" * 300_000)]}).encode()
FAILURES: dict[str, tuple[Answer, str]] = {
    "500": (Answer(500), "it answered 500 instead of 200"),
    "404": (Answer(404, b"<html>"), "it answered 404 instead of 200"),
    "204": (Answer(204, b""), "it answered 204 instead of 200"),
    "slow": (Answer(delay=5), "it did not answer in full within 0.2 seconds"),
    "stuck in the middle": (Answer(stop_after=20), "it did not answer in full within 0.2 seconds"),
    "huge": (Answer(body=OVERSIZED), "it answered more than 256 kB"),
    "huge, and stuck": (Answer(body=OVERSIZED, stop_after=280_000), "it answered more than 256 kB"),
    "not JSON": (Answer(body=b"<html>Not here</html>"), "what it answers is not JSON"),
    "JSON in UTF-16": (Answer(body='{"keys":[]}'.encode("utf-16")), "what it answers is not JSON"),
    "too deep": (Answer(body=b"[" * 100_000), "what it answers is not JSON"),
    "a list": (Answer(body=b"[]"), 'what it answers is no key set: {"keys": [...]}'),
    "one key": (Answer(body=b'{"kty":"EC"}'), 'what it answers is no key set: {"keys": [...]}'),
    "keys by name": (Answer(body=b'{"keys":{"key-1":{}}}'), 'what it answers is no key set: {"keys": [...]}'),
    "too many keys": (Answer(body=b'{"keys":[' + b"{}," * 100 + b"{}]}"), "it has 101 keys, and at most 100 are read"),
    "compressed": (
        Answer(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        "it answered in a compressed form that was not asked for",
    ),
    "led elsewhere": (
        Answer(302, b"", {"Location": "http://127.0.0.1:1/jwks"}),
        "it redirects to another host, which is not followed",
    ),
    "led to a file": (
        Answer(302, b"", {"Location": "file:///etc/passwd"}), "it redirects to another host, which is not followed",
    ),
    "led in a circle": (Answer(302, b"", {"Location": "/jwks"}), "it redirects too often"),
    "led nowhere": (
        Answer(302, b"", {"Location": "http://[::1/"}), "what it answers is not HTTP that can be read",
    ),
    "cut off": (
        Answer(headers={"Content-Length": "99999", "Connection": "close"}), "what it answers is not HTTP that can be",
    ),
    "no length": (Answer(headers={"Content-Length": "many"}), "what it answers is not HTTP that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
async def test_keys_that_cannot_be_fetched_are_a_401_that_says_why_and_the_next_request_works(
    failure: str,
    tokens: Tokens,
    idp: IssuerServer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idp.answer, why = FAILURES[failure]
    if "0.2 seconds" in why:
        monkeypatch.setattr(jwks, "DEADLINE", 0.2)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "bellbird"):
        said = await refusal(tokens, a_token(idp))
    assert said.startswith(f"The signing keys of {idp.url} cannot be fetched just now: {why}")
    assert f"the signing keys of {idp.url} cannot be fetched: {why}" in caplog.text
    asked = len(idp.requests)
    for _ in range(20):
        with pytest.raises(NotSignedIn) as refused:
            tokens.claims(a_token(idp, jti="at once, without waiting"))
        assert refused.value.detail == said
    assert time.monotonic() - started < 4
    assert len(idp.requests) == asked, "the failure is remembered"
    assert tokens.claims(tokens.make(TENANT, USER, valid_for=HOUR)), "and others are served"
    monkeypatch.undo()
    idp.answer = Answer()
    clock.move(10 * SECOND)
    assert await tokens.fetch_claims(a_token(idp))
    assert tokens.fetches == (2, 1)


async def test_the_deadline_is_two_seconds_in_all(tokens: Tokens, idp: IssuerServer) -> None:
    idp.answer = Answer(302, b"", {"Location": "/jwks"}, delay=0.9)
    started = time.monotonic()
    assert "did not answer in full within 2 seconds" in await refusal(tokens, a_token(idp))
    assert 1.9 < time.monotonic() - started < 4


async def test_an_issuer_that_is_not_there_is_told_at_once(clock: FakeClock, idp: IssuerServer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/jwks"
        tokens = Tokens(SECRET, clock, [idp.config(jwks_url=url)])
        assert (await refusal(tokens, a_token(idp))).endswith("cannot be fetched just now: no connection can be made.")


async def test_over_tls_the_issuer_must_be_who_it_says(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    with issuer.running(lambda: clock.now().timestamp(), path) as idp:
        idp.add("ES256")
        assert idp.jwks_url.startswith("https://127.0.0.1:")
        tokens = Tokens(SECRET, clock, [idp.config()])
        assert (await refusal(tokens, a_token(idp))).endswith("cannot be fetched just now: no connection can be made.")
        assert idp.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        clock.move(10 * SECOND)
        assert await tokens.fetch_claims(a_token(idp))


async def test_a_redirection_on_the_same_host_is_followed(tokens: Tokens, idp: IssuerServer) -> None:
    found, moved = Answer(), Answer(301, b"", {"Location": "/oauth2/keys"})
    send = idp.send

    def then_answer(request: Any) -> None:
        idp.answer = moved if request.path == "/jwks" else found  # before it is sent: the next question comes at once
        send(request)

    idp.send = then_answer  # type: ignore[method-assign]
    assert await tokens.fetch_claims(a_token(idp))
    assert idp.requests == ["/jwks", "/oauth2/keys"]


async def test_a_proxy_is_not_asked_for_this_machine(
    tokens: Tokens, idp: IssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await tokens.fetch_claims(a_token(idp))


async def test_while_an_issuer_is_down_its_old_keys_serve_for_an_hour(
    tokens: Tokens, idp: IssuerServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    known, other = a_token(idp), a_token(idp, jti="other")
    claims = await tokens.fetch_claims(known)
    idp.answer = Answer(503)
    clock.move(5 * MINUTE)
    with caplog.at_level(logging.WARNING, "bellbird"):
        assert tokens.claims(known) is claims
        await renewed(tokens, idp, 2)
    assert "it answered 503 instead of 200; those that were fetched before are used meanwhile" in caplog.text
    for _ in range(5):
        assert tokens.claims(known) is claims
        assert tokens.claims(other)
        await asyncio.sleep(0.01)
    assert len(idp.requests) == 2, "for ten seconds nobody asks again"
    assert "cannot be fetched just now: it answered 503" in await refusal(tokens, a_token(idp, header={"kid": "new"}))
    clock.move(10 * SECOND)
    assert tokens.claims(known) is claims
    await renewed(tokens, idp, 3)
    clock.move(HOUR - 10 * SECOND - SECOND)
    assert tokens.claims(known) is claims
    await renewed(tokens, idp, 4)
    clock.move(SECOND)
    for token in (known, other):
        with pytest.raises(NotSignedIn, match="cannot be fetched just now: it answered 503 instead of 200"):
            tokens.claims(token)
    clock.move(10 * SECOND)
    assert tokens.claims(known) is None
    idp.answer = Answer()
    assert await tokens.fetch_claims(known) == claims


async def test_a_set_that_lost_its_keys_ends_all_tokens(tokens: Tokens, idp: IssuerServer, clock: FakeClock) -> None:
    token = a_token(idp)
    assert await tokens.fetch_claims(token)
    idp.answer = Answer(body=b'{"keys": []}')
    clock.move(5 * MINUTE)
    assert tokens.claims(token)
    await renewed(tokens, idp, 2)
    assert "does not have" in await refusal(tokens, token)


def test_outside_a_loop_known_keys_serve_and_nothing_breaks(
    tokens: Tokens, idp: IssuerServer, clock: FakeClock
) -> None:
    token = a_token(idp)
    assert tokens.claims(token) is None
    with asyncio.Runner() as runner:
        assert runner.run(tokens.fetch_claims(token))
    clock.move(30 * MINUTE)
    assert tokens.claims(token)
    clock.move(35 * MINUTE)
    assert tokens.claims(token) is None
    with asyncio.Runner() as runner:
        assert runner.run(tokens.fetch_claims(token)), "in another loop"


RSA = jwk(private_key("RS256"), "RS256")
EC = jwk(private_key("ES256"), "ES256")
BAD_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "a shared secret": ({"kty": "oct", "k": "c2VjcmV0"}, "is of a type that is not used here (kty 'oct')"),
    "a type to come": ({"kty": "AKP", "alg": "ML-DSA-44"}, "is of a type that is not used here (kty 'AKP')"),
    "no type": ({}, "is of a type that is not used here (kty None)"),
    "a type of the wrong type": ({"kty": ["RSA"]}, "is of a type that is not used here"),
    "no modulus": ({"kty": "RSA", "e": "AQAB"}, "lacks one of its members n, e"),
    "a modulus that is a number": ({**RSA, "n": 5}, "lacks one of its members n, e"),
    "a modulus that is no base64": ({**RSA, "n": "!!!"}, "is no RSA key that can be read"),
    "an empty modulus": ({**RSA, "n": ""}, "is no RSA key that can be read"),
    "an even exponent": ({**RSA, "e": "Ag"}, "is no RSA key that can be read"),
    "short": (jwk(private_key("RSA-1024"), "RS256"), "must have 2048 to 8192 bits, being an RSA key; it has 1024"),
    "endless": ({**RSA, "n": "_" * 4000}, "must have 2048 to 8192 bits"),
    "a point off its curve": ({**EC, "x": EC["y"]}, "is no EC key that can be read"),
    "a coordinate too short": ({**EC, "x": "AQAB"}, "is no EC key that can be read"),
    "an unknown curve": ({**EC, "crv": "brainpoolP256r1"}, "is no EC key that can be read"),
    "a curve not used": ({**EC, "crv": "secp256k1"}, "is no EC key that can be read"),
    "a key agreement's": ({"kty": "OKP", "crv": "X25519", "x": EC["x"]}, "is no OKP key that can be read"),
    "half an Ed25519": ({"kty": "OKP", "crv": "Ed25519", "x": "AQAB"}, "is no OKP key that can be read"),
    "for encryption": ({**EC, "use": "enc"}, "is not meant to verify signatures (use, key_ops)"),
    "for signing alone": ({**EC, "key_ops": ["sign"]}, "is not meant to verify signatures (use, key_ops)"),
    "with the wrong operations": ({**EC, "key_ops": 5}, "has a member of the wrong type"),
    "with another's algorithm": ({**EC, "alg": "RS256"}, "says that it is for alg 'RS256', which is not one of its"),
    "with our algorithm": ({**RSA, "alg": "HS256"}, "says that it is for alg 'HS256', which is not one of its type"),
    "with a list of algorithms": ({**RSA, "alg": ["RS256"]}, "has a member of the wrong type"),
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_a_key_that_cannot_be_used_says_why_and_spoils_no_other(kind: str) -> None:
    given, why = BAD_KEYS[kind]
    bad, good = jwks.read(json.dumps({"keys": [{**given, "kid": "bad"}, {**EC, "kid": "good"}]}).encode())
    assert (bad.kid, bad.algorithms) == ("bad", frozenset())
    assert bad.fault.startswith(why)
    assert not any(bad.verifies(algorithm, b"x", b"y") for algorithm in ("RS256", "ES256", "HS256", "none"))
    assert (good.kid, good.algorithms, good.fault) == ("good", {"ES256"}, "")


def test_what_is_no_key_at_all_is_passed_over() -> None:
    body = json.dumps({"keys": [5, None, "x", [], {**EC, "kid": 5}, {**EC, "kid": None}, {**EC, "kid": "good"}]})
    assert [key.kid for key in jwks.read(body.encode())] == ["good"]


def test_a_private_key_that_is_shown_by_mistake_is_read_as_a_public_one() -> None:
    private = {**json.loads(jwks.RSAAlgorithm.to_jwk(private_key("RS256"))), "key_ops": None}
    assert "d" in private
    (key,) = jwks.read(json.dumps({"keys": [private]}).encode())
    (public,) = jwks.read(json.dumps({"keys": [RSA]}).encode())
    assert key.public == public.public


MEMBERS = st.sampled_from(["kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y", "d"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "sig", "ES256", "P-256", "P-384", "Ed25519", "AQAB", EC["x"], RSA["n"]])
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=50) | WORDS
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=6))


@given(st.lists(st.dictionaries(MEMBERS, JSON) | JSON, max_size=5))
def test_whatever_a_set_consists_of_it_can_be_read(keys: list[Any]) -> None:
    for key in jwks.read(json.dumps({"keys": keys}).encode()):
        assert key.algorithms or key.fault
        assert key.verifies("RS256", b"x", b"y") is False


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    key, name = private_key("ES256", 7), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - HOUR).not_valid_after(now + HOUR)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )  # fmt: skip
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path
