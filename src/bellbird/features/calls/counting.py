"""Days of calls, counted when they are over, so that statistics need not look at every call.

A day is counted two days after its end. Whatever is changed in one of its calls afterwards is noted in the same
transaction (rows.py), and a day with such a note is read call by call until it is counted again:
figures are exact at every moment, however late a correction comes (ADR 23).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from bellbird.core import ids
from bellbird.core.engine import Tx

# How long after its end a day is counted; calls are noted as corrected from when they are a day old.
SETTLED: Final = timedelta(days=2)

# How far back days are counted, and how many in one go.
REACH: Final = timedelta(days=800)
AT_ONCE: Final = 5

# Of how many there were, how many somebody answered, and how long was talked with them.
_ANSWERED: Final = "filter (where disposition = 'answered')"
FIGURES: Final = f"count(*), count(*) {_ANSWERED}, coalesce(sum(duration) {_ANSWERED}, 0)"


@dataclass(frozen=True, slots=True)
class Day:
    """A day somewhere: from its midnight to the next, which are 23 to 25 hours apart."""

    day: date
    begins_at: datetime
    ends_at: datetime


def day_of(day: date, zone: ZoneInfo) -> Day:
    """A day in a zone; where there is no midnight, it begins when the clocks have been put forward."""
    return Day(day, _midnight(day, zone), _midnight(day + timedelta(days=1), zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


FIRST = "select id from calls where tenant_id = $1 order by id limit 1"

# Those whose counts hold. The range is of days, the zone the tenant's.
COUNTED = """
select day
from call_days d
where tenant_id = $1 and zone = $2 and day >= $3 and day <= $4
  and not exists (
    select from call_corrections c
    where c.tenant_id = $1 and c.call_at >= d.begins_at and c.call_at < d.ends_at
  )
"""


async def count_days(tx: Tx) -> bool:
    """Count up to five days that have to be, the latest first; whether there are more."""
    tx.require("calls:read")
    first = tx.queue(FIRST, tx.tenant_id)
    settings = (await tx.writable()).settings
    await tx.flush()
    if not first.rows:
        return False
    zone, now = ZoneInfo(settings.timezone), tx.clock.now()
    last = (now - SETTLED).astimezone(zone).date() - timedelta(days=1)
    start = max(ids.made_at(first.rows[0][0]).astimezone(zone).date(), (now - REACH).date())
    counted = {row[0] for row in await tx.all(COUNTED, tx.tenant_id, settings.timezone, start, last)}
    days = (last - timedelta(days=back) for back in range((last - start).days + 1))
    due = [day for day in days if day not in counted]
    for day in due[:AT_ONCE]:
        await _count(tx, day_of(day, zone), settings.timezone)
    return len(due) > AT_ONCE


# The notes go first: whatever is corrected after that is noted anew, and what was before is in the calls that are read.
SETTLE = "delete from call_corrections where tenant_id = $1 and call_at >= $2 and call_at < $3"
CLEAR = "delete from call_counts where tenant_id = $1 and day = $2"
CLEAR_DAY = "delete from call_days where tenant_id = $1 and day = $2"

_KEYS: Final = {
    "day": ("agent_id", "direction", "disposition", "outcome"),
    "hour": ("hour", "direction", "disposition", "outcome"),
    "agent": ("hour", "agent_id"),
}
_COLUMNS: Final = ("hour", "agent_id", "direction", "disposition", "outcome")

LOCAL_HOUR: Final = "extract(hour from created_at at time zone {})::integer"


def _calls(kind: str) -> str:
    """The figures of a day's calls by the keys of a kind, from $2 to $3; the zone is $4."""
    keys = _KEYS[kind]
    shown = [f"{LOCAL_HOUR.format('$4::text')} as hour" if key == "hour" else key for key in keys]
    return (
        f"select {', '.join(shown)}, {FIGURES}\nfrom calls\nwhere tenant_id = $1 and id >= $2 and id < $3\n"
        f"group by {', '.join(str(at) for at in range(1, len(keys) + 1))}"
    )


INSERT = f"""
insert into call_counts (tenant_id, id, day, kind, {", ".join(_COLUMNS)}, calls, answered, talked)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
INSERT_DAY = """
insert into call_days (tenant_id, id, day, zone, begins_at, ends_at, counted_at)
values ($1, $2, $3, $4, $5, $6, $7)
"""


async def _count(tx: Tx, day: Day, zone: str) -> None:
    tx.queue(SETTLE, tx.tenant_id, day.begins_at, day.ends_at)
    tx.queue(CLEAR, tx.tenant_id, day.day)
    tx.queue(CLEAR_DAY, tx.tenant_id, day.day)
    limits = ids.first_at(day.begins_at), ids.first_at(day.ends_at)
    asked = {
        kind: tx.queue(_calls(kind), tx.tenant_id, *limits, *([zone] if "hour" in keys else []))
        for kind, keys in _KEYS.items()
    }
    await tx.flush()
    now = tx.clock.now()
    for kind, answer in asked.items():
        for row in answer.rows:
            tx.queue(INSERT, tx.tenant_id, ids.uuid7(now), day.day, kind, *_spread(kind, row))
    tx.queue(INSERT_DAY, tx.tenant_id, ids.uuid7(now), day.day, zone, day.begins_at, day.ends_at, now)
    await tx.flush()


def _spread(kind: str, row: tuple[Any, ...]) -> list[Any]:
    keys = _KEYS[kind]
    known = dict(zip(keys, row, strict=False))
    return [*(known.get(column) for column in _COLUMNS), *(int(figure) for figure in row[len(keys) :])]


def kind_for(group_by: tuple[str, ...]) -> str:
    """Which counts have these keys, of which there are two at most."""
    if "hour" not in group_by:
        return "day"
    return "agent" if "agent" in group_by else "hour"


def id_limits(days: list[Day]) -> list[tuple[UUID, UUID]]:
    """The stretches of ids that calls of these days have, in order, neighbours as one."""
    stretches = list[tuple[datetime, datetime]]()
    for day in sorted(days, key=lambda each: each.day):
        if stretches and stretches[-1][1] == day.begins_at:
            stretches[-1] = (stretches[-1][0], day.ends_at)
        else:
            stretches.append((day.begins_at, day.ends_at))
    return [(ids.first_at(begin), ids.first_at(end)) for begin, end in stretches]
