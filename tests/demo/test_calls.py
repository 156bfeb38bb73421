"""The demo's calls: believable, consistent, and always the same."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from bellbird.core import ids
from bellbird.core.telephony import ENDS
from bellbird.core.tenants import TenantSettings
from bellbird.demo import calls, people
from bellbird.demo.calls import Office, Past
from bellbird.features.contacts import Contact, cleaning

NOW = datetime(2026, 12, 1, tzinfo=UTC)
FIRST = date(2026, 9, 1)
AGENTS = tuple(UUID(int=number) for number in (1, 2, 3))


def known(count: int) -> list[Contact]:
    """Contacts with numbers, as the demo has them: of each agent a part, some of nobody."""
    settings = TenantSettings()
    made = [
        cleaning.make(
            replace(people.contact(number), owner_id=[*AGENTS, None][number % 4]),
            settings,
            id=UUID(int=number),
            now=NOW,
        )
        for number in range(count)
    ]
    return [contact for contact in made if calls.number_of(contact)]


@pytest.fixture(scope="module")
def office() -> Office:
    return Office(AGENTS, known(2100), UUID(int=9), "+61255502660")


@pytest.fixture(scope="module")
def quarter(office: Office) -> list[Past]:
    return list(made(office, 91))


def made(office: Office, days: int) -> Iterator[Past]:
    for day in range(days):
        yield from calls.of_day(FIRST + timedelta(days=day), office)


def test_a_quarter_is_thousands_of_calls_and_the_same_every_time(office: Office, quarter: list[Past]) -> None:
    assert 5000 < len(quarter) < 8000
    assert list(made(office, 8)) == [past for past in quarter if past.call.created_at < _midnight(8)]
    assert len({past.call.id for past in quarter}) == len(quarter)


def _midnight(day: int) -> datetime:
    return datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), calls.ZONE)


def test_with_fewer_contacts_the_same_calls_are_fewer(office: Office) -> None:
    few = replace(office, contacts=office.contacts[:100])
    some, all_ = ({past.call.id for past in made(each, 14)} for each in (few, office))
    assert some < all_
    assert 0.02 < len(some) / len(all_) < 0.1
    assert not list(made(replace(office, contacts=[]), 7))


def test_what_happened_to_a_call_fits_together(quarter: list[Past]) -> None:
    for call in (past.call for past in quarter):
        assert call.status in ENDS and call.ended_at is not None
        assert ids.made_at(call.id) == call.created_at
        moments = (
            call.created_at,
            call.initiated_at,
            call.ringing_at,
            call.answered_at,
            call.ended_at,
            call.updated_at,
        )
        there = [moment for moment in moments if moment is not None]
        assert there == sorted(there), call
        assert (call.status == "completed") == (call.answered_at is not None)
        assert (call.disposition in ("answered", "voicemail")) == (call.status == "completed")
        assert (call.duration is not None) == (call.answered_at is not None)
        if call.answered_at is not None:
            assert call.ended_at - call.answered_at == timedelta(seconds=call.duration or 0)
        assert (call.disposition == "missed") == (call.direction == "inbound" and call.answered_at is None)
        assert call.number == (call.to_number if call.direction == "outbound" else call.from_number)
        assert call.outcome is None or call.outcome in TenantSettings().call_outcomes


def test_nobody_talks_with_two_at_a_time(quarter: list[Past]) -> None:
    for agent in AGENTS:
        own = sorted((past.call for past in quarter if past.call.agent_id == agent), key=lambda call: call.id)
        for before, after in pairwise(own):
            assert before.ended_at is not None and before.ended_at < after.created_at


def test_nobody_is_called_when_they_sleep_nor_when_the_agents_are_at_home(office: Office, quarter: list[Past]) -> None:
    zones = {contact.id: ZoneInfo(contact.timezone or str(calls.ZONE)) for contact in office.contacts}
    placed = [past.call for past in quarter if past.call.direction == "outbound"]
    for call in placed:
        assert call.contact_id is not None
        assert 9 <= call.created_at.astimezone(zones[call.contact_id]).hour < 19 or call.outcome == "do_not_call"
        assert call.created_at.astimezone(calls.ZONE).weekday() < 6
    days = Counter(call.created_at.astimezone(calls.ZONE).date() for call in placed)
    assert date(2026, 10, 5) not in days, "Labour Day in New South Wales"


def test_who_objects_is_not_called_again(office: Office, quarter: list[Past]) -> None:
    objected = [past.call for past in quarter if past.call.outcome == "do_not_call"]
    assert objected
    spared = {contact.id for contact in calls.objecting(office.contacts)}
    called = Counter(past.call.contact_id for past in quarter if past.call.direction == "outbound")
    assert {call.contact_id for call in objected} <= spared
    assert all(called[contact] <= 2 for contact in spared), "one call in ninety days, and these are ninety-one"


def test_whoever_is_to_be_called_back_is_so_in_working_hours(quarter: list[Past]) -> None:
    promised = [past for past in quarter if past.call_back_at]
    assert {past.call.outcome for past in promised} == {"call_back"}
    for past in promised:
        assert past.call_back_at is not None
        local = past.call_back_at.astimezone(calls.ZONE)
        assert past.call_back_at > past.call.updated_at and local.weekday() < 5 and 9 <= local.hour <= 16
