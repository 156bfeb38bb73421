"""An operation as a row of the table: as it is shown, and as it is held while it is changed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from bellbird.core.actors import Actor
from bellbird.core.engine import Tx
from bellbird.core.events import Event
from bellbird.features.operations.models import ItemError, Operation, OperationNotFound

# The job that goes on with an operation.
TASK: Final = "operations.run"

_SHOWN: Final = [each.name for each in fields(Operation) if each.name != "errors"]
COLUMNS: Final = ", ".join(_SHOWN)

# The same to be read: JSON as text, which psycopg loads faster than jsonb.
READ: Final = re.sub(r"\b(params|result)\b", r"\1::text", COLUMNS)
READ_ALL: Final = f"{READ}, errors::text"

_errors: Final = msgspec.json.Decoder(tuple[ItemError, ...]).decode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
_actor: Final = msgspec.json.Decoder(Actor).decode


def from_row(row: tuple[Any, ...]) -> Operation:
    """A row of READ, or of READ_ALL, as an operation."""
    known = dict(zip(_SHOWN, row, strict=False))
    known["params"] = _object(known["params"])
    known["result"] = None if known["result"] is None else _object(known["result"])
    return Operation(**known, errors=_errors(row[len(_SHOWN)]) if len(row) > len(_SHOWN) else UNSET)


@dataclass(frozen=True, slots=True)
class Held:
    """An operation whose row is locked, with what only its work needs."""

    shown: Operation
    position: Any
    acting: Actor
    failures: int


LOCK: Final = f"""
select {READ_ALL}, position::text, acting::text, failures
from operations
where tenant_id = $1 and id = $2
for update
"""


def held(row: tuple[Any, ...]) -> Held:
    """A row of LOCK."""
    position = None if row[-3] is None else msgspec.json.decode(row[-3])
    return Held(from_row(row[:-3]), position, _actor(row[-2]), row[-1])


INSERT: Final = f"""
insert into operations (tenant_id, {COLUMNS}, errors, acting, owner_id, request_id, failures)
values ($1, {", ".join(f"${number}" for number in range(2, len(_SHOWN) + 7))})
"""


def insert(tx: Tx, new: Operation) -> None:
    """Queue a new operation, which acts as whoever acts now."""
    acting = msgspec.json.encode(tx.actor)
    tx.queue(INSERT, tx.tenant_id, *_values(new), b"[]", acting, tx.actor.user_id, tx.request_id, 0)


def _values(operation: Operation) -> list[Any]:
    values = {name: getattr(operation, name) for name in _SHOWN}
    values["params"] = msgspec.json.encode(operation.params)
    values["result"] = None if operation.result is None else msgspec.json.encode(operation.result)
    return list(values.values())


UPDATE: Final = """
update operations
set state = $3, wanted = $4, done = $5, total = $6, error_count = $7, reason = $8, result = $9, undone_by = $10,
  started_at = $11, finished_at = $12, errors = $13, position = $14, failures = $15, updated_at = $16,
  version = version + 1
where tenant_id = $1 and id = $2
"""


def update(tx: Tx, before: Held, *, position: Any = UNSET, failures: int | None = None, **changes: Any) -> Operation:
    """Queue a change of an operation that is held; returns it as it is then."""
    now = tx.clock.now()
    new = replace(before.shown, **changes, version=before.shown.version + 1, updated_at=now)
    result = None if new.result is None else msgspec.json.encode(new.result)
    where = before.position if position is UNSET else position
    tx.queue(
        UPDATE, tx.tenant_id, new.id, new.state, new.wanted, new.done, new.total, new.error_count, new.reason, result,
        new.undone_by, new.started_at, new.finished_at, msgspec.json.encode(new.errors),
        None if where is None else msgspec.json.encode(where), before.failures if failures is None else failures, now,
    )  # fmt: skip
    return new


def emit(tx: Tx, happened: str, operation: Operation, before: Operation | None = None) -> None:
    """Record what happened to an operation; of its parameters and errors, which may name people, nothing is told."""
    data: Mapping[str, Any] = {
        "kind": operation.kind, "created_by": operation.created_by, "done": operation.done, "total": operation.total,
        "error_count": operation.error_count,
        **({"undo_of": operation.undo_of} if operation.undo_of else {}),
    }  # fmt: skip
    names = ("state", "wanted", "undone_by")
    pairs = {name: (before and getattr(before, name), getattr(operation, name)) for name in names}
    changes = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    tx.emit(Event(f"operation.{happened}", operation.id, changes=changes or None, data=data))


def defer(tx: Tx, id: UUID) -> None:
    """Have an operation begun, or gone on with: of the jobs of one, one waits."""
    tx.defer(TASK, queueing_lock=f"{TASK}:{id}", operation_id=id)


async def locked(tx: Tx, id: UUID) -> Held:
    """An operation that the actor sees, in a tenant that may be written to, held until the transaction ends.

    Raises OperationNotFound.
    """
    asked = tx.queue(LOCK_SEEN, tx.tenant_id, id, tx.actor.visibility == "all", sorted(tx.actor.owners))
    await tx.writable()
    if not asked.rows:
        await tx.flush()
    if not asked.rows:
        raise OperationNotFound(f"There is no operation {id}.")
    return held(asked.rows[0])


LOCK_SEEN: Final = LOCK.replace("for update", "  and ($3 or owner_id = any($4::uuid[]))\nfor update")
