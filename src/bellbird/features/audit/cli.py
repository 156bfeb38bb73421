"""Search the audit log, seal it, and verify that nobody changed it."""

from typing import Any
from uuid import UUID

import click

from bellbird.core import paging
from bellbird.core.actors import Origin
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import cli, tables
from bellbird.features.audit import actions, queries
from bellbird.features.audit.models import AuditEvent, Finding, Query, Summary
from bellbird.features.audit.verifying import verify as verify_tenant
from bellbird.features.tenants import choice
from bellbird.features.tenants import queries as tenants


@click.group()
def command() -> None:
    """Search the audit log, seal it, and verify that nobody changed it.

    \b
    Example: bellbird audit events --type "contact.*" --field phones
             bellbird audit verify
    """


@command.command()
@choice.option
@click.option("--actor", help="Who did it, such as user:ID, key:ID or system:cli.")
@click.option("--type", help="What happened, such as contact.updated or contact.*.")
@click.option("--entity-type", help="To what kind of thing, such as contact or user.")
@click.option("--entity", "entity_id", type=click.UUID, metavar="ID", help="To which thing.")
@click.option("--contact", "contact_id", type=click.UUID, metavar="ID", help="Concerning which contact.")
@click.option("--field", help="Which field was changed, such as phones.")
@click.option("--request", "request_id", metavar="ID", help="In which request.")
@click.option("--origin", type=click.Choice(Origin.__args__), help="By which door.")  # type: ignore[attr-defined]
@click.option("--from", "since", type=cli.moment, help="At this moment or later.")
@click.option("--to", "until", type=cli.moment, help="Before this moment.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def events(tenant: str | None, as_json: bool, **asked: Any) -> None:
    """Search the audit log, newest first: all that is given has to be so.

    \b
    Example: bellbird audit events --actor system:cli --from 2026-11-01
             bellbird audit events --contact 01a203ec-0f91-7207-87a3-ffff9495ecd5 --field phones --json
    """
    async with choice.reading(tenant) as read:
        page = await queries.search(read, Query(**asked))
    if as_json:
        tables.json(page)
        return
    if page.data:
        tables.rows(("At", "What", "Of", "By", "Door", "Changed", "Id"), map(_row, page.data))
    elif page.next_cursor is None:
        cli.note("There is nothing of this in the log.")
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(event: AuditEvent) -> tuple[Any, ...]:
    return event.at, event.type, event.entity_id, event.actor, event.origin, list(event.changes or ()), event.id


@command.command()
@click.argument("id", type=click.UUID)
@choice.option
@cli.as_json
@cli.asynchronous
async def show(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Show all of an event.

    \b
    Example: bellbird audit show 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.reading(tenant) as read:
        event = await queries.get(read, id)
    if as_json:
        tables.json(event)
        return
    about = [(name, getattr(event, name)) for name in event.__slots__ if name not in ("changes", "data")]
    changes = [(f"{name}:", f"{_short(old)} -> {_short(new)}") for name, (old, new) in (event.changes or {}).items()]
    tables.facts([*about, *changes, *(event.data or {}).items()])


def _short(value: Any) -> str:
    return "nothing" if value in (None, [], {}, "") else tables.shown(value)


@command.command()
@cli.asynchronous
async def seal() -> None:
    """Seal what was added to every tenant's log since the last time; workers do it by themselves.

    \b
    Example: bellbird audit seal
    """
    async with cli.bellbird() as bellbird:
        made = await actions.seal(bellbird.engine, choice.OPERATOR)
    cli.note(f"{made:,} seal{'' if made == 1 else 's'} made." if made else "Everything is sealed.")


@command.command()
@click.option("--tenant", metavar="SLUG", help="Only this tenant's log; default: every tenant's.")
@click.option(
    "--known", metavar="HASH", help="A seal's hash that was kept elsewhere: the tenant's chain has to have it."
)
@cli.as_json
@cli.asynchronous
async def verify(tenant: str | None, known: str | None, as_json: bool) -> None:
    """Verify that the log is as it was written: name every event that was altered, removed or inserted.

    What is wrong goes to stdout, a line for each, and the exit code is then 1.

    \b
    Example: bellbird audit verify
             bellbird audit verify --tenant acme --known 5d3e1a48609f2b7c...
    """
    if known and not tenant:
        raise click.UsageError("A seal is of one tenant: say which with --tenant.")
    wrong, told = False, []
    async with cli.bellbird() as bellbird:
        for each in [await choice.tenant(bellbird, tenant)] if tenant else await _all(bellbird):
            summary, findings = Summary(), []
            async with bellbird.engine.system(choice.OPERATOR) as tx:
                async for finding in verify_tenant(tx, each.id, summary, known=known):
                    wrong = True
                    if as_json:
                        findings.append(finding)
                    else:
                        click.echo(f"{each.slug}: {finding}")
            if as_json:
                told.append(_as_json(each, summary, findings))
            else:
                cli.note(f"{each.slug}: {_summed(summary)}")
    if as_json:
        tables.json({"data": told})
    if wrong:
        raise click.exceptions.Exit(1)


async def _all(bellbird: cli.Opened) -> list[Tenant]:
    async with bellbird.engine.system(choice.OPERATOR) as tx:
        there = page = await tenants.page(tx)
        while page and (page := await tenants.page(tx, after=page[-1].slug)):
            there = [*there, *page]
    return list(there)


def _summed(summary: Summary) -> str:
    sealed = f"sealed up to {tables.shown(summary.sealed_until)}" if summary.sealed_until else "never sealed"
    wrong = f"; {summary.findings:,} not right" if summary.findings else ""
    seals = "1 seal" if summary.seals == 1 else f"{summary.seals:,} seals"
    return f"{summary.events:,} events, {seals}, {sealed}; {summary.unsealed:,} not sealed yet{wrong}"


def _as_json(tenant: Tenant, summary: Summary, findings: list[Finding]) -> dict[str, Any]:
    return {"tenant": tenant.slug, "right": not findings, "summary": summary, "findings": findings}


@command.command()
@cli.asynchronous
async def maintain() -> None:
    """Make the log's months ahead, and take out what is older than each tenant keeps; workers do it every night.

    \b
    Example: bellbird tenants set acme keep_events_months=24 && bellbird audit maintain
    """
    async with cli.bellbird() as bellbird:
        done = await actions.maintain(bellbird.engine, choice.OPERATOR)
    made, dropped = len(done["made"]), len(done["dropped"])
    cli.note(f"{made} months made, {dropped} dropped, and {done['deleted']:,} events of others deleted.")
