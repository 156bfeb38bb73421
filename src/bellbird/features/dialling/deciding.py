"""Deciding whether a number may be called: what is known of it is gathered, judged, and kept with the answer."""

import re
from dataclasses import replace
from datetime import UTC
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import ids, phones
from bellbird.core.connection import Pending
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.phones import InvalidPhone, PhoneNumber
from bellbird.core.tenants import TenantSettings
from bellbird.features.contacts import Address, Phone
from bellbird.features.dialling.facts import Facts, Person
from bellbird.features.dialling.judging import judge
from bellbird.features.dialling.models import Consent, DialDecision, OptOut, Question, Wash
from bellbird.features.dialling.queries import WASHED
from bellbird.features.dialling.rows import CONSENT, DECISION, KNOWN, of_decision, places

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")

# The newest first; whoever has more than these has long said what they mean.
CONSENTS = f"""
select {CONSENT}
from consents
where tenant_id = $1 and contact_id = $2 and purpose = $3 and (number is null or number = $4)
order by id desc
limit 50
"""

# Deleted ones too: that somebody does not want to be called is still so.
PERSON = """
select addresses::text, timezone, preferences::text, phones::text
from contacts
where tenant_id = $1 and id = $2
"""

BEARERS = """
select addresses::text, timezone, preferences::text, phones::text
from tenant_contacts
where tenant_id = $1 and phone_numbers && $2::text[]
limit 100
"""

OWN_NUMBERS = """
select array(
  select line ->> 'number'
  from call_accounts, jsonb_array_elements(numbers) with ordinality as listed(line, place)
  where tenant_id = $1 and status = 'active'
  order by created_at, id, place)
"""

_addresses = msgspec.json.Decoder(tuple[Address, ...]).decode
_phones = msgspec.json.Decoder(tuple[Phone, ...]).decode
_object = msgspec.json.Decoder(dict[str, Any]).decode


async def decide(tx: Tx | ReadTx, question: Question) -> DialDecision:
    """Whether a number may be called, with everything that stands against it; nothing is written.

    Whatever the caller may see of the contact, all of it counts. Raises InvalidInput for a moment without an offset.
    """
    tx.require("calls:write")
    now = tx.clock.now()
    at = (question.at or now).astimezone(UTC)
    if question.at is not None and question.at.tzinfo is None:
        raise InvalidInput.at("at", f"must say its offset from UTC, such as {question.at:%Y-%m-%dT%H:%M:%S}Z")
    # Numbers in the form they are kept in are asked about at once; others only once it is known where they are from.
    asked = _ask(tx, question, question.number) if _E164.fullmatch(question.number) else None
    settings = (await tx.tenant()).settings
    number = _read(question.number, settings)
    if asked is None and isinstance(number, PhoneNumber):
        asked = _ask(tx, question, number.number)
    if asked is not None and not asked[-1].tag:
        await tx.flush()
    facts = _facts(question, number, settings, asked) if asked else Facts(number, question.purpose, settings)
    verdict = judge(facts, at)
    return DialDecision(
        ids.uuid7(now), verdict.allowed,
        number.number if isinstance(number, PhoneNumber) else question.number[: phones.MAX_LENGTH],
        question.contact.id if question.contact else None, question.purpose, at, verdict.reasons, verdict.warnings,
        verdict.next_permitted_at, verdict.evidence, verdict.explanation, facts.caller, None, str(tx.actor),
    )  # fmt: skip


def _read(number: str, settings: TenantSettings) -> PhoneNumber | InvalidPhone:
    try:
        return phones.parse(
            number, default_region=settings.default_region, allowed_regions=settings.allowed_regions or None
        )
    except InvalidPhone as error:
        return error


def _ask(tx: Tx | ReadTx, question: Question, number: str) -> list[Pending]:
    """Queue what is to be known of a number, in the order that `_facts` reads it in."""
    contact = question.contact
    of_contact = [
        tx.queue(PERSON, tx.tenant_id, contact.id),
        tx.queue(CONSENTS, tx.tenant_id, contact.id, question.purpose, number),
    ] if contact else []  # fmt: skip
    return [
        tx.queue(KNOWN, tx.tenant_id, number),
        tx.queue(WASHED, tx.tenant_id, number),
        tx.queue(OWN_NUMBERS, tx.tenant_id),
        *of_contact,
        tx.queue(BEARERS, tx.tenant_id, [number]),
    ]


def _facts(
    question: Question, number: PhoneNumber | InvalidPhone, settings: TenantSettings, asked: list[Pending]
) -> Facts:
    opted_out, washed, own, *of_contact, bearers = asked
    person = consents = None
    if of_contact:
        person, consents = of_contact
    return Facts(
        number,
        question.purpose,
        settings,
        person=_person(person.rows[0]) if person and person.rows else None,
        bearers=tuple(map(_person, bearers.rows)),
        opt_out=OptOut(*opted_out.rows[0]) if opted_out.rows else None,
        wash=Wash(*washed.rows[0]) if washed.rows else None,
        consents=tuple(Consent(*row) for row in consents.rows) if consents else (),
        from_number=_caller(question.from_number, settings),
        own_numbers=tuple(own.rows[0][0]),
    )


def _caller(from_number: str | None, settings: TenantSettings) -> str | None:
    if from_number is None:
        return None
    try:
        return phones.parse(from_number, default_region=settings.default_region, allowed_regions=None).number
    except InvalidPhone:
        return from_number[: phones.MAX_LENGTH]  # which is none of the tenant's


def _person(row: tuple[Any, ...]) -> Person:
    addresses, timezone, preferences, numbers = row
    return Person(_addresses(addresses), timezone, _object(preferences), _phones(numbers))


RECORD = f"insert into dial_decisions (tenant_id, {DECISION})\nvalues ($1, {places(14)})"


def record(tx: Tx, decision: DialDecision, call_id: UUID | None = None) -> DialDecision:
    """Queue a decision's row, for the call that it was made for if there is one."""
    kept = decision if call_id is None else replace(decision, call_id=call_id)
    tx.queue(RECORD, tx.tenant_id, *of_decision(kept))
    return kept
