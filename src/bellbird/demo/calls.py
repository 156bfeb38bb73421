"""Made-up calls: a day of a small call centre, the same one whenever it is made.

The calls of a day depend on the day, the agents and the contacts alone, and their ids on the day: a history that is
there already is known again, and what is missing of it is added.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from bellbird.core import ids, phones
from bellbird.demo import numbers, words
from bellbird.features.calls.models import Call
from bellbird.features.contacts.models import Contact

# Where the agents sit.
ZONE: Final = ZoneInfo("Australia/Sydney")

# How many minutes pass between two calls of an agent, on average, by the hour: they have their lunch, and go home.
PAUSES: Final = {8: 12.0, 9: 13.0, 10: 8.5, 11: 9.5, 12: 24.0, 13: 20.0, 14: 9.5, 15: 9.5, 16: 12.0, 17: 20.0}

# When nobody is called, in their own time. The demo's agents are more careful than the law.
FIRST_HOUR: Final = 9
LAST_HOUR: Final = 19

# As many contacts keep the agents busy all day; of fewer they have fewer calls.
ENOUGH: Final = 2000

# One contact in so many wants no more calls, and says so in the only call they get.
OBJECTING: Final = 97
EVERY_DAYS: Final = 90

# What becomes of a call that an agent places, in per cent, while the day goes on: people answer rather later.
ENDS: Final = ("answered", "voicemail", "no_answer", "busy", "failed", "canceled")
MORNING: Final = (44, 19, 25, 6, 3, 3)
AFTERNOON: Final = (54, 15, 20, 6, 2, 3)

OUTCOMES: Final = ("interested", "not_interested", "call_back", "wrong_number", None)
WEIGHTS: Final = (24, 36, 17, 4, 19)

PER_MINUTE: Final = Decimal("0.028")


@dataclass(frozen=True, slots=True)
class Office:
    """Who calls whom, from where: agents in a fixed order, contacts in that of how they were made up, all of whom have
    a number.
    """

    agents: Sequence[UUID]
    contacts: Sequence[Contact]
    account_id: UUID
    number: str


@dataclass(frozen=True, slots=True)
class Past:
    """A call that is over, and when the agent promised to call back, if so."""

    call: Call
    call_back_at: datetime | None = None


def of_day(day: date, office: Office) -> Iterator[Past]:
    """The calls of one day in Sydney; none of weekends and holidays, but those that nobody answered."""
    if office.contacts:
        for index, agent in enumerate(office.agents):
            yield from _of_agent(day, office, index, agent)
        yield from _unanswered(day, office)


def objecting(contacts: Sequence[Contact]) -> Sequence[Contact]:
    """Those who want no more calls."""
    return contacts[13::OBJECTING]


def number_of(contact: Contact) -> str | None:
    """Where a contact is called; what it advertises is for calling it about its business, so that is the last."""
    ranked = sorted(
        contact.phones, key=lambda phone: (phone.line_type not in ("mobile", "landline"), not phone.primary)
    )
    return next((phone.number for phone in ranked if phone.status == "ok"), None)


def e164(typed: str) -> str:
    """An Australian number as it was typed, as it is dialled."""
    return phones.parse(typed, default_region="AU", allowed_regions=None).number


def _of_agent(day: date, office: Office, index: int, agent: UUID) -> Iterator[Past]:
    """One call after the other, as long as the agent is there."""
    chance = _chance(f"{day} agent {index}")
    hours = _hours(day, index, len(office.agents))
    if hours is None:
        return
    at, end = hours
    objections = [
        contact for place, contact in enumerate(objecting(office.contacts))
        if day.toordinal() % EVERY_DAYS == place * 37 % EVERY_DAYS and place % len(office.agents) == index
    ]  # fmt: skip
    for count in range(1000):
        at += timedelta(minutes=1 + chance.expovariate(1 / PAUSES.get(at.astimezone(ZONE).hour, 15)))
        if at >= end:
            return
        # What happens in this call takes nothing from the next one's luck, and when it happens does not go by who it
        # is: with other contacts the same calls are others' calls, not other calls.
        own, who = _chance(f"{day} agent {index} call {count}"), _chance(f"{day} agent {index} contact {count}")
        is_made = len(office.contacts) >= ENOUGH * own.random()
        begun = _begun(at, own, office, f"{day} {index} {count}", agent)
        if own.random() < 0.74:
            past = _placed(begun, own, who, office, objections if is_made else [])
        else:
            past = _received(begun, own, who, office)
        at = past.call.ended_at or at
        if is_made:
            yield past


def _hours(day: date, index: int, agents: int) -> tuple[datetime, datetime] | None:
    """From when until when an agent is there."""
    weekday = day.weekday()
    if weekday == 6 or day in _holidays(day.year) or (weekday == 5 and day.toordinal() // 7 % agents != index):
        return None
    first, last = (time(9, 55), time(14)) if weekday == 5 else (time(8, 50 + 3 * index % 10), time(17, 30))
    return datetime.combine(day, first, ZONE), datetime.combine(day, last, ZONE)


@cache
def _holidays(year: int) -> frozenset[date]:
    import holidays  # a second's import, for the demo alone

    return frozenset(holidays.country_holidays("AU", subdiv="NSW", years=year))


def _begun(at: datetime, chance: Random, office: Office, name: str, agent: UUID | None) -> Call:
    """A call as nothing has happened in it yet."""
    at = _moment(at.astimezone(UTC))
    return Call(
        id=UUID(int=ids.first_at(at).int | _chance(f"id {name}").getrandbits(62)),
        direction="outbound", status="queued", from_number=office.number, to_number=None, number=None, contact_id=None,
        candidates=(), agent_id=agent, purpose="service", account_id=office.account_id, provider="mock",
        provider_call_id=f"MC{chance.getrandbits(128):032x}", answered_by=None, created_at=at, updated_at=at,
        ring_seconds=30, detect_machine=True, created_by=f"user:{agent}" if agent else "system:mock",
    )  # fmt: skip


def _placed(call: Call, chance: Random, who: Random, office: Office, objections: list[Contact]) -> Past:
    """A call that the agent placed; if it is answered, rather by one of those who will object to it."""
    initiated = _after(call.created_at, 0.3, 1.2, chance)
    ringing = _after(initiated, 0.8, 3.0, chance)
    end = chance.choices(ENDS, AFTERNOON if call.created_at.astimezone(ZONE).hour >= 14 else MORNING)[0]
    objects = objections.pop() if objections and end == "answered" else None
    contact = objects or _somebody(call, who, office)
    number = number_of(contact)
    call = replace(call, to_number=number, number=number, contact_id=contact.id, initiated_at=initiated)
    if end == "busy":
        over = replace(call, status="busy", disposition="busy", ended_at=_after(initiated, 1, 4, chance))
    elif end == "failed":
        reason = chance.choice(("number not in service", "network congestion"))
        over = replace(
            call, status="failed", disposition="failed", reason=reason, ended_at=_after(initiated, 0.5, 3, chance)
        )
    elif end == "no_answer":
        ended = ringing + timedelta(seconds=call.ring_seconds)
        over = replace(call, status="no_answer", disposition="no_answer", ringing_at=ringing, ended_at=ended)
    elif end == "canceled":
        ended = _after(ringing, 5, 25, chance)
        over = replace(call, status="canceled", disposition="canceled", ringing_at=ringing, ended_at=ended)
    else:
        over = _talked(replace(call, ringing_at=ringing), chance, to_machine=end == "voicemail")
    return _finished(over, chance, "do_not_call" if objects else None)


def _received(call: Call, chance: Random, who: Random, office: Office) -> Past:
    """A call that came in while the agent was there."""
    call = _from_somebody(call, chance, who, office)
    if chance.random() < 0.9:
        return _finished(_talked(call, chance, to_machine=False), chance)
    return _finished(_missed(call, chance), chance)


def _unanswered(day: date, office: Office) -> Iterator[Past]:
    """Calls that came in when nobody was there."""
    chance = _chance(f"{day} unanswered")
    for count in range(chance.choice((0, 1, 1, 2, 2, 3))):
        at = datetime.combine(day, time(chance.choice((7, 8, 18, 18, 19, 20))), ZONE)
        at += timedelta(seconds=chance.uniform(0, 3000))
        call = _begun(at, chance, office, f"{day} missed {count}", None)
        missed = _missed(_from_somebody(call, chance, _chance(f"{day} missed by {count}"), office), chance)
        if len(office.contacts) >= ENOUGH * chance.random():
            yield _finished(missed, chance)


def _from_somebody(call: Call, chance: Random, who: Random, office: Office) -> Call:
    """The call as one that comes in: from a contact with a number of its own, or from somebody unknown."""
    known = [contact for contact in who.choices(office.contacts, k=6) if _mobile(contact)]
    contact = known[0] if known and who.random() < 0.78 else None
    number = _mobile(contact) if contact else None
    if number is None:
        number = e164(numbers.mobile(who, "AU"))
    return replace(
        call, direction="inbound", purpose=None, from_number=number, to_number=office.number, number=number,
        contact_id=contact.id if contact else None, ringing_at=_after(call.created_at, 0.1, 0.4, chance),
        detect_machine=False, created_by="system:mock",
    )  # fmt: skip


def _somebody(call: Call, who: Random, office: Office) -> Contact:
    """Whom the agent calls: one of their own contacts rather, where it is neither early nor late."""
    spared = {contact.id for contact in objecting(office.contacts)}
    asked = [contact for contact in who.choices(office.contacts, k=40) if contact.id not in spared]
    fit = [contact for contact in asked if _is_day(call.created_at, contact)] or asked or office.contacts
    own = [contact for contact in fit if contact.owner_id == call.agent_id]
    return own[0] if own and who.random() < 0.75 else fit[0]


def _is_day(at: datetime, contact: Contact) -> bool:
    return FIRST_HOUR <= at.astimezone(ZoneInfo(contact.timezone or str(ZONE))).hour < LAST_HOUR


def _mobile(contact: Contact) -> str | None:
    return next((phone.number for phone in contact.phones if phone.line_type == "mobile"), None)


def _talked(call: Call, chance: Random, *, to_machine: bool) -> Call:
    """The call answered and completed."""
    answered = _after(call.ringing_at or call.created_at, 3, 24, chance)
    seconds = chance.randint(14, 45) if to_machine else min(2400, max(6, round(chance.lognormvariate(4.6, 0.95))))
    outbound = call.direction == "outbound"
    return replace(
        call, status="completed", disposition="voicemail" if to_machine else "answered",
        answered_by=("machine" if to_machine else "human") if outbound else None, answered_at=answered,
        ended_at=answered + timedelta(seconds=seconds), duration=seconds,
        cost=PER_MINUTE * math.ceil(seconds / 60) if outbound else None, currency="AUD" if outbound else None,
    )  # fmt: skip


def _missed(call: Call, chance: Random) -> Call:
    ended = _after(call.ringing_at or call.created_at, 8, 45, chance)
    return replace(call, status="no_answer", disposition="missed", ended_at=ended)


def _finished(call: Call, chance: Random, outcome: str | None = None) -> Past:
    """The call with what the agent wrote about it."""
    if call.disposition == "voicemail":
        outcome = "left_message"
    elif call.disposition == "answered":
        outcome = outcome or chance.choices(OUTCOMES, WEIGHTS)[0]
    assert call.ended_at is not None
    if outcome is None:
        return Past(replace(call, updated_at=call.ended_at))
    notes = chance.choice(words.NOTES[outcome]) if chance.random() < 0.55 else None
    written = _after(call.ended_at, 10, 50, chance)
    back = working_time(call.ended_at, chance) if outcome == "call_back" else None
    return Past(replace(call, outcome=outcome, notes=notes, updated_at=written), back)


def working_time(after: datetime, chance: Random) -> datetime:
    """A moment of one of the next working days, at a full quarter of an hour."""
    day = after.astimezone(ZONE).date() + timedelta(days=chance.choice((1, 1, 2, 3, 5, 7)))
    while day.weekday() > 4 or day in _holidays(day.year):
        day += timedelta(days=1)
    return datetime.combine(day, time(chance.randint(9, 16), chance.choice((0, 15, 30, 45))), ZONE).astimezone(UTC)


def _after(moment: datetime, least: float, most: float, chance: Random) -> datetime:
    return _moment(moment + timedelta(seconds=chance.uniform(least, most)))


def _moment(at: datetime) -> datetime:
    """To the millisecond, as ids have it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _chance(name: str) -> Random:
    return Random(f"Bellbird's demo {name}")  # noqa: S311
