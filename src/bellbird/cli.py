"""The `bellbird` command: the operator's commands, and those that the features bring."""

from collections.abc import Mapping
from typing import Any, Final

import click

from bellbird.entrypoints import cli
from bellbird.features import FEATURES

# In the order in which somebody new needs them.
OPERATOR: Final = ("demo", "serve", "worker", "jobs", "consumers", "token", "migrate", "settings", "doctor")

# Features whose command has another name.
CALLED: Final = {"dialling": "dial"}


def modules() -> Mapping[str, str]:
    """Where each command is; a feature has one if its folder has a `cli.py`."""
    own = {name: f"bellbird.commands.{name}" for name in OPERATOR}
    features = {
        CALLED.get(name, name.replace("_", "-")): f"bellbird.features.{name}.cli"
        for name in FEATURES
        if (cli.PACKAGE / "features" / name / "cli.py").is_file()
    }
    return own | features


@click.group(
    cls=cli.Group,
    modules=modules(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`bellbird COMMAND --help` tells more. Settings are BELLBIRD_* variables: `bellbird settings`.",
)
@click.version_option(package_name="bellbird-crm")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def bellbird(context: click.Context, debug: bool) -> None:
    """Contacts and calls for many tenants, on PostgreSQL.

    \b
    Example: bellbird tenants create acme
             bellbird contacts import leads.csv --tenant acme
             bellbird serve
    """
    context.obj = context.obj or _open


def _open() -> Any:
    from bellbird.app import Bellbird

    return Bellbird()


def main() -> None:
    """Run a command line."""
    bellbird(prog_name="bellbird")
