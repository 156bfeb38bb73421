"""What Twilio is to do with a call, in its markup: https://www.twilio.com/docs/voice/twiml."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID
from xml.sax.saxutils import escape, quoteattr

from bellbird.core.telephony import Account
from bellbird.providers.twilio.options import CLIENT

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>'

# Nobody is there: the caller hears that it is busy, and pays nothing.
NOBODY: Final = f'{_HEAD}<Response><Reject reason="busy"/></Response>'


def connect(options: Mapping[str, Any], agent_id: UUID | None, caller_id: str) -> str | None:
    """Have a contact who answers be connected with an agent; None where it is not said with whom."""
    target = _target(options, agent_id)
    return None if target is None else _dial(target, callerId=caller_id)


def receive(account: Account, agent_id: UUID | None) -> str:
    """Have a caller be connected with an agent, ringing until they answer; what they answer is told to us."""
    if url := account.options.get("answer_url"):
        asked = with_query(url, agent=agent_id.hex if agent_id else None)
        return f"{_HEAD}<Response><Redirect>{escape(asked)}</Redirect></Response>"
    target = _target(account.options, agent_id)
    if target is None:
        return NOBODY
    # Without answerOnBridge Twilio answers at once, and a caller who gave up would count as one who was talked with.
    told = {"statusCallback": account.callback_url, "statusCallbackEvent": "answered"} if account.callback_url else {}
    return _dial(target, answerOnBridge="true", told=told)


def _target(options: Mapping[str, Any], agent_id: UUID | None) -> str | None:
    target: str = options.get("connect", CLIENT)
    if "{agent}" not in target:
        return target
    # A client's name has letters, digits and underscores alone.
    return None if agent_id is None else target.replace("{agent}", agent_id.hex)


def _dial(target: str, *, told: Mapping[str, str] | None = None, **attributes: str) -> str:
    kind = "Number" if target.startswith("+") else "Client" if target.startswith("client:") else "Sip"
    text = escape(re.sub("^client:", "", target))
    return (
        f"{_HEAD}<Response><Dial{_written(attributes)}><{kind}{_written(told or {})}>{text}</{kind}></Dial></Response>"
    )


def _written(attributes: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())


def with_query(url: str, **more: str | None) -> str:
    """A URL with these in its query as well."""
    parts = urlsplit(url)
    added = urlencode({name: value for name, value in more.items() if value is not None})
    query = "&".join(filter(None, (parts.query, added)))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
