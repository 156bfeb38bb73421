"""What a tenant is to the engine: a name, a status and the settings that every write obeys."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from bellbird.core.clock import Clock

DuplicatePolicy = Literal["allow", "warn", "reject"]
# What is asked of a number before it is called: that it is not known to be on the Do Not Call Register, or that it is
# known not to be.
WashPolicy = Literal["when_known", "required"]
# Why somebody is called, which decides what the law says about it.
CallPurpose = Literal["telemarketing", "research", "service"]
TenantStatus = Literal["active", "suspended", "deleting"]

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]


@dataclass(frozen=True, slots=True)
class Week:
    """The hours of each day, as `"09:00-20:00"`; None: none on that day."""

    monday: str | None = "09:00-20:00"
    tuesday: str | None = "09:00-20:00"
    wednesday: str | None = "09:00-20:00"
    thursday: str | None = "09:00-20:00"
    friday: str | None = "09:00-20:00"
    saturday: str | None = "09:00-17:00"
    sunday: str | None = None


def _week(weekday: str, saturday: str | None, sunday: str | None) -> Week:
    return Week(weekday, weekday, weekday, weekday, weekday, saturday, sunday)


@dataclass(frozen=True, slots=True)
class CallingHours:
    """When the tenant's people may call, in the time where the called are, by country and by purpose.

    The hours of Australia are those of its Telecommunications (Telemarketing and Research Calls) Industry Standard
    2017; New Zealand has no such law, and these are its Marketing Association's; `other` countries' are a careful
    guess, to be set to what their law says. `service` calls are those that the called are waiting for (a delivery, an
    appointment): no law says when, and at first nothing here does.
    """

    au_telemarketing: Week = field(default_factory=Week)
    au_research: Week = field(default_factory=lambda: _week("09:00-20:30", "09:00-17:00", "09:00-17:00"))
    nz: Week = field(default_factory=lambda: _week("08:00-21:00", "08:00-21:00", None))
    other: Week = field(default_factory=lambda: _week("09:00-18:00", None, None))
    service: Week = field(default_factory=lambda: _week("00:00-24:00", "00:00-24:00", "00:00-24:00"))


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What a tenant may change about how Bellbird treats it.

    `default_region` is the country in which national phone numbers are read;
    numbers of any region outside `allowed_regions` are refused (empty: every region is welcome).
    A call that finds `max_live_calls` under way waits, if it is to, for `call_wait_seconds`; one that is said to last
    longer than `max_call_minutes` is ended. `default_purpose` is a call's that names none.
    Nobody is called for telemarketing or research on a national public holiday, nor, with `observe_regional_holidays`,
    on one of their state or region.
    """

    default_region: str = "AU"
    allowed_regions: tuple[str, ...] = ("AU", "NZ")
    duplicate_policy: DuplicatePolicy = "allow"
    max_phones: Limit = 10
    max_emails: Limit = 10
    max_addresses: Limit = 10
    timezone: str = "Australia/Sydney"
    calling_hours: CallingHours = field(default_factory=CallingHours)
    observe_regional_holidays: bool = True
    wash_policy: WashPolicy = "when_known"
    keep_deleted_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 90
    keep_events_months: Annotated[int, msgspec.Meta(ge=1, le=1200)] = 84
    max_live_calls: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    call_wait_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300
    max_call_minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 240
    default_purpose: CallPurpose = "telemarketing"
    call_outcomes: tuple[str, ...] = (
        "interested", "not_interested", "call_back", "left_message", "wrong_number", "do_not_call",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer of the deployment: its rows are never seen by another."""

    id: UUID
    slug: str
    name: str
    status: TenantStatus
    settings: TenantSettings
    version: int
    created_at: datetime
    updated_at: datetime


COLUMNS = "id, slug, name, status, settings, version, created_at, updated_at"

# Row-level security limits this to the transaction's own tenant; the operator's role sees all.
BY_ID = f"select {COLUMNS}, access_version from tenants where id = $1"

_decode_settings = msgspec.json.Decoder(TenantSettings).decode


def from_row(row: tuple[Any, ...]) -> Tenant:
    """A row that begins with `COLUMNS` as a Tenant."""
    id, slug, name, status, settings, version, created_at, updated_at = row[:8]
    return Tenant(id, slug, name, status, _decode_settings(settings), version, created_at, updated_at)


# How old, in seconds, the tenant may be that a *read* goes by, and the permissions of everybody in it.
# What was revoked a second ago is never used. A write reads the tenant in its own transaction.
TTL: Final = 0.8


@dataclass(slots=True)
class Snapshot:
    """A tenant as it was at a moment, and the number under which what its people may do was known then."""

    asked_at: float
    tenant: Tenant
    access_version: int


class Snapshots:
    """The tenants as they were read last, good for a moment: saves each read from asking again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[UUID, Snapshot] = {}
        self.hits = 0
        self.misses = 0

    def get(self, tenant_id: UUID) -> Snapshot | None:
        seen = self._seen.get(tenant_id)
        if seen is not None and abs(self._clock.now().timestamp() - seen.asked_at) < TTL:
            self.hits += 1
            return seen
        self.misses += 1
        return None

    def renew(self, row: tuple[Any, ...], asked_at: float) -> Snapshot:
        """The snapshot of a row of `BY_ID`, asked for at that moment; decoded only if its version is another.

        What is kept dates from before the question was sent: how long the answer took makes nothing last longer.
        """
        seen = self._seen.get(row[0])
        tenant = seen.tenant if seen is not None and seen.tenant.version == row[5] else from_row(row)
        found = Snapshot(asked_at, tenant, row[8])
        is_newer = seen is not None and 0 < seen.asked_at - asked_at < TTL and seen.access_version >= row[8]
        if not is_newer:
            if len(self._seen) > 10_000:
                self._seen.clear()
            self._seen[tenant.id] = found
        return found

    def forget(self, tenant_id: UUID) -> None:
        self._seen.pop(tenant_id, None)
