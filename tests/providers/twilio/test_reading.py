"""What Twilio's callbacks tell, and which are refused. The callbacks are written from its documentation."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from bellbird.core.clock import SystemClock
from bellbird.core.telephony import Callback, CallbackMalformed, CallbackRefused, Surroundings, Update
from bellbird.providers.twilio import Twilio
from tests.providers.twilio.conftest import ANN, CALL, CALLBACKS, SYDNEY, account, order
from tests.providers.twilio.standin import SID, TOKEN, StandIn, signed

CALL_SID = "CA" + "0f" * 16
URL = f"{CALLBACKS}?call={CALL}"
twilio_ = Twilio(Surroundings(SystemClock()))

PROGRESS = {
    "Called": ANN, "ToState": "", "CallerCountry": "AU", "Direction": "outbound-api", "Timestamp":
    "Mon, 02 Mar 2026 09:30:05 +0000", "CallbackSource": "call-progress-events", "CallerState": "", "ToZip": "",
    "SequenceNumber": "2", "CallSid": CALL_SID, "To": ANN, "CallerZip": "", "ToCountry": "AU", "CalledZip": "",
    "ApiVersion": "2010-04-01", "CalledCity": "", "CallStatus": "in-progress", "From": SYDNEY, "AccountSid": SID,
    "CalledCountry": "AU", "CallerCity": "", "ToCity": "", "FromCountry": "AU", "Caller": SYDNEY, "FromCity": "",
    "CalledState": "", "FromZip": "", "FromState": "",
}  # fmt: skip


def read(parameters: dict[str, str], url: str = URL, **headers: str) -> Update:
    (update,) = twilio_.read(account(), signed(url, list(parameters.items()), **headers))
    return update


def test_progress_is_told() -> None:
    assert read(PROGRESS) == Update(
        CALL_SID, CALL, "in_progress", datetime(2026, 3, 2, 9, 30, 5, tzinfo=UTC), 2, direction="outbound",
        from_number=SYDNEY, to_number=ANN,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("queued", "queued"), ("initiated", "initiated"), ("ringing", "ringing"), ("in-progress", "in_progress"),
        ("completed", "completed"), ("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed"),
        ("canceled", "canceled"),
    ],
)  # fmt: skip
def test_every_status_of_theirs_is_one_of_ours(theirs: str, ours: str) -> None:
    assert read({**PROGRESS, "CallStatus": theirs}).status == ours


def test_the_end_is_told_with_how_long_they_talked_and_what_it_cost() -> None:
    update = read({
        **PROGRESS, "CallStatus": "completed", "SequenceNumber": "3", "CallDuration": "42", "Duration": "1",
        "AnsweredBy": "human", "Price": "-0.0150", "PriceUnit": "usd", "SipResponseCode": "200",
    })  # fmt: skip
    assert (update.status, update.duration, update.answered_by) == ("completed", 42, "human")
    assert (update.cost, update.currency, update.reason) == (Decimal("0.0150"), "USD", None)


def test_why_it_failed_is_told_in_numbers() -> None:
    failed = {**PROGRESS, "CallStatus": "failed", "SipResponseCode": "404"}
    assert read(failed).reason == "SIP 404"
    assert read({**failed, "ErrorCode": "32009", "ErrorMessage": "Bob's words"}).reason == "SIP 404, Twilio 32009"
    assert read({**PROGRESS, "CallStatus": "busy"}).reason is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("human", "human"), ("fax", "fax"), ("unknown", "unknown"), ("machine_start", "machine"),
        ("machine_end_beep", "machine"), ("machine_end_silence", "machine"), ("machine_end_other", "machine"),
    ],
)  # fmt: skip
def test_who_answered_is_told_by_asyncamd(theirs: str, ours: str) -> None:
    told = {"CallSid": CALL_SID, "AccountSid": SID, "AnsweredBy": theirs, "MachineDetectionDuration": "3950"}
    assert read(told) == Update(CALL_SID, CALL, answered_by=ours)  # type: ignore[arg-type]


def test_a_recording_is_told_when_it_is_whole() -> None:
    where = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Recordings/RE{'1' * 32}"
    told = {
        "AccountSid": SID, "CallSid": CALL_SID, "RecordingSid": "RE" + "1" * 32, "RecordingUrl": where,
        "RecordingStatus": "completed", "RecordingDuration": "40", "RecordingChannels": "2", "ErrorCode": "0",
        "RecordingStartTime": "Mon, 02 Mar 2026 09:30:05 +0000", "RecordingSource": "OutboundAPI",
    }  # fmt: skip
    assert read(told) == Update(CALL_SID, CALL, recording_url=where)
    assert read({**told, "RecordingStatus": "absent"}).recording_url is None
    for odd in ("javascript:alert(1)", "https://x/\x00", "https://x/" + "x" * 3000):
        assert read({**told, "RecordingUrl": odd}).recording_url is None


def test_a_call_that_comes_in_is_told_with_its_numbers() -> None:
    told = {**PROGRESS, "Direction": "inbound", "CallStatus": "ringing", "From": ANN, "To": SYDNEY}
    for name in ("Timestamp", "SequenceNumber", "CallbackSource"):
        del told[name]
    assert read(told, f"{CALLBACKS}/voice") == Update(
        CALL_SID, None, "ringing", direction="inbound", from_number=ANN, to_number=SYDNEY
    )
    withheld = ("", "+266696687", "+7378742833", "+86282452253", "Anonymous", "anonymous", "client:ann", "sip:a@b")
    for number in withheld:
        assert read({**told, "From": number}, f"{CALLBACKS}/voice").from_number is None


def test_that_the_agent_answered_is_told_of_the_callers_call() -> None:
    child = {
        **PROGRESS, "CallSid": "CA" + "1" * 32, "ParentCallSid": CALL_SID, "Direction": "outbound-dial",
        "To": "client:ann", "From": ANN, "SequenceNumber": "0",
    }  # fmt: skip
    at = datetime(2026, 3, 2, 9, 30, 5, tzinfo=UTC)
    assert read(child, CALLBACKS) == Update(CALL_SID, status="in_progress", at=at)
    assert read({**child, "CallStatus": "busy"}, CALLBACKS) == Update(CALL_SID, at=at), "the call may go on"


def test_the_zone_of_a_moment_counts() -> None:
    assert read({**PROGRESS, "Timestamp": "Mon, 02 Mar 2026 20:30:05 +1100"}).at == read(PROGRESS).at


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CallSid", ""), ("CallSid", "CA1"), ("CallStatus", "melting"), ("Timestamp", "yesterday"),
        ("Timestamp", "Mon, 99 Mar 2026 09:30:05 +0000"), ("SequenceNumber", "-1"), ("SequenceNumber", "1" * 30),
        ("SequenceNumber", "٣"), ("CallDuration", "1.5"), ("Direction", "sideways"), ("AnsweredBy", "dog"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(CallbackMalformed) as refused:
        read({**PROGRESS, name: value})
    assert [fault.parameter for fault in refused.value.faults] == [name]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "much", "1" * 20])
def test_a_price_that_cannot_be_is_named(value: str) -> None:
    with pytest.raises(CallbackMalformed):
        read({**PROGRESS, "Price": value, "PriceUnit": "USD"})


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(CallbackMalformed) as refused:
        read(
            {**PROGRESS, "CallSid": "x", "CallStatus": "x", "Price": "1", "PriceUnit": "dollars"}, f"{CALLBACKS}?call=x"
        )
    assert {fault.parameter for fault in refused.value.faults} == {"call", "CallSid", "CallStatus", "PriceUnit"}


# Signatures.


def good() -> Callback:
    return signed(URL, list(PROGRESS.items()))


def why(callback: Callback, of: Any = None) -> str:
    with pytest.raises(CallbackRefused) as refused:
        twilio_.read(of or account(), callback)
    assert str(refused.value) == CallbackRefused.title(), "which of them it is, is not told"
    return refused.value.why


def test_what_is_not_signed_is_refused() -> None:
    callback = good()
    headers = {name: value for name, value in callback.headers.items() if name != "x-twilio-signature"}
    assert why(replace(callback, headers=headers)) == "missing_signature"
    assert why(replace(callback, headers={**headers, "x-twilio-signature": ""})) == "missing_signature"
    assert (
        why(replace(callback, headers={**headers, "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="})) == "signature"
    )
    assert why(replace(callback, url=callback.url + "&x=1")) == "signature"
    assert why(replace(callback, url=callback.url.replace("https", "http"))) == "signature"
    assert why(replace(callback, body=callback.body + b"&x=1")) == "signature"
    assert why(replace(callback, body=b"\xff" + callback.body)) == "signature"
    assert why(replace(callback, body=b"From=%ff")) == "signature"
    assert why(replace(callback, body=b"&".join([b"a=1"] * 300))) == "signature"
    assert why(callback, replace(account(), secret=TOKEN[::-1])) == "signature"


@given(st.data())
def test_any_changed_byte_of_the_body_is_seen(data: st.DataObject) -> None:
    callback = good()
    place = data.draw(st.integers(0, len(callback.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != callback.body[place]))
    changed = callback.body[:place] + bytes([byte]) + callback.body[place + 1 :]
    # %2B and %2b are the same letter.
    if changed.lower() != callback.body.lower():
        assert why(replace(callback, body=changed)) == "signature"


def test_another_account_with_the_same_token_is_refused() -> None:
    other = {**PROGRESS, "AccountSid": "AC" + "9" * 32}
    assert why(signed(URL, list(other.items()))) == "account"
    del other["AccountSid"]
    assert why(signed(URL, list(other.items()))) == "account"


def test_a_body_of_json_is_read_by_its_hash() -> None:
    body = f'{{"AccountSid": "{SID}", "CallSid": "{CALL_SID}", "CallStatus": "busy", "SequenceNumber": 3}}'.encode()

    def callback(body: bytes, said: str) -> Callback:
        url = f"{CALLBACKS}?bodySHA256={said}"
        signature = RequestValidator(TOKEN).compute_signature(url, {})
        return Callback("POST", url, {"content-type": "application/json", "x-twilio-signature": signature}, body)

    (update,) = twilio_.read(account(), callback(body, sha256(body).hexdigest()))
    assert (update.status, update.sequence) == ("busy", 3)
    assert why(callback(body + b" ", sha256(body).hexdigest())) == "signature"
    for odd in (b"[", b"[]", b"\xff"):
        with pytest.raises(CallbackMalformed):
            twilio_.read(account(), callback(odd, sha256(odd).hexdigest()))


async def test_what_the_stand_in_tells_of_a_call_it_placed_is_read(twilio: Twilio, standin: StandIn) -> None:
    placed = await twilio.place(account(), order())
    (update,) = twilio.read(account(), standin.callback(placed.provider_call_id, "ringing", 1))
    assert (update.call_id, update.provider_call_id, update.status) == (CALL, placed.provider_call_id, "ringing")
