"""Doing operations, batch by batch.

Each batch is one transaction of the tenant, in which the operation's row is held: what the batch does and how far it
has come are committed together. Whoever is killed leaves nothing half done, and two who do the same operation do its
batches in turn: each has its effect exactly once.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import BellbirdError, InvalidInput, NotSignedIn, TenantSuspended, Unavailable
from bellbird.features.operations import acting, kinds, rows
from bellbird.features.operations.kinds import Running, Step
from bellbird.features.operations.models import FINISHED, ItemError, Operation, State
from bellbird.features.operations.rows import Held

# How often a batch is tried before the operation has failed.
TRIES: Final = 5

# How many errors of single things are kept.
MAX_ERRORS: Final = 100

# `operation.progressed` is recorded at most this often, in seconds.
TELL_EVERY: Final = 1.0

_RUNNER: Final = Actor.system("operations", origin="job")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Told:
    """When the log was told last how far an operation is."""

    at: float = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self.at < TELL_EVERY:
            return False
        self.at = now
        return True


async def run(engine: Engine, tenant_id: UUID, id: UUID, *, seconds: float = float("inf")) -> State | None:
    """Go on with an operation until nothing is left to be done, or for so long; returns its state then.

    None: it is not there any more, or its tenant takes no writes at present. A batch that fails is raised, to be tried
    again later, until it has failed for the last time: then the operation has failed.
    """
    told, until = _Told(), time.monotonic() + seconds
    while True:
        try:
            state = await _go_on(engine, tenant_id, id, told)
        except (TenantSuspended, NotSignedIn):
            return None
        except Exception as error:
            # The database's failure is not the operation's; that of a hook, which is Unavailable as well, is.
            if type(error) is Unavailable:
                raise
            if await _has_failed(engine, tenant_id, id, error):
                return "failed"
            raise
        if state != "running" or time.monotonic() >= until:
            return state


async def _go_on(engine: Engine, tenant_id: UUID, id: UUID, told: _Told) -> State | None:
    """Do the next batch of an operation, or what else is next; returns its state then."""
    async with engine.tenant(tenant_id, _RUNNER, request_id=str(id)) as tx:
        before = await _held(tx, id)
        if before is None:
            return None
        now = before.shown
        if now.state == "paused" or now.state in FINISHED:
            return now.state
        if now.wanted is not None:
            return _give_in(tx, before)
        tx.actor = await acting.present(tx, before.acting)
        kind = kinds.find(now.kind)
        tx.require(kind.permission)
        operation = Running(now.id, kind.read(now.params), now.created_at, now.done, now.total, now.undo_of)
        if now.state == "queued":
            told.is_due()
            return await _begin(tx, before, kind, operation)
        work = kind.work.undo if now.undo_of else kind.work.batch
        return _record(tx, before, await work(tx, operation, before.position), told)


async def _held(tx: Tx, id: UUID) -> Held | None:
    asked = tx.queue(rows.LOCK, tx.tenant_id, id)
    await tx.writable()
    return rows.held(asked.rows[0]) if asked.rows else None


def _give_in(tx: Tx, before: Held) -> State:
    """Do what somebody has asked for: it is they whom `operation.updated` names."""
    if before.shown.wanted == "pause":
        new, happened = rows.update(tx, before, state="paused", wanted=None), "paused"
    else:
        now = tx.clock.now()
        new, happened = rows.update(tx, before, state="canceled", wanted=None, finished_at=now), "canceled"
    rows.emit(tx, happened, new, before.shown)
    return new.state


async def _begin(tx: Tx, before: Held, kind: kinds.Kind, operation: Running[Any]) -> State:
    total = before.shown.total
    if before.shown.started_at is None and operation.undo_of is None:
        total = await kind.work.plan(tx, operation)
    started_at = before.shown.started_at or tx.clock.now()
    new = rows.update(tx, before, state="running", total=total, started_at=started_at)
    rows.emit(tx, "started", new, before.shown)
    return new.state


def _record(tx: Tx, before: Held, step: Step, told: _Told) -> State:
    """How far it has come, in the transaction in which it came there."""
    old = before.shown
    errors: tuple[ItemError, ...] = () if old.errors is UNSET else old.errors
    more: dict[str, Any] = {"state": "completed", "finished_at": tx.clock.now()} if step.finished else {}
    new = rows.update(
        tx, before, position=step.position, failures=0, done=old.done + step.done,
        total=old.total if step.total is None else step.total, error_count=old.error_count + len(step.errors),
        errors=(*errors, *step.errors)[:MAX_ERRORS], result=step.result or old.result, **more,
    )  # fmt: skip
    if step.finished:
        rows.emit(tx, "completed", new, old)
    elif told.is_due():
        rows.emit(tx, "progressed", new, old)
    return new.state


async def _has_failed(engine: Engine, tenant_id: UUID, id: UUID, error: Exception) -> bool:
    """Count a failure of the next batch; whether it was the last that it may have."""
    log.warning("an operation's batch failed", extra={"operation": str(id)}, exc_info=error)
    # What is refused for a reason is refused the next time too.
    is_final = isinstance(error, BellbirdError) and error.status < 500
    async with engine.tenant(tenant_id, _RUNNER, request_id=str(id)) as tx:
        before = await _held(tx, id)
        if before is None or before.shown.state in FINISHED:
            return before is not None
        if not is_final and before.failures + 1 < TRIES:
            rows.update(tx, before, failures=before.failures + 1)
            return False
        now, reason = tx.clock.now(), _reason(error)
        new = rows.update(tx, before, state="failed", wanted=None, reason=reason, finished_at=now)
        rows.emit(tx, "failed", new, before.shown)
        return True


def _reason(error: Exception) -> str:
    """Why, for people; what went wrong inside is in the worker's log alone."""
    if isinstance(error, InvalidInput) and not error.detail:
        return error.title()
    if isinstance(error, BellbirdError):
        return error.detail
    return f"Something went wrong inside ({type(error).__name__}); the worker's log says more."


def finished(operation: Operation) -> bool:
    """Whether nothing further will happen to an operation by itself."""
    return operation.state in FINISHED
