"""A breaker for what Bellbird can do without: nobody waits twice in a row for a server that does not answer."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

log = logging.getLogger("bellbird")

# How long a question may take, connecting included; how long nobody asks after that; how often the log tells of it.
TIMEOUT: Final = 0.25
SECOND_LOOK: Final = 0.01
PAUSE: Final = 1.0
WARN_EVERY: Final = 10.0

Answer = TypeVar("Answer")


class Breaker:
    """Asks a server, and leaves it alone for a second when it did not answer.

    Then one request asks again, and the others do without until it has its answer.
    `failures` counts the questions that were asked and not answered.
    """

    def __init__(self, server: str, meanwhile: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        self._server = server
        self._meanwhile = meanwhile
        self._now = now
        self._ask_at: float | None = None
        self._warn_at = float("-inf")

    async def ask(self, question: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer | None:
        """The answer to a question; None when there is none, in `TIMEOUT` at most."""
        if self._ask_at is not None:
            now = self._now()
            if now < self._ask_at:
                return None
            self._ask_at = now + PAUSE
        asking = asyncio.create_task(question())
        try:
            await asyncio.wait({asking}, timeout=TIMEOUT)
            if not asking.done():
                # A process that was too busy to look has its answer at the next look; so no `asyncio.timeout`.
                await asyncio.wait({asking}, timeout=SECOND_LOOK)
            if not asking.done():
                raise TimeoutError(f"{TIMEOUT} seconds")
            answer = asking.result()
        except Exception as error:  # noqa: BLE001 - whatever it is, no request fails for want of this server
            self._failed(error)
            return None
        finally:
            if not asking.done():
                asking.cancel()
                asking.add_done_callback(_forget)
        if self._ask_at is not None:
            self._ask_at = None
            self._warn_at = float("-inf")
            log.warning("%s answers again", self._server)
        return answer

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        now = self._now()
        self._ask_at = now + PAUSE
        if now >= self._warn_at:
            self._warn_at = now + WARN_EVERY
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            log.warning(
                "%s does not answer (%s): %s, and it is asked once a second", self._server, why, self._meanwhile
            )


def _forget(asking: asyncio.Task[Any]) -> None:
    """Whatever a question came to that was given up, nobody wants to know."""
    if not asking.cancelled():
        asking.exception()
