"""Hours in which somebody may be called, wherever they can be, and the first moment at which they may: pure.

A moment is within hours if the clock on the wall there says so, in every place they can be in: what happens when the
clocks change follows from that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from bellbird.core.tenants import Week
from bellbird.features.dialling import public_holidays
from bellbird.features.dialling.regions import Place

# Minutes of a day, from and to; of each weekday, Monday first. Several stretches of a day may be open.
Hours = tuple[tuple[tuple[int, int], ...], ...]

DAYS: Final = tuple(asdict(Week()))
DAY: Final = 24 * 60

# Longer than this nobody is kept waiting by Christmas: there is no permitted time.
HORIZON: Final = timedelta(days=62)
WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a moment is not within hours, in one of the places."""

    why: Literal["outside_calling_hours", "public_holiday", "outside_preferred_hours"]
    place: Place
    local: datetime
    holiday: str | None = None


@dataclass(frozen=True, slots=True)
class Timetable:
    """What decides when somebody may be called.

    `hours` are the tenant's, kept in every one of the `places`; `preferred` those of whoever is called, if they said.
    Public holidays are kept unless `holidays` is None; those of states and regions with `regional`.
    """

    places: tuple[Place, ...]
    hours: Hours | None
    preferred: Hours | None = None
    holidays: Literal["national", "regional"] | None = None


def read(week: Week | Mapping[str, str | None]) -> Hours:
    """Hours as settings have them. Raises ValueError for what are none."""
    days = asdict(week) if isinstance(week, Week) else week
    return tuple(_day(days.get(day)) for day in DAYS)


def _day(text: str | None) -> tuple[tuple[int, int], ...]:
    if text is None:
        return ()
    stretches = []
    for stretch in text.split(","):
        begin, _, end = stretch.strip().partition("-")
        first, last = _minute(begin), _minute(end)
        if first >= last:
            raise ValueError(f"must look like 09:00-20:00, not {text!r}")
        stretches.append((first, last))
    return tuple(stretches)


def _minute(text: str) -> int:
    hour, _, minute = text.strip().partition(":")
    if not (hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(minute) < 60):
        raise ValueError(f"must look like 09:00-20:00, not {text!r}")
    found = int(hour) * 60 + int(minute)
    if found > DAY:
        raise ValueError(f"must be within a day, not {text!r}")
    return found


def closed(table: Timetable, at: datetime) -> list[Closed]:
    """Everything that stands against a moment; empty if nothing does."""
    found: list[Closed] = []
    for place in table.places:
        local = at.astimezone(ZoneInfo(place[2]))
        holiday = _holiday(table, place, local.date())
        if holiday is not None:
            found.append(Closed("public_holiday", place, local, holiday))
        if table.hours is not None and not _within(table.hours, local):
            found.append(Closed("outside_calling_hours", place, local))
        if table.preferred is not None and not _within(table.preferred, local):
            found.append(Closed("outside_preferred_hours", place, local))
    return found


def _holiday(table: Timetable, place: Place, day: date) -> str | None:
    if table.holidays is None:
        return None
    return public_holidays.on(day, place[0], place[1], regional=table.holidays == "regional")


def _within(hours: Hours, local: datetime) -> bool:
    second = local.hour * 3600 + local.minute * 60 + local.second
    return any(first * 60 <= second < last * 60 for first, last in hours[local.weekday()])


def is_open(table: Timetable, at: datetime) -> bool:
    """Whether nothing stands against a moment: `closed` without saying what."""
    for place in table.places:
        local = at.astimezone(ZoneInfo(place[2]))
        if not all(_within(each, local) for each in (table.hours, table.preferred) if each is not None):
            return False
        if _holiday(table, place, local.date()) is not None:
            return False
    return True


def next_open(table: Timetable, at: datetime) -> datetime | None:
    """The first moment from `at` on that nothing stands against; None if there is none within two months."""
    if is_open(table, at):
        return at
    return next((moment for moment in _edges(table, at) if is_open(table, moment)), None)


def _edges(table: Timetable, at: datetime) -> Iterator[datetime]:
    """The moments after `at` at which it can become permitted, in order: where hours begin, where days do, where clocks
    change.
    """
    zones = sorted({zone for _, _, zone in table.places})
    begins = {0, *(first for each in (table.hours, table.preferred) for day in each or () for first, _ in day)}
    begins.discard(DAY)
    since, last = at, at + HORIZON
    while since < last:
        until = since + WEEK
        # The moments of a date are spread over three days of UTC.
        dates = [since.astimezone(UTC).date() + timedelta(days=number) for number in range(-1, WEEK.days + 2)]
        found = {moment for zone in zones for day in dates for moment in _moments(zone, day, begins)}
        yield from sorted(moment for moment in found if since < moment <= until)
        since = until


def _moments(zone: str, day: date, begins: set[int]) -> Iterator[datetime]:
    info = ZoneInfo(zone)
    midnight = datetime.combine(day, time(), info)
    for minute in begins:
        local = midnight.replace(hour=minute // 60, minute=minute % 60)
        # Where the clock shows it twice, both are moments; where it never does, the change of clocks is one.
        yield from (local.astimezone(UTC), local.replace(fold=1).astimezone(UTC))
    yield from _clock_change(info, midnight.astimezone(UTC))


def _clock_change(info: ZoneInfo, begin: datetime) -> Iterator[datetime]:
    """The moment in the day after `begin` at which the clocks change, if they do."""
    end = begin + timedelta(hours=26)
    before = begin.astimezone(info).utcoffset()
    if end.astimezone(info).utcoffset() == before:
        return
    while end - begin > timedelta(seconds=1):
        middle = begin + timedelta(seconds=(end - begin) // timedelta(seconds=2))
        if middle.astimezone(info).utcoffset() == before:
            begin = middle
        else:
            end = middle
    yield end


def described(hours: Sequence[tuple[int, int]]) -> str:
    """A day's hours as people write them: `09:00-20:00`, `none`."""
    return ", ".join(f"{_clock(first)}-{_clock(last)}" for first, last in hours) or "none"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
