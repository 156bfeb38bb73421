"""An outside issuer on loopback: it makes real keys, signs with them, and serves them as JWKS, or as badly as told.

    with issuer.running() as idp:
        idp.add("ES256")
        settings = {"issuers": json.dumps([idp.setting()])}
        token = idp.token(tenant.id, user_id)

A FakeClock's time goes into its tokens by `running(lambda: clock.now().timestamp())`.
"""

import json
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from bellbird.core.issuers import Issuer

MAKE: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),  # too short to be trusted
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_made: dict[str, list[Any]] = {}


def private_key(kind: str, number: int = 0) -> Any:
    """A key of a kind; the same for the same number, because making RSA keys takes long."""
    made = _made.setdefault(kind, [])
    while len(made) <= number:
        made.append(MAKE[kind]())
    return made[number]


def pem(private: Any) -> str:
    """The public half of a key."""
    return str(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(private: Any, kind: str, **members: Any) -> dict[str, Any]:
    """The public half of a key, as JWKS has it."""
    algorithm = "RS256" if kind.startswith("RS") else kind
    made = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {name: value for name, value in {**made, "use": "sig", **members}.items() if value is not None}


@dataclass
class Answer:
    """How the issuer answers when it is asked for its keys; without `body` they are what it sends."""

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before anything is sent."""
    stop_after: int | None = None
    """Send so many bytes, and then nothing more, while the connection stays open."""


@dataclass
class Key:
    """One of the issuer's keys: what it signs with, and how it shows it (or not)."""

    kind: str
    private: Any
    shown: dict[str, Any] | None


class IssuerServer:
    """The issuer. `requests` lists the paths it was asked for."""

    def __init__(self, server: ThreadingHTTPServer, now: Callable[[], float], scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        self.jwks_url = f"{self.url}/jwks"
        self.answer = Answer()
        self.requests: list[str] = []
        self.keys: dict[str, Key] = {}
        self.closing = threading.Event()
        self._now = now
        self._made = 0

    def add(self, kind: str = "RS256", *, shown: bool = True, **members: Any) -> str:
        """One more key; returns its kid. `members` go into its JWK (None leaves one out)."""
        private = private_key(kind, self._made)
        self._made += 1
        kid = f"key-{self._made}"
        self.keys[kid] = Key(kind, private, jwk(private, kind, **{"kid": kid, **members}) if shown else None)
        return kid

    def rotate(self, kind: str = "RS256") -> str:
        """A new key in the place of all others."""
        self.keys.clear()
        return self.add(kind)

    def jwks(self) -> bytes:
        return json.dumps({"keys": [key.shown for key in self.keys.values() if key.shown]}).encode()

    def token(
        self,
        tenant_id: UUID | str | None,
        subject: UUID | str | None,
        *,
        kid: str | None = None,
        algorithm: str | None = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token signed with the newest key, or the one named; a claim or header of None is left out."""
        kid = kid or list(self.keys)[-1]
        key = self.keys[kid]
        now = int(self._now())
        given: dict[str, Any] = {
            "iss": self.url, "aud": "bellbird", "iat": now, "exp": now + 600,
            "tenant_id": tenant_id and str(tenant_id), "sub": subject and str(subject), **claims,
        }  # fmt: skip
        headers = {"kid": kid, **(header or {})}
        with warnings.catch_warnings(action="ignore"):  # of the key that is too short
            return jwt.encode(
                {name: value for name, value in given.items() if value is not None},
                key.private,
                algorithm=algorithm or ("RS256" if key.kind.startswith("RS") else key.kind),
                headers={name: value for name, value in headers.items() if value is not None},
            )

    def setting(self, **members: Any) -> dict[str, Any]:
        """This issuer as an object of BELLBIRD_ISSUERS."""
        given = {
            "issuer": self.url, "jwks_url": self.jwks_url, "audience": "bellbird",
            "algorithms": ["RS256", "ES256", "EdDSA"], **members,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None or name == "audience"}

    def config(self, **members: Any) -> Issuer:
        """The same, as it is read."""
        return Issuer.model_validate(self.setting(**members))

    def send(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append(request.path)
        answer = self.answer
        body = self.jwks() if answer.body is None else answer.body
        self.closing.wait(answer.delay)
        request.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body if answer.stop_after is None else body[: answer.stop_after])
        request.wfile.flush()
        if answer.stop_after is not None:
            self.closing.wait(30)


@contextmanager
def running(now: Callable[[], float] = time.time, certificate: Path | None = None) -> Iterator[IssuerServer]:
    """An issuer without keys, for the length of a block; `now` is what its clock shows, `certificate` is for TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # whoever asked does not wait any more
                issuer.send(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    issuer = IssuerServer(server, now, "https" if certificate else "http")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
