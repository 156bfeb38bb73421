"""Twilio as a call provider: https://www.twilio.com/docs/voice/api/call-resource."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from uuid import UUID

import httpx
import msgspec

from bellbird.core.telephony import (
    Account,
    Callback,
    Order,
    Placed,
    ProviderRefused,
    ProviderUnclear,
    Reply,
    Surroundings,
    Update,
)
from bellbird.providers.twilio import options, reading, twiml

# Seconds. A request that was not sent by then was not; one that was not answered by then may have been obeyed.
CONNECT: Final = 5.0
ANSWER: Final = 15.0
CONNECTIONS: Final = 50

EVENTS: Final = ["initiated", "ringing", "answered", "completed"]
OVER: Final = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})

# "Unable to update record. Call is not in-progress": https://www.twilio.com/docs/api/errors/21220.
NOT_IN_PROGRESS: Final = 21220

_CALL: Final = re.compile(r"CA[0-9a-f]{32}")

# What Twilio's clock leaves out: its moments have whole seconds.
SECOND: Final = timedelta(seconds=1)


class Twilio:
    """Twilio's REST API and callbacks. `base_url` is where the API is, for tests; else each account's options say."""

    name = "twilio"

    def __init__(
        self, surroundings: Surroundings, *, base_url: str | None = None, connect: float = CONNECT,
        answer: float = ANSWER,
    ) -> None:  # fmt: skip
        self._clock = surroundings.clock
        self._base_url = base_url
        self._timeout = httpx.Timeout(answer, connect=connect, pool=connect)
        self._opened: httpx.AsyncClient | None = None

    def check(self, identifier: str, secret: str, options_: Mapping[str, Any]) -> None:
        """Refuse an account that cannot be Twilio's. Raises InvalidInput with every fault."""
        options.check(identifier, secret, options_)

    async def place(self, account: Account, order: Order) -> Placed:
        """Have Twilio call the contact, to be connected with the agent on answering.

        Raises ProviderRefused, also when nobody is named to be connected; ProviderUnclear.
        """
        call = await self._ask(account, "POST", "Calls.json", _form(account, order))
        sid = call.get("sid")
        if not isinstance(sid, str) or not _CALL.fullmatch(sid):
            raise ProviderUnclear("Twilio did not say which call it has placed.")
        return Placed(sid)

    async def find(self, account: Account, order: Order, since: datetime) -> Placed | None:
        """The call to this number from this one that Twilio has made since, the first of them; None if there is none.

        It keeps nothing of ours in a call, but of the calls to one number one is under way at a time. `since` is by our
        clock, and Twilio's own stands in the answer: that it goes differently matters nothing.
        Raises ProviderRefused, ProviderUnclear.
        """
        query = {"To": order.to_number, "From": order.from_number, "PageSize": "20"}
        answer = await self._send(account, "GET", "Calls.json", params=query)
        try:
            slow = parsedate_to_datetime(answer.headers["date"]) - self._clock.now()
            # In whole seconds: a call that was made within the same second has the beginning of it.
            begin = since + slow - SECOND
            calls = [
                (parsedate_to_datetime(call["date_created"]), str(call["sid"]))
                for call in _json(answer)["calls"]
                if call["direction"] == "outbound-api" and _CALL.fullmatch(call["sid"])
            ]
            made = sorted(call for call in calls if call[0] >= begin)
        except (KeyError, TypeError, ValueError):
            raise ProviderUnclear("Twilio's list of calls cannot be read.") from None
        return Placed(made[0][1]) if made else None

    async def hang_up(self, account: Account, provider_call_id: str) -> None:
        """End a call; one that is not answered yet becomes canceled. Raises ProviderRefused, ProviderUnclear."""
        if not _CALL.fullmatch(provider_call_id):  # it becomes part of a path
            raise ProviderRefused("This is no call of Twilio's.", reason="no_such_call")
        path = f"Calls/{provider_call_id}.json"
        # `canceled` ends what rings, and nothing else; `completed` ends anything, but calls what rang completed.
        for status in ("canceled", "completed"):
            try:
                call = await self._ask(account, "POST", path, {"Status": status})
            except ProviderRefused as refused:
                if refused.extra.get("twilio_code") != NOT_IN_PROGRESS:
                    raise
            else:
                if call.get("status") in OVER:
                    return

    def read(self, account: Account, callback: Callback) -> Sequence[Update]:
        """What a callback tells. Raises CallbackRefused, CallbackMalformed."""
        return (reading.read(account, callback),)

    def welcome(self, account: Account, agent_id: UUID | None) -> Reply:
        """Have a caller be connected with this user, or as the account's options say; else they hear a busy tone."""
        return Reply(twiml.receive(account, agent_id).encode(), "text/xml")

    async def close(self) -> None:
        """Let go of connections."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._opened is None:
            limits = httpx.Limits(max_connections=CONNECTIONS)
            self._opened = httpx.AsyncClient(timeout=self._timeout, limits=limits, follow_redirects=False)
        return self._opened

    async def _ask(self, account: Account, method: str, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        return _json(await self._send(account, method, path, data=form))

    async def _send(self, account: Account, method: str, path: str, **what: Any) -> httpx.Response:
        """Twilio's answer, where it is a good one.

        Raises ProviderRefused where nothing can have come of it: it was not sent, or Twilio says that it is at fault
        (4xx). Everything else may have been obeyed: ProviderUnclear.
        """
        base = self._base_url or f"https://{options.host(account.options)}"
        url = f"{base}/2010-04-01/Accounts/{account.identifier}/{path}"
        try:
            answer = await self._client.request(method, url, auth=(account.identifier, account.secret), **what)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ProviderRefused("Twilio cannot be reached.", reason="unreachable") from error
        except httpx.HTTPError as error:
            raise ProviderUnclear(f"Twilio did not answer ({type(error).__name__}).") from error
        if answer.is_success:
            return answer
        if answer.is_client_error and answer.status_code != httpx.codes.REQUEST_TIMEOUT:
            raise _refusal(answer)
        raise ProviderUnclear(f"Twilio answered {answer.status_code}.")


def _form(account: Account, order: Order) -> dict[str, Any]:
    form: dict[str, Any] = {
        "To": order.to_number, "From": order.from_number, "Timeout": str(order.ring_seconds),
        "StatusCallback": order.callback_url, "StatusCallbackMethod": "POST", "StatusCallbackEvent": EVENTS,
    }  # fmt: skip
    answer_url = account.options.get("answer_url")
    connected = twiml.connect(account.options, order.agent_id, order.from_number)
    if answer_url:
        agent = order.agent_id.hex if order.agent_id else None
        form["Url"] = twiml.with_query(answer_url, agent=agent, call=str(order.call_id))
    elif connected:
        form["Twiml"] = connected
    else:
        raise ProviderRefused("Nobody is named to be connected with whoever answers.", reason="no_agent")
    if order.record:
        form |= {
            "Record": "true", "RecordingStatusCallback": order.callback_url,
            "RecordingStatusCallbackEvent": "completed",
        }  # fmt: skip
    if order.detect_machine:
        form |= {"MachineDetection": "Enable", "AsyncAmd": "true", "AsyncAmdStatusCallback": order.callback_url}
    return form


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise ProviderUnclear("Twilio's answer cannot be read.") from None


def _refusal(answer: httpx.Response) -> ProviderRefused:
    """Twilio's own code as the reason: its message may have numbers in it, which are kept nowhere else."""
    try:
        said = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        said = {}
    code = said.get("code") if isinstance(said.get("code"), int) else None
    detail = f"Twilio refuses it: {said.get('message') or answer.status_code}"
    refused = ProviderRefused(detail, reason=f"Twilio {code or answer.status_code}", twilio_code=code)
    after = answer.headers.get("retry-after", "")
    refused.retry_after = int(after) if after.isascii() and after.isdigit() and len(after) < 6 else None
    return refused
