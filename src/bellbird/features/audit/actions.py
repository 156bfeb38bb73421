"""Sealing the log, and taking out of it what is older than each tenant keeps."""

import logging
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from bellbird.core import ids, retention
from bellbird.core.actors import Actor
from bellbird.core.connection import bytea
from bellbird.core.engine import Engine, SystemTx
from bellbird.core.errors import Unavailable
from bellbird.core.events import Event
from bellbird.core.feed import HORIZON
from bellbird.core.migrate import BY_MONTH, MONTHS_AHEAD
from bellbird.core.tenants import COLUMNS as TENANT
from bellbird.core.tenants import from_row as tenant_from_row
from bellbird.features.audit import merkle
from bellbird.features.audit.rows import EVENT, Sealed, hash_of, mac_of, written_from_row

# How many events a seal covers, unless one transaction has more: 48 bytes are kept for each.
MOST: Final = 50_000

PAGE: Final = 2_000
NO_SEAL: Final = bytes(32)

# How many rows a transaction deletes.
BATCH: Final = 5_000

log = logging.getLogger("bellbird")

# Tenants with something to be sealed.
PENDING = """
select t.id
from tenants t
left join lateral (
  select s.upto from seals s where s.tenant_id = t.id order by s.number desc limit 1
) last on true
where exists (
  select from events e where e.tenant_id = t.id and e.tx >= coalesce(last.upto, '0'::xid8) and e.tx < $1::xid8)
order by t.id
"""


async def seal(engine: Engine, actor: Actor, *, most: int = MOST) -> int:
    """Seal what was added to each tenant's log; returns how many seals were made, each of about `most` events.

    However many do this at once, there is one chain for each tenant. A seal's hash goes to the process's own log as
    well, which whoever changes the database does not reach.
    """
    async with engine.system(actor) as tx:
        tx.require("tenants:write")
        horizon = await tx.one(HORIZON)
        assert horizon is not None
        pending = await tx.all(PENDING, horizon[0])
    made = 0
    for (tenant_id,) in pending:
        is_more = True
        while is_more:
            is_made, is_more = await _seal_next(engine, actor, tenant_id, most)
            made += is_made
    return made


TAKE_TURNS = "select pg_try_advisory_xact_lock(hashtextextended('bellbird seals ' || $1, 0))"

LAST = "select number, upto::text, hash from seals where tenant_id = $1 order by number desc limit 1"

NEXT = f"""
select {EVENT}
from events
where tenant_id = $1 and (tx, id) > ($2::xid8, $3) and tx < $4::xid8
order by events.tx, events.id
limit {PAGE}
"""

INSERT = """
insert into seals (tenant_id, id, number, sealed_at, after, upto, events, newest, root, previous, hash, mac, leaves)
values ($1, $2, $3, $4, $5::xid8, $6::xid8, $7, $8, $9, $10, $11, $12, $13)
"""


async def _seal_next(engine: Engine, actor: Actor, tenant_id: UUID, most: int) -> tuple[bool, bool]:
    """Make a tenant's next seal; returns whether it was made, and whether there is more to be sealed."""
    key = engine.log_key
    assert key is not None, "only a deployment with a secret seals its log"
    async with engine.system(actor) as tx:
        turn, horizon, last = tx.queue(TAKE_TURNS, str(tenant_id)), tx.queue(HORIZON), tx.queue(LAST, tenant_id)
        await tx.flush()
        if turn.rows != [(True,)]:
            return False, False
        number, upto, previous = last.rows[0] if last.rows else (0, "0", NO_SEAL)
        # So far the transaction has no number of its own: reading holds nobody back.
        leaves, newest, end = await _leaves(tx, tenant_id, int(upto), int(horizon.rows[0][0]), most)
        if not leaves:
            return False, False
        made = Sealed(
            number + 1, tx.clock.now(), int(upto), end, len(leaves), merkle.root(each[16:] for each in leaves),
            bytes(previous), b"", newest, b"", b"".join(leaves),
        )  # fmt: skip
        hash = hash_of(tenant_id, made)
        tx.queue(
            INSERT, tenant_id, tx.new_id(), made.number, made.sealed_at, str(made.after), str(end), made.events, newest,
            bytea(made.root), bytea(made.previous), bytea(hash), bytea(mac_of(key, hash)), bytea(made.leaves or b""),
        )  # fmt: skip
    log.info("the log is sealed", extra={"tenant_id": str(tenant_id), "seal": made.number, "hash": hash.hex()})
    return True, end < int(horizon.rows[0][0])


async def _leaves(tx: SystemTx, tenant_id: UUID, after: int, horizon: int, most: int) -> tuple[list[bytes], UUID, int]:
    """The next stretch's leaves behind their ids, its greatest id, and the transaction before which it ends."""
    leaves, newest, end, at = list[bytes](), UUID(int=0), horizon, (after, UUID(int=0))
    while rows := await tx.all(NEXT, tenant_id, str(at[0]), at[1], str(horizon)):
        for row in rows:
            event = written_from_row(tenant_id, row)
            if len(leaves) >= most and event.tx != at[0]:
                return leaves, newest, event.tx
            leaves.append(event.id.bytes + event.leaf())
            newest, at = max(newest, event.id), (event.tx, event.id)
    return leaves, newest, end


MAKE_MONTHS = "select make_months(heavy, $1) from unnest($2::text[]) heavy"
DROP_MONTHS = "select drop_event_months($1)"


async def maintain(engine: Engine, actor: Actor) -> dict[str, Any]:
    """Make the log's months ahead, and take out what is older than each tenant keeps (`keep_events_months`).

    What goes is announced first, as `log.trimmed`; months that nobody keeps any more are dropped whole, the rest goes
    in batches. Returns which months were made and dropped and how many events were deleted one by one.
    Killed in between, the next time finishes it.
    """
    async with engine.system(actor) as tx:
        tx.require("tenants:write")
        made = [name for (names,) in await tx.all(MAKE_MONTHS, MONTHS_AHEAD, list(BY_MONTH)) for name in names]
        tenants = [tenant_from_row(row) for row in await tx.all(f"select {TENANT} from tenants order by id")]
    now = engine.clock.now()
    starts = {tenant.id: retention.start(now, tenant.settings.keep_events_months) for tenant in tenants}
    for tenant_id, before in starts.items():
        await _announce(engine, actor, tenant_id, before)
    dropped = []
    if starts:
        try:
            async with engine.system(actor) as tx:
                ((dropped,),) = await tx.all(DROP_MONTHS, min(starts.values()))
        except Unavailable:
            # Somebody reads the log at length, and everybody would wait for us waiting for them: the next time will do.
            log.warning("months of the log could not be dropped", extra={"before": min(starts.values()).isoformat()})
    deleted = 0
    for tenant_id, before in starts.items():
        deleted += await _trim(engine, actor, tenant_id, before)
    return {"made": made, "dropped": list(dropped), "deleted": deleted}


# FOR SHARE: a tenant that is being deleted gets no event any more.
HELD = "select 1 from tenants where id = $1 and status <> 'deleting' for share"
OLDER = "select count(*) from events where tenant_id = $1 and id < $2"
UNSEAL = "update seals set leaves = null where tenant_id = $1 and newest < $2 and leaves is not null"


async def _announce(engine: Engine, actor: Actor, tenant_id: UUID, before: datetime) -> None:
    """Say in the tenant's log what is going to be taken out of it, if anything is, and forget its leaves."""
    first = ids.first_at(before)
    async with engine.system(actor) as tx:
        ((count,),) = await tx.all(OLDER, tenant_id, first)
        if count and await tx.one(HELD, tenant_id):
            tx.queue(UNSEAL, tenant_id, first)
            tx.emit(tenant_id, Event("log.trimmed", tenant_id, data={"before": before, "events": count}))


DELETE = f"""
delete from events
where tenant_id = $1 and id = any(array(
  select id from events where tenant_id = $1 and id < $2 order by id limit {BATCH}))
"""


async def _trim(engine: Engine, actor: Actor, tenant_id: UUID, before: datetime) -> int:
    deleted = 0
    while True:
        async with engine.system(actor) as tx:
            count = await tx.run(DELETE, tenant_id, ids.first_at(before))
        deleted += count
        if count < BATCH:
            return deleted
