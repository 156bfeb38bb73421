"""Whether a request costs the same in a large tenant: the database's time and plan, beside those in an ordinary one."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import RawCursor

from bellbird.core.engine import APP_ROLE
from benchmarks import recording, workloads
from benchmarks.bench import Bench
from benchmarks.recording import Recording, Statement
from benchmarks.seed import Dataset
from benchmarks.workloads import Workload

# The workloads that may not cost more the more contacts there are.
WATCHED: Final = ("first_page", "lookup")

# Taken in turns, so that what else goes on in the machine meets both tenants.
ROUNDS: Final = 3
SAMPLES: Final = 50
REQUESTS: Final = 20


@dataclass(frozen=True, slots=True)
class Scaling:
    """One workload in the ordinary and in the large tenant: the database's CPU per request, and execution alone.

    The CPU is read with the server under load: planning, and whether PostgreSQL plans at all, is then as in life.
    """

    cpu_us: float
    large_cpu_us: float
    execution_us: float
    large_execution_us: float
    plans: tuple[str, str]

    def figures(self) -> dict[str, float]:
        """The figures as they are kept."""
        return {
            "db_cpu_us": round(self.cpu_us, 1),
            "large_db_cpu_us": round(self.large_cpu_us, 1),
            "cpu_ratio": round(self.large_cpu_us / self.cpu_us, 3),
            "execution_us": round(self.execution_us, 1),
            "large_execution_us": round(self.large_execution_us, 1),
            "execution_ratio": round(self.large_execution_us / self.execution_us, 3),
        }


def measure(bench: Bench, name: str) -> Scaling:
    """Compare one workload; each tenant is measured as long as the bench says."""
    both = [_workload(bench.data, name, tenant) for tenant in (bench.data.tenants[0], bench.data.large)]
    cpu = _cpu_per_request(bench, both)
    conninfo = bench.data.conninfo(APP_ROLE)
    recorded = [asyncio.run(recording.record(conninfo, kind.requests[:REQUESTS])) for kind in both]
    with psycopg.connect(conninfo) as connection:
        times = [[_execution(connection, each[at % len(each)]) for each in recorded] for at in range(SAMPLES)]
        plans = [_plan(connection, each[0]) for each in recorded]
    ordinary, large = (statistics.median(column) for column in zip(*times, strict=True))
    return Scaling(cpu[0], cpu[1], ordinary, large, (plans[0], plans[1]))


def _workload(data: Dataset, name: str, tenant: UUID) -> Workload:
    (workload,) = workloads.build(data.conninfo(), [tenant], only=[name])
    return workload


def _cpu_per_request(bench: Bench, both: Sequence[Workload]) -> list[float]:
    """Microseconds of all PostgreSQL processes, in each tenant."""
    used, done = [0.0, 0.0], [0, 0]
    rounds = ROUNDS if bench.seconds >= ROUNDS else 1
    for _ in range(rounds):
        for at, workload in enumerate(both):
            measured = bench.measure(workload.requests, bench.seconds / rounds)
            used[at] += measured.db_seconds
            done[at] += measured.load.requests
    return [seconds * 1e6 / count for seconds, count in zip(used, done, strict=True)]


def _execution(connection: psycopg.Connection[Any], request: Recording) -> float:
    """Microseconds that the request's query takes to execute."""
    ((plans,),) = _explain(connection, request, "explain (analyze, timing off, format json)")
    return float(plans[0]["Execution Time"]) * 1000


def _plan(connection: psycopg.Connection[Any], request: Recording) -> str:
    lines = _explain(connection, request, "explain (analyze, buffers off, costs off, timing off, summary off)")
    return "\n".join(line for (line,) in lines)


def _explain(connection: psycopg.Connection[Any], request: Recording, explain: str) -> list[Any]:
    """Explain a read's own query, in a transaction of its tenant."""
    statements = [statement for exchange in request.exchanges for statement in exchange]
    cursor = RawCursor(connection)
    for statement in statements:
        if statement.sql.startswith("set local"):
            cursor.execute(statement.sql)
    (query,) = filter(_asks_for_contacts, statements)
    found = cursor.execute(f"{explain} {query.sql}", query.params).fetchall()
    connection.rollback()
    return found


def _asks_for_contacts(statement: Statement) -> bool:
    return "from tenant_contacts" in statement.sql
