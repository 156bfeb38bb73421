"""Check a deployment, and say what to do about what is wrong."""

import asyncio

import click

from bellbird.app import Bellbird
from bellbird.core.doctor import Check, examine, examine_redis
from bellbird.core.settings import Settings, SettingsInvalid, load
from bellbird.entrypoints import cli, tables

# What each process may open besides its pool: the operator's connections, and one for notifications.
BESIDES_POOL = 3


@click.command()
@cli.as_json
def command(as_json: bool) -> None:
    """Check a deployment: settings, database, roles, migrations, clock, partitions, queue, workers, pooler, Redis.

    Changes nothing. The exit code is 1 if anything failed.

    \b
    Example: bellbird doctor
    """
    checks = _checks()
    if as_json:
        tables.json({"data": checks})
    else:
        marks = {"ok": "ok", "warning": "WARNING", "failed": "FAILED"}
        titles = ("Check", "State", "Finding", "What to do")
        tables.rows(titles, [(each.name, marks[each.state], each.finding, each.advice) for each in checks])
    failed = sum(each.state == "failed" for each in checks)
    if failed:
        cli.note(f"{failed} of {len(checks)} checks failed.")
        raise click.exceptions.Exit(1)


def _checks() -> list[Check]:
    try:
        settings = load()
    except SettingsInvalid as error:
        return [
            Check("settings", "failed", mistake, "Correct it; `bellbird settings --help`.")
            for mistake in error.mistakes
        ]
    bellbird = Bellbird(settings)
    try:
        return [Check("settings", "ok", "all can be used"), *_of_redis(settings), *_of_database(bellbird, settings)]
    finally:
        asyncio.run(bellbird.close())


def _of_redis(settings: Settings) -> list[Check]:
    return [] if settings.redis_url is None else [examine_redis(settings.redis_url.get_secret_value())]


def _of_database(bellbird: Bellbird, settings: Settings) -> list[Check]:
    return list(
        examine(
            bellbird.conninfo(),
            embedded=settings.database_url is None,
            connections=settings.workers * (settings.pool_size + BESIDES_POOL),
            prepared_statements=settings.prepared_statements,
            direct=settings.direct_database_url.get_secret_value() if settings.direct_database_url else None,
        )
    )
