"""What a team is called, and when two names are the same."""

import unicodedata
from typing import Final

from bellbird.core import text
from bellbird.core.errors import Fault, InvalidInput

MAX_NAME: Final = 100


def clean(name: str) -> str:
    """A name as it is kept. Raises InvalidInput."""
    try:
        cleaned = text.clean(name, max_length=MAX_NAME)
    except text.InvalidText as error:
        raise InvalidInput(faults=[Fault(error.code, str(error), pointer="/name")]) from None
    if not cleaned:
        raise InvalidInput(faults=[Fault("invalid_value", "must have something to be read", pointer="/name")])
    return cleaned


def key(name: str) -> str:
    """Two names with the same key are one: only their case differs. Raises InvalidInput."""
    return unicodedata.normalize("NFC", clean(name).casefold())
