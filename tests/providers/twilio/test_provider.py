"""Calls placed, found again and ended by Twilio's API, as a stand-in on this machine speaks it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from bellbird.core.clock import SystemClock
from bellbird.core.errors import InvalidInput
from bellbird.core.telephony import Placed, ProviderRefused, Providers, ProviderUnclear, Surroundings
from bellbird.providers.twilio import Twilio
from tests.providers.twilio.conftest import AGENT, ANN, CALL, CALLBACKS, SYDNEY, account, order
from tests.providers.twilio.standin import SID, TOKEN, Mood, StandIn

PLACING = f"/2010-04-01/Accounts/{SID}/Calls.json"


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


async def test_a_call_is_ordered_in_twilios_words(twilio: Twilio, standin: StandIn) -> None:
    placed = await twilio.place(account(), order(ring_seconds=25))
    assert placed.provider_call_id in standin.calls
    ((method, path, form),) = standin.asked
    assert (method, path) == ("POST", PLACING)
    twiml = ElementTree.fromstring(form.pop("Twiml")[0])
    assert form == {
        "To": [ANN], "From": [SYDNEY], "Timeout": ["25"], "StatusCallback": [f"{CALLBACKS}?call={CALL}"],
        "StatusCallbackMethod": ["POST"], "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
    }  # fmt: skip
    (dial,) = twiml
    (client,) = dial
    assert (dial.tag, dial.attrib, client.tag, client.text) == ("Dial", {"callerId": SYDNEY}, "Client", AGENT.hex)


async def test_recordings_and_machines_are_asked_for_where_they_are_wanted(twilio: Twilio, standin: StandIn) -> None:
    await twilio.place(account(), order(record=True, detect_machine=True))
    ((_, _, form),) = standin.asked
    url = f"{CALLBACKS}?call={CALL}"
    assert (form["Record"], form["RecordingStatusCallback"]) == (["true"], [url])
    assert form["RecordingStatusCallbackEvent"] == ["completed"]
    assert (form["MachineDetection"], form["AsyncAmd"], form["AsyncAmdStatusCallback"]) == (["Enable"], ["true"], [url])


@pytest.mark.parametrize(
    ("connect", "tag", "text"),
    [
        ("client:desk_{agent}", "Client", f"desk_{AGENT.hex}"),
        ("sip:{agent}@pbx.acme.example;x=1&y=2", "Sip", f"sip:{AGENT.hex}@pbx.acme.example;x=1&y=2"),
        ("+61892240000", "Number", "+61892240000"),
    ],
)
async def test_agents_are_connected_as_the_account_says(
    twilio: Twilio, standin: StandIn, connect: str, tag: str, text: str
) -> None:
    await twilio.place(account(connect=connect), order())
    ((dial,),) = [ElementTree.fromstring(standin.asked[0][2]["Twiml"][0])]
    (target,) = dial
    assert (target.tag, target.text) == (tag, text)
    welcomed = ElementTree.fromstring(twilio.welcome(account(connect=connect), AGENT).body)
    assert (welcomed[0][0].tag, welcomed[0][0].text) == (tag, text)


async def test_ones_own_application_may_say_what_to_do(twilio: Twilio, standin: StandIn) -> None:
    own = account(answer_url="https://acme.example/twiml?a=1")
    await twilio.place(own, order())
    await twilio.place(own, order(agent_id=None))
    first, second = (form for _, _, form in standin.asked)
    # Twilio sorts a query before it calls the address, and signs it as it was: it has to be in order.
    assert first["Url"] == [f"https://acme.example/twiml?a=1&agent={AGENT.hex}&call={CALL}"]
    assert second["Url"] == [f"https://acme.example/twiml?a=1&call={CALL}"]
    (redirect,) = ElementTree.fromstring(twilio.welcome(own, None).body)
    assert (redirect.tag, redirect.text) == ("Redirect", "https://acme.example/twiml?a=1")


async def test_a_caller_is_connected_with_their_agent_or_hears_that_it_is_busy(twilio: Twilio) -> None:
    reply = twilio.welcome(account(), AGENT)
    assert reply.content_type == "text/xml"
    (dial,) = ElementTree.fromstring(reply.body)
    (client,) = dial
    assert (dial.attrib, client.text) == ({"answerOnBridge": "true"}, AGENT.hex)
    assert client.attrib == {"statusCallback": CALLBACKS, "statusCallbackEvent": "answered"}
    (reject,) = ElementTree.fromstring(twilio.welcome(account(), None).body)
    assert (reject.tag, reject.attrib) == ("Reject", {"reason": "busy"})


async def test_a_call_that_connects_nobody_is_not_placed(twilio: Twilio, standin: StandIn) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await twilio.place(account(), order(agent_id=None))
    assert refused.value.reason == "no_agent"
    assert standin.asked == []
    await twilio.place(account(connect="+61892240000"), order(agent_id=None))


async def test_what_twilio_refuses_is_told_by_its_code(twilio: Twilio, standin: StandIn) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await twilio.place(account(), order(to_number="+15005550001"))
    assert refused.value.reason == "Twilio 21217"
    assert "is invalid" in refused.value.detail
    with pytest.raises(ProviderRefused) as refused:
        await twilio.place(replace(account(), secret=TOKEN[::-1]), order())
    assert refused.value.reason == "Twilio 20003"
    standin.mood = "busy"
    with pytest.raises(ProviderRefused) as refused:
        await twilio.place(account(), order())
    assert (refused.value.reason, refused.value.retry_after) == ("Twilio 20429", 7)
    assert standin.calls == {}
    assert TOKEN not in str(refused.value)


async def test_where_twilio_is_not_there_nothing_was_placed() -> None:
    nowhere = Twilio(Surroundings(SystemClock()), base_url="http://127.0.0.1:9", connect=0.5)
    with pytest.raises(ProviderRefused) as refused:
        await nowhere.place(account(), order())
    assert refused.value.reason == "unreachable"
    await nowhere.close()


@pytest.mark.parametrize(
    ("mood", "placed"),
    [
        ("silent", 0), ("hangs up", 0), ("broken", 0), ("obeys and is silent", 1), ("obeys and hangs up", 1),
        ("mumbles", 1),
    ],
)  # fmt: skip
async def test_without_a_good_answer_it_is_not_clear_until_it_is_found(
    twilio: Twilio, standin: StandIn, mood: Mood, placed: int
) -> None:
    since = datetime.now(UTC)
    standin.mood = mood
    with pytest.raises(ProviderUnclear):
        await twilio.place(account(), order())
    assert len(standin.calls) == placed
    if mood == "mumbles":
        with pytest.raises(ProviderUnclear):
            await twilio.find(account(), order(), since)
    standin.mood = "well"
    found = await twilio.find(account(), order(), since)
    assert found == (Placed(next(iter(standin.calls))) if placed else None)


@pytest.mark.parametrize("fast", [timedelta(), timedelta(hours=3), timedelta(minutes=-7)])
async def test_a_call_is_found_among_others_whatever_twilios_clock_says(
    twilio: Twilio, standin: StandIn, fast: timedelta
) -> None:
    standin.fast = fast - timedelta(minutes=5)
    await twilio.place(account(), order())
    standin.fast = fast
    await twilio.place(account(), order(to_number="+61412345679"))
    await twilio.place(account(), order(from_number="+61892240000"))
    coming_in = await twilio.place(account(), order())
    standin.calls[coming_in.provider_call_id]["direction"] = "inbound"
    assert await twilio.find(account(), order(), datetime.now(UTC)) is None
    meant = await twilio.place(account(), order())
    assert await twilio.find(account(), order(), datetime.now(UTC)) == meant
    assert standin.asked[-1][:2] == ("GET", PLACING)


@pytest.mark.parametrize(
    ("status", "ends_as", "requests"),
    [
        ("queued", "canceled", 1), ("ringing", "canceled", 1), ("in-progress", "completed", 2),
        ("completed", "completed", 2), ("no-answer", "no-answer", 2),
    ],
)  # fmt: skip
async def test_a_call_is_ended_wherever_it_is(
    twilio: Twilio, standin: StandIn, status: str, ends_as: str, requests: int
) -> None:
    placed = await twilio.place(account(), order())
    standin.calls[placed.provider_call_id]["status"] = status
    standin.asked.clear()
    await twilio.hang_up(account(), placed.provider_call_id)
    assert standin.calls[placed.provider_call_id]["status"] == ends_as
    assert len(standin.asked) == requests


async def test_a_call_that_is_none_of_twilios_is_not_ended(twilio: Twilio, standin: StandIn) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await twilio.hang_up(account(), "CA" + "0" * 32)
    assert refused.value.reason == "Twilio 20404"
    standin.asked.clear()
    for crafted in ("", "../../Accounts", "CA" + "0" * 31 + "/", "CA" + "0" * 32 + ".json?x="):
        with pytest.raises(ProviderRefused):
            await twilio.hang_up(account(), crafted)
    assert standin.asked == []


async def test_many_calls_are_placed_at_a_time(twilio: Twilio, standin: StandIn) -> None:
    placed = await asyncio.gather(*(twilio.place(account(), order()) for _ in range(40)))
    assert len({each.provider_call_id for each in placed}) == len(standin.calls) == 40


# Accounts.


def test_an_account_of_twilio_is_looked_at_before_it_is_kept(twilio: Twilio) -> None:
    good: dict[str, Any] = {
        "edge": "sydney", "region": "au1", "answer_url": "https://acme.example/x", "connect": "sip:{agent}@a.example",
    }  # fmt: skip
    twilio.check(SID, TOKEN, good)
    twilio.check(SID, TOKEN, {})
    with pytest.raises(InvalidInput) as refused:
        twilio.check("AC12", "x", {"speed": 1, "edge": "evil.example/", "connect": "tel:1", "answer_url": "file:///x"})
    assert {fault.pointer for fault in refused.value.faults} == {
        "/identifier", "/secret", "/options/speed", "/options/edge", "/options/connect", "/options/answer_url",
    }  # fmt: skip
    for name, value in [
        ("edge", ""), ("edge", 1), ("region", "a.b"), ("edge", "-x"), ("region", "x" * 31), ("answer_url", "https://"),
        ("answer_url", "https://[x"), ("answer_url", "https://acme.example/" + "x" * 500), ("connect", "client:"),
        ("connect", "client:{user}"), ("connect", "client:{agent"), ("connect", "sip:<x>"), ("connect", None),
    ]:  # fmt: skip
        with pytest.raises(InvalidInput):
            twilio.check(SID, TOKEN, {name: value})


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({}, "api.twilio.com"),
        ({"edge": "sydney"}, "api.sydney.us1.twilio.com"),
        ({"region": "au1"}, "api.au1.twilio.com"),
        ({"edge": "sydney", "region": "au1"}, "api.sydney.au1.twilio.com"),
    ],
)  # fmt: skip
def test_the_api_is_where_edge_and_region_say_as_in_twilios_library(options: dict[str, str], host: str) -> None:
    from twilio.rest import Client

    from bellbird.providers.twilio import options as known

    client = Client(SID, TOKEN, edge=options.get("edge"), region=options.get("region"))
    assert known.host(options) == host
    assert client.get_hostname("https://api.twilio.com/2010-04-01") == f"https://{host}/2010-04-01"


def test_it_is_found_by_its_entry_point() -> None:
    assert isinstance(Providers(Surroundings(SystemClock())).get("twilio"), Twilio)
