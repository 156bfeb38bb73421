"""Start, watch, pause, cancel and undo long work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any, Final
from uuid import UUID

import click
import msgspec

from bellbird.core import paging
from bellbird.core.engine import Tx
from bellbird.core.errors import InvalidInput
from bellbird.entrypoints import cli, tables
from bellbird.features.operations import actions, queries, running
from bellbird.features.operations.kinds import KINDS
from bellbird.features.operations.models import STATES, NewOperation, Operation
from bellbird.features.tenants import choice

LOOK_EVERY: Final = 0.5

id_ = click.argument("id", type=click.UUID)


@click.group()
def command() -> None:
    """Start, watch, pause, cancel and undo long work.

    \b
    Example: bellbird operations start contacts.purge_deleted
    """


@command.command()
@click.argument("kind")
@click.argument("params", metavar="KEY=VALUE...", nargs=-1)
@choice.option
@click.option("--here", is_flag=True, help="Do it in this process, rather than wait for a worker.")
@cli.as_json
@cli.asynchronous
async def start(kind: str, params: Sequence[str], tenant: str | None, here: bool, as_json: bool) -> None:
    """Start an operation of a kind; a worker does it (`bellbird worker`).

    \b
    Example: bellbird operations start contacts.assign from=null to=0192f0c0-0000-7000-8000-00000000a117
    """
    async with cli.bellbird() as bellbird:
        chosen = await choice.tenant(bellbird, tenant)
        async with bellbird.engine.tenant(chosen.id, choice.OPERATOR) as tx:
            operation = await actions.start(tx, NewOperation(kind=kind, params=_read(params)))
        if here:
            await running.run(bellbird.engine, chosen.id, operation.id)
            async with bellbird.engine.reader(chosen.id, choice.OPERATOR) as read:
                operation = await queries.get(read, operation.id)
    if as_json:
        tables.json(operation)
    else:
        click.echo(operation.id)
        cli.note(_sentence(operation))
    _fail_if_failed(operation)


def _read(params: Sequence[str]) -> dict[str, Any]:
    """Parameters as they are typed: what is JSON is taken as that, everything else as text."""
    given: dict[str, Any] = {}
    for param in params:
        name, equals, text = param.partition("=")
        if not equals:
            raise InvalidInput.at(param[:60], "must be given as key=value")
        try:
            given[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            given[name] = text
    return given


@command.command(name="list")
@choice.option
@click.option("--kind", metavar="KIND", help="Only operations of this kind.")
@click.option("--state", type=click.Choice(STATES), help="Only operations in this state.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, as_json: bool, **options: Any) -> None:
    """List operations, newest first.

    \b
    Example: bellbird operations list --state running
    """
    async with choice.reading(tenant) as read:
        page = await queries.page(read, **options)
    if as_json:
        tables.json(page)
        return
    if not page.data:
        cli.note(f"There is no operation here. Kinds are {', '.join(sorted(KINDS))}.")
        return
    titles = ("Kind", "State", "Done", "Errors", "Started by", "At", "Id")
    tables.rows(titles, [_row(each) for each in page.data])
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(operation: Operation) -> tuple[Any, ...]:
    return (
        operation.kind, operation.state, _progress(operation), operation.error_count or None, operation.created_by,
        operation.created_at, operation.id,
    )  # fmt: skip


def _progress(operation: Operation) -> str:
    return f"{operation.done:,}" + (f" of {operation.total:,}" if operation.total is not None else "")


@command.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def show(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Show all of an operation.

    \b
    Example: bellbird operations show 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.reading(tenant) as read:
        operation = await queries.get(read, id)
    if as_json:
        tables.json(operation)
        return
    tables.facts((each.name, getattr(operation, each.name)) for each in fields(operation) if each.name != "errors")
    for error in operation.errors or ():
        click.echo(f"{error.id}  {error.code}: {error.detail}")


@command.command()
@id_
@choice.option
@cli.asynchronous
async def watch(id: UUID, tenant: str | None) -> None:
    """Watch an operation until it is finished or paused; the exit code is 1 if it failed.

    \b
    Example: bellbird operations watch 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    said = ""
    async with choice.reading(tenant) as read:
        while True:
            operation = await queries.get(read, id)
            if (sentence := _sentence(operation)) != said:
                cli.note(said := sentence)
            if operation.state == "paused" or running.finished(operation):
                break
            await asyncio.sleep(LOOK_EVERY)
    _fail_if_failed(operation)


def _sentence(operation: Operation) -> str:
    wanted = f", to be {operation.wanted}{'d' if operation.wanted == 'pause' else 'ed'}" if operation.wanted else ""
    errors = f", {operation.error_count:,} of them in vain" if operation.error_count else ""
    reason = f" {operation.reason}" if operation.reason else ""
    return f"{operation.kind} is {operation.state}{wanted}: {_progress(operation)} done{errors}.{reason}"


def _fail_if_failed(operation: Operation) -> None:
    if operation.state == "failed":
        raise click.exceptions.Exit(1)


async def _ask(
    verb: Callable[[Tx, UUID], Awaitable[Operation]], id: UUID, tenant: str | None, as_json: bool
) -> None:  # fmt: skip
    async with choice.writing(tenant) as tx:
        operation = await verb(tx, id)
    if as_json:
        tables.json(operation)
    else:
        cli.note(_sentence(operation))


@command.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def cancel(id: UUID, tenant: str | None, as_json: bool) -> None:
    """End an operation where it is, after its present batch. What it has done stays done.

    \b
    Example: bellbird operations cancel 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    await _ask(actions.cancel, id, tenant, as_json)


@command.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def pause(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Have an operation wait, after its present batch, until it is resumed.

    \b
    Example: bellbird operations pause 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    await _ask(actions.pause, id, tenant, as_json)


@command.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def resume(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Let an operation go on where it was paused, or where it failed.

    \b
    Example: bellbird operations resume 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    await _ask(actions.resume, id, tenant, as_json)


@command.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def undo(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Start an operation that takes back what this one did, as far as nothing else has happened to it since.

    \b
    Example: bellbird operations undo 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.writing(tenant) as tx:
        operation = await actions.undo(tx, id)
    if as_json:
        tables.json(operation)
    else:
        click.echo(operation.id)
        cli.note(_sentence(operation))
