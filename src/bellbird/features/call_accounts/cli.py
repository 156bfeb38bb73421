"""Connect, list, change and disconnect a tenant's accounts with call providers."""

import sys
from collections.abc import Sequence
from typing import Any, TextIO
from uuid import UUID

import click
import msgspec
from msgspec import UNSET

from bellbird.core import paging
from bellbird.core.engine import ReadTx, Tx
from bellbird.entrypoints import cli, tables
from bellbird.features.call_accounts import actions, queries
from bellbird.features.call_accounts.models import (
    STATUSES,
    CallAccount,
    CallAccountNotFound,
    CallAccountPatch,
    Line,
    NewCallAccount,
)
from bellbird.features.tenants import choice


@click.group()
def command() -> None:
    """Connect, list, change and disconnect a tenant's accounts with call providers.

    An account is named by its name, or by its id. Secrets are asked for, or read from a file: never given as an option.

    \b
    Example: bellbird call-accounts connect twilio AC0123... --number "02 9374 4000=Front desk" --secret-file token.txt
    """


secret_file = click.option(
    "--secret-file", type=click.File(), metavar="FILE", help="Read the secret from this file, or - for stdin."
)
options_ = click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="The provider's. Repeatable.")
whichever = click.argument("account", metavar="NAME|ID")


def _line(text: str) -> Line:
    number, _, label = text.partition("=")
    return Line(number, label or None)


def _options(given: Sequence[str]) -> dict[str, Any]:
    """Options as NAME=VALUE, the value as JSON or as text."""
    read: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.BadParameter(f"must be NAME=VALUE, not {each!r}", param_hint="--option")
        try:
            read[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            read[name] = value
    return read


def _secret(file: TextIO | None) -> str:
    """A secret from where nobody sees it: neither the list of processes nor the shell's history has it."""
    if file is not None:
        return file.read(10_000).strip()
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask for the secret: give --secret-file FILE, or - for stdin.")
    return str(click.prompt("Secret", hide_input=True, err=True))


@command.command()
@click.argument("provider")
@click.argument("identifier")
@choice.option
@click.option("--name", help="What it is called; default: the provider's and the identifier.")
@click.option(
    "--number",
    "numbers",
    multiple=True,
    metavar="NUMBER[=LABEL]",
    help="One to call from and be called at. Repeatable.",
)
@options_
@secret_file
@cli.as_json
@cli.asynchronous
async def connect(
    provider: str, identifier: str, tenant: str | None, name: str | None, numbers: Sequence[str],
    options: Sequence[str], secret_file: TextIO | None, as_json: bool,
) -> None:  # fmt: skip
    """Connect an account with a call provider. Its id goes to stdout; its secret is kept encrypted.

    \b
    Example: bellbird call-accounts connect mock demo --number "02 9374 4000=Front desk" --secret-file secret.txt
             bellbird call-accounts connect twilio AC0123... --number +61293744000 --option edge=sydney
    """
    new = NewCallAccount(
        provider=provider, identifier=identifier, secret=_secret(secret_file), name=name,
        numbers=tuple(map(_line, numbers)), options=_options(options),
    )  # fmt: skip
    async with choice.writing(tenant) as tx:
        account = await actions.connect(tx, new)
    if as_json:
        tables.json(account)
        return
    cli.note(f"{account.name} is connected. Have the provider ask here about calls that come in: {account.voice_url}")
    click.echo(account.id)


@command.command(name="list")
@choice.option
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, as_json: bool) -> None:
    """List the accounts with their numbers, oldest first: that is the one that calls are placed with.

    \b
    Example: bellbird call-accounts list
    """
    async with choice.reading(tenant) as read:
        accounts = await _all(read)
    if as_json:
        tables.json({"data": accounts})
    elif not accounts:
        cli.note("There is no call account yet: `bellbird call-accounts connect PROVIDER IDENTIFIER`.")
    else:
        tables.rows(("Name", "Provider", "Identifier", "Numbers", "Status", "Id"), map(_row, accounts))


async def _all(tx: Tx | ReadTx) -> list[CallAccount]:
    page = await queries.page(tx, limit=paging.MAX_LIMIT)
    accounts = [*page.data]
    while page.next_cursor:
        page = await queries.page(tx, limit=paging.MAX_LIMIT, cursor=page.next_cursor)
        accounts += page.data
    return accounts


def _row(account: CallAccount) -> tuple[Any, ...]:
    numbers = [line.number for line in account.numbers]
    return account.name, account.provider, account.identifier, numbers, account.status, account.id


async def _meant(tx: Tx | ReadTx, text: str) -> CallAccount:
    """The account of this name or id. Raises CallAccountNotFound, naming those that there are."""
    try:
        return await queries.get(tx, UUID(text))
    except ValueError:
        accounts = await _all(tx)
    found = [each for each in accounts if each.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise CallAccountNotFound(f"{len(found)} accounts are called {text}: give the id of one.")
    there = ", ".join(each.name for each in accounts[:20]) or "none yet"
    raise CallAccountNotFound(f"There is no call account {text}; there are: {there}.")


@command.command()
@whichever
@choice.option
@cli.as_json
@cli.asynchronous
async def show(account: str, tenant: str | None, as_json: bool) -> None:
    """Show an account, its numbers, and the addresses to be set with its provider; not its secret.

    \b
    Example: bellbird call-accounts show Main
    """
    async with choice.reading(tenant) as read:
        found = await _meant(read, account)
    if as_json:
        tables.json(found)
        return
    tables.facts([
        ("Name", found.name), ("Provider", found.provider), ("Identifier", found.identifier),
        *(("Number", f"{line.number} {line.label or ''} {line.agent_id or ''}".strip()) for line in found.numbers),
        ("Options", found.options), ("Status", found.status), ("Callbacks", found.callback_url),
        ("Calls coming in", found.voice_url), ("Connected", found.created_at), ("Id", found.id),
    ])  # fmt: skip


@command.command(name="set")
@whichever
@choice.option
@click.option("--name", help="What it is called.")
@click.option("--status", type=click.Choice(STATUSES), help="paused: no call is placed with it.")
@click.option("--add", "added", multiple=True, metavar="NUMBER[=LABEL]", help="Another number. Repeatable.")
@click.option("--remove", "removed", multiple=True, metavar="NUMBER", help="Not its number any more. Repeatable.")
@options_
@click.option("--new-secret", is_flag=True, help="Ask for another secret.")
@secret_file
@cli.as_json
@cli.asynchronous
async def set_(
    account: str, tenant: str | None, name: str | None, status: Any, added: Sequence[str], removed: Sequence[str],
    options: Sequence[str], new_secret: bool, secret_file: TextIO | None, as_json: bool,
) -> None:  # fmt: skip
    """Change an account: its name, its numbers, its secret, whether calls are placed with it.

    An option of the provider that is given as null is taken away.

    \b
    Example: bellbird call-accounts set Main --status paused
             bellbird call-accounts set Main --add "08 9224 0000=Perth" --remove +61293744000
             bellbird call-accounts set Main --secret-file token.txt
    """
    secret = _secret(secret_file) if new_secret or secret_file else UNSET
    async with choice.writing(tenant) as tx:
        before = await _meant(tx, account)
        patch = CallAccountPatch(
            name=name or UNSET,
            status=status or UNSET,
            secret=secret,
            numbers=_numbers(before, added, removed) if added or removed else UNSET,
            options=_merged(before, options) if options else UNSET,
        )
        changed = await actions.change(tx, before.id, patch)
    if as_json:
        tables.json(changed)
    else:
        same = changed.version == before.version
        cli.note(f"{changed.name} is as it was." if same else f"{changed.name} is changed.")


def _numbers(before: CallAccount, added: Sequence[str], removed: Sequence[str]) -> tuple[Line, ...]:
    for number in removed:
        if number not in {line.number for line in before.numbers}:
            there = ", ".join(line.number for line in before.numbers) or "none"
            raise click.BadParameter(f"{number} is none of its numbers, which are {there}", param_hint="--remove")
    return (*(line for line in before.numbers if line.number not in removed), *map(_line, added))


def _merged(before: CallAccount, options: Sequence[str]) -> dict[str, Any]:
    merged = {**before.options, **_options(options)}
    return {name: value for name, value in merged.items() if value is not None}


@command.command()
@whichever
@choice.option
@cli.without_asking
@cli.asynchronous
async def disconnect(account: str, tenant: str | None, yes: bool) -> None:
    """Forget an account and its secret; its calls stay. While one is under way, it cannot be disconnected.

    \b
    Example: bellbird call-accounts disconnect Main
    """
    cli.confirm(f"Disconnect the call account {account}?", yes)
    async with choice.writing(tenant) as tx:
        found = await _meant(tx, account)
        await actions.disconnect(tx, found.id)
    cli.note(f"{found.name} is disconnected.")
