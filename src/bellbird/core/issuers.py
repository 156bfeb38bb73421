"""Outside issuers: whose tokens are accepted beside our own, and which of their claims mean what.

`BELLBIRD_ISSUERS` is a JSON list of them. A mistake in it stops the start and names its field.
"""

import json
from collections import Counter
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

# What our own tokens may name as their issuer; no other can be called so.
OURS: Final = "bellbird"

# Public keys only: a secret shared with an outside issuer would let either side sign for the other.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)

# Shorter RSA keys can be broken, longer ones cost more than a signature is worth.
RSA_BITS: Final = range(2048, 8193)

EXAMPLE: Final = '[{"issuer": "https://id.example.com", "jwks_url": "https://id.example.com/jwks", "audience": "crm"}]'

Name = Annotated[str, Field(min_length=1, max_length=255)]


class ClaimNames(BaseModel):
    """Where a token says what: the name of a claim, or the way to one inside others, as `realm_access.roles`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: Name = "tenant_id"
    user_id: Name = "sub"
    roles: Name | None = "roles"
    scopes: Name | None = "scope"
    visibility: Name | None = None


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Issuer(BaseModel):
    """One outside issuer: where its keys are, for whom its tokens must be made, and what its claims are called.

    With `tenant` all its users belong to that one; without, it is trusted to say so itself.
    `audience` has to be given; `None` accepts tokens that were made for anybody.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Name
    audience: Annotated[tuple[Name, ...], BeforeValidator(_several)] | None
    jwks_url: str | None = None
    public_key: str | None = None
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    leeway: Annotated[float, Field(ge=0, le=300)] = 30.0
    claims: ClaimNames = ClaimNames()
    tenant: UUID | None = None

    def __str__(self) -> str:
        return self.issuer

    @field_validator("issuer")
    @classmethod
    def _is_not_ours(cls, value: str) -> str:
        if value == OURS:
            raise ValueError(f"must be another name than {OURS!r}, which is this server's own")
        return value

    @field_validator("audience", "algorithms")
    @classmethod
    def _is_not_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("must name at least one")
        return value

    @field_validator("jwks_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        if value is not None:
            _check_url(value)
        return value

    @field_validator("public_key")
    @classmethod
    def _is_public_key(cls, value: str | None) -> str | None:
        if value is not None:
            algorithms_of(load_public_key(value))
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Issuer":
        if (self.jwks_url is None) == (self.public_key is None):
            have = "has both" if self.jwks_url else "has neither"
            raise ValueError(f"must have either jwks_url (where its keys are) or public_key (its key); it {have}")
        if self.tenant is not None and "tenant_id" in self.claims.model_fields_set:
            raise ValueError("must have either tenant (one for all its users) or claims.tenant_id; it has both")
        if self.public_key is not None:
            fitting = algorithms_of(load_public_key(self.public_key))
            if wrong := [name for name in self.algorithms if name not in fitting]:
                raise ValueError(
                    f"algorithms: {', '.join(wrong)} cannot be verified with this public_key, "
                    f"which is for {', '.join(sorted(fitting))}"
                )
        return self


def read(value: Any) -> Any:
    """The setting as a list: JSON, or what it stands for. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value) if value.strip() else []
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be JSON, such as {EXAMPLE}; it cannot be read: {error}") from None
    if not isinstance(found, list):
        raise ValueError(f"must be a JSON list, such as {EXAMPLE}")
    return found


def check_names(issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
    """The issuers, if no two have one name. Raises ValueError."""
    twice = [name for name, times in Counter(each.issuer for each in issuers).items() if times > 1]
    if twice:
        raise ValueError(f"must name each issuer once; {', '.join(twice)} is there several times")
    return issuers


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def load_public_key(pem: str) -> Any:
    """The key of a PEM text. Raises ValueError, which repeats nothing of it: it may be a private one by mistake."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY" in pem:
        raise ValueError("must be the public key; this is a private one, which has to stay with the issuer")
    if "BEGIN CERTIFICATE" in pem:
        raise ValueError("must be a public key, not a certificate: openssl x509 -pubkey -noout -in certificate.pem")
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be a public key as PEM: -----BEGIN PUBLIC KEY-----, its lines, and the end") from None


def algorithms_of(key: Any) -> frozenset[str]:
    """What signatures a public key can verify, by its own type. Raises ValueError for a type or size that is none's."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    match key:
        case rsa.RSAPublicKey():
            if key.key_size not in RSA_BITS:
                limits = f"{RSA_BITS.start} to {RSA_BITS.stop - 1}"
                raise ValueError(f"must have {limits} bits, being an RSA key; it has {key.key_size}")
            return frozenset(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return frozenset({"ES256"})
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return frozenset({"ES384"})
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return frozenset({"EdDSA"})
    raise ValueError("must be an RSA, P-256, P-384, Ed25519 or Ed448 key")


def _check_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not value.isascii() or not value.isprintable() or " " in value or parts.fragment:
        raise ValueError("must be a URL such as https://id.example.com/.well-known/jwks.json")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must have no user or password in it: the keys are public")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("must begin with https://; http:// is accepted for this machine alone (localhost, 127.0.0.1)")
