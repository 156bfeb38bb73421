"""The pytest plugin: `bellbird_simulator`, telephony that a test directs. It is found by its entry point.

Nothing is imported before a test asks for it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bellbird.testing import BellbirdSimulator


@pytest.fixture
def bellbird_simulator() -> "Iterator[BellbirdSimulator]":
    """A `bellbird.testing.BellbirdSimulator`: attach it to your Bellbird, connect an account, let calls happen."""
    from bellbird.testing import BellbirdSimulator

    simulator = BellbirdSimulator()
    yield simulator
    simulator.detach()
