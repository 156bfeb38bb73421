"""How many calls there were, how many were answered, how long was talked: by agent, day, hour, outcome and so on."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.features.calls import counting, rows
from bellbird.features.calls.counting import Day
from bellbird.features.calls.models import Disposition

GroupBy = Literal["agent", "day", "hour", "direction", "disposition", "outcome"]
GROUPS: Final[tuple[GroupBy, ...]] = get_args(GroupBy)

MAX_DAYS: Final = 366
MAX_GROUPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Figures:
    """How calls went: how many, of which so many were answered by somebody, and how long was talked.

    `answer_rate` is a share from 0 to 1, `average_seconds` are per answered call; both null where there is nothing to
    divide by. Of `agent_id`, `day`, `hour` (0 to 23, the tenant's time), `direction`, `disposition` and `outcome` those
    are there by which the calls were grouped.
    """

    calls: int
    answered: int
    answer_rate: float | None
    talk_seconds: int
    average_seconds: float | None
    agent_id: UUID | None | UnsetType = UNSET
    day: date | UnsetType = UNSET
    hour: int | UnsetType = UNSET
    direction: str | UnsetType = UNSET
    disposition: Disposition | None | UnsetType = UNSET
    outcome: str | None | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Statistics:
    """The calls from a first to a last day, as days are in `timezone`, by groups and in all."""

    first: date
    last: date
    timezone: str
    groups: tuple[Figures, ...]
    total: Figures


_FIELDS: Final = {group: "agent_id" if group == "agent" else group for group in GROUPS}


async def count(
    tx: Tx | ReadTx, *, first: date | None = None, last: date | None = None, group_by: Iterable[str] = ()
) -> Statistics:
    """The figures of the calls that the actor sees, by one or two of `GROUPS`; without dates, of the last 30 days.

    Raises InvalidInput for dates that cannot be, groups that there are not, and more than 10,000 of them.
    """
    tx.require("calls:read")
    groups = _groups(group_by)
    settings = (await tx.tenant()).settings
    zone = ZoneInfo(settings.timezone)
    today = tx.clock.now().astimezone(zone).date()
    last = today if last is None else last
    first = last - timedelta(days=29) if first is None else first
    _check(first, last)
    counted = set[date]()
    if tx.actor.visibility == "all" and first < today:
        known = await tx.all(counting.COUNTED, tx.tenant_id, settings.timezone, first, last)
        counted = {row[0] for row in known}
    span = [first + timedelta(days=after) for after in range((last - first).days + 1)]
    uncounted = [counting.day_of(day, zone) for day in span if day not in counted]
    found = await _read(tx, groups, sorted(counted), uncounted, settings.timezone)
    if len(found) > MAX_GROUPS:
        message = f"makes {len(found):,} groups of these days; {MAX_GROUPS:,} is as far as it goes: ask for fewer days"
        raise InvalidInput.at("group_by", message)
    total = [sum(column) for column in zip(*found.values(), strict=True)] or [0, 0, 0]
    shown = sorted(found.items(), key=lambda item: _order(groups, item))
    return Statistics(
        first, last, settings.timezone,
        tuple(_figures(figures, groups, key) for key, figures in shown) if groups else (),
        _figures(total, (), ()),
    )  # fmt: skip


def _groups(given: Iterable[str]) -> tuple[GroupBy, ...]:
    wanted = tuple(dict.fromkeys(given))
    for name in wanted:
        if name not in GROUPS:
            raise InvalidInput.at("group_by", f"cannot be {name[:40]!r}; there are {', '.join(GROUPS)}")
    if len(wanted) > 2:
        raise InvalidInput.at("group_by", f"must be one or two of {', '.join(GROUPS)}, not {len(wanted)}")
    return tuple(group for group in GROUPS if group in wanted)


def _check(first: date, last: date) -> None:
    if first.year < 1970 or last.year > 9000:
        raise InvalidInput.at("from", "must be between the years 1970 and 9000")
    if first > last:
        raise InvalidInput.at("from", f"must not be after the last day, {last}")
    if (last - first).days >= MAX_DAYS:
        raise InvalidInput.at("from", f"must be at most {MAX_DAYS} days before the end, not {(last - first).days + 1}")


Found = dict[tuple[Any, ...], list[int]]


async def _read(
    tx: Tx | ReadTx, groups: tuple[GroupBy, ...], counted: list[date], uncounted: list[Day], zone: str
) -> Found:
    """The figures by group: from the counts of the days that have any, from the calls themselves of the others."""
    asked = []
    if counted:
        kind = counting.kind_for(groups)
        asked.append(tx.queue(_of_counts(groups), tx.tenant_id, kind, [each.isoformat() for each in counted]))
    for first, beyond in counting.id_limits(uncounted):
        by_local = {"day", "hour"} & set(groups)
        seen, owners = rows.counted(tx.actor, 4)
        values = [tx.tenant_id, first, beyond, *owners, *([zone] if by_local else [])]
        asked.append(tx.queue(_of_calls(groups, seen, len(values)), *values, prepared=not seen))
    await tx.flush()
    found: Found = {}
    for answer in asked:
        for row in answer.rows:
            key, figures = row[: len(groups)], row[len(groups) :]
            sums = found.setdefault(key, [0, 0, 0])
            for at, figure in enumerate(figures):
                sums[at] += int(figure)
    return found


def _grouping(groups: tuple[GroupBy, ...]) -> str:
    places = ", ".join(str(at) for at in range(1, len(groups) + 1))
    return f"\ngroup by {places}" if groups else "\nhaving count(*) > 0"


def _of_counts(groups: tuple[GroupBy, ...]) -> str:
    columns = "".join(f"{_FIELDS[group]}, " for group in groups)
    return (
        f"select {columns}sum(calls), sum(answered), sum(talked)\nfrom call_counts\n"
        f"where tenant_id = $1 and kind = $2 and day = any($3::date[]){_grouping(groups)}"
    )


def _of_calls(groups: tuple[GroupBy, ...], seen: str, zone: int) -> str:
    local = {
        "day": f"(created_at at time zone ${zone}::text)::date",
        "hour": counting.LOCAL_HOUR.format(f"${zone}::text"),
    }
    columns = "".join(f"{local.get(group, _FIELDS[group])}, " for group in groups)
    return (
        f"select {columns}{counting.FIGURES}\nfrom calls\n"
        f"where tenant_id = $1 and id >= $2 and id < $3{seen}{_grouping(groups)}"
    )


def _order(groups: tuple[GroupBy, ...], item: tuple[tuple[Any, ...], list[int]]) -> tuple[Any, ...]:
    """Days and hours as they come; the rest by how many calls there were, most first; what is null last."""
    key, (calls, *_) = item
    in_time = [value for group, value in zip(groups, key, strict=True) if group in ("day", "hour")]
    return (*in_time, -calls, *(str(value) for value in key))


def _figures(sums: list[int], groups: tuple[GroupBy, ...], key: tuple[Any, ...]) -> Figures:
    calls, answered, talked = sums
    return Figures(
        calls,
        answered,
        round(answered / calls, 4) if calls else None,
        talked,
        round(talked / answered, 1) if answered else None,
        **{_FIELDS[group]: value for group, value in zip(groups, key, strict=True)},
    )
