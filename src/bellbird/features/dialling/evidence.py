"""What a decision is based on, to be kept with it; and which consents count. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from bellbird.core.phones import PhoneNumber
from bellbird.features.dialling import hours, rules
from bellbird.features.dialling.facts import Facts, local
from bellbird.features.dialling.hours import DAYS, Closed, Timetable
from bellbird.features.dialling.models import Consent, Reason
from bellbird.features.dialling.places import Whereabouts

# How many places a sentence names.
NAMED: Final = 3


def ends(facts: Facts, number: PhoneNumber, consent: Consent) -> datetime | None:
    """When a consent ends by itself; None for one that holds until it is withdrawn."""
    zone = facts.settings.timezone
    return rules.consent_ends(consent.granted_at, consent.expires_at, consent.indefinite, number.region, zone)


def _concerns(facts: Facts, number: PhoneNumber, consent: Consent) -> bool:
    return consent.purpose == facts.purpose and consent.number in (None, number.number)


def valid(facts: Facts, number: PhoneNumber, at: datetime) -> list[Consent]:
    """The consents that hold at a moment, for this number and what it is called for."""
    return [
        consent
        for consent in facts.consents
        if _concerns(facts, number, consent)
        and consent.granted_at <= at
        and (consent.withdrawn_at is None or consent.withdrawn_at > at)
        and ((end := ends(facts, number, consent)) is None or end > at)
    ]


def lapsed(facts: Facts, number: PhoneNumber, at: datetime) -> Iterator[tuple[str, str]]:
    """Why no consent holds, where there was one: a code and a sentence."""
    if valid(facts, number, at):
        return
    zone = facts.settings.timezone
    for consent in facts.consents:
        if not _concerns(facts, number, consent):
            continue
        end = ends(facts, number, consent)
        if consent.withdrawn_at is not None and consent.withdrawn_at <= at:
            yield "consent_withdrawn", f"A consent was withdrawn on {local(consent.withdrawn_at, zone)}."
            return
        if end is not None and end <= at:
            law = "" if consent.expires_at else f" ({rules.CONSENT_MONTHS} months after it was given: {rules.CONSENT})"
            yield "consent_expired", f"A consent ended on {local(end, zone)}{law}."
            return


def of_hours(facts: Facts, number: PhoneNumber, table: Timetable, at: datetime) -> Iterator[Reason]:
    """What the clock says against it, a reason for each way, naming the places."""
    found = hours.closed(table, at)
    rule = rules.of(number.region, facts.purpose)
    for code, what in (
        ("public_holiday", _holiday),
        ("outside_calling_hours", lambda closed: _outside(closed, table.hours or (), rules.CALLS[rule])),
        ("outside_preferred_hours", lambda closed: _outside(closed, table.preferred or (), "calls, as they prefer,")),
    ):
        told = list(dict.fromkeys(what(each) for each in found if each.why == code))
        if told:
            more = f" So it is in {len(told) - NAMED} more places." if len(told) > NAMED else ""
            yield Reason(code, " ".join(told[:NAMED]) + more)


def _holiday(closed: Closed) -> str:
    country, region, _ = closed.place
    where = f"{region} ({country})" if region else country
    return f"{closed.local:%A} {closed.local.day} {closed.local:%B %Y} is {closed.holiday} in {where}."


def _outside(closed: Closed, table: hours.Hours, what: str) -> str:
    day = closed.local.weekday()
    there = hours.described(table[day])
    return f"It is {closed.local:%H:%M} on {closed.local:%A} in {closed.place[2]}; hours of {what} are {there} then."


def collected(facts: Facts, number: PhoneNumber, where: Whereabouts, table: Timetable, at: datetime) -> dict[str, Any]:
    """The evidence, as JSON has it."""
    rule = rules.of(number.region, facts.purpose)
    found: dict[str, Any] = {
        "number": {"region": number.region, "line_type": str(number.line_type)},
        "where": {
            "known_by": where.known_by,
            "places": [
                {"country": country, "region": region, "timezone": zone} for country, region, zone in where.places
            ],
        },
        "hours": {
            "rule": rule,
            "source": rules.SOURCES[rule],
            "kept": table.hours is not None,
            "here": _here(table, at),
            "holidays": table.holidays,
        },
        "caller": {"number": facts.caller, "own": facts.caller in facts.own_numbers},
    }
    if facts.consents:
        holding = {consent.id for consent in valid(facts, number, at)}
        found["consents"] = [
            {"id": str(each.id), "granted_at": each.granted_at, "ends_at": ends(facts, number, each),
             "any_time": each.any_time, "source": each.source, "withdrawn_at": each.withdrawn_at,
             "holds": each.id in holding}
            for each in facts.consents
        ]  # fmt: skip
    if rules.asks_register(number.region, facts.purpose):
        wash = facts.wash
        result = wash and {"listed": wash.listed, "washed_at": wash.washed_at, "source": wash.source}
        found["register"] = {"source": rules.REGISTER, "policy": facts.settings.wash_policy, "wash": result}
    if facts.opt_out:
        given = facts.opt_out
        found["opt_out"] = {"id": str(given.id), "source": given.source, "created_at": given.created_at}
    if facts.person and (
        stated := {name: facts.person.preferences[name] for name in _STATED & set(facts.person.preferences)}
    ):
        found["preferences"] = stated
    return found


_STATED: Final = frozenset({"do_not_call", "channels", "calling_hours"})


def _here(table: Timetable, at: datetime) -> list[dict[str, Any]]:
    """What time it is in each zone, and the hours of that day."""
    from zoneinfo import ZoneInfo

    shown = []
    for zone in dict.fromkeys(zone for _, _, zone in table.places):
        there = at.astimezone(ZoneInfo(zone))
        hours_then = hours.described(table.hours[there.weekday()]) if table.hours is not None else None
        shown.append({"timezone": zone, "time": there.isoformat(), "day": DAYS[there.weekday()], "hours": hours_then})
    return shown
