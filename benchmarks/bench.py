"""The bench that all measurements are made on: the server over its database, with CPU time read around a load."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import load, server
from benchmarks.cpu import Meter
from benchmarks.load import Load
from benchmarks.seed import Dataset
from benchmarks.server import Server
from benchmarks.workloads import Request

WARM_UP_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """A load, and the CPU seconds that the server's processes and PostgreSQL's have spent on it."""

    load: Load
    app_seconds: float
    db_seconds: float

    @property
    def app_us(self) -> float:
        """Microseconds per request."""
        return self.app_seconds * 1e6 / self.load.requests

    @property
    def db_us(self) -> float:
        """Microseconds per request."""
        return self.db_seconds * 1e6 / self.load.requests


@dataclass(frozen=True, slots=True)
class Bench:
    """The dataset, the server over it, and for how long each thing is measured."""

    data: Dataset
    server: Server
    seconds: float

    def load(self, requests: Sequence[Request], seconds: float | None = None) -> Load:
        """Send the requests again and again."""
        tokens = server.tokens({request.tenant for request in requests})
        return load.run(self.server.port, requests, tokens, seconds or self.seconds)

    def warm_up(self, requests: Sequence[Request]) -> None:
        """Have connections opened, statements prepared and caches filled; left out of a trial as brief as itself."""
        if self.seconds > WARM_UP_SECONDS:
            self.load(requests, WARM_UP_SECONDS)

    def measure(self, requests: Sequence[Request], seconds: float | None = None) -> Measured:
        """Send the requests, and read what it took."""
        with Meter(self.server.process.pid, self.data.postmaster) as meter:
            seen = self.load(requests, seconds)
        return Measured(seen, *meter.seconds)
