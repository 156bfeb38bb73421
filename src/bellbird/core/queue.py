"""The queue as its operator sees it: what waits, runs and failed, asking for it again, calling it off, how it stands.

The words for a job's status are Procrastinate's: todo, doing, succeeded, failed, cancelled, aborted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, SystemTx
from bellbird.core.errors import Conflict, InvalidInput, NotFound

STATUSES: Final = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
CALLED_OFF: Final = frozenset({"failed", "cancelled", "aborted"})

# How long it can be looked up what was done and what failed.
KEPT_DAYS: Final = 7
AT_ONCE: Final = 1000

# Each worker holds an advisory lock of this class and its own number as long as its process lives (core/presence.py).
LOCK_CLASS: Final = 1_650_814_060
HELD: Final = f"""
exists (select from pg_locks l
  where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
    and l.classid = {LOCK_CLASS} and l.objid = w.id and l.objsubid = 2 and l.granted)
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands; `tries` is how often it was begun and did not end well, `reason` why the last time."""

    id: int
    task: str
    queue: str
    status: str
    tenant_id: UUID | None
    args: Mapping[str, Any]
    tries: int
    deferred_at: datetime | None
    scheduled_at: datetime | None
    ended_at: datetime | None
    reason: str | None


LIST = """
select j.id, j.task_name, j.queue_name, j.status::text, (j.args ->> 'tenant_id')::uuid, j.args, j.attempts,
  (select min(e.at) from procrastinate.procrastinate_events e where e.job_id = j.id and e.type = 'deferred'),
  j.scheduled_at,
  case when j.status not in ('todo', 'doing') then
    (select max(e.at) from procrastinate.procrastinate_events e where e.job_id = j.id and e.type <> 'scheduled') end,
  case when j.status <> 'succeeded' then f.reason end
from procrastinate.procrastinate_jobs j left join procrastinate.job_failures f on f.job_id = j.id
where ($1::text is null or j.status = $1::procrastinate.procrastinate_job_status)
  and ($2::text is null or j.queue_name = $2)
  and ($3::text is null or j.task_name = $3)
  and ($4::uuid is null or j.args ->> 'tenant_id' = $4::uuid::text)
order by j.id desc limit $5
"""


async def page(
    tx: SystemTx, *, status: str | None = None, queue: str | None = None, task: str | None = None,
    tenant_id: UUID | None = None, limit: int = 100,
) -> list[Job]:  # fmt: skip
    """The jobs that fit, newest first. Raises InvalidInput for a status that there is not."""
    if status is not None and status not in STATUSES:
        raise InvalidInput.at("status", f"must be one of {', '.join(STATUSES)}; {status} is none")
    rows = await tx.all(LIST, status, queue, task, tenant_id, limit)
    return [
        Job(id, task, queue, status, tenant_id, msgspec.json.decode(args), *times_and_reason)
        for id, task, queue, status, tenant_id, args, *times_and_reason in rows
    ]


HELD_JOBS = """
select id, status::text, queueing_lock from procrastinate.procrastinate_jobs where id = any($1::bigint[]) order by id
for update
"""
WAITING = """
select id from procrastinate.procrastinate_jobs where status = 'todo' and queueing_lock = any($1::text[]) limit 1
"""
AGAIN = """
update procrastinate.procrastinate_jobs
set status = 'todo', attempts = 0, scheduled_at = null, abort_requested = false, worker_id = null
where id = any($1::bigint[])
"""


async def retry(tx: SystemTx, ids: Sequence[int]) -> None:
    """Have jobs that failed or were called off done after all, all or none, with all their tries.

    Raises NotFound, and Conflict for one that waits, runs or is done.
    """
    found = await _held(tx, ids)
    if wrong := [f"{id} is {status}" for id, (status, _) in found.items() if status not in CALLED_OFF]:
        raise Conflict(f"Only jobs that are failed, cancelled or aborted are tried again: {', '.join(wrong)}.")
    locks = [lock for _, lock in found.values() if lock]
    waiting = await tx.one(WAITING, locks) if locks else None
    if waiting or len(set(locks)) < len(locks):
        which = f"job {waiting[0]}" if waiting else "each other"
        raise Conflict(f"Of jobs with one queueing lock only one waits, and these have it in common with {which}.")
    tx.queue(AGAIN, _several(ids))


CANCEL = """
update procrastinate.procrastinate_jobs
set status = case status when 'todo' then 'cancelled'::procrastinate.procrastinate_job_status else status end,
  abort_requested = (status = 'doing')
where id = any($1::bigint[])
"""


async def cancel(tx: SystemTx, ids: Sequence[int]) -> list[int]:
    """Call jobs off, all or none: those that wait are not begun, those that run are interrupted by their worker.

    Returns those that ran. Raises NotFound, and Conflict for one that is over.
    """
    found = await _held(tx, ids)
    if over := [f"{id} is {status}" for id, (status, _) in found.items() if status not in ("todo", "doing")]:
        raise Conflict(f"Only jobs that wait or run can be called off: {', '.join(over)}.")
    tx.queue(CANCEL, _several(ids))
    return [id for id, (status, _) in found.items() if status == "doing"]


async def _held(tx: SystemTx, ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    found = {id: (status, lock) for id, status, lock in await tx.all(HELD_JOBS, _several(ids))}
    if missing := [str(id) for id in ids if id not in found]:
        raise NotFound(f"There is no job {', '.join(missing)} (any more): `bellbird jobs list` shows those there are.")
    return found


def _several(ids: Sequence[int]) -> list[str]:
    return [str(id) for id in ids]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the queue stands.

    `ready` could be begun now and `oldest` is for how many seconds the first of them could have been; `later` wait for
    their time. `workers` live, as far as their locks and heartbeats say.
    """

    ready: int
    oldest: float
    later: int
    doing: int
    failed: int
    workers: int


STANDING = f"""
select count(*) filter (where status = 'todo' and not later), max(waited) filter (where status = 'todo' and not later),
  count(*) filter (where status = 'todo' and later), count(*) filter (where status = 'doing'),
  count(*) filter (where status = 'failed'),
  (select count(*) from procrastinate.procrastinate_workers w where {HELD})
from (
  select j.status, coalesce(j.scheduled_at > now(), false) as later, extract(epoch from now() - coalesce(j.scheduled_at,
    case when j.status = 'todo' then
      (select max(e.at) from procrastinate.procrastinate_events e where e.job_id = j.id) end)) as waited
  from procrastinate.procrastinate_jobs j where j.status in ('todo', 'doing', 'failed')
) jobs
"""


async def standing(engine: Engine) -> Standing:
    """How the queue stands now. Raises Unavailable."""
    async with engine.system(Actor.system("queue")) as tx:
        row = await tx.one(STANDING)
    assert row
    ready, oldest, later, doing, failed, workers = row
    return Standing(ready, max(float(oldest or 0), 0.0), later, doing, failed, workers)


FORGET_TENANT = """
delete from procrastinate.procrastinate_jobs where args ->> 'tenant_id' = $1::uuid::text and status <> 'doing'
"""


def forget_tenant(tx: SystemTx, tenant_id: UUID) -> None:
    """Delete every job of a tenant that is being deleted; one that runs finds that it is gone."""
    tx.queue(FORGET_TENANT, tenant_id)


FORGET = f"""
delete from procrastinate.procrastinate_jobs where id in (
  select j.id from procrastinate.procrastinate_jobs j
  where j.status in ('succeeded', 'failed', 'cancelled', 'aborted') and not exists (
    select from procrastinate.procrastinate_events e where e.job_id = j.id and e.at > $1)
  order by j.id limit {AT_ONCE} for update skip locked)
"""


async def forget(engine: Engine, before: datetime) -> int:
    """Delete the jobs that were over by then, in short transactions; returns how many."""
    total = 0
    while True:
        async with engine.system(Actor.system("jobs.forget", origin="job")) as tx:
            gone = await tx.run(FORGET, before)
        total += gone
        if gone < AT_ONCE:
            return total
