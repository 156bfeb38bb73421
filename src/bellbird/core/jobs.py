"""The queue as those see it who put work there and those who do it; Procrastinate carries it (ADR 15).

A job is deferred inside a transaction, `tx.defer("operations.run", operation_id=id)`, and is there if that commits.
What does it is a task: a function in a feature's `jobs.py`, which only workers import (entrypoints/worker.py):

    @jobs.task("operations.run", retries=10)
    async def run(context: JobContext, operation_id: UUID) -> None: ...

    @jobs.periodic("*/5 * * * *", "log.seal")
    async def seal(context: JobContext) -> None: ...

A job that was begun is done at least once: one whose worker is killed is begun again, so it has to bear that.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints
from uuid import UUID

import msgspec

from bellbird.core.clock import Clock
from bellbird.core.connection import Parameter

if TYPE_CHECKING:
    from bellbird.core.engine import Engine
    from bellbird.core.settings import Settings

QUEUE: Final = "default"
RETRIES: Final = 5

# Seconds before the first further try; each next one waits three times as long, up to an hour, give or take a quarter.
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 3600.0

Argument = str | int | float | bool | None | UUID | datetime | list[Any] | Mapping[str, Any]
Schedule = str | Callable[["Settings"], str]
Run = Callable[..., Awaitable[None]]
Function = TypeVar("Function", bound=Run)


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a task has at hand, and which job it does.

    `tries` counts from 1. `tenant_id` is None for work that is no tenant's, such as the periodic sweeps.
    """

    engine: "Engine"
    settings: "Settings"
    id: int
    task: str
    tries: int = 1
    tenant_id: UUID | None = None

    @property
    def clock(self) -> Clock:
        return self.engine.clock


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of work: what does it, and how often it is tried again after it failed."""

    name: str
    run: Run
    retries: int
    queue: str
    first_pause: float

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the job was deferred with, in the types that the function names. Raises msgspec.ValidationError."""
        types = get_type_hints(self.run)
        wanted = inspect.signature(self.run).parameters
        return {
            name: msgspec.convert(value, types.get(name, Any), strict=False)
            for name, value in given.items()
            if name != "tenant_id" or name in wanted
        }


@dataclass(frozen=True, slots=True)
class Periodic:
    """When a task is deferred by itself."""

    task: str
    schedule: Schedule

    def cron(self, settings: "Settings") -> str:
        return self.schedule(settings) if callable(self.schedule) else self.schedule


# Filled by the features' jobs.py as workers import them.
TASKS: Final[dict[str, Task]] = {}
PERIODIC: Final[dict[str, Periodic]] = {}


def task(
    name: str, *, retries: int = RETRIES, queue: str = QUEUE, first_pause: float = FIRST_PAUSE
) -> Callable[[Function], Function]:
    """Make a function the one that does the jobs of this name.

    It is given a JobContext, and by name what the job was deferred with, converted to the types it names.
    An exception fails the try; after `retries` further ones the job has failed and stays so until somebody asks
    for it again: `bellbird jobs retry ID`. `queue` is where its periodic jobs go; others go where they are deferred to.
    """

    def register(function: Function) -> Function:
        known = TASKS.get(name)
        # The same module may be loaded twice, by a test or a reload; two functions of one name are a mistake.
        assert known is None or known.run.__qualname__ == function.__qualname__, f"there are two tasks named {name}"
        TASKS[name] = Task(name, function, retries, queue, first_pause)
        return function

    return register


def periodic(
    schedule: Schedule, name: str, *, retries: int = RETRIES, queue: str = QUEUE
) -> Callable[[Function], Function]:
    """Make a function the task of this name, and have it deferred by this schedule, in cron's notation and in UTC.

    A schedule that a setting decides is a function of the settings. However many workers there are, each time comes
    once; one that no worker was there for is made up for by the next worker, within a day; and of one task no two jobs
    run at the same time.
    """

    def register(function: Function) -> Function:
        PERIODIC[name] = Periodic(name, schedule)
        return task(name, retries=retries, queue=queue)(function)

    return register


def pause(tries: int, chance: float, first: float = FIRST_PAUSE) -> timedelta:
    """How long to wait after the try of this number; `chance`, from 0 to 1, spreads jobs that failed together."""
    seconds = min(first * 3.0 ** min(tries - 1, 20), LONGEST_PAUSE)
    return timedelta(seconds=seconds * (0.75 + 0.5 * chance))


# As a tenant's own transaction may, and as the system role does.
DEFER_OWN = "select defer_job($1, $2, $3, $4, $5, $6, $7, $8)"
DEFER = "select procrastinate.defer_job($1, $2, $3, $4, $5, $6, $7, $8)"


def row(
    tenant_id: UUID | None, task: str, queue: str, args: Mapping[str, Argument], priority: int, lock: str | None,
    queueing_lock: str | None, at: datetime | None,
) -> tuple[Parameter, ...]:  # fmt: skip
    """A job as the parameters of DEFER."""
    assert "tenant_id" not in args, "a job belongs to the tenant of its transaction"
    return tenant_id, task, queue, msgspec.json.encode(args), priority, lock, queueing_lock, at
