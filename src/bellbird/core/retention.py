"""How far back a tenant's log goes: what is older than the tenant keeps was taken out, and the log says so itself.

`log.trimmed` is written before anything goes, with the moment `before` which there is nothing left of.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bellbird.core.engine import ReadTx, Tx

TRIMMED: Final = """
select data
from events
where tenant_id = $1 and entity_id = $1 and (contact_id is null or contact_id <> entity_id) and type = 'log.trimmed'
order by id desc
limit 1
"""


def start(now: datetime, months: int) -> datetime:
    """The first moment that is kept: the beginning of the month, so many months ago."""
    month = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1 - months
    return datetime(max(month // 12, 1970), month % 12 + 1, 1, tzinfo=UTC)


async def kept_since(tx: Tx | ReadTx) -> datetime | None:
    """The first moment that the tenant's log is kept from; None if it is kept from its beginning."""
    return trimmed_before(await tx.all(TRIMMED, tx.tenant_id))


def trimmed_before(rows: list[tuple[Any, ...]]) -> datetime | None:
    """What the answer to `TRIMMED` says."""
    return None if not rows or rows[0][0] is None else _decode(rows[0][0]).before


class _Trimmed(msgspec.Struct):
    before: datetime


_decode: Final = msgspec.json.Decoder(_Trimmed).decode
