"""What every command shares: modules imported when they are called, errors as sentences, and how to reach the engine.

A command is a module: `command` is its click command (or group of them), and its docstring's first line its help,
which is read from the file, so that `bellbird --help` imports nothing.
"""

import asyncio
import errno
import functools
import importlib
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from bellbird.core.engine import Engine
    from bellbird.core.settings import Settings
    from bellbird.entrypoints.tokens import Tokens

PACKAGE: Final = Path(__file__).parent.parent
INTERRUPTED: Final = 130

Options = ParamSpec("Options")
Result = TypeVar("Result")


class Opened(Protocol):
    """Bellbird over its database, as a command works with it."""

    settings: "Settings"

    @property
    def engine(self) -> "Engine": ...

    @property
    def tokens(self) -> "Tokens": ...


def bellbird() -> AbstractAsyncContextManager[Opened]:
    """Bellbird, to be opened: `async with cli.bellbird() as bellbird:`."""
    opened: AbstractAsyncContextManager[Opened] = click.get_current_context().find_root().obj()
    return opened


class Group(click.Group):
    """Commands by name, each in a module of its own that is imported when it is called."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.modules = modules

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.modules:
            return None
        command: click.Command = importlib.import_module(self.modules[name]).command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.modules and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command {args[0]!r}; there are {', '.join(self.modules)}.", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(module)) for name, module in self.modules.items()])

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Exception as error:
            if _is_clicks_own(error):
                raise
            if context.params.get("debug"):
                traceback.print_exc()
            raise refusal(error) from error
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def summary(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    with open(path, encoding="utf-8") as file:
        return file.readline().strip().strip('"')


class Refusal(click.ClickException):
    """An error as sentences on stderr: what was wrong, then each fault on a line of its own."""

    def __init__(self, sentence: str, faults: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.faults = faults or {}

    def show(self, file: Any = None) -> None:
        click.echo(f"Error: {self.message}", err=True)
        for where, message in self.faults.items():
            click.echo(f"  {where}: {message}" if where else f"  {message}", err=True)


def refusal(error: Exception) -> Refusal:
    """Any exception as something to tell a person."""
    from psycopg import OperationalError

    from bellbird.core.errors import BellbirdError, InvalidInput
    from bellbird.core.postgres_files import PostgresUnusable
    from bellbird.core.settings import SettingsInvalid

    if isinstance(error, BellbirdError) and error.faults:
        faults: dict[str, str] = {}
        for fault in error.faults:
            at = place(fault.pointer or fault.parameter or "")
            faults[at] = f"{faults[at]}; {fault.message}" if at in faults else fault.message
        return Refusal("This cannot be accepted:" if isinstance(error, InvalidInput) else error.title(), faults)
    if isinstance(error, BellbirdError):
        return Refusal(error.detail)
    if isinstance(error, PostgresUnusable | SettingsInvalid):
        return Refusal(str(error))
    if isinstance(error, OperationalError):
        said = " ".join(str(error).split())
        return Refusal(
            f"The database cannot be reached. Is it running, and BELLBIRD_DATABASE_URL right? It said: {said}"
        )
    if isinstance(error, OSError):
        return Refusal(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    return Refusal(
        f"This went wrong inside Bellbird ({type(error).__name__}: {error}). "
        "Please report it with what `bellbird --debug ...` prints."
    )


def place(pointer: str) -> str:
    """Where a fault is, as people write it: `/phones/0/number` -> `phones.0.number`."""
    return pointer.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")


def _is_clicks_own(error: Exception) -> bool:
    if isinstance(error, click.ClickException | click.Abort | click.exceptions.Exit):
        return True
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def asynchronous(function: Callable[Options, Coroutine[Any, Any, Result]]) -> Callable[Options, Result]:
    """Let click call a coroutine function."""

    @functools.wraps(function)
    def call(*args: Options.args, **options: Options.kwargs) -> Result:
        return asyncio.run(function(*args, **options))

    return call


def moment(text: str) -> datetime:
    """An option's value in ISO 8601; without an offset, in the terminal's own zone."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"must be a moment such as 2026-11-01T10:00:00Z or 2026-11-01, not {text!r}"
        raise click.BadParameter(message) from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
without_asking = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")


def confirm(question: str, yes: bool) -> None:
    """Go on only if whoever sits at the terminal agrees, or has said --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask: add --yes to go ahead.")
    click.confirm(question, abort=True, err=True)


def is_terminal() -> bool:
    """Whether a person sees what goes to stderr."""
    return sys.stderr.isatty()


def note(text: str) -> None:
    """Something for the person at the terminal; stdout is kept for results."""
    click.echo(text, err=True)
