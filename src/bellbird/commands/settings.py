"""List the settings: their values, where these come from and what they are for."""

import click

from bellbird.core import settings
from bellbird.entrypoints import cli, tables


@click.command()
@cli.as_json
def command(as_json: bool) -> None:
    """List the settings: their values, where these come from and what they are for.

    Settings are environment variables or lines of a file `.env` in the current folder. Secrets are not shown.

    \b
    Example: BELLBIRD_PORT=8001 bellbird settings
    """
    described = settings.described(settings.load())
    if as_json:
        tables.json(described)
    else:
        tables.rows(
            ("Name", "Value", "Source", "What it is for"),
            [(each.name, each.value, each.source, each.description) for each in described],
        )
