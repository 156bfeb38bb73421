"""Starting operations, and what can be asked of them while they go on. What they do is done elsewhere: `running`."""

from uuid import UUID

from bellbird.core import ids
from bellbird.core.engine import Tx
from bellbird.features.operations import kinds, rows
from bellbird.features.operations.kinds import Kind
from bellbird.features.operations.models import FINISHED, NewOperation, NotUndoable, Operation, OperationFinished
from bellbird.features.operations.rows import Held


async def start(tx: Tx, new: NewOperation) -> Operation:
    """Put work in the queue and record `operation.created`; it acts as whoever starts it.

    Raises InvalidInput for a kind that there is not and for its parameters, and whatever the kind refuses.
    """
    tx.require("operations:write")
    kind = kinds.find(new.kind)
    tx.require(kind.permission)
    params = kind.read(new.params)
    await tx.writable()
    await kind.work.check(tx, params)
    return _insert(tx, kind, kind.write(params))


def _insert(tx: Tx, kind: Kind, params: dict[str, object], undo_of: UUID | None = None) -> Operation:
    now = tx.clock.now()
    made = Operation(
        ids.uuid7(now), kind.name, "queued", None, params, 0, None, 0, None, None, undo_of, None, str(tx.actor), 1,
        now, None, now, None, errors=(),
    )  # fmt: skip
    rows.insert(tx, made)
    rows.emit(tx, "created", made)
    rows.defer(tx, made.id)
    return made


async def cancel(tx: Tx, id: UUID) -> Operation:
    """End an operation where it is and record `operation.canceled`; one that runs ends after its present batch, and
    `operation.updated` is recorded now. What it has done stays done.

    Raises OperationNotFound, OperationFinished.
    """
    tx.require("operations:write")
    before = _unfinished(await rows.locked(tx, id))
    if before.shown.state == "running":
        return _wish(tx, before, "cancel")
    canceled = rows.update(tx, before, state="canceled", wanted=None, finished_at=tx.clock.now())
    rows.emit(tx, "canceled", canceled, before.shown)
    return canceled


async def pause(tx: Tx, id: UUID) -> Operation:
    """Have an operation wait until it is resumed and record `operation.paused`; one that runs pauses after its present
    batch, and `operation.updated` is recorded now.

    Raises OperationNotFound, OperationFinished.
    """
    tx.require("operations:write")
    before = _unfinished(await rows.locked(tx, id))
    if before.shown.state == "paused":
        return before.shown
    if before.shown.state == "running":
        # Whoever wants it canceled wants more than a pause.
        return before.shown if before.shown.wanted == "cancel" else _wish(tx, before, "pause")
    paused = rows.update(tx, before, state="paused")
    rows.emit(tx, "paused", paused, before.shown)
    return paused


def _wish(tx: Tx, before: Held, wanted: str) -> Operation:
    if before.shown.wanted == wanted:
        return before.shown
    wished = rows.update(tx, before, wanted=wanted)
    rows.emit(tx, "updated", wished, before.shown)
    # Whoever runs it sees that; should nobody do so any more, the next one will.
    rows.defer(tx, wished.id)
    return wished


async def resume(tx: Tx, id: UUID) -> Operation:
    """Let an operation go on where it was, one that failed as well, and record `operation.resumed`.

    One that goes on anyway stays as it is. Raises OperationNotFound, OperationFinished.
    """
    tx.require("operations:write")
    before = await rows.locked(tx, id)
    tx.require(kinds.find(before.shown.kind).permission)
    if before.shown.state == "running" and before.shown.wanted == "pause":
        resumed = rows.update(tx, before, wanted=None)
    elif before.shown.state in ("paused", "failed") and before.shown.undone_by is None:
        resumed = rows.update(tx, before, state="queued", wanted=None, reason=None, finished_at=None, failures=0)
        rows.defer(tx, id)
    else:
        return _unfinished(before).shown
    rows.emit(tx, "resumed", resumed, before.shown)
    return resumed


async def undo(tx: Tx, id: UUID) -> Operation:
    """Start an operation that takes back what this one did, as far as nothing else has happened to it since.

    Records `operation.created` for the new one, which is returned, and `operation.updated` for the one to be undone.
    Raises OperationNotFound, NotUndoable.
    """
    tx.require("operations:write")
    before = await rows.locked(tx, id)
    kind = kinds.find(before.shown.kind)
    tx.require(kind.permission)
    await _check_undoable(tx, before.shown, kind)
    undoing = _insert(tx, kind, dict(before.shown.params), id)
    undone = rows.update(tx, before, undone_by=undoing.id)
    rows.emit(tx, "updated", undone, before.shown)
    return undoing


STATE = "select state from operations where tenant_id = $1 and id = $2"


async def _check_undoable(tx: Tx, operation: Operation, kind: Kind) -> None:
    """Raises NotUndoable."""
    if not kind.work.undoable:
        raise NotUndoable(f"What {kind.name} does cannot be undone.")
    if operation.undo_of is not None:
        raise NotUndoable("An undoing cannot be undone: start the operation again.")
    if operation.state not in FINISHED:
        raise NotUndoable(f"The operation is {operation.state}: cancel it before it is undone.")
    if operation.undone_by is not None:
        row = await tx.one(STATE, tx.tenant_id, operation.undone_by)
        # One that was given up half-way is undone the rest of the way by another.
        if row is not None and row[0] not in ("failed", "canceled"):
            raise NotUndoable(
                f"The operation {operation.undone_by} undoes it already.", undone_by=str(operation.undone_by)
            )


def _unfinished(before: Held) -> Held:
    if before.shown.state in FINISHED:
        raise OperationFinished(f"The operation is {before.shown.state}.", state=before.shown.state)
    return before
