"""What somebody gives of a call account, made what is kept, every fault told at once."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from bellbird.core import phones, text
from bellbird.core.errors import Fault
from bellbird.core.tenants import TenantSettings
from bellbird.features.call_accounts.models import Line

MAX_NAME: Final = 100
MAX_IDENTIFIER: Final = 100
MAX_SECRET: Final = 500
MAX_NUMBERS: Final = 1000

# In bytes, as JSON.
MAX_OPTIONS: Final = 4000


def line(given: str, at: str, most: int, faults: list[Fault]) -> str:
    """A line of text that has something to be read."""
    try:
        cleaned = text.clean(given, max_length=most)
    except text.InvalidText as error:
        faults.append(Fault(error.code, str(error), pointer=at))
        return ""
    if not cleaned:
        faults.append(Fault("invalid_value", "must have something to be read", pointer=at))
    return cleaned


def secret(given: str, faults: list[Fault]) -> str:
    """A secret as it was copied: what stands around it is taken away. No message has any of it."""
    cleaned = given.strip()
    if not cleaned or len(cleaned) > MAX_SECRET or not cleaned.isprintable():
        message = f"must be 1 to {MAX_SECRET} characters that can be seen"
        faults.append(Fault("invalid_value", message, pointer="/secret"))
    return cleaned


def options(given: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """Options of a size that can be kept; what they mean is the provider's to say."""
    if len(json.dumps(given).encode()) > MAX_OPTIONS:
        faults.append(Fault("invalid_value", f"must be less than {MAX_OPTIONS:,} bytes of JSON", pointer="/options"))
    return dict(given)


def numbers(
    given: Sequence[Line], settings: TenantSettings, users: Collection[UUID], faults: list[Fault]
) -> tuple[Line, ...]:
    """The lines with their numbers as E.164, each once, for `users` that there are."""
    if len(given) > MAX_NUMBERS:
        message = f"must be at most {MAX_NUMBERS:,} numbers, not {len(given):,}"
        faults.append(Fault("too_many", message, pointer="/numbers"))
        return ()
    cleaned: dict[str, Line] = {}
    for place, each in enumerate(given):
        at = f"/numbers/{place}"
        try:
            # One's own number may be of any country: which ones may be called is another matter.
            number = phones.parse(each.number, default_region=settings.default_region, allowed_regions=None).number
        except phones.InvalidPhone as error:
            faults.append(Fault(error.code, error.message, pointer=f"{at}/number"))
            continue
        if number in cleaned:
            faults.append(Fault("invalid_value", f"{number} is there twice", pointer=f"{at}/number"))
        if each.agent_id is not None and each.agent_id not in users:
            faults.append(Fault("invalid_value", f"there is no user {each.agent_id}", pointer=f"{at}/agent_id"))
        label = None if not each.label else line(each.label, f"{at}/label", MAX_NAME, faults)
        cleaned[number] = replace(each, number=number, label=label)
    return tuple(cleaned.values())
