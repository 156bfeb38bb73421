"""Idempotency keys: a write that is sent again has its effect once, and gets the same bytes.

The answer is kept in the transaction of the effect, for 24 hours: either both are there or neither.
So the transaction of a request with an `Idempotency-Key` is not committed when its handler is done, but when its answer
has been made, byte for byte, and before the first byte of it leaves. What was refused had no effect, and is not kept:
it can be corrected and sent again under the same key.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from bellbird.core.actors import Actor
from bellbird.core.connection import bytea
from bellbird.core.engine import Tx
from bellbird.core.errors import IdempotencyConflict, IdempotencyKeyReused, InvalidInput
from bellbird.core.vault import InvalidTag
from bellbird.core.vault import Vault as Cipher

KEEP: Final = timedelta(hours=24)
MAX_LENGTH: Final = 255

# What of an answer is kept: the rest is made anew for each.
_KEPT_HEADERS: Final = frozenset({b"content-type", b"etag", b"location", b"cache-control"})

# Two requests with the same key: the second is not kept waiting on a connection, it is told to come back.
TRY_LOCK = "select pg_try_advisory_xact_lock($1)"

KEPT = "select fingerprint, status, answer, created_at from idempotency_keys where tenant_id = $1 and id = $2"

FORGET = """
delete from idempotency_keys
where tenant_id = $1 and (id = $2 or id in (
  select id from idempotency_keys where tenant_id = $1 and created_at < $3 order by created_at limit 20))
"""

KEEP_ANSWER = """
insert into idempotency_keys (tenant_id, id, fingerprint, entities, status, answer, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
"""


class Replayed(Exception):
    """The request was answered before; `response` is that answer."""

    def __init__(self, response: Response[bytes]) -> None:
        self.response = response
        super().__init__("answered before")


class Vault:
    """Encrypts what is kept, so that the database alone gives away neither a secret nor an answer."""

    def __init__(self, secret: str) -> None:
        self._vault = Cipher(secret, "idempotency-keys")

    def close(self, id: UUID, headers: Mapping[str, str], body: bytes) -> bytes:
        """The answer, sealed; it opens for its own row only."""
        return self._vault.close(msgspec.msgpack.encode((headers, body)), id.bytes)

    def open(self, id: UUID, sealed: bytes) -> tuple[dict[str, str], bytes]:
        """What was sealed. Raises InvalidTag when it was sealed with another secret."""
        return msgspec.msgpack.decode(self._vault.open(sealed, id.bytes), type=tuple[dict[str, str], bytes])


Refuse = Callable[[Exception, Scope, Send], Awaitable[None]]
"""Sends an error as problem details; what is none of Bellbird's own is logged too."""


class Held:
    """A transaction that waits for its answer before it is committed."""

    def __init__(self, tx: Tx, vault: Vault, id: UUID, fingerprint: bytes) -> None:
        self.tx = tx
        self._vault = vault
        self._id = id
        self._fingerprint = fingerprint

    async def finish(self, messages: list[Message]) -> None:
        """Keep the answer and commit. Raises what the commit raises: the answer must then not be sent."""
        start: Any = messages[0]
        if start["status"] >= 300:
            return
        headers = {name.decode(): value.decode() for name, value in start["headers"] if name in _KEPT_HEADERS}
        body = b"".join(message.get("body", b"") for message in messages[1:])  # type: ignore[misc]
        sealed = self._vault.close(self._id, headers, body)
        now = self.tx.clock.now()
        self.tx.queue(FORGET, self.tx.tenant_id, self._id, now - KEEP)
        self.tx.queue(
            KEEP_ANSWER, self.tx.tenant_id, self._id, bytea(self._fingerprint), self.tx.touched, start["status"],
            bytea(sealed), now,
        )  # fmt: skip
        await self.tx.commit()


async def begin(tx: Tx, vault: Vault, actor: Actor, key: str, request: bytes) -> Held:
    """See that a request with a key is the only one. `request` is all that makes it what it is: method, path, body.

    Raises Replayed when it was answered before, IdempotencyConflict while it is being answered,
    IdempotencyKeyReused when the key came with another request, InvalidInput for a key that cannot be.
    """
    if not (0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidInput.at(
            "Idempotency-Key", f"must be 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID, not {key[:60]!r}"
        )
    fingerprint = blake2b(request, digest_size=32).digest()
    id = UUID(bytes=blake2b(f"{actor}\0{key}".encode(), digest_size=16).digest())
    number = int.from_bytes(blake2b(tx.tenant_id.bytes + id.bytes, digest_size=8).digest(), signed=True)
    lock = tx.queue(TRY_LOCK, number)
    kept = tx.queue(KEPT, tx.tenant_id, id)
    await tx.writable()
    if not lock.rows[0][0]:
        raise IdempotencyConflict()
    if kept.rows and kept.rows[0][3] > tx.clock.now() - KEEP:
        before, status, sealed, _ = kept.rows[0]
        if before != fingerprint:
            raise IdempotencyKeyReused()
        try:
            headers, body = vault.open(id, sealed)
        except InvalidTag:
            raise IdempotencyKeyReused("The answer to this key was kept under another secret of the server.") from None
        raise Replayed(Response(body, status_code=status, headers={**headers, "Idempotency-Replayed": "true"}))
    return Held(tx, vault, id, fingerprint)


class Holding:
    """ASGI middleware: holds an answer back until the transaction behind it is committed."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not any(name == b"idempotency-key" for name, _ in scope["headers"]):
            return await self.app(scope, receive, send)
        messages: list[Message] = []

        async def hold(message: Message) -> None:
            held: Held | None = scope["state"].get("held")
            if held is None:
                return await send(message)
            messages.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                await self._let_go(held, messages, scope, send)

        try:
            await self.app(scope, receive, hold)
        finally:
            if (held := scope["state"].pop("held", None)) is not None:
                await held.tx.close()

    async def _let_go(self, held: Held, messages: list[Message], scope: Scope, send: Send) -> None:
        try:
            await held.finish(messages)
        except Exception as error:  # noqa: BLE001 - logged, and told: nothing was sent yet
            return await self._refuse(error, scope, send)
        for message in messages:
            await send(message)
