"""The examination of a deployment: is its database what Bellbird's promises rest on?

Each check asks the catalogue itself, so that what was changed by hand is found too.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import psycopg

from bellbird.core import migrate
from bellbird.core.breaker import TIMEOUT
from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE
from bellbird.core.queue import STANDING

OLDEST: Final = 15
EXTENSIONS: Final = ("pg_trgm", "btree_gin")
MONTHS_WANTED: Final = 3

# Ids and tokens carry the application's time, events and `updated_at` are compared across machines.
CLOCK_WARNING: Final = timedelta(seconds=1)
CLOCK_FAILURE: Final = timedelta(seconds=30)

State = Literal["ok", "warning", "failed"]
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do about it."""

    name: str
    state: State
    finding: str
    advice: str = ""


def examine(
    conninfo: str, *, embedded: bool, connections: int, prepared_statements: bool, direct: str | None = None
) -> Iterator[Check]:
    """Every check, in an order in which the first failure explains those behind it.

    `connections` is how many the deployment's processes may open together; `direct` leads past a pooler, if there is
    one.
    """
    try:
        connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        said = " ".join(str(error).split())
        yield Check("database", "failed", f"cannot be reached: {said}", "Start it, or correct BELLBIRD_DATABASE_URL.")
        return
    with connection:
        yield Check("database", "ok", "embedded" if embedded else f"{connection.info.host}, {connection.info.dbname}")
        yield _version(connection)
        yield _clock(connection)
        yield _extensions(connection)
        revision = _migrations(connection, embedded)
        yield revision
        roles = list(_roles(connection, embedded))
        yield from roles
        if revision.state == "ok":
            yield _walls(connection)
            yield _partitions(connection)
            if all(each.state != "failed" for each in roles):
                yield from _queue(connection)
        yield _limit(connection, connections)
        yield _pooler(connection, conninfo, prepared_statements)
        yield _direct(connection, direct)


def examine_redis(url: str) -> Check:
    """Whether Redis answers, in the time that a request waits for it, and lets itself be written to."""
    import redis

    advice = "Start it, or correct BELLBIRD_REDIS_URL; without the setting each process counts for itself."
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as server:
            server.ping()
            before = time.monotonic()
            server.set("bellbird:doctor", "", px=1)
            took = time.monotonic() - before
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        return Check("redis", "failed", f"cannot be reached: {' '.join(str(error).split())}", advice)
    except (redis.RedisError, ValueError) as error:
        return Check("redis", "failed", f"cannot be used: {' '.join(str(error).split())}", advice)
    said = f"a question takes {took * 1000:.1f} ms"
    if took > TIMEOUT / 10:
        return Check("redis", "warning", said, f"Put it nearer: after {TIMEOUT * 1000:.0f} ms nobody waits for it.")
    return Check("redis", "ok", said)


def _ask(connection: Connection, query: str, *params: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), params or None).fetchall()


def _version(connection: Connection) -> Check:
    number = connection.info.server_version
    said = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number < OLDEST * 10_000:
        return Check("version", "failed", said, f"Bellbird needs PostgreSQL {OLDEST} or newer: upgrade the server.")
    return Check("version", "ok", said)


def _clock(connection: Connection) -> Check:
    before = datetime.now(UTC)
    ((theirs,),) = _ask(connection, "select clock_timestamp()")
    # It was read somewhere between the two, so the middle is wrong by half the round trip at most.
    taken = datetime.now(UTC) - before
    apart = abs(before + taken / 2 - theirs) - taken / 2
    said = f"{max(apart.total_seconds(), 0):.1f} seconds apart from the database's"
    if apart > CLOCK_WARNING:
        state: State = "failed" if apart > CLOCK_FAILURE else "warning"
        return Check("clock", state, said, "Run a time service (chrony, systemd-timesyncd) on both machines.")
    return Check("clock", "ok", "agrees with the database's")


def _extensions(connection: Connection) -> Check:
    found = dict(_ask(connection, "select name, installed_version is not null from pg_available_extensions"))
    for name in EXTENSIONS:
        if name not in found:
            advice = "Install PostgreSQL's contrib package on the server, then run `bellbird migrate`."
            return Check("extensions", "failed", f"the server does not have {name}", advice)
    missing = ", ".join(name for name in EXTENSIONS if not found[name])
    if missing:
        return Check("extensions", "failed", f"not in this database: {missing}", "Run `bellbird migrate`.")
    return Check("extensions", "ok", ", ".join(EXTENSIONS))


def _migrations(connection: Connection, embedded: bool) -> Check:
    wanted = migrate.latest()
    found = None
    if _ask(connection, "select to_regclass('alembic_version')") != [(None,)]:
        found = next((row[0] for row in _ask(connection, "select version_num from alembic_version")), None)
    if found == wanted:
        return Check("migrations", "ok", f"at {found}")
    if found is not None and found > wanted:
        advice = f"This Bellbird is older than the database: install the version that made revision {found}."
        return Check("migrations", "failed", f"at {found}, this version knows {wanted}", advice)
    advice = "`bellbird serve` does it by itself." if embedded else "Run `bellbird migrate`."
    return Check("migrations", "failed", f"at {found or 'nothing'}, needed is {wanted}", advice)


ROLES: Final = """
select rolname, rolsuper, rolbypassrls, pg_has_role(current_user, oid, 'member')
from pg_roles
where rolname in (%s, %s)
"""


def _roles(connection: Connection, embedded: bool) -> Iterator[Check]:
    found = {row[0]: row[1:] for row in _ask(connection, ROLES, APP_ROLE, SYSTEM_ROLE)}
    for role in (APP_ROLE, SYSTEM_ROLE):
        superuser, bypasses, reachable = found.get(role, (None, None, None))
        if role not in found:
            yield Check(
                f"role {role}", "failed", "does not exist", "Run `bellbird migrate` as a login that may create roles."
            )
        elif superuser or bypasses:
            said = f"is {'superuser' if superuser else 'BYPASSRLS'}: it sees every tenant's rows"
            yield Check(f"role {role}", "failed", said, f"Run: alter role {role} nosuperuser nobypassrls")
        elif not reachable:
            login = connection.info.user
            yield Check(f"role {role}", "failed", f"{login} may not become it", f"Run: grant {role} to {login}")
        else:
            yield Check(f"role {role}", "ok", "neither superuser nor BYPASSRLS, and can be become")
    if not embedded and _ask(connection, "select 1 from pg_roles where rolname = current_user and rolsuper"):
        yield Check(
            "login", "warning", f"{connection.info.user} is superuser, which Bellbird does not need to serve",
            f"Give BELLBIRD_DATABASE_URL a login of its own, with: grant {APP_ROLE}, {SYSTEM_ROLE} to it.",
        )  # fmt: skip


# Every table with a tenant_id, partitions included, and the tenants themselves.
WALLS: Final = """
select c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity,
  exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'own_tenant')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace and n.nspname not in ('pg_catalog', 'information_schema')
where c.relkind in ('r', 'p')
  and (c.relname = 'tenants'
    or exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped))
order by 1
"""


def _walls(connection: Connection) -> Check:
    tables = _ask(connection, WALLS)
    open_ones = [table for table, enabled, forced, policy in tables if not (enabled and forced and policy)]
    if open_ones:
        advice = f"For each, run: alter table {open_ones[0]} enable row level security, force row level security; "
        advice += "and create the policy own_tenant as the other tables have it."
        return Check(
            "row-level security", "failed", f"not on, not forced, or without policy: {', '.join(open_ones)}", advice
        )
    return Check("row-level security", "ok", f"on and forced on all {len(tables)} tables and partitions")


def _partitions(connection: Connection) -> Check:
    month = datetime.now(UTC).replace(day=1)
    ahead = 0
    names = "select count(to_regclass(name || '_default_' || %s)) from unnest(%s::text[]) name"
    while _ask(connection, names, f"{month:%Y_%m}", list(migrate.BY_MONTH)) == [(len(migrate.BY_MONTH),)]:
        ahead += 1
        month = (month + timedelta(days=32)).replace(day=1)
    said = f"of the event log and of calls are there for {ahead} month{'' if ahead == 1 else 's'} from now"
    if ahead < MONTHS_WANTED:
        return Check("partitions", "warning" if ahead else "failed", said, "Run `bellbird migrate`, once a month.")
    return Check("partitions", "ok", said)


LIMIT: Final = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


def _limit(connection: Connection, wanted: int) -> Check:
    ((limit,),) = _ask(connection, LIMIT)
    if wanted > limit:
        return Check(
            "connections", "warning", f"this deployment may open {wanted}, the server allows {limit}",
            "Lower BELLBIRD_POOL_SIZE or BELLBIRD_WORKERS, raise max_connections, or put PgBouncer in between.",
        )  # fmt: skip
    return Check("connections", "ok", f"at most {wanted} from here, {limit} allowed")


def _pooler(connection: Connection, conninfo: str, prepared_statements: bool) -> Check:
    """A pooler makes up the process number that it tells its clients, so it gives itself away."""
    ((theirs,),) = _ask(connection, "select pg_backend_pid()")
    if theirs == connection.info.backend_pid:
        return Check("pooler", "ok", "none, the database is reached directly")
    if not prepared_statements or _keeps_prepared(
        lambda: psycopg.connect(conninfo, autocommit=True, connect_timeout=5)
    ):
        return Check("pooler", "ok", "there is one, and the settings suit it")
    return Check(
        "pooler", "failed", "there is one that loses prepared statements",
        "Set BELLBIRD_PREPARED_STATEMENTS=false, or max_prepared_statements in PgBouncer 1.21 or newer.",
    )  # fmt: skip


# The same server, for it began at the same moment, and the same database of it.
SAME: Final = "pg_postmaster_start_time(), (select oid from pg_database where datname = current_database())"


def _direct(connection: Connection, direct: str | None) -> Check:
    """LISTEN, and the locks of workers, need connections that are theirs alone."""
    name = "direct connection"
    if direct is None:
        ((theirs,),) = _ask(connection, "select pg_backend_pid()")
        if theirs == connection.info.backend_pid:
            return Check(name, "ok", "every connection is one")
        advice = "Set BELLBIRD_DIRECT_DATABASE_URL to the same database, past the pooler."
        return Check(name, "failed", "there is a pooler, and no way past it", advice)
    try:
        with psycopg.connect(direct, autocommit=True, connect_timeout=5) as other:
            ((theirs, *there),) = _ask(other, f"select pg_backend_pid(), {SAME}")
            own = other.info.backend_pid
    except psycopg.OperationalError as error:
        said = " ".join(str(error).split())
        return Check(name, "failed", f"cannot be opened: {said}", "Correct BELLBIRD_DIRECT_DATABASE_URL.")
    if theirs != own:
        advice = "Point BELLBIRD_DIRECT_DATABASE_URL at PostgreSQL itself."
        return Check(name, "failed", "it leads through a pooler too", advice)
    if [tuple(there)] != _ask(connection, f"select {SAME}"):
        advice = "Point BELLBIRD_DIRECT_DATABASE_URL at the database that BELLBIRD_DATABASE_URL leads to."
        return Check(name, "failed", "it leads to another database", advice)
    return Check(name, "ok", "there is one, past any pooler")


# A job that could begin and has waited for this long says that there are too few workers.
LATE: Final = timedelta(minutes=5)


def _queue(connection: Connection) -> Iterator[Check]:
    with connection.transaction():
        connection.execute(f"set local role {SYSTEM_ROLE}".encode())
        ((ready, oldest, later, doing, failed, workers),) = _ask(connection, STANDING)
    if workers:
        yield Check("worker", "ok", f"{workers} at work")
    else:
        advice = "Run `bellbird worker`, or `bellbird serve --with-worker`."
        yield Check("worker", "warning", "none is at work: jobs and hooks wait", advice)
    waits = timedelta(seconds=round(float(oldest or 0)))
    said = f"{ready} waiting, {later} for later, {doing} being done, {failed} failed"
    if ready and waits > LATE:
        advice = "Run more workers, or raise their --concurrency; `bellbird jobs list --status doing` shows what runs."
        yield Check("queue", "warning", f"{said}; the first waits for {waits}", advice)
    elif failed:
        advice = "Look why: `bellbird jobs list --status failed`; then `bellbird jobs retry ID`."
        yield Check("queue", "warning", said, advice)
    else:
        yield Check("queue", "ok", said)


def _keeps_prepared(connect: Callable[[], Connection]) -> bool:
    """Whether a statement can be prepared on one server connection and run on another."""
    with connect() as first, connect() as second:
        first.pgconn.prepare(b"bellbird_doctor", b"select 1")
        # The second client takes the server that the first one has just given back.
        with second.transaction():
            second.execute("select 1")
            result = first.pgconn.exec_prepared(b"bellbird_doctor", None)
        return result.status == psycopg.pq.ExecStatus.TUPLES_OK
