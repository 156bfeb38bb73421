"""Things to test with, one plain function each."""

from typing import Any
from uuid import UUID

from bellbird.core import ids
from bellbird.core.engine import Tx
from bellbird.features import contacts
from bellbird.features.calls import Call
from bellbird.features.calls import rows as call_rows
from bellbird.features.contacts import Contact, Email, NewContact, Phone


async def contact(tx: Tx, **given: Any) -> Contact:
    """A contact, called Ann when nothing was said; `phone` and `email` are short for lists of one."""
    return await contacts.create(tx, new_contact(**given))


def new_contact(**given: Any) -> NewContact:
    if "phone" in given:
        given["phones"] = (Phone(given.pop("phone")),)
    if "email" in given:
        given["emails"] = (Email(given.pop("email")),)
    return NewContact(**(given or {"first_name": "Ann"}))


ACCOUNT = UUID("0192f0c0-0000-7000-8000-00000000acc0")


async def call(tx: Tx, **given: Any) -> Call:
    """The row of a call as it is after it was placed, or as `given` has it: no event, and nobody dials it."""
    await tx.writable()
    at = given.pop("at", None) or tx.now()
    number = given.setdefault("number", "+61412345678")
    made: dict[str, Any] = {
        "id": ids.uuid7(at), "direction": "outbound", "status": "queued", "from_number": "+61255501234",
        "to_number": number, "contact_id": None, "candidates": (), "agent_id": None, "purpose": "service",
        "account_id": ACCOUNT, "provider": "mock", "provider_call_id": None, "answered_by": None, "created_at": at,
        "updated_at": at, "created_by": str(tx.actor),
    }  # fmt: skip
    placed = Call(**(made | given))
    call_rows.insert(tx, placed)
    return placed
