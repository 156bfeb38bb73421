"""Results on the terminal: tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import click
import msgspec

# Wide enough that nothing is cut where a program or a file takes the output.
UNCUT: Final = 10_000
NARROW: Final = 120


def json(value: Any) -> None:
    """A value as REST answers it, laid out to be read."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def rows(titles: Sequence[str], content: Iterable[Sequence[Any]]) -> None:
    """A table with a line for each item; on a terminal long cells wrap, but ids stay whole, to be copied."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = list(content)
    for index, title in enumerate(titles):
        whole = any(isinstance(line[index], UUID | datetime) for line in lines)
        table.add_column(title, no_wrap=whole, overflow="fold")
    for line in lines:
        table.add_row(*map(shown, line))
    _print(table)


def is_narrow() -> bool:
    """Whether this is a terminal on which a table can have only what matters most."""
    terminal = console()
    return bool(terminal.is_terminal and terminal.width < NARROW)


def facts(content: Iterable[tuple[str, Any]]) -> None:
    """One thing, a line for each of its fields; those that are empty are left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in content:
        if value not in (None, "", (), [], {}):
            table.add_row(name, shown(value))
    _print(table)


def console() -> Any:
    """The terminal; rich minds NO_COLOR by itself."""
    from rich.console import Console

    # What is printed is data: brackets and colons in it mean nothing.
    return Console(file=sys.stdout, markup=False, emoji=False, highlight=False)


def _print(table: Any) -> None:
    terminal = console()
    if terminal.is_terminal:
        terminal.print(table)
        return
    terminal.width = UNCUT
    with terminal.capture() as printed:
        terminal.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def shown(value: Any) -> str:
    """A value as a person reads it; times in the terminal's own zone."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return str(value)
