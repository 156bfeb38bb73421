"""Deleting a tenant: nobody begins to write any more, those who have begun are waited for, then row by row, it goes.

No transaction of a deletion holds the tenant while it waits for anything else: nobody who signs in, refreshes or
writes at this moment can block it, nor it them. One that is killed in between is finished by running it again.
"""

import asyncio
import time
from dataclasses import replace
from typing import Final
from uuid import UUID

from bellbird.core import queue
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, SystemTx
from bellbird.features.tenants import rows
from bellbird.features.tenants.models import TenantBusy

# How long transactions that were open already are waited for, in seconds, and how often it is looked.
PATIENCE: Final = 60.0
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.2

# How many rows go in one transaction: none of them is open for long.
BATCH: Final = 10_000

# How often what was written meanwhile by the deployment's own consumers is looked for again.
ROUNDS: Final = 10

# Children before parents would matter if there were foreign keys; there are none between tenant tables (decision 7).
TENANT_TABLES = """
select c.oid::regclass::text
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = current_schema()::regnamespace
order by 1
"""


async def delete(engine: Engine, actor: Actor, id: UUID) -> dict[str, int]:
    """Remove a tenant and every row of it for good; returns how many rows went from each table.

    It takes several transactions. After the first, which records `tenant.deleting`, the tenant can be written to by
    nobody and never again, and its people cannot sign in. The tables are found in the catalogue, so none can be
    forgotten; that nothing is left is verified with the last. Raises TenantNotFound; TenantBusy when somebody's
    transaction stays open for so long that nothing could be removed yet.
    """
    async with engine.system(actor) as tx:
        tx.require("tenants:write")
        tenant = await rows.locked(tx, id)
        await rows.write(tx, tenant, replace(tenant, status="deleting"), "tenant.deleting")
    engine.snapshots.forget(id)
    await _wait_for_writers(engine, actor)
    async with engine.system(actor) as tx:
        tables = [table for (table,) in await tx.all(TENANT_TABLES)]
    removed = {"users": await _people(engine, actor, id)}
    removed |= dict.fromkeys(tables, 0)
    for _ in range(ROUNDS):
        for table in tables:
            # The name comes from the catalogue, quoted by regclass.
            removed[table] += await _all_of(engine, actor, DELETE.replace("{}", table), id)
        async with engine.system(actor) as tx:
            if await _end(tx, id, tables):
                break
    else:
        raise TenantBusy(f"{TenantBusy.title()} Something keeps writing to it.")
    engine.snapshots.forget(id)
    return removed


# Every write begins by reading the tenant, and a transaction that has read a table holds a lock on it until it is over.
# Those that read it from now on see that it is being deleted.
READERS = """
select l.virtualtransaction || '', l.pid
from pg_locks l
where l.locktype = 'relation' and l.relation = 'tenants'::regclass and l.granted
  and l.database = (select oid from pg_database where datname = current_database())
  and l.pid is distinct from pg_backend_pid()
"""


async def _wait_for_writers(engine: Engine, actor: Actor) -> None:
    """Until everybody is done who may have seen the tenant as it was before. Raises TenantBusy."""
    waited_for = await _readers(engine, actor)
    give_up, pause = time.monotonic() + PATIENCE, FIRST_PAUSE
    while waited_for:
        if time.monotonic() > give_up:
            which = ", ".join(str(pid) for pid in sorted({pid or 0 for _, pid in waited_for})[:5])
            raise TenantBusy(
                f"{TenantBusy.title()} Processes of the server that hold it up (pg_stat_activity): {which}."
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
        waited_for &= await _readers(engine, actor)


async def _readers(engine: Engine, actor: Actor) -> set[tuple[str, int | None]]:
    async with engine.system(actor) as tx:
        return {(transaction, pid) for transaction, pid in await tx.all(READERS)}


# Whoever is a member of no other tenant goes too. Who is being added to one is held by that (`ensure_user`): they are
# waited for, and only the next statement sees whether they belong to it now.
HOLD_USERS = f"""
select u.id
from memberships m
join users u on u.id = m.id
where m.tenant_id = $1 and not exists (select from memberships o where o.id = m.id and o.tenant_id <> $1)
order by u.id
limit {BATCH}
for update of u
"""

DELETE_USERS = """
delete from users
where id = any($1::uuid[]) and not exists (select from memberships o where o.id = users.id and o.tenant_id <> $2)
"""


async def _people(engine: Engine, actor: Actor, id: UUID) -> int:
    """Remove whoever belongs to this tenant alone; returns how many they were."""
    total = 0
    while True:
        async with engine.system(actor) as tx:
            held = [user for (user,) in await tx.all(HOLD_USERS, id)]
            total += await tx.run(DELETE_USERS, held, id) if held else 0
        if len(held) < BATCH:
            return total


# In the order of the primary key: nothing is looked through twice, whatever it weighs.
DELETE = f"""
delete from {{}}
where tenant_id = $1 and id <= (
  select id from (select id from {{}} where tenant_id = $1 order by id limit {BATCH}) batch order by id desc limit 1)
"""


async def _all_of(engine: Engine, actor: Actor, statement: str, id: UUID) -> int:
    """Run a statement that deletes a batch until there is nothing left for it; returns how many rows went."""
    total = 0
    while True:
        async with engine.system(actor) as tx:
            gone = await tx.run(statement, id)
        total += gone
        if gone < BATCH:
            return total


async def _end(tx: SystemTx, id: UUID, tables: list[str]) -> bool:
    """Remove the tenant itself, unless a consumer of the log has noted something of it just now; whether it is gone.

    Raises TenantNotFound when somebody else has ended it before.
    """
    await rows.locked(tx, id)
    queue.forget_tenant(tx, id)
    for table in tables:
        left = await tx.one(f"select 1 from {table} where tenant_id = $1 limit 1", id)
        if left is not None:
            return False
    return await tx.run("delete from tenants where id = $1", id) == 1
