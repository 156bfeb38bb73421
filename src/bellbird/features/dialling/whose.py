"""Whose a consent or an opt-out is: a contact that the actor sees, and its numbers."""

from uuid import UUID

from bellbird.core.actors import visible
from bellbird.core.connection import Pending
from bellbird.core.engine import ReadTx, Tx
from bellbird.features.contacts import ContactNotFound

NUMBERS = "select phone_numbers from contacts where tenant_id = $1 and id = $2 and deleted_at is null"


def ask(tx: Tx | ReadTx, contact_id: UUID) -> Pending:
    """Queue the question for the numbers of a contact that the actor sees."""
    seen, owners = visible(tx.actor, 3)
    return tx.queue(NUMBERS + seen, tx.tenant_id, contact_id, *owners)


def numbers(asked: Pending, contact_id: UUID) -> list[str]:
    """The answer to `ask`. Raises ContactNotFound."""
    if not asked.rows:
        raise ContactNotFound(f"There is no contact {contact_id}.")
    found: list[str] = asked.rows[0][0]
    return found
