"""What an account with Twilio can be told: where its API is reached, and how agents are connected."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from bellbird.core.errors import Fault, InvalidInput

_ACCOUNT: Final = re.compile(r"AC[0-9a-f]{32}")
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{32}")

# Part of a host's name, so nothing else can be.
_PLACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")

# Who is dialled when somebody is there to talk to: {agent} is the user's id, without hyphens.
CLIENT: Final = "client:{agent}"
_CONNECT: Final = re.compile(r"client:[A-Za-z0-9_{}]{1,120}|sips?:[^\s<>]{1,250}|\+[1-9][0-9]{6,14}")

MAX_URL: Final = 500


def check(identifier: str, secret: str, options: Mapping[str, Any]) -> None:
    """Refuse an account that cannot be Twilio's. Raises InvalidInput with every fault."""
    faults = []
    if not _ACCOUNT.fullmatch(identifier):
        message = "must be an AccountSid: AC and 32 digits or letters from a to f"
        faults.append(Fault("invalid_value", message, pointer="/identifier"))
    if not _TOKEN.fullmatch(secret):
        message = "must be the account's auth token: 32 letters and digits"
        faults.append(Fault("invalid_value", message, pointer="/secret"))
    for name, value in options.items():
        at = f"/options/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in _CHECKS:
            message = f"there is no such option; there are {', '.join(_CHECKS)}"
            faults.append(Fault("unknown_field", message, pointer=at))
        elif not isinstance(value, str) or not _CHECKS[name](value):
            faults.append(Fault("invalid_value", f"must be {_EXPECTED[name]}", pointer=at))
    if faults:
        raise InvalidInput(faults=faults)


def _is_place(value: str) -> bool:
    return _PLACE.fullmatch(value) is not None


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and len(value) <= MAX_URL and value.isascii()
    except ValueError:
        return False


def _is_connect(value: str) -> bool:
    without = value.replace("{agent}", "")
    return _CONNECT.fullmatch(value) is not None and "{" not in without and "}" not in without


_CHECKS: Final = {"edge": _is_place, "region": _is_place, "answer_url": _is_url, "connect": _is_connect}
_EXPECTED: Final = {
    "edge": "one of Twilio's edge locations, such as sydney",
    "region": "one of Twilio's regions, such as au1",
    "answer_url": f"an address of at most {MAX_URL} characters that answers with TwiML",
    "connect": "client:{agent}, a SIP address such as sip:{agent}@pbx.acme.example, or a number such as +61293744000",
}


def host(options: Mapping[str, Any]) -> str:
    """Where the API is, by edge and region.

    Source: https://www.twilio.com/docs/global-infrastructure/edge-locations.
    """
    edge, region = options.get("edge"), options.get("region")
    if edge and not region:
        region = "us1"
    return ".".join(part for part in ("api", edge, region, "twilio.com") if part)
