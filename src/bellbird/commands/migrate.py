"""Bring the database to the state that this version of Bellbird needs."""

import click

from bellbird.app import Bellbird
from bellbird.core import migrate
from bellbird.entrypoints import cli


@click.command()
@cli.asynchronous
async def command() -> None:
    """Bring the database to the state that this version of Bellbird needs.

    Safe to run twice and from several machines at once. Does nothing to a database that is up to date,
    except that the event log gets its partitions for the months ahead. The embedded database needs no migrating.

    \b
    Example: bellbird migrate
    """
    bellbird = Bellbird()
    try:
        owner = bellbird.conninfo()
        before = migrate.current(owner)
        migrate.upgrade(owner)
    finally:
        await bellbird.close()
    after = migrate.latest()
    cli.note(
        f"The database is at revision {after}"
        + (", as it was." if before == after else f" (was: {before or 'empty'}).")
    )
