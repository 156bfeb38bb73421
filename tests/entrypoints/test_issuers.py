"""Outside issuers, with real keys over real HTTP: what their tokens say here, and what is wrong with one."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
import pytest

from bellbird.core.clock import FakeClock
from bellbird.core.errors import NotSignedIn
from bellbird.core.issuers import Issuer
from bellbird.core.principals import Claims
from bellbird.entrypoints.signing import sign
from bellbird.entrypoints.tokens import Tokens
from tests import issuer
from tests.conftest import SECRET
from tests.issuer import IssuerServer, jwk, pem, private_key

TENANT, USER = UUID(int=1), UUID(int=2)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def idp(clock: FakeClock) -> Iterator[IssuerServer]:
    """An issuer with one RSA key."""
    with issuer.running(lambda: clock.now().timestamp()) as server:
        server.add("RS256")
        yield server


@pytest.fixture
def tokens(idp: IssuerServer, clock: FakeClock) -> Tokens:
    return Tokens(SECRET, clock, [idp.config()])


async def refusal(tokens: Tokens, token: str) -> str:
    """Why a token is refused."""
    with pytest.raises(NotSignedIn) as refused:
        await tokens.fetch_claims(token)
    assert len(refused.value.detail) < 300
    assert refused.value.detail.endswith(".")
    return refused.value.detail


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_an_outside_issuer_speaks_for_its_user(tokens: Tokens, idp: IssuerServer, kind: str) -> None:
    idp.add(kind)
    token = idp.token(TENANT, USER)
    assert tokens.claims(token) is None, "its keys are not here yet"
    claims = await tokens.fetch_claims(token)
    assert claims == Claims(TENANT, "user", str(USER)), "without roles its membership decides"
    assert tokens.claims(token) is claims
    assert tokens.claims(idp.token(TENANT, USER, jti="another")) == claims, "and no fetching any more"
    assert idp.requests == ["/jwks"]
    assert (tokens.hits, tokens.misses, tokens.fetches) == (1, 2, (1, 0))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_one_rsa_key_serves_all_its_algorithms_that_are_listed(
    idp: IssuerServer, clock: FakeClock, algorithm: str
) -> None:
    token = idp.token(TENANT, USER, algorithm=algorithm)
    assert await Tokens(SECRET, clock, [idp.config(algorithms=[algorithm])]).fetch_claims(token)
    why = await refusal(Tokens(SECRET, clock, [idp.config()]), token)
    assert why == f"The access token of {idp.url} must be signed with RS256 or ES256 or EdDSA."


@pytest.mark.parametrize("kind", ["RS256", "ES256", "ES384", "EdDSA"])
def test_a_key_given_as_pem_needs_no_fetching(clock: FakeClock, kind: str) -> None:
    tokens = Tokens(
        SECRET, clock,
        [Issuer(issuer="acme", public_key=pem(private_key(kind)), audience="bellbird", algorithms=(kind,))],
    )  # fmt: skip
    now = clock.now().timestamp()
    said = {"iss": "acme", "aud": "bellbird", "exp": now + 60, "tenant_id": str(TENANT), "sub": str(USER)}
    token = jwt.encode(said, private_key(kind), algorithm=kind, headers={"kid": "whatever it is called"})
    assert tokens.claims(token) == Claims(TENANT, "user", str(USER))
    forged = jwt.encode(said, private_key(kind, 1), algorithm=kind)
    with pytest.raises(NotSignedIn, match="was not signed by acme"):
        tokens.claims(forged)


async def test_several_issuers_and_we_ourselves_at_once(clock: FakeClock, idp: IssuerServer) -> None:
    with issuer.running(lambda: clock.now().timestamp()) as other:
        other.add("ES256")
        pem_key = private_key("EdDSA")
        acme = Issuer(issuer="acme", public_key=pem(pem_key), audience=None, algorithms=("EdDSA",))
        tokens = Tokens(SECRET, clock, [idp.config(), other.config(tenant=str(UUID(int=7))), acme])
        assert await tokens.fetch_claims(idp.token(TENANT, USER)) == Claims(TENANT, "user", str(USER))
        assert await tokens.fetch_claims(other.token(TENANT, USER)) == Claims(UUID(int=7), "user", str(USER))
        assert tokens.claims(tokens.make(TENANT, USER, valid_for=timedelta(hours=1)))
        said = {"iss": "acme", "exp": clock.now().timestamp() + 60, "tenant_id": str(TENANT), "sub": str(USER)}
        assert tokens.claims(jwt.encode(said, pem_key, algorithm="EdDSA"))


async def test_the_key_of_one_issuer_signs_nothing_in_the_name_of_another(clock: FakeClock, idp: IssuerServer) -> None:
    with issuer.running(lambda: clock.now().timestamp()) as other:
        other.add("RS256", shown=False)
        other.add("RS256")
        tokens = Tokens(SECRET, clock, [idp.config(), other.config()])
        forged = other.token(TENANT, USER, iss=idp.url, header={"kid": "key-1"})
        assert await refusal(tokens, forged) == f"The access token was not signed by {idp.url}."
        assert "not trusted here" in await refusal(tokens, idp.token(TENANT, USER, iss=f"{idp.url}/"))


SAID: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing more": ({}, {}, {}),
    "roles as list": ({}, {"roles": ["agent", "teller"]}, {"roles": ("agent", "teller")}),
    "roles as text": ({}, {"roles": "agent"}, {"roles": ("agent",)}),
    "no roles at all": ({}, {"roles": []}, {"roles": ()}),
    "our other name for roles": ({}, {"role": "owner"}, {}),
    "scope as text": ({}, {"scope": "contacts:read openid"}, {"scopes": frozenset({"contacts:read", "openid"})}),
    "scope as list": ({}, {"scope": ["contacts:read"]}, {"scopes": frozenset({"contacts:read"})}),
    "scopes of no interest": ({"claims": {"scopes": None}}, {"scope": "openid"}, {}),
    "roles of no interest": ({"claims": {"roles": None}}, {"roles": ["owner"]}, {}),
    "visibility of no interest": ({}, {"visibility": "nonsense"}, {}),
    "visibility": ({"claims": {"visibility": "sees"}}, {"sees": "own"}, {"visibility": "own"}),
    "their session, not ours": ({}, {"sid": "x"}, {}),
    "roles within": (
        {"claims": {"roles": "realm_access.roles"}}, {"realm_access": {"roles": ["agent"]}}, {"roles": ("agent",)},
    ),
    "roles deep within": (
        {"claims": {"roles": "resource_access.bellbird.roles"}},
        {"resource_access": {"bellbird": {"roles": ["agent"]}}},
        {"roles": ("agent",)},
    ),
    "roles not within": ({"claims": {"roles": "realm_access.roles"}}, {"realm_access": ["agent"]}, {}),
    "a name with dots": (
        {"claims": {"roles": "https://acme.example/roles"}},
        {"https://acme.example/roles": ["agent"]},
        {"roles": ("agent",)},
    ),
    "a name with dots, and something within": (
        {"claims": {"roles": "https://acme.example/app.roles"}},
        {"https://acme.example/app": {"roles": ["agent"]}},
        {"roles": ("agent",)},
    ),
    "the name before the way": (
        {"claims": {"roles": "app.roles"}}, {"app.roles": "agent", "app": {"roles": "owner"}}, {"roles": ("agent",)},
    ),
    "one tenant for all": ({"tenant": str(UUID(int=7))}, {}, {"tenant_id": UUID(int=7)}),
    "the tenant by another name": (
        {"claims": {"tenant_id": "org.id"}}, {"org": {"id": str(UUID(int=9))}}, {"tenant_id": UUID(int=9)},
    ),
    "the user by another name": (
        {"claims": {"user_id": "oid"}}, {"oid": str(UUID(int=9))}, {"subject": str(UUID(int=9))},
    ),
    "a user in capitals": ({}, {"sub": "0192F0C0-0000-7000-8000-00000000A117"},
                           {"subject": "0192f0c0-0000-7000-8000-00000000a117"}),
    "audience as list": ({}, {"aud": ["others", "bellbird"]}, {}),
    "one audience of several": ({"audience": ["a", "b"]}, {"aud": "b"}, {}),
    "any audience": ({"audience": None}, {"aud": "somebody else"}, {}),
    "no audience": ({"audience": None}, {"aud": None}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
async def test_claims_are_read_as_the_setting_says(case: str, idp: IssuerServer, clock: FakeClock) -> None:
    setting, said, expected = SAID[case]
    claims = await Tokens(SECRET, clock, [idp.config(**setting)]).fetch_claims(idp.token(TENANT, USER, **said))
    assert claims == Claims(**{"tenant_id": TENANT, "kind": "user", "subject": str(USER), **expected})


async def test_a_subject_that_is_no_uuid_is_always_the_same_user(idp: IssuerServer, clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, [idp.config()])
    subjects = ["auth0|5f7c8ec7c33c6c004bbafe82", "ann@acme.example", "Ann@acme.example", "5", "0" * 32, "é\u202e☃"]
    found = [UUID((await tokens.fetch_claims(idp.token(TENANT, subject))).subject) for subject in subjects]
    assert found == [uuid5(uuid5(NAMESPACE_URL, idp.url), subject) for subject in subjects]
    assert len(set(found)) == len(subjects)
    with issuer.running(lambda: clock.now().timestamp()) as other:
        other.add("RS256")
        theirs = await Tokens(SECRET, clock, [other.config()]).fetch_claims(other.token(TENANT, subjects[0]))
        assert UUID(theirs.subject) != found[0], "another issuer's user of the same name is another"


def confused(idp: IssuerServer) -> str:
    """A token signed by HS256 with the public RSA key, which everybody has."""
    body = idp.token(TENANT, USER).split(".")[1]
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"key-1"}').decode().rstrip("=")
    signature = sign(pem(idp.keys["key-1"].private).encode(), f"{head}.{body}".encode())
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def unsigned(idp: IssuerServer, *, keep: bool) -> str:
    _, body, signature = idp.token(TENANT, USER).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none","kid":"key-1"}').decode().rstrip("=")
    return f"{head}.{body}.{signature if keep else ''}"


NOW = FakeClock().now().timestamp()
FAULTS: dict[str, tuple[Any, str]] = {
    "HS256 with the public key": (confused, "The access token of {url} must be signed with RS256 or ES256 or EdDSA."),
    "alg none": (
        lambda idp: unsigned(idp, keep=False),
        "The access token of {url} is not signed (alg none); it must be signed with RS256 or ES256 or EdDSA.",
    ),
    "alg none, its signature kept": (
        lambda idp: unsigned(idp, keep=True),
        "The access token of {url} is not signed (alg none); it must be signed with RS256 or ES256 or EdDSA.",
    ),
    "a kid of another key": (
        lambda idp: idp.token(TENANT, USER, header={"kid": "key-9"}),
        "The access token is signed with a key that {url} does not have (kid 'key-9').",
    ),
    "a kid like a path": (
        lambda idp: idp.token(TENANT, USER, header={"kid": "../../dev/null"}),
        "The access token is signed with a key that {url} does not have (kid '../../dev/null').",
    ),
    "a kid of another type of key": (
        lambda idp: (idp.add("ES256"), idp.token(TENANT, USER, header={"kid": "key-1"}))[1],
        "The key 'key-1' of {url} is for PS256, PS384, PS512, RS256, RS384, RS512, not for ES256.",
    ),
    "no kid, and several keys": (
        lambda idp: (idp.add("RS256"), idp.token(TENANT, USER, header={"kid": None}))[1],
        "The access token must name its key (kid): {url} has several for RS256.",
    ),
    "no kid, and no key of that type": (
        lambda idp: (idp.add("ES256", shown=False), idp.token(TENANT, USER, header={"kid": None}))[1],
        "{url} has no key for ES256, which the access token is signed with.",
    ),
    "a key that nobody may sign with": (
        lambda idp: (idp.add("RS256", use="enc"), idp.token(TENANT, USER))[1],
        "The key 'key-2' of {url} cannot be used: it is not meant to verify signatures (use, key_ops).",
    ),
    "a key that is too short": (
        lambda idp: (idp.add("RSA-1024"), idp.token(TENANT, USER))[1],
        "The key 'key-2' of {url} cannot be used: it must have 2048 to 8192 bits, being an RSA key; it has 1024.",
    ),
    "a key for another algorithm": (
        lambda idp: (idp.add("RS256", alg="PS256"), idp.token(TENANT, USER))[1],
        "The key 'key-2' of {url} is for PS256, not for RS256.",
    ),
    "signed with another key": (
        lambda idp: (idp.add("RS256", shown=False), idp.token(TENANT, USER, header={"kid": "key-1"}))[1],
        "The access token was not signed by {url}.",
    ),
    "expired": (lambda idp: idp.token(TENANT, USER, exp=NOW - 30), "The access token of {url} has expired."),
    "not valid yet": (
        lambda idp: idp.token(TENANT, USER, nbf=NOW + 31), "The access token of {url} is not valid yet (nbf).",
    ),
    "no expiry": (lambda idp: idp.token(TENANT, USER, exp=None), "The access token of {url} has no expiry (exp)."),
    "another audience": (
        lambda idp: idp.token(TENANT, USER, aud=["shop", "bank"]),
        "The access token of {url} is for another audience (aud); it must be bellbird.",
    ),
    "no audience": (
        lambda idp: idp.token(TENANT, USER, aud=None),
        "The access token of {url} has no audience (aud); it must be bellbird.",
    ),
    "an audience of numbers": (
        lambda idp: idp.token(TENANT, USER, aud=[5]),
        "The access token of {url} cannot be used: its aud is neither a text nor a list of texts.",
    ),
    "no tenant": (lambda idp: idp.token(None, USER), "The access token of {url} has no tenant_id."),
    "a tenant that is no id": (
        lambda idp: idp.token("acme", USER),
        "The access token of {url} cannot be used: its tenant_id is not a UUID.",
    ),
    "no user": (lambda idp: idp.token(TENANT, None), "The access token of {url} has no sub."),
    "an empty user": (lambda idp: idp.token(TENANT, None, sub=""), "The access token of {url} has no sub."),
    "a user with half a character": (
        lambda idp: idp.token(TENANT, None, sub="\ud800"),
        "The access token of {url} cannot be used: its sub is not a text that can be encoded.",
    ),
    "roles of the wrong kind": (
        lambda idp: idp.token(TENANT, USER, roles={"agent": True}),
        "The access token of {url} cannot be used: its roles is neither a text nor a list of texts.",
    ),
    "crit": (
        lambda idp: idp.token(TENANT, USER, header={"crit": ["b64"], "b64": True}),
        "The access token cannot be read: it needs extensions (crit) that are not known here.",
    ),
    "in our own name": (
        lambda idp: idp.token(TENANT, USER, iss="bellbird"), "The access token must be signed with HS256.",
    ),
    "in nobody's name": (
        lambda idp: idp.token(TENANT, USER, iss=None), "The access token must be signed with HS256.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_with_a_token_is_said_with_its_issuer(
    fault: str, tokens: Tokens, idp: IssuerServer
) -> None:
    make, why = FAULTS[fault]
    token = make(idp)
    for _ in range(2):
        assert await refusal(tokens, token) == why.format(url=idp.url)
    assert await tokens.fetch_claims(idp.token(TENANT, USER, kid="key-1")), "and the next request works"


async def test_the_header_cannot_bring_its_own_key(tokens: Tokens, idp: IssuerServer) -> None:
    theirs = private_key("RS256", 5)
    head = {
        "jwk": jwk(theirs, "RS256"),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x",
        "kid": "key-1",
    }
    said = {"iss": idp.url, "aud": "bellbird", "exp": NOW + 60, "tenant_id": str(TENANT), "sub": str(USER)}
    assert "was not signed by" in await refusal(tokens, jwt.encode(said, theirs, algorithm="RS256", headers=head))
    assert idp.requests == ["/jwks"]


async def test_the_leeway_is_exact(idp: IssuerServer, clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, [idp.config(leeway=10)])
    ended, begins = idp.token(TENANT, USER, exp=NOW), idp.token(TENANT, USER, nbf=NOW + 20)
    assert "not valid yet" in await refusal(tokens, begins)
    clock.move(timedelta(seconds=9, milliseconds=999))
    assert await tokens.fetch_claims(ended)
    assert "not valid yet" in await refusal(tokens, begins)
    clock.move(timedelta(milliseconds=1))
    assert "has expired" in await refusal(tokens, ended)
    assert tokens.claims(begins)


async def test_without_leeway_the_second_counts(idp: IssuerServer, clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, [idp.config(leeway=0)])
    token = idp.token(TENANT, USER, exp=NOW + 1, nbf=NOW)
    assert await tokens.fetch_claims(token)
    clock.move(timedelta(seconds=1))
    with pytest.raises(NotSignedIn, match="has expired"):
        tokens.claims(token)


async def test_a_token_of_one_megabyte_is_not_even_read(tokens: Tokens, idp: IssuerServer) -> None:
    assert "longer than 8192" in await refusal(tokens, idp.token(TENANT, USER, padding="x" * 1_000_000))
    assert idp.requests == []
