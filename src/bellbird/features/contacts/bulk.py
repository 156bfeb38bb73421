"""What is done to many contacts at once, as operations: each contact by the verb that does it to one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from bellbird.core.actors import visible
from bellbird.core.engine import Tx
from bellbird.core.errors import BellbirdError, Fault, InvalidInput
from bellbird.features import operations
from bellbird.features.contacts import actions, rules
from bellbird.features.contacts.models import ContactPatch
from bellbird.features.operations import ItemError, Running, Step, Work

# How many contacts a batch changes, and how many it erases: each of those is a look into the whole log of the contact.
ASSIGNED_AT_ONCE: Final = 200
PURGED_AT_ONCE: Final = 50


class AssignParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Whose contacts are to be whose; null: nobody's."""

    from_: UUID | None
    to: UUID | None


# The braces take the owner ("= $2" or "is null") and who sees which.
_OF_OWNER = "from contacts where tenant_id = $1 and owner_id {} and deleted_at is null{}"
COUNT_OF_OWNER = f"select count(*) {_OF_OWNER}"
NEXT_OF_OWNER = f"select id {_OF_OWNER} and id > ${{}} order by id limit {ASSIGNED_AT_ONCE}"

# What an operation did, in the order in which it did it.
DID = f"""
select id, contact_id, changes
from events
where tenant_id = $1 and request_id = $2 and id > $3 and type = 'contact.updated'
order by id
limit {ASSIGNED_AT_ONCE}
"""

STILL_OWNED = """
select id from contacts
where tenant_id = $1 and id = any($2::uuid[]) and owner_id is not distinct from $3 and deleted_at is null
order by id
for update
"""

_FIRST: Final = UUID(int=0)
_changes = msgspec.json.Decoder(dict[str, tuple[Any, Any]]).decode


@operations.kind("contacts.assign", permission="contacts:write", params=AssignParams)
class Assigning(Work[AssignParams]):
    """Gives all contacts of one user, or those of nobody, to another."""

    undoable: ClassVar[bool] = True

    async def check(self, tx: Tx, params: AssignParams) -> None:
        """Whoever may not change a contact's owner need not begin."""
        if refused := rules.refusals(tx.actor, ContactPatch(owner_id=params.to)):
            fault = refused["owner_id"]
            raise InvalidInput(faults=[replace(fault, pointer="/params/to")])
        if params.from_ == params.to:
            raise InvalidInput(faults=[Fault("invalid_value", "must be another than `from`", pointer="/params/to")])

    async def plan(self, tx: Tx, operation: Running[AssignParams]) -> int | None:
        """How many there are now."""
        owned, of, seen, owners = _whose(tx, operation.params.from_)
        row = await tx.one(COUNT_OF_OWNER.format(owned, seen), tx.tenant_id, *of, *owners)
        return row[0] if row else None

    async def batch(self, tx: Tx, operation: Running[AssignParams], position: Any) -> Step:
        """The next in the order of their ids."""
        owned, of, seen, owners = _whose(tx, operation.params.from_)
        after = UUID(position) if position else _FIRST
        sql = NEXT_OF_OWNER.format(owned, seen, len(of) + len(owners) + 2)
        ids = [id for (id,) in await tx.all(sql, tx.tenant_id, *of, *owners, after)]
        errors = await _each(ids, lambda id: actions.update(tx, id, ContactPatch(owner_id=operation.params.to)))
        is_last = len(ids) < ASSIGNED_AT_ONCE
        return Step(str(ids[-1]) if ids else position, len(ids), is_last, errors)

    async def undo(self, tx: Tx, operation: Running[AssignParams], position: Any) -> Step:
        """Give those back to whom they were assigned from that have not gone to anybody else since."""
        after, restored, left = position or [str(_FIRST), 0, 0]
        did = await tx.all(DID, tx.tenant_id, str(operation.undo_of), UUID(after))
        was = {contact: _changes(changes)["owner_id"][0] for _, contact, changes in did if changes}
        rows = await tx.all(STILL_OWNED, tx.tenant_id, sorted(was), operation.params.to)
        ids = sorted(id for (id,) in rows)

        def give_back(id: UUID) -> Any:
            return actions.update(tx, id, ContactPatch(owner_id=UUID(was[id]) if was[id] else None))

        errors = await _each(ids, give_back)
        restored, left = restored + len(ids) - len(errors), left + len(did) - len(ids) + len(errors)
        next = [str(did[-1][0]) if did else after, restored, left]
        is_last = len(did) < ASSIGNED_AT_ONCE
        return Step(next, len(did), is_last, errors, result={"restored": restored, "left": left})


def _whose(tx: Tx, owner: UUID | None) -> tuple[str, tuple[UUID, ...], str, tuple[Any, ...]]:
    """Conditions on whose contacts are meant and on which of them are seen, and their parameters from $2 on."""
    of = () if owner is None else (owner,)
    seen, owners = visible(tx.actor, 2 + len(of))
    return ("is null" if owner is None else "= $2"), of, seen, owners


class PurgeParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that were deleted before a moment; left out: before the operation was started."""

    deleted_before: datetime | None = None


_DELETED = "from contacts where tenant_id = $1 and deleted_at < $2{}"
COUNT_DELETED = f"select count(*) {_DELETED}"
NEXT_DELETED = f"""
select id, deleted_at {_DELETED} and (deleted_at, id) > (${{}}, ${{}}) order by deleted_at, id limit {PURGED_AT_ONCE}
"""
_LONG_AGO: Final = "0001-01-01T00:00:00+00:00"


@operations.kind("contacts.purge_deleted", permission="contacts:purge", params=PurgeParams)
class Purging(Work[PurgeParams]):
    """Erases deleted contacts for good, without waiting for their time to be over. There is no way back."""

    async def check(self, tx: Tx, params: PurgeParams) -> None:
        """A moment without its offset could be any of a day's."""
        if params.deleted_before is not None and params.deleted_before.tzinfo is None:
            message = "must say its offset from UTC, such as Z or +10:00"
            raise InvalidInput(faults=[Fault("invalid_value", message, pointer="/params/deleted_before")])

    async def plan(self, tx: Tx, operation: Running[PurgeParams]) -> int | None:
        """How many there are now."""
        seen, owners = visible(tx.actor, 3)
        row = await tx.one(COUNT_DELETED.format(seen), tx.tenant_id, _before(operation), *owners)
        return row[0] if row else None

    async def batch(self, tx: Tx, operation: Running[PurgeParams], position: Any) -> Step:
        """The next in the order in which they were deleted."""
        seen, owners = visible(tx.actor, 3)
        at, id = position or (_LONG_AGO, str(_FIRST))
        number = len(owners) + 3
        sql = NEXT_DELETED.format(seen, number, number + 1)
        rows = await tx.all(sql, tx.tenant_id, _before(operation), *owners, datetime.fromisoformat(at), UUID(id))
        errors = await _each([id for id, _ in rows], lambda id: actions.purge(tx, id))
        next = (rows[-1][1].isoformat(), str(rows[-1][0])) if rows else position
        return Step(next, len(rows), len(rows) < PURGED_AT_ONCE, errors)


def _before(operation: Running[PurgeParams]) -> datetime:
    return operation.params.deleted_before or operation.created_at


async def _each(ids: Sequence[UUID], do: Callable[[UUID], Awaitable[Any]]) -> list[ItemError]:
    """Do something to each, and note for which it was refused; what nobody refused, but went wrong, is raised."""
    errors = []
    for id in ids:
        try:
            await do(id)
        except BellbirdError as error:
            if error.status >= 500:
                raise
            errors.append(operations.item_error(id, error))
    return errors
