"""Judging whether a number may be called: everything that stands against it, and from when on nothing does. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from bellbird.core.phones import InvalidPhone, LineType, PhoneNumber
from bellbird.features.dialling import facts as known
from bellbird.features.dialling import hours, places, rules
from bellbird.features.dialling.evidence import collected, lapsed, of_hours, valid
from bellbird.features.dialling.facts import Facts, local
from bellbird.features.dialling.hours import Hours, Timetable
from bellbird.features.dialling.models import Reason
from bellbird.features.dialling.places import Whereabouts

# What only stands against it now.
OF_TIME: Final = frozenset({"outside_calling_hours", "public_holiday", "outside_preferred_hours"})

# How often what is permitted by the clock is judged anew, because by then a consent has ended or a wash grown stale.
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it: as in DialDecision."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Reason, ...]
    next_permitted_at: datetime | None
    evidence: dict[str, Any]
    explanation: str

    @property
    def allowed(self) -> bool:
        return not self.reasons


def judge(facts: Facts, at: datetime) -> Verdict:
    """Whether it may be called at a moment."""
    number = facts.number
    if isinstance(number, InvalidPhone):
        reason = Reason(_UNCALLABLE.get(number.code, "number_invalid"), number.message)
        return Verdict((reason,), (), None, {}, f"This may not be called: {reason.message}")
    where = _whereabouts(facts, number)
    table = _timetable(facts, number, where, at)
    reasons = (*_reasons(facts, number, at), *of_hours(facts, number, table, at))
    upcoming = at if not reasons else _next(facts, number, where, at) if _is_of_time(reasons) else None
    warnings = tuple(_warnings(facts, number, where, at))
    evidence = collected(facts, number, where, table, at)
    zone = where.zones[0] if len(where.zones) == 1 else facts.settings.timezone
    return Verdict(reasons, warnings, upcoming, evidence, _explained(number, reasons, warnings, at, upcoming, zone))


_UNCALLABLE: Final = {"phone_short_code": "emergency_number", "phone_region_not_allowed": "region_not_allowed"}


def _is_of_time(reasons: tuple[Reason, ...]) -> bool:
    return all(reason.code in OF_TIME for reason in reasons)


def _whereabouts(facts: Facts, number: PhoneNumber) -> Whereabouts:
    person = facts.person or known.Person()
    return places.find(number, person.addresses, person.timezone)


def _timetable(facts: Facts, number: PhoneNumber, where: Whereabouts, at: datetime) -> Timetable:
    """When they may be called, as far as can be said at a moment: a consent may hold then, and not later."""
    preferred = next((each for each in map(_preferred, facts.concerned) if each is not None), None)
    if any(consent.any_time for consent in valid(facts, number, at)):
        return Timetable(where.places, None, preferred, None)
    rule = rules.of(number.region, facts.purpose)
    holidays: Literal["national", "regional"] = "regional" if facts.settings.observe_regional_holidays else "national"
    permitted = hours.read(rules.week(facts.settings.calling_hours, rule))
    return Timetable(where.places, permitted, preferred, None if rule == "service" else holidays)


def _preferred(person: known.Person) -> Hours | None:
    try:
        return known.preferred(person)
    except ValueError:
        return None  # the warning says so


def _next(facts: Facts, number: PhoneNumber, where: Whereabouts, at: datetime) -> datetime | None:
    """The first moment at which nothing stands against it; None if something else will by then."""
    moment: datetime | None = at
    for _ in range(TRIES):
        moment = hours.next_open(_timetable(facts, number, where, moment), moment) if moment else None
        if moment is None or any(_reasons(facts, number, moment)):
            return None
        if hours.is_open(_timetable(facts, number, where, moment), moment):
            return moment
    return None


def _reasons(facts: Facts, number: PhoneNumber, at: datetime) -> Iterator[Reason]:
    """What stands against it that is no question of hours."""
    if number.line_type is LineType.PREMIUM:
        yield Reason("premium_number", f"{number.number} is a premium number: whoever calls it pays.")
    if _marked(facts, number, "invalid", only_theirs=True):
        yield Reason("number_invalid", f"{number.number} is marked as invalid with the contact.")
    yield from _objections(facts, number)
    yield from _register(facts, number, at)
    yield from _caller(facts)


def _marked(facts: Facts, number: PhoneNumber, status: str, *, only_theirs: bool = False) -> bool:
    people = facts.concerned if only_theirs else (*facts.concerned, *facts.bearers)
    return any(phone.number == number.number and phone.status == status for each in people for phone in each.phones)


def _objections(facts: Facts, number: PhoneNumber) -> Iterator[Reason]:
    if facts.opt_out is not None:
        since = local(facts.opt_out.created_at, facts.settings.timezone)
        yield Reason("opted_out", f"{number.number} was opted out on {since}: its bearer does not want to be called.")
    elif _marked(facts, number, "opted_out"):
        yield Reason("opted_out", f"{number.number} is marked as opted out with a contact that has it.")
    if any(map(known.says_no, facts.concerned)):
        yield Reason("do_not_call", "The contact's preferences say do_not_call.")
    if any(map(known.wants_no_phone, facts.concerned)):
        yield Reason("phone_not_wanted", "The channels in the contact's preferences do not have the telephone.")


def _register(facts: Facts, number: PhoneNumber, at: datetime) -> Iterator[Reason]:
    """What the Do Not Call Register says, which consent overrides."""
    if not rules.asks_register(number.region, facts.purpose) or valid(facts, number, at):
        return
    wash, required = facts.wash, facts.settings.wash_policy == "required"
    if wash is None:
        if required:
            message = f"{number.number} was never washed against the Do Not Call Register, and the tenant requires it."
            yield Reason("wash_missing", message)
        return
    fresh, when = _fresh(facts, at), local(wash.washed_at, facts.settings.timezone)
    if wash.listed and fresh:
        yield Reason("on_do_not_call_register", f"{number.number} was on the Do Not Call Register on {when}.")
    elif not fresh and (wash.listed or required):
        was = "was on the register" if wash.listed else "was not on the register"
        message = f"{number.number} {was} on {when}, which is longer ago than {rules.WASH_DAYS} days: wash it again."
        yield Reason("wash_stale", message)


def _fresh(facts: Facts, at: datetime) -> bool:
    return facts.wash is not None and rules.is_fresh(facts.wash.washed_at, at, facts.settings.timezone)


def _caller(facts: Facts) -> Iterator[Reason]:
    """What the called would see, which has to be a number of the tenant's that can be called back."""
    if facts.caller is None:
        if facts.purpose != "service":
            yield _NO_CALLER
    elif facts.caller not in facts.own_numbers:
        own = ", ".join(facts.own_numbers[:5]) or "none: connect a call account"
        message = f"{facts.caller} is no number of an active call account of the tenant; those are {own}."
        yield Reason("caller_id_not_allowed", message)
    elif facts.caller.startswith(_PREMIUM):
        yield Reason("caller_id_not_allowed", f"{facts.caller} is a premium number: nobody is to call that back.")


_PREMIUM: Final = ("+6119", "+64900")
_NO_CALLER: Final = Reason(
    "caller_id_missing",
    "The tenant has no number to call from, and the called have to see one: connect a call account.",
)


def _warnings(facts: Facts, number: PhoneNumber, where: Whereabouts, at: datetime) -> Iterator[Reason]:
    if facts.caller is None and facts.purpose == "service":
        yield _NO_CALLER
    if where.known_by == "number" and len(where.places) > 1 and facts.purpose != "service":
        zones = ", ".join(where.zones[:12])
        message = f"Where they are is not known, so that it has to be right in every place they can be: {zones}."
        yield Reason("place_unknown", f"{message} An address or a time zone of the contact tells.")
    for code, message in lapsed(facts, number, at):
        yield Reason(code, message)
    asked = rules.asks_register(number.region, facts.purpose) and facts.settings.wash_policy == "when_known"
    if asked and facts.wash and not facts.wash.listed and not _fresh(facts, at) and not valid(facts, number, at):
        message = f"It is longer ago than {rules.WASH_DAYS} days that {number.number} was not on the register."
        yield Reason("wash_stale", f"{message} Wash it again.")
    for person in facts.concerned:
        try:
            known.preferred(person)
        except ValueError as error:
            yield Reason("preference_unreadable", f"preferences.calling_hours {error}; it is passed over.")


def _explained(
    number: PhoneNumber, reasons: tuple[Reason, ...], warnings: tuple[Reason, ...], at: datetime,
    upcoming: datetime | None, zone: str,
) -> str:  # fmt: skip
    when, said = local(at, zone), [reason.message for reason in reasons]
    if not reasons:
        said = [f"{number.number} may be called on {when}: nothing stands against it."]
    else:
        said.insert(0, f"{number.number} may not be called on {when}.")
        if upcoming is not None:
            said.append(f"It may be called from {local(upcoming, zone)}.")
    return " ".join([*said, *(warning.message for warning in warnings)])
