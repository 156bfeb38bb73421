"""Connections lent out and taken back, and PostgreSQL's errors in the engine's own words."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bellbird.core.connection import ADAPTERS, Connection
from bellbird.core.errors import Unavailable, for_constraint

if TYPE_CHECKING:
    from bellbird.core.tracing import Tracing


class Pool:
    """psycopg's pool, opened on first use, for one role."""

    def __init__(
        self, conninfo: str, role: str, size: int, timeout: float, prepared: bool, tracing: "Tracing | None" = None
    ) -> None:
        login = psycopg.conninfo.conninfo_to_dict(conninfo).get("user")
        # SET LOCAL, not SET: behind a transaction pooler a session's role would be another client's too.
        self.become = [] if login == role else [f"set local role {role}"]
        self._prepared = prepared
        self._tracing = tracing
        self._asking = 0
        self._returning: set[asyncio.Future[None]] = set()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            connection_class=Connection,
            kwargs={"autocommit": True, "context": ADAPTERS, "connect_timeout": 5, "application_name": "bellbird"},
            configure=self._configure,
            min_size=0,
            max_size=size,
            timeout=timeout,
            max_idle=300,
            # Give up soon: every request asks anew, so a database that is back is found at once.
            reconnect_timeout=0.5,
            open=False,
        )

    async def _configure(self, connection: Connection) -> None:
        connection.use_prepared = self._prepared
        connection.tracing = self._tracing

    async def take(self) -> Connection:
        if self._pool.closed:
            await self._pool.open()
        self._asking += 1
        try:
            connection = await self._pool.getconn()
            while connection.is_lost():  # the server was restarted while it lay idle
                await self.give_back(connection)
                connection = await self._pool.getconn()
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise Unavailable() from error
        finally:
            self._asking -= 1
        return connection

    async def give_back(self, connection: Connection) -> None:
        """Take a connection back, whatever happens to whoever had it."""
        if not self._asking and not self._returning:
            return await self._pool.putconn(connection)  # which then does it without letting go of the loop
        # Handing it to somebody who waits takes several turns of the loop. A request that was cancelled in one of them
        # would take the connection with it for good, so somebody else sees to that.
        task = asyncio.ensure_future(self._pool.putconn(connection))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        await asyncio.shield(task)

    def stats(self) -> Mapping[str, int]:
        """How it stands, in psycopg_pool's words."""
        return self._pool.get_stats()

    async def close(self) -> None:
        await self._pool.close()


# A prepared statement's table was altered by a migration; the connection has forgotten it (see Connection.exchange).
STALE_PLAN: Final = "0A000"

# What means "not now" rather than "not so": the server is gone, starting, full, read-only, or gave way to another.
_PASSING: Final = (
    psycopg.errors.OperationalError,
    psycopg.errors.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.FeatureNotSupported,
)

_LOST_STATEMENT: Final = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)


def translate(error: psycopg.Error) -> Exception:
    """PostgreSQL's error as one of the engine's own, or itself when it is a fault of ours."""
    known = for_constraint(error.diag.constraint_name)
    if known is not None:
        return known
    if isinstance(error, _LOST_STATEMENT):
        return Unavailable(
            "The database is behind a pooler that does not keep prepared statements: "
            "set BELLBIRD_PREPARED_STATEMENTS=false."
        )
    if isinstance(error, _PASSING):
        return Unavailable()
    return error
