"""What people have said about being called, kept: consents, opt-outs, what the register says; and questions asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from bellbird.core import ids, phones, text
from bellbird.core.actors import visible
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.events import Event
from bellbird.core.phones import InvalidPhone
from bellbird.features.contacts import Contact
from bellbird.features.contacts import queries as contacts
from bellbird.features.contacts import rules as contact_rules
from bellbird.features.dialling import whose
from bellbird.features.dialling.deciding import decide, record
from bellbird.features.dialling.models import (
    Consent,
    ConsentNotFound,
    DialDecision,
    NewConsent,
    NewDialDecision,
    NewOptOut,
    NewWashes,
    NoNumberToCall,
    OptOut,
    OptOutNotFound,
    Question,
    Washed,
)
from bellbird.features.dialling.rows import CONSENT, KNOWN, OPT_OUT, places

MAX_SOURCE: Final = 100
MAX_NOTE: Final = 2000
MAX_WASHES: Final = 1000

# How far ahead of ours somebody's clock may be.
AHEAD: Final = timedelta(minutes=5)

GRANT = f"""
insert into consents (tenant_id, {CONSENT})
values ($1, {places(14)})
"""


async def grant(tx: Tx, new: NewConsent) -> Consent:
    """Keep a contact's consent and record `consent.granted`. Raises InvalidInput, ContactNotFound."""
    tx.require("consents:write")
    asked = whose.ask(tx, new.contact_id)
    settings = (await tx.writable()).settings
    if not asked.rows:
        await tx.flush()
    theirs = whose.numbers(asked, new.contact_id)
    faults, now = list[Fault](), tx.clock.now()
    number = None if new.number is None else _number(new.number, settings.default_region, faults)
    if number and number not in theirs:
        message = f"must be one of the contact's, or left out for all of them, not {number}"
        faults.append(Fault("not_their_number", message, pointer="/number"))
    source = _line(new.source, "source", MAX_SOURCE, faults, needed="say how it was given")
    evidence = _line(new.evidence, "evidence", MAX_NOTE, faults) if new.evidence is not None else None
    granted_at = _past(new.granted_at, "granted_at", now, faults)
    expires_at = _moment(new.expires_at, "expires_at", faults)
    if expires_at is not None and expires_at <= granted_at:
        faults.append(Fault("invalid_value", "must be after it was given", pointer="/expires_at"))
    if expires_at is not None and new.indefinite:
        message = "must be left out where it holds until it is withdrawn (indefinite)"
        faults.append(Fault("invalid_value", message, pointer="/expires_at"))
    if faults:
        raise InvalidInput(faults=faults)
    consent = Consent(
        ids.uuid7(now), new.contact_id, number, new.purpose, granted_at, expires_at, new.indefinite, new.any_time,
        source, evidence or None, str(tx.actor), now,
    )  # fmt: skip
    tx.queue(
        GRANT, tx.tenant_id, consent.id, consent.contact_id, number, consent.purpose, granted_at, expires_at,
        consent.indefinite, consent.any_time, source, consent.evidence, consent.created_by, now, None, None,
    )  # fmt: skip
    told = ("number", "purpose", "granted_at", "expires_at", "indefinite", "any_time", "source")
    changes = {name: (None, value) for name in told if (value := getattr(consent, name)) not in (None, False)}
    tx.emit(Event("consent.granted", consent.id, consent.contact_id, changes))
    return consent


LOCK_CONSENT = f"select {CONSENT} from consents where tenant_id = $1 and id = $2{{}} for update"
WITHDRAW = "update consents set withdrawn_at = $3, withdrawn_by = $4 where tenant_id = $1 and id = $2"


async def withdraw(tx: Tx, id: UUID) -> Consent:
    """End a consent from now on and record `consent.withdrawn`; one that was withdrawn before stays as it is.

    Raises ConsentNotFound.
    """
    tx.require("consents:write")
    seen, owners = visible(tx.actor, 3)
    of_seen = seen and f" and exists (select from contacts c where c.tenant_id = $1 and c.id = contact_id{seen})"
    asked = tx.queue(LOCK_CONSENT.format(of_seen), tx.tenant_id, id, *owners)
    await tx.writable()
    if not asked.rows:
        await tx.flush()
    if not asked.rows:
        raise ConsentNotFound(f"There is no consent {id}.")
    consent = Consent(*asked.rows[0])
    if consent.withdrawn_at is not None:
        return consent
    withdrawn = replace(consent, withdrawn_at=tx.clock.now(), withdrawn_by=str(tx.actor))
    tx.queue(WITHDRAW, tx.tenant_id, id, withdrawn.withdrawn_at, withdrawn.withdrawn_by)
    changes = {"withdrawn_at": (None, withdrawn.withdrawn_at)}
    tx.emit(Event("consent.withdrawn", id, consent.contact_id, changes, {"purpose": consent.purpose}))
    return withdrawn


OPT_OUT_NUMBER = f"""
insert into opt_outs (tenant_id, {OPT_OUT})
values ($1, {places(10)})
on conflict (tenant_id, number) where removed_at is null do nothing
returning id
"""


async def opt_out(
    tx: Tx, number: str, *, contact_id: UUID | None = None, source: str = "request", note: str | None = None
) -> OptOut:
    """Have a number never be called again and record `opt_out.created`; one that is opted out stays as it is.

    Whoever may write down what came of a call may do this as well. Raises InvalidInput.
    """
    if not tx.actor.may("calls:write"):
        tx.require("consents:write")
    settings = (await tx.writable()).settings
    faults: list[Fault] = []
    e164 = _number(number, settings.default_region, faults)
    said = _line(source, "source", MAX_SOURCE, faults, needed="say how it was made known")
    about = _line(note, "note", MAX_NOTE, faults) if note is not None else None
    if faults:
        raise InvalidInput(faults=faults)
    now = tx.clock.now()
    new = OptOut(ids.uuid7(now), e164, contact_id, said, about or None, str(tx.actor), now)
    inserted = tx.queue(
        OPT_OUT_NUMBER, tx.tenant_id, new.id, e164, contact_id, said, new.note, new.created_by, now, None, None, None
    )
    known = await tx.one(KNOWN, tx.tenant_id, e164)
    if inserted.rows:
        changes = {"number": (None, e164), "source": (None, said)}
        tx.emit(Event("opt_out.created", new.id, contact_id, changes, {"number": e164}))
        return new
    assert known is not None, "the index that refused the row has it"
    return OptOut(*known)


async def create_opt_out(tx: Tx, new: NewOptOut) -> OptOut:
    """Have a number never be called again, as `opt_out`. Raises InvalidInput, ContactNotFound."""
    tx.require("consents:write")
    if new.contact_id is not None:
        asked = whose.ask(tx, new.contact_id)
        await tx.flush()
        whose.numbers(asked, new.contact_id)
    return await opt_out(tx, new.number, contact_id=new.contact_id, source=new.source, note=new.note)


LOCK_OPT_OUT = f"select {OPT_OUT} from opt_outs where tenant_id = $1 and id = $2 for update"
REMOVE_OPT_OUT = """
update opt_outs set removed_at = $3, removed_by = $4, removed_reason = $5
where tenant_id = $1 and id = $2
"""


async def remove_opt_out(tx: Tx, id: UUID, reason: str) -> OptOut:
    """Let a number be called again, because its bearer says so, and record `opt_out.removed` with the reason.

    One that was removed before stays as it is. Raises OptOutNotFound, InvalidInput without a reason.
    """
    tx.require("consents:write")
    asked = tx.queue(LOCK_OPT_OUT, tx.tenant_id, id)
    await tx.writable()
    faults: list[Fault] = []
    why = _line(reason, "reason", MAX_NOTE, faults)
    if not why and not faults:
        faults.append(
            Fault("reason_missing", "must say who wants to be called again, and how you know", pointer="/reason")
        )
    if faults:
        raise InvalidInput(faults=faults)
    if not asked.rows:
        await tx.flush()
    if not asked.rows:
        raise OptOutNotFound(f"There is no opt-out {id}.")
    known = OptOut(*asked.rows[0])
    if known.removed_at is not None:
        return known
    removed = replace(known, removed_at=tx.clock.now(), removed_by=str(tx.actor), removed_reason=why)
    tx.queue(REMOVE_OPT_OUT, tx.tenant_id, id, removed.removed_at, removed.removed_by, why)
    changes = {"removed_at": (None, removed.removed_at), "removed_reason": (None, why)}
    tx.emit(Event("opt_out.removed", id, known.contact_id, changes, {"number": known.number}))
    return removed


# Of what is washed twice the later counts, in whatever order it is brought in.
WASH = """
insert into washes (tenant_id, id, number, listed, washed_at, source, created_at)
values {}
on conflict (tenant_id, number) do update
set listed = excluded.listed, washed_at = excluded.washed_at, source = excluded.source
where excluded.washed_at >= washes.washed_at
"""


async def wash(tx: Tx, new: NewWashes) -> Washed:
    """Keep what the register said of up to 1,000 numbers, all or none, and record `wash.recorded`.

    Bringing in the same twice changes nothing. Raises InvalidInput with every number that cannot be read.
    """
    tx.require("washes:write")
    settings = (await tx.writable()).settings
    faults, now = list[Fault](), tx.clock.now()
    if not 1 <= len(new.numbers) <= MAX_WASHES:
        message = f"must be 1 to {MAX_WASHES:,} numbers, not {len(new.numbers):,}"
        raise InvalidInput(faults=[Fault("too_many" if new.numbers else "missing_field", message, pointer="/numbers")])
    source = _line(new.source, "source", MAX_SOURCE, faults, needed="say who washed them")
    washed_at = _past(new.washed_at, "washed_at", now, faults)
    listed: dict[str, bool] = {}
    for place, washed in enumerate(new.numbers):
        number = _number(washed.number, settings.default_region, faults, f"/numbers/{place}/number")
        # One that is in the list twice, with and without, is taken for one that is on the register.
        listed[number] = listed.get(number, False) or washed.listed
    if faults:
        raise InvalidInput(faults=faults)
    # In the order of numbers, so that two who bring in the same do not wait for each other.
    numbers = sorted(listed)
    rows = [ids.uuid7(now) for _ in numbers]
    given = [part for id, number in zip(rows, numbers, strict=True) for part in (id, number, listed[number])]
    tx.queue(_wash(len(numbers)), tx.tenant_id, washed_at, source, now, *given, prepared=False)
    result = Washed(len(numbers), sum(listed.values()), washed_at)
    data = {"numbers": result.numbers, "listed": result.listed, "source": source, "washed_at": washed_at}
    tx.emit(Event("wash.recorded", rows[0], data=data))
    return result


def _wash(count: int) -> str:
    """WASH for so many numbers."""
    return WASH.format(", ".join(f"($1, ${3 * n + 5}, ${3 * n + 6}, ${3 * n + 7}, $2, $3, $4)" for n in range(count)))


async def ask(tx: Tx, new: NewDialDecision) -> DialDecision:
    """Whether a number or a contact may be called; the answer is kept, and recorded as `dial_decision.made`.

    Raises InvalidInput, ContactNotFound, NoNumberToCall.
    """
    tx.require("calls:write")
    settings = (await tx.writable()).settings
    contact = None if new.contact_id is None else await _contact(tx, new.contact_id)
    number = new.number if contact is None else _callable(contact, new.number, settings.default_region)
    if number is None:
        message = "is needed, unless a contact_id says whom"
        raise InvalidInput(faults=[Fault("missing_field", message, pointer="/number")])
    faults = list[Fault]()
    at = _moment(new.at, "at", faults)
    if faults:
        raise InvalidInput(faults=faults)
    purpose = new.purpose or settings.default_purpose
    decision = record(tx, await decide(tx, Question(number, contact, new.from_number, purpose, at)))
    data = {"allowed": decision.allowed, "purpose": purpose, "reasons": [reason.code for reason in decision.reasons]}
    tx.emit(Event("dial_decision.made", decision.id, decision.contact_id, {"number": (None, decision.number)}, data))
    return decision


async def _contact(tx: Tx, id: UUID) -> Contact:
    contact_rules.require_shown(tx.actor, "phones", "To ask whether a contact may be called")
    return await contacts.get(tx, id)


def _callable(contact: Contact, number: str | None, region: str) -> str:
    """The number to call a contact at: the one that is named, else the primary, else the first that is not invalid."""
    if number is not None:
        faults = list[Fault]()
        e164 = _number(number, region, faults)
        if not faults and e164 not in [phone.number for phone in contact.phones]:
            faults.append(Fault("not_their_number", f"must be one of the contact's, not {e164}", pointer="/number"))
        if faults:
            raise InvalidInput(faults=faults)
        return e164
    usable = sorted((phone for phone in contact.phones if phone.status != "invalid"), key=lambda each: not each.primary)
    if not usable:
        raise NoNumberToCall(f"The contact {contact.id} has no number that could be called.")
    return usable[0].number


def _number(number: str, region: str, faults: list[Fault], pointer: str = "/number") -> str:
    """The number as it is kept. One of any country may be spoken of, whether the tenant calls there or not."""
    try:
        return phones.parse(number, default_region=region, allowed_regions=None).number
    except InvalidPhone as error:
        faults.append(Fault(error.code, error.message, pointer=pointer))
        return ""


def _line(given: str, name: str, limit: int, faults: list[Fault], *, needed: str | None = None) -> str:
    try:
        cleaned = text.clean(given, max_length=limit)
    except text.InvalidText as error:
        faults.append(Fault(error.code, str(error), pointer=f"/{name}"))
        return ""
    if needed and not cleaned:
        faults.append(Fault("missing_field", f"must {needed}", pointer=f"/{name}"))
    return cleaned


def _moment(given: datetime | None, name: str, faults: list[Fault]) -> datetime | None:
    if given is not None and given.tzinfo is None:
        message = f"must say its offset from UTC, such as {given:%Y-%m-%dT%H:%M:%S}Z"
        faults.append(Fault("invalid_value", message, pointer=f"/{name}"))
        return None
    return None if given is None else given.astimezone(UTC)


def _past(given: datetime | None, name: str, now: datetime, faults: list[Fault]) -> datetime:
    """A moment that has been, now if it is not said."""
    moment = _moment(given, name, faults) or now
    if moment > now + AHEAD:
        faults.append(
            Fault("invalid_value", f"must not be in the future, as {moment.isoformat()} is", pointer=f"/{name}")
        )
    return min(moment, now)
