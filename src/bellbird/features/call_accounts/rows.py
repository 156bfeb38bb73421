"""A call account as a row of the table; its secret sealed, so that it opens in this row alone."""

from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import telephony
from bellbird.core.engine import Engine
from bellbird.core.vault import InvalidTag, Vault
from bellbird.features.call_accounts.models import CallAccount, Line, NoVault

READ: Final = (
    "id, provider, identifier, name, numbers::text, options::text, status, version, created_at, updated_at"
)  # fmt: skip

# The same with the sealed secret behind it.
READ_ALL: Final = f"{READ}, secret"

_numbers: Final = msgspec.json.Decoder(tuple[Line, ...]).decode
_options: Final = msgspec.json.Decoder(dict[str, Any]).decode


def callback_url(engine: Engine, tenant_id: UUID, id: UUID) -> str:
    """Where the provider tells what becomes of an account's calls."""
    return f"{engine.public_url.rstrip('/')}/api/v1/callbacks/{tenant_id}/{id}"


def from_row(row: tuple[Any, ...], engine: Engine, tenant_id: UUID) -> CallAccount:
    """A row that begins with READ as an account."""
    id, provider, identifier, name, numbers, options, status, version, created_at, updated_at = row[:10]
    url = callback_url(engine, tenant_id, id)
    return CallAccount(
        id, provider, identifier, name, _numbers(numbers), _options(options), status, version, created_at, updated_at,
        url, f"{url}/voice",
    )  # fmt: skip


def opened(row: tuple[Any, ...], engine: Engine, tenant_id: UUID) -> telephony.Account:
    """A row of READ_ALL as the provider needs it, with its secret. Raises NoVault, InvalidTag."""
    account = from_row(row, engine, tenant_id)
    return telephony.Account(
        account.id, tenant_id, account.provider, account.identifier, unseal(engine, tenant_id, account.id, row[10]),
        account.options, account.callback_url, account.voice_url,
    )  # fmt: skip


def vault(engine: Engine) -> Vault:
    """What secrets are sealed by. Raises NoVault."""
    if engine.vault is None:
        raise NoVault()
    return engine.vault


def seal(engine: Engine, tenant_id: UUID, id: UUID, secret: str) -> bytes:
    """A secret as this row has it. Raises NoVault."""
    return vault(engine).close(secret.encode(), tenant_id.bytes + id.bytes)


def unseal(engine: Engine, tenant_id: UUID, id: UUID, sealed: bytes) -> str:
    """A row's secret. Raises NoVault, and InvalidTag for one that was sealed with another secret, or elsewhere."""
    return vault(engine).open(bytes(sealed), tenant_id.bytes + id.bytes).decode()


__all__ = ["READ", "READ_ALL", "InvalidTag", "callback_url", "from_row", "opened", "seal", "unseal", "vault"]
