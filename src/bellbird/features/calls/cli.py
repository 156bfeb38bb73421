"""Place calls, watch them, and look at those there were."""

import click

from bellbird.features.calls import history_cli, placing_cli, simulating_cli


@click.group()
def command() -> None:
    """Place calls, watch them, and look at those there were.

    \b
    Example: bellbird calls place "0412 345 678" --tenant acme
    """


for subcommand in (*placing_cli.COMMANDS, *history_cli.COMMANDS, *simulating_cli.COMMANDS):
    command.add_command(subcommand)
