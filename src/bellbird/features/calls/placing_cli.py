"""Place calls, watch them, and end them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, get_args
from uuid import UUID

import click

from bellbird.core.engine import Tx
from bellbird.core.telephony import ENDS
from bellbird.core.tenants import CallPurpose
from bellbird.entrypoints import cli, tables
from bellbird.features.calls import placing, queries
from bellbird.features.calls.models import Call, NewCall
from bellbird.features.tenants import choice

LOOK_EVERY: Final = 0.5

id_ = click.argument("id", type=click.UUID)


@click.command()
@click.argument("whom", metavar="NUMBER|CONTACT_ID")
@click.option("--to", metavar="NUMBER", help="Which of the contact's numbers; default: its primary one.")
@click.option("--from", "from_number", metavar="NUMBER", help="One of the tenant's numbers; default: its first.")
@click.option("--agent", "agent_id", type=click.UUID, help="The user who is to talk.")
@click.option("--purpose", type=click.Choice(get_args(CallPurpose)), help="Why they are called; default: the tenant's.")
@click.option("--wait", is_flag=True, help="Wait for its turn where a limit is reached, rather than be refused.")
@click.option("--wait-seconds", type=click.IntRange(1, 86_400), help="For how long at most; default: the tenant's.")
@click.option("--ring-seconds", type=click.IntRange(5, 300), default=30, show_default=True)
@click.option("--record", is_flag=True, help="Have the call recorded.")
@click.option("--detect-machine", is_flag=True, help="Have it found out whether a machine answers.")
@click.option("--notes", help="What it is about.")
@choice.option
@cli.as_json
@cli.asynchronous
async def place(whom: str, to: str | None, tenant: str | None, as_json: bool, **options: Any) -> None:
    """Have a number or a contact called, if that is permitted now; a worker dials. The call's id goes to stdout.

    \b
    Example: bellbird calls place "0412 345 678" --purpose service
             bellbird calls place 01a203ec-0f91-7207-87a3-ffff9495ecd5 --wait
    """
    new = NewCall(**_target(whom, to), **options)
    async with choice.writing(tenant) as tx:
        call = await placing.place(tx, new)
    _tell(call, as_json)
    if not as_json:
        click.echo(call.id)


def _target(whom: str, to: str | None) -> dict[str, Any]:
    with suppress(ValueError):
        return {"contact_id": UUID(whom), "to": to}
    if to is not None:
        raise click.UsageError("--to says which of a contact's numbers: give the contact's id before it.")
    return {"to": whom}


@click.command()
@id_
@choice.option
@cli.asynchronous
async def watch(id: UUID, tenant: str | None) -> None:
    """Watch a call until it is over; the exit code is 1 unless somebody answered.

    \b
    Example: bellbird calls watch 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    said = ""
    async with choice.reading(tenant) as read:
        while True:
            call = await queries.get(read, id)
            if (sentence := _sentence(call)) != said:
                cli.note(said := sentence)
            if call.status in ENDS:
                break
            await asyncio.sleep(LOOK_EVERY)
    if call.disposition not in ("answered", "voicemail"):
        raise click.exceptions.Exit(1)


def _sentence(call: Call) -> str:
    whom = call.number or "a withheld number"
    words = f"The call {'to' if call.direction == 'outbound' else 'from'} {whom}"
    if call.waits_until is not None:
        return f"{words} waits for its turn, until {tables.shown(call.waits_until)} at most."
    if call.status not in ENDS:
        return f"{words} is {call.status.replace('_', ' ')}."
    talked = f" after {call.duration:,} s" if call.duration else ""
    why = f" ({call.reason})" if call.reason else ""
    return f"{words} is over{talked}: {(call.disposition or call.status).replace('_', ' ')}{why}."


def _tell(call: Call, as_json: bool) -> None:
    if as_json:
        tables.json(call)
    else:
        cli.note(_sentence(call))


async def _ask(verb: Callable[[Tx, UUID], Awaitable[Call]], id: UUID, tenant: str | None, as_json: bool) -> None:
    async with choice.writing(tenant) as tx:
        call = await verb(tx, id)
    if call.status not in ENDS:
        cli.note("Its provider is asked to end it.")
    _tell(call, as_json)


@click.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def cancel(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Have a call not take place, which nobody has answered yet.

    \b
    Example: bellbird calls cancel 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    await _ask(placing.cancel, id, tenant, as_json)


@click.command(name="hang-up")
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def hang_up(id: UUID, tenant: str | None, as_json: bool) -> None:
    """End a call wherever it is.

    \b
    Example: bellbird calls hang-up 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    await _ask(placing.hang_up, id, tenant, as_json)


COMMANDS: Final[tuple[click.Command, ...]] = (place, watch, cancel, hang_up)
