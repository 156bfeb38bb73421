"""Who would be called, and whether they may be, which `dialling` says."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from bellbird.core.actors import visible
from bellbird.core.connection import Pending
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.tenants import CallPurpose
from bellbird.features import dialling
from bellbird.features.contacts import Contact, rules
from bellbird.features.contacts import queries as contact_queries
from bellbird.features.contacts import rows as contact_rows
from bellbird.features.dialling import DialDecision, Question


def ask_contact(tx: Tx, id: UUID, seen: str = "", *owners: Any) -> Pending:
    """Queue the question for a contact that is not deleted; `seen` limits it, as `actors.visible` does."""
    return tx.queue(contact_queries.GET + seen, tx.tenant_id, id, *owners)


def found(asked: Pending) -> Contact | None:
    """The answer to `ask_contact`."""
    return contact_rows.from_row(asked.rows[0]) if asked.rows else None


async def contact(tx: Tx, id: UUID) -> Contact | None:
    """A contact, whoever may see it; None for one that was deleted."""
    asked = ask_contact(tx, id)
    await tx.flush()
    return found(asked)


async def bearers(tx: Tx, number: str) -> tuple[Contact, ...]:
    """The contacts that have a number, as far as the actor sees them: none for who may not read contacts' numbers."""
    if "phones" in rules.hidden(tx.actor) or not tx.actor.may("contacts:read"):
        return ()
    seen, owners = visible(tx.actor, 3)
    rows = await tx.all(contact_queries.BY_NUMBER.format(seen), tx.tenant_id, [number], *owners)
    return tuple(map(contact_rows.from_row, rows))


async def decide(
    tx: Tx | ReadTx, number: str, contact: Contact | None, from_number: str | None, purpose: CallPurpose
) -> DialDecision:
    """Whether the number may be called now. What others who have it have said is heeded as well."""
    return await dialling.decide(tx, Question(number, contact, from_number, purpose, tx.clock.now()))


def kept(decision: DialDecision) -> dict[str, Any]:
    """What of a decision is kept with the call."""
    told: Mapping[str, Any] = {
        "id": decision.id, "allowed": decision.allowed, "at": decision.at, "purpose": decision.purpose,
        "reasons": decision.reasons, "warnings": decision.warnings, "explanation": decision.explanation,
        "evidence": decision.evidence,
    }  # fmt: skip
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    return plain  # as it is read back
