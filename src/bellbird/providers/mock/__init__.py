"""A telephony simulator: calls that take the course a scenario tells, with every misbehaviour of real providers.

`Simulator` is the provider `mock`: for tests (the pytest plugin has it as a fixture), for trying things out
(`bellbird calls simulate`) and for demonstrations. Nothing is dialled, and its callbacks go the way of real ones:
signed, checked, kept.
"""

from bellbird.providers.mock.playing import SimulatedCall
from bellbird.providers.mock.scenarios import (
    ANSWERED,
    BUSY,
    FAILED,
    NO_ANSWER,
    REFUSED,
    RINGS_FOREVER,
    TALKS_FOREVER,
    UNCLEAR,
    UNCLEAR_BUT_DIALLED,
    VOICEMAIL,
    Arrival,
    Fault,
    Rule,
    Scenario,
    Script,
)
from bellbird.providers.mock.scripts import ScriptInvalid
from bellbird.providers.mock.simulator import Delivery, Simulator

__all__ = [  # noqa: RUF022 - in the order of the alphabet
    "ANSWERED",
    "Arrival",
    "BUSY",
    "Delivery",
    "FAILED",
    "Fault",
    "NO_ANSWER",
    "REFUSED",
    "RINGS_FOREVER",
    "Rule",
    "Scenario",
    "Script",
    "ScriptInvalid",
    "SimulatedCall",
    "Simulator",
    "TALKS_FOREVER",
    "UNCLEAR",
    "UNCLEAR_BUT_DIALLED",
    "VOICEMAIL",
]
