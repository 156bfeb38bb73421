"""Add, find, list, change, delete and import a tenant's contacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from bellbird.core import filters, paging
from bellbird.core.engine import ReadTx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import cli, tables
from bellbird.features.contacts import actions, history, import_cli, printing, queries, typed
from bellbird.features.contacts.models import Contact
from bellbird.features.contacts.queries import Query
from bellbird.features.tenants import choice


@click.group()
def command() -> None:
    """Add, find, list, change, delete and import a tenant's contacts.

    \b
    Example: bellbird contacts add --tenant acme --first-name Ann --phone "0412 345 678"
    """


command.add_command(import_cli.command, "import")


@command.command()
@choice.option
@typed.fields
@cli.as_json
@cli.asynchronous
async def add(tenant: str | None, as_json: bool, **fields: Any) -> None:
    """Add a contact; it needs a name, a company, a phone or an e-mail. Its id goes to stdout.

    \b
    Example: bellbird contacts add --first-name Ann --last-name Lee --phone "mobile:0412 345 678" \\
               --email ann@acme.example --tag vip --set custom.plan=gold
    """
    new = typed.new(fields)
    async with choice.writing(tenant) as tx:
        contact = await actions.create(tx, new)
    _tell("Added", contact, as_json)
    if not as_json:
        click.echo(contact.id)


def _tell(done: str, contact: Contact, as_json: bool) -> None:
    if as_json:
        tables.json(contact)
    else:
        cli.note(f"{done} {contact.display_name}.")
    if contact.duplicates:
        cli.note(f"Others have the same number or e-mail address: {tables.shown(contact.duplicates)}")


@command.command()
@click.argument("id", type=click.UUID)
@click.option("--as-of", "at", type=cli.moment, help="As it was then, such as 2026-11-01T10:00:00Z.")
@choice.option
@cli.as_json
@cli.asynchronous
async def show(id: UUID, at: datetime | None, tenant: str | None, as_json: bool) -> None:
    """Show all of a contact, as it is or as it was at a moment.

    \b
    Example: bellbird contacts show 01a203ec-0f91-7207-87a3-ffff9495ecd5 --as-of 2026-11-01T10:00
    """
    async with choice.reading(tenant) as read:
        contact = await (queries.get(read, id) if at is None else history.as_of(read, id, at))
        home = (await read.tenant()).settings.default_region
    if as_json:
        tables.json(contact)
    else:
        printing.facts(contact, home)


page_size = click.option(
    "--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True
)
from_cursor = click.option("--cursor", help="The next page, as the last one named it.")


@command.command(name="list")
@choice.option
@click.option("--filter", "conditions", multiple=True, metavar="FIELD[:OPERATOR]=VALUE", help="Repeatable; or JSON.")
@click.option("--sort", default="-created_at", show_default=True, help="created_at, updated_at or name; - descends.")
@page_size
@from_cursor
@click.option("--deleted", is_flag=True, help="Those that were deleted and can be restored.")
@click.option("--total", is_flag=True, help="Also say how many there are in all.")
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, conditions: Sequence[str], as_json: bool, **options: Any) -> None:
    """List contacts, newest first.

    Operators: eq (or none), ne, in, exists, gt, gte, lt, lte, contains, starts_with, as far as they suit the field.

    \b
    Example: bellbird contacts list --filter email_domain=acme.example --filter created_at:gte=2026-01-01
             bellbird contacts list --filter tag:in=vip,lead --sort name --total
    """
    query = Query(filter=_filter(conditions), **options)
    async with choice.reading(tenant) as read:
        page = await queries.page(read, query)
        await _print(read, page, as_json)
    if not page.data and not as_json:
        cli.note("No contact matches." if query.filter else "There is no contact here.")


def _filter(conditions: Sequence[str]) -> Any:
    """What --filter said, in the filter language."""
    given: dict[str, list[str]] = {}
    for condition in conditions:
        if condition.lstrip().startswith("{"):
            if len(conditions) > 1:
                raise InvalidInput.at("filter", "as JSON says everything: give it once, without others")
            return condition
        name, equals, value = condition.partition("=")
        field, _, operator = name.partition(":")
        if not equals or not field:
            raise InvalidInput.at("filter", f"must look like FIELD=VALUE or FIELD:OPERATOR=VALUE, not {condition!r}")
        given.setdefault(f"filter[{field}][{operator or 'eq'}]", []).append(value)
    return filters.nest(given) or None


async def _print(read: ReadTx, page: Page[Contact], as_json: bool) -> None:
    if as_json:
        tables.json(page)
        return
    if page.data:
        printing.rows(page.data, (await read.tenant()).settings.default_region)
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")
    if page.total:
        cli.note(f"{'' if page.total.exact else 'About '}{page.total.count:,} in all.")


@command.command()
@click.argument("text", required=False)
@click.option("--number", help="Who is calling from this number? In any format, or its last six digits.")
@choice.option
@page_size
@from_cursor
@cli.as_json
@cli.asynchronous
async def find(
    text: str | None, number: str | None, tenant: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Find contacts by anything known of them: best matches first.

    \b
    Example: bellbird contacts find "ann le"
             bellbird contacts find --number 0412345678
    """
    if (text is None) == (number is None):
        raise click.UsageError('Say what to look for, either as text or with --number: bellbird contacts find "ann le"')
    async with choice.reading(tenant) as read:
        if number is not None:
            page = Page(await queries.lookup(read, number))
        else:
            page = await queries.page(read, Query(q=text, limit=limit, cursor=cursor))
        await _print(read, page, as_json)
    if not page.data:
        cli.note(_why_nothing(text, number))


def _why_nothing(text: str | None, number: str | None) -> str:
    if number is not None:
        return f"No contact has the number {number}. Deleted ones are not looked at: bellbird contacts list --deleted"
    return (
        f"No contact matches {text!r}: every word has to begin a word of the name, company, job title or e-mail "
        "address (one typo is forgiven from four letters on), or be a part of three digits or more of a number. "
        "Deleted ones are not looked at: bellbird contacts list --deleted"
    )


@command.command()
@click.argument("id", type=click.UUID)
@choice.option
@typed.fields
@click.option("--unset", multiple=True, metavar="FIELD", help="Empty a field, such as company or custom.plan.")
@click.option("--version", type=click.IntRange(1), help="Only if it is still at this version.")
@cli.as_json
@cli.asynchronous
async def edit(
    id: UUID, tenant: str | None, unset: Sequence[str], version: int | None, as_json: bool, **fields: Any
) -> None:
    """Change a contact. Phones, e-mails, tags and the like are replaced as a whole; custom fields one by one.

    \b
    Example: bellbird contacts edit 01a203ec-0f91-7207-87a3-ffff9495ecd5 --company "Acme Pty Ltd" --unset job_title
    """
    patch = typed.patch(fields, unset)
    async with choice.writing(tenant) as tx:
        contact = await actions.update(tx, id, patch, version=version)
    _tell(f"Version {contact.version} is kept of", contact, as_json)


several = click.argument("ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)


@command.command()
@several
@choice.option
@cli.without_asking
@cli.asynchronous
async def delete(ids: Sequence[UUID], tenant: str | None, yes: bool) -> None:
    """Delete contacts, all or none; they can be restored until they are purged.

    \b
    Example: bellbird contacts delete 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    cli.confirm(f"Delete {_counted(ids)}?", yes)
    async with choice.writing(tenant) as tx:
        for id in dict.fromkeys(ids):
            await actions.delete(tx, id)
    cli.note(f"Deleted {_counted(ids)}; `bellbird contacts restore` brings them back.")


@command.command()
@several
@choice.option
@cli.asynchronous
async def restore(ids: Sequence[UUID], tenant: str | None) -> None:
    """Bring deleted contacts back, all or none.

    \b
    Example: bellbird contacts restore 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.writing(tenant) as tx:
        for id in dict.fromkeys(ids):
            await actions.restore(tx, id)
    cli.note(f"Restored {_counted(ids)}.")


@command.command()
@click.argument("ids", metavar="[ID]...", type=click.UUID, nargs=-1)
@click.option("--expired", is_flag=True, help="Those whose time to be restored is over.")
@choice.option
@cli.without_asking
@cli.asynchronous
async def purge(ids: Sequence[UUID], expired: bool, tenant: str | None, yes: bool) -> None:
    """Erase contacts and every copy of their data, deleted before or not. This cannot be undone.

    \b
    Example: bellbird contacts purge 01a203ec-0f91-7207-87a3-ffff9495ecd5
             bellbird contacts purge --expired --yes
    """
    if expired == bool(ids):
        raise click.UsageError("Say which contacts: their ids, or --expired.")
    what = "the contacts whose time to be restored is over" if expired else _counted(ids)
    cli.confirm(f"Erase {what} for good?", yes)
    async with cli.bellbird() as bellbird:
        tenant_id = (await choice.tenant(bellbird, tenant)).id
        done, more = 0, True
        while more:
            # What is expired goes in batches, a transaction each; what was named goes all at once or not at all.
            async with bellbird.engine.tenant(tenant_id, choice.OPERATOR) as tx:
                batch = await actions.expired(tx) if expired else list(dict.fromkeys(ids))
                for id in batch:
                    await actions.purge(tx, id)
            done += len(batch)
            more = expired and bool(batch)
    cli.note(f"Erased {done:,} contact{'' if done == 1 else 's'}.")


def _counted(ids: Sequence[UUID]) -> str:
    return f"the contact {ids[0]}" if len(set(ids)) == 1 else f"{len(set(ids)):,} contacts"
