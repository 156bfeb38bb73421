"""The engine and its transactions: the only place that begins and commits.

A `Tx` queues statements and sends them when somebody needs an answer:
opening, tenant and first question go out together, and the last writes go out with the COMMIT.
So a read costs one round trip and a write two.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self
from uuid import UUID

import psycopg

from bellbird.core import events, ids, jobs, proofs, tenants
from bellbird.core.actors import Actor
from bellbird.core.clock import Clock, SystemClock
from bellbird.core.connection import Connection, Parameter, Pending, Row
from bellbird.core.errors import NotSignedIn, TenantSuspended, Unavailable
from bellbird.core.events import Event
from bellbird.core.pool import STALE_PLAN, Pool, translate
from bellbird.core.telephony import Providers, Surroundings
from bellbird.core.tenants import Snapshot, Tenant
from bellbird.core.vault import Vault
from bellbird.core.wakeups import Wakeups

if TYPE_CHECKING:
    from bellbird.core.hooks import Given, Hooks
    from bellbird.core.tracing import Tracing

APP_ROLE: Final = "bellbird_app"
SYSTEM_ROLE: Final = "bellbird_system"


class Engine:
    """Connections to one database, and the transactions on them.

    `conninfo` may log in as anyone who may become the two roles; logging in as `bellbird_app` itself saves
    a statement in each transaction. Nothing is set for a session, so PgBouncer in transaction mode is fine
    (with `prepared_statements=False` where it is older than 1.21). `direct_conninfo` goes past such a pooler: LISTEN
    and locks that outlast a transaction need a connection of their own.
    `secret` signs what is written to the event log, and encrypts what the database is not to give away; without one,
    `bellbird audit verify` calls the log unsigned, and there is no `vault` for the secrets of call accounts.
    `public_url` is where call providers reach this deployment.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        system_conninfo: str | None = None,
        direct_conninfo: str | None = None,
        secret: str | None = None,
        clock: Clock | None = None,
        pool_size: int = 10,
        pool_timeout: float = 3.0,
        prepared_statements: bool = True,
        tracing: "Tracing | None" = None,
        hooks: "Hooks | None" = None,
        public_url: str = "http://127.0.0.1:8000",
    ) -> None:
        self.hooks = hooks
        self.public_url = public_url
        self.clock: Clock = clock or SystemClock()
        self.snapshots = tenants.Snapshots(self.clock)
        kind = (pool_timeout, prepared_statements, tracing)
        self._app = Pool(conninfo, APP_ROLE, pool_size, *kind)
        self._system = Pool(system_conninfo or conninfo, SYSTEM_ROLE, 2, *kind)
        self._direct_conninfo = direct_conninfo or system_conninfo or conninfo
        self.log_key = None if secret is None else proofs.key(secret)
        self.vault = None if secret is None else Vault(secret, "call-accounts")
        self.providers = Providers(Surroundings(self.clock))
        self.wakeups = Wakeups(self.connect)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; transactions still open are rolled back by the server."""
        await self.providers.close()
        await self.wakeups.close()
        await self._app.close()
        await self._system.close()

    async def connect(self, role: str | None = None) -> psycopg.AsyncConnection[Row]:
        """A connection outside the pools, which commits each statement by itself: for LISTEN, NOTIFY and locks that are
        held for longer than a transaction. Raises psycopg.Error.
        """
        connection = await psycopg.AsyncConnection[Row].connect(
            self._direct_conninfo,
            autocommit=True,
            connect_timeout=5,
            application_name="bellbird direct",
            prepare_threshold=None,
        )
        if role is not None:
            try:
                await connection.execute(f"set role {role}".encode())
            except BaseException:  # being cancelled included
                await connection.close()
                raise
        return connection

    @property
    def direct_conninfo(self) -> str:
        """How to reach the database past any transaction pooler, to become the system role."""
        return self._direct_conninfo

    def pools(self) -> Mapping[str, Mapping[str, int]]:
        """How the connections stand, by pool, in psycopg_pool's words."""
        return {"app": self._app.stats(), "system": self._system.stats()}

    def tenant(self, tenant_id: UUID, actor: Actor, *, request_id: str | None = None) -> "Tx":
        """A transaction of one tenant, for `async with`: committed when the block ends well, else rolled back.

        Raises Unavailable when the database cannot be reached or the commit fails.
        """
        return Tx(self, tenant_id, actor, request_id)

    def reader(self, tenant_id: UUID, actor: Actor, *, request_id: str | None = None) -> "ReadTx":
        """Reads of one tenant: cannot write, costs one round trip a question, survives a lost connection."""
        return ReadTx(self, tenant_id, actor, request_id)

    def system(self, actor: Actor, *, request_id: str | None = None) -> "SystemTx":
        """A transaction across tenants, for core, sign-in, the log's consumers and the operator's commands only."""
        return SystemTx(self, actor, request_id)

    async def revision(self) -> str | None:
        """The revision the database is at, None when Bellbird was never set up in it; for health checks.

        Raises Unavailable.
        """
        asked = _literal("select version_num from alembic_version")
        connection = await self._app.take()
        try:
            await connection.exchange([_literal("begin"), *map(_literal, self._app.become), asked, _literal("commit")])
        except psycopg.errors.UndefinedTable:
            await connection.exchange([_literal("rollback")])
        except psycopg.Error as error:
            raise translate(error) from error
        finally:
            await self._app.give_back(connection)
        return str(asked.rows[0][0]) if asked.rows else None


class _Base:
    """What every kind of transaction has: somebody acting, a queue of statements, ways to ask."""

    def __init__(self, engine: Engine, actor: Actor, request_id: str | None) -> None:
        self.engine = engine
        self.actor = actor
        self.request_id = request_id
        self._queue: list[Pending] = []

    @property
    def clock(self) -> Clock:
        return self.engine.clock

    def now(self) -> datetime:
        """The present, to the millisecond, as ids have it: a row's own moment and its id's are then the same."""
        moment = self.clock.now()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def require(self, permission: str) -> None:
        """Raises Forbidden unless the actor has the permission."""
        self.actor.require(permission)

    def queue(self, sql: str, *params: Parameter, prepared: bool = True) -> Pending:
        """Have a statement sent with the next exchange, without waiting for it.

        `prepared` saves parsing it again, and sooner or later gives it one plan for all parameters.
        """
        pending = Pending(sql, params, prepared=prepared)
        self._queue.append(pending)
        return pending

    async def all(self, sql: str, *params: Parameter) -> list[Row]:
        """Every row of a statement."""
        pending = self.queue(sql, *params)
        await self.flush()
        return pending.rows

    async def one(self, sql: str, *params: Parameter) -> Row | None:
        """The first row of a statement, or None."""
        rows = await self.all(sql, *params)
        return rows[0] if rows else None

    async def run(self, sql: str, *params: Parameter) -> int:
        """Run a statement now; returns how many rows it wrote."""
        pending = self.queue(sql, *params)
        await self.flush()
        return pending.affected

    async def flush(self) -> None:
        """Send what is queued and wait until it is done."""
        raise NotImplementedError


class _Open(_Base):
    """A transaction that holds its connection from the first exchange to the commit."""

    _has_news = False
    _pool: Pool
    _connection: Connection | None = None
    _done = False
    _abandoned = False

    def _opening(self) -> list[Pending]:
        return [_literal(statement) for statement in ("begin", *self._pool.become)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.commit()
        finally:
            await self.close()

    async def flush(self) -> None:
        await self._send(self._take_queue())

    async def commit(self) -> None:
        """Send what is left together with the COMMIT. Raises Unavailable when it did not go through."""
        if self._connection is None and not self._queue:
            return
        commit = _literal("commit")
        await self._send([*self._take_queue(), commit])
        self._done = True
        if commit.tag != b"COMMIT":  # PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction
            raise Unavailable("The transaction had failed before it was committed; nothing was changed.")
        if self._has_news:
            self.engine.wakeups.send()

    async def close(self) -> None:
        """Give the connection back, rolling back whatever was not committed."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if not self._done and not connection.closed:
                await connection.exchange([_literal("rollback")])
        except psycopg.Error:
            await connection.close()  # a connection that cannot even roll back is of no use to anybody
        finally:
            await self._pool.give_back(connection)

    async def give_up(self) -> None:
        """Roll back and end it for good, for what was refused has to be recorded, which takes another transaction."""
        self._queue.clear()
        await self.close()
        self._abandoned = True

    async def abandon(self) -> None:
        """End it at once and for good, for somebody still has it who does not let go of it."""
        self._abandoned = True
        if self._connection is not None:
            await self._connection.close()

    def _take_queue(self) -> list[Pending]:
        queue, self._queue = self._queue, []
        return queue

    def _append(self, tenant_id: UUID, event: Event) -> None:
        engine, self._has_news = self.engine, True
        who = (self.actor, self.request_id, engine.clock, engine.log_key)
        self.queue(events.APPEND, *events.row(event, tenant_id, *who))

    async def _send(self, queue: list[Pending]) -> None:
        if self._abandoned:
            raise Unavailable("The transaction is over.")
        if self._connection is None:
            self._connection = await self._pool.take()
            queue = [*self._opening(), *queue]
        if not queue:
            return
        try:
            await self._connection.exchange(queue)
        except psycopg.Error as error:
            raise translate(error) from error


# What is cached of who may do what goes by this number: see core/principals.py.
ACCESS_CHANGED = "update tenants set access_version = access_version + 1 where id = $1"


class Tx(_Open):
    """A transaction of one tenant."""

    _tenant: Tenant | None = None
    _may_write = False
    _access_changed = False

    def __init__(self, engine: Engine, tenant_id: UUID, actor: Actor, request_id: str | None) -> None:
        super().__init__(engine, actor, request_id)
        self.tenant_id = tenant_id
        self.touched: list[UUID] = []
        self._pool = engine._app

    def _opening(self) -> list[Pending]:
        return [*super()._opening(), _set_tenant(self.tenant_id)]

    async def tenant(self) -> Tenant:
        """The tenant as it is in this transaction, asked for together with whatever is queued.

        Raises NotSignedIn when there is no such tenant.
        """
        if self._tenant is None:
            asked_at = self.clock.now().timestamp()
            row = await self.one(tenants.BY_ID, self.tenant_id)
            if row is None:
                raise NotSignedIn(f"The tenant {self.tenant_id} does not exist (any more).")
            self._tenant = self.engine.snapshots.renew(row, asked_at).tenant
        return self._tenant

    async def writable(self, *, even_suspended: bool = False) -> Tenant:
        """The tenant, which may be written to: every write begins here. Raises TenantSuspended, NotSignedIn.

        `even_suspended` is for what reading itself takes, and for taking it away: people sign in to read and out again,
        and a key can be revoked.
        """
        tenant = await self.tenant()
        if tenant.status != "active" and not (even_suspended and tenant.status == "suspended"):
            raise TenantSuspended(f"The tenant {tenant.slug} is {tenant.status}: it can only be read.")
        self._may_write = True
        return tenant

    async def before(self, verb: str, given: "Given") -> "Given":
        """What the hooks before a verb make of what it was given; a verb asks as soon as it knows that it may.

        Raises HookFailed, HookTimedOut, and what a hook raises.
        """
        hooks = self.engine.hooks
        if hooks is None or not hooks.come_before(verb):
            return given
        await self.writable()  # now, because what is locked or written should not wait for somebody's hook
        return await hooks.ask(self, verb, given)

    def access_changed(self) -> None:
        """Once committed, what anybody of the tenant may do is found out anew, everywhere within a second."""
        # The tenant was read before: a number that may still be rolled back must not become known.
        assert self._may_write, "a write begins with tx.writable(), which checks that the tenant may write"
        if not self._access_changed:
            self.queue(ACCESS_CHANGED, self.tenant_id)
            self._access_changed = True

    async def commit(self) -> None:
        await super().commit()
        if self._access_changed:
            self.engine.snapshots.forget(self.tenant_id)

    def emit(self, event: Event) -> None:
        """Append an event to the log, in this transaction."""
        assert self._may_write, "a write begins with tx.writable(), which checks that the tenant may write"
        self.touched.append(event.entity_id)
        self._append(self.tenant_id, event)

    def defer(
        self, task: str, *, queue: str = jobs.QUEUE, lock: str | None = None, queueing_lock: str | None = None,
        at: datetime | None = None, priority: int = 0, **args: jobs.Argument,
    ) -> Pending:  # fmt: skip
        """Have a job done after this transaction, if it commits: at once, or not before `at`.

        Of the tenant's jobs of one `lock` one runs at a time, in order; of those of one `queueing_lock` one waits, and
        deferring another hurries that one if need be. The higher its `priority`, the earlier it is begun.
        The answer's one value is the job's number.
        """
        return self.queue(
            jobs.DEFER_OWN, *jobs.row(self.tenant_id, task, queue, args, priority, lock, queueing_lock, at)
        )


class ReadTx(_Base):
    """Reads of one tenant, which goes by the `snapshot` of it: True for the engine's last, None for a new one.

    Each exchange is a transaction of its own (at READ COMMITTED each statement sees its own moment anyway),
    so no connection is held between questions, the COMMIT travels with the question,
    and a question whose connection was lost is simply asked again, once.
    """

    def __init__(
        self,
        engine: Engine,
        tenant_id: UUID,
        actor: Actor,
        request_id: str | None,
        snapshot: Snapshot | Literal[True] | None = True,
    ) -> None:
        super().__init__(engine, actor, request_id)
        self.tenant_id = tenant_id
        self._snapshot = engine.snapshots.get(tenant_id) if snapshot is True else snapshot

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing to end: no connection is held."""

    async def snapshot(self) -> Snapshot:
        """The tenant as it was read last, at most a second ago."""
        if self._snapshot is None:
            await self.flush()
        assert self._snapshot is not None
        return self._snapshot

    async def tenant(self) -> Tenant:
        """The tenant, at most a second old."""
        return (await self.snapshot()).tenant

    async def flush(self) -> None:
        pool, questions = self.engine._app, self._queue
        self._queue = []
        who = None if self._snapshot else Pending(tenants.BY_ID, (self.tenant_id,))
        asked_at = self.clock.now().timestamp() if who else 0.0
        queue = [
            _literal("begin read only"),
            *map(_literal, pool.become),
            _set_tenant(self.tenant_id),
            *([who] if who else []),
            *questions,
            _literal("commit"),
        ]
        await self._ask(pool, queue)
        if who is not None:
            if not who.rows:
                raise NotSignedIn(f"The tenant {self.tenant_id} does not exist (any more).")
            self._snapshot = self.engine.snapshots.renew(who.rows[0], asked_at)

    async def _ask(self, pool: Pool, queue: Sequence[Pending]) -> None:
        for last_try in (False, True):
            connection = await pool.take()
            try:
                return await connection.exchange(queue)
            except psycopg.Error as error:
                if last_try or not (connection.closed or error.sqlstate == STALE_PLAN):
                    raise translate(error) from error
            finally:
                await pool.give_back(connection)


class SystemTx(_Open):
    """A transaction across tenants, as the second role."""

    def __init__(self, engine: Engine, actor: Actor, request_id: str | None = None) -> None:
        super().__init__(engine, actor, request_id)
        self._pool = engine._system
        self._changed: set[UUID] = set()

    def emit(self, tenant_id: UUID, event: Event) -> None:
        """Append an event to a tenant's log, in this transaction."""
        self._append(tenant_id, event)

    def defer(
        self, tenant_id: UUID | None, task: str, *, queue: str = jobs.QUEUE, lock: str | None = None,
        queueing_lock: str | None = None, at: datetime | None = None, priority: int = 0, **args: jobs.Argument,
    ) -> Pending:  # fmt: skip
        """Have a tenant's job done, or with None one that is no tenant's: as `Tx.defer`."""
        return self.queue(jobs.DEFER, *jobs.row(tenant_id, task, queue, args, priority, lock, queueing_lock, at))

    def access_changed(self, tenant_id: UUID) -> None:
        """Once committed, what anybody of the tenant may do is found out anew, everywhere within a second."""
        self.queue(ACCESS_CHANGED, tenant_id)
        self._changed.add(tenant_id)

    async def commit(self) -> None:
        await super().commit()
        for tenant_id in self._changed:
            self.engine.snapshots.forget(tenant_id)

    def new_id(self) -> UUID:
        """An id for a row made now."""
        return ids.uuid7(self.clock.now())


def _literal(sql: str) -> Pending:
    """A statement of the transaction's own, not worth preparing."""
    return Pending(sql, (), prepared=False)


def _set_tenant(tenant_id: UUID) -> Pending:
    # SET takes no parameters; a UUID's own text needs no quoting. Local, so that it ends with the transaction.
    return _literal(f"set local app.tenant_id = '{tenant_id}'")
