"""What the law says of calls, as data, with where it says so."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from bellbird.core.tenants import CallingHours, CallPurpose, Week

RuleName = Literal["au_telemarketing", "au_research", "nz", "other", "service"]

# Whose hours are meant, for people; and where they are from, as long as a tenant does not set others.
CALLS: Final[dict[RuleName, str]] = {
    "au_telemarketing": "telemarketing calls to Australia",
    "au_research": "research calls to Australia",
    "nz": "calls to New Zealand",
    "other": "calls to other countries",
    "service": "service calls",
}
SOURCES: Final[dict[RuleName, str]] = {
    "au_telemarketing": "Telecommunications (Telemarketing and Research Calls) Industry Standard 2017 (Australia), "
    "prohibited calling times: weekdays before 9 and after 20, Saturdays before 9 and after 17, Sundays, national "
    "public holidays",
    "au_research": "Telecommunications (Telemarketing and Research Calls) Industry Standard 2017 (Australia), "
    "prohibited calling times: weekdays before 9 and after 20:30, weekends before 9 and after 17, national "
    "public holidays",
    "nz": "no law: Monday to Saturday 8 to 21, as the industry's own code has it; public holidays by section 44 of the "
    "Holidays Act 2003 (New Zealand)",
    "other": "a careful guess: set calling_hours.other to what the law there says",
    "service": "no law: whoever is called waits for it",
}
REGISTER: Final = "Do Not Call Register Act 2006 (Australia), section 11"
CONSENT: Final = "Do Not Call Register Act 2006 (Australia), schedule 2, clause 3"

# Section 11(3): a number is called in good faith in "the 30-day period ending at the end of the day on which the call
# was made", the day of the call included.
WASH_DAYS: Final = 30
# Schedule 2, clause 3: consent without an end is withdrawn "at the end of the period of 3 months beginning on the day".
CONSENT_MONTHS: Final = 3

# Numbers of Australia, its territories included: the law goes by the number that is called.
AUSTRALIAN: Final = frozenset({"AU", "NF", "CX", "CC"})


def of(region: str, purpose: CallPurpose) -> RuleName:
    """Whose hours a call keeps, by the country of its number and by what it is for."""
    if purpose == "service":
        return "service"
    if region in AUSTRALIAN:
        return "au_research" if purpose == "research" else "au_telemarketing"
    return "nz" if region == "NZ" else "other"


def week(hours: CallingHours, rule: RuleName) -> Week:
    """The tenant's hours for them."""
    found: Week = getattr(hours, rule)
    return found


def asks_register(region: str, purpose: CallPurpose) -> bool:
    """Whether a call is one that the Do Not Call Register is about: it does not speak of research and service calls."""
    return region in AUSTRALIAN and purpose == "telemarketing"


def is_fresh(washed_at: datetime, at: datetime, timezone: str) -> bool:
    """Whether a number that was washed then may still be taken for what the register said, in days of the tenant."""
    zone = ZoneInfo(timezone)
    return at.astimezone(zone).date() - washed_at.astimezone(zone).date() < timedelta(days=WASH_DAYS)


def consent_ends(
    granted_at: datetime, expires_at: datetime | None, indefinite: bool, region: str, timezone: str
) -> datetime | None:
    """When a consent ends; None for one that holds until it is withdrawn. Days are the tenant's."""
    if expires_at is not None or indefinite or region not in AUSTRALIAN:
        return expires_at
    zone = ZoneInfo(timezone)
    end = _months_later(granted_at.astimezone(zone).date(), CONSENT_MONTHS)
    return datetime.combine(end, time(), zone).astimezone(UTC)


def _months_later(day: date, months: int) -> date:
    """The same day of a later month; where that has no such day, the first of the one after, as months are counted
    (Acts Interpretation Act 1901 (Australia), section 2G).
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if day.day <= monthrange(year, month + 1)[1]:
        return date(year, month + 1, day.day)
    return date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
