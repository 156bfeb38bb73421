"""Ask whether somebody may be called, bring in washed numbers, opt numbers out."""

from datetime import datetime
from pathlib import Path
from typing import get_args
from uuid import UUID

import click

from bellbird.core.tenants import CallPurpose
from bellbird.entrypoints import cli, tables
from bellbird.features.dialling import actions, washing
from bellbird.features.dialling.models import DialDecision, NewDialDecision, NewOptOut
from bellbird.features.tenants import choice

# The exit code of a number that may not be called.
DENIED = 1


@click.group()
def command() -> None:
    """Ask whether somebody may be called, bring in washed numbers, opt numbers out.

    \b
    Example: bellbird dial check "0412 345 678" --purpose service
    """


@command.command()
@click.argument("whom", metavar="NUMBER|CONTACT_ID")
@choice.option
@click.option(
    "--purpose", type=click.Choice(get_args(CallPurpose)), help="What the call is for; default: the tenant's."
)
@click.option("--at", metavar="WHEN", help="Such as 2026-12-01T10:00+11:00; default: now.")
@click.option("--from", "from_number", metavar="NUMBER", help="The number they see; default: the tenant's first.")
@cli.as_json
@cli.asynchronous
async def check(
    whom: str, tenant: str | None, purpose: CallPurpose | None, at: str | None, from_number: str | None, as_json: bool
) -> None:
    """Ask whether a number or a contact may be called. The exit code is 0 if they may, 1 if not.

    \b
    Example: bellbird dial check 01a203ec-0f91-7207-87a3-ffff9495ecd5 --purpose telemarketing
             bellbird dial check "021 123 4567" --at 2026-12-24T19:00+13:00
    """
    contact_id = _id(whom)
    question = NewDialDecision(
        number=whom if contact_id is None else None, contact_id=contact_id, from_number=from_number, purpose=purpose,
        at=cli.moment(at) if at else None,
    )  # fmt: skip
    async with choice.writing(tenant) as tx:
        decision = await actions.ask(tx, question)
    if as_json:
        tables.json(decision)
    else:
        _print(decision)
    if not decision.allowed:
        raise click.exceptions.Exit(DENIED)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _print(decision: DialDecision) -> None:
    click.echo(f"{'Yes' if decision.allowed else 'No'}: {decision.explanation}")
    facts = [("decision", decision.id), *((reason.code, reason.message) for reason in decision.reasons)]
    if not decision.allowed:
        facts.append(("next permitted", decision.next_permitted_at))
    tables.facts(facts)


@command.command(name="opt-out")
@click.argument("number")
@choice.option
@click.option("--source", default="command line", show_default=True, help="How it was made known.")
@click.option("--note", help="What else is to be known.")
@cli.as_json
@cli.asynchronous
async def opt_out(number: str, tenant: str | None, source: str, note: str | None, as_json: bool) -> None:
    """Have a number never be called again, for whatever.

    \b
    Example: bellbird dial opt-out "0412 345 678" --source "letter of 3 March"
    """
    async with choice.writing(tenant) as tx:
        opted = await actions.create_opt_out(tx, NewOptOut(number=number, source=source, note=note))
    if as_json:
        tables.json(opted)
    else:
        cli.note(f"{opted.number} is not called any more ({opted.source}, {tables.shown(opted.created_at)}).")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@choice.option
@click.option("--washed-at", metavar="WHEN", help="When the register was asked, such as 2026-11-20; default: now.")
@click.option("--source", default="import", show_default=True, help="Who washed them.")
@cli.as_json
@cli.asynchronous
async def wash(file: Path, tenant: str | None, washed_at: str | None, source: str, as_json: bool) -> None:
    """Bring in a washed list: a CSV file with the columns number and listed (yes or no).

    It is read whole before anything is kept: with one line that cannot be read, nothing of it is brought in. If it is
    interrupted, run it again: what is there already stays as it is.

    \b
    Example: bellbird dial wash washed.csv --washed-at 2026-11-20 --source donotcall.gov.au
    """
    asked_at: datetime | None = cli.moment(washed_at) if washed_at else None
    async with cli.bellbird() as bellbird:
        chosen = await choice.tenant(bellbird, tenant)
        with file.open("rb") as opened:
            numbers = washing.read(opened, chosen.settings.default_region)
        kept = listed = 0
        for batch in washing.batches(numbers, asked_at, source):
            async with bellbird.engine.tenant(chosen.id, choice.OPERATOR) as tx:
                washed = await actions.wash(tx, batch)
            kept, listed = kept + washed.numbers, listed + washed.listed
    if as_json:
        tables.json({"numbers": kept, "listed": listed})
    else:
        cli.note(f"{kept:,} numbers brought in, {listed:,} of them on the register.")
