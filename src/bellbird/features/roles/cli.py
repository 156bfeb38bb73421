"""List, show, make, change and delete a tenant's roles."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from msgspec import UNSET

from bellbird.core import paging
from bellbird.core.actors import VISIBILITIES
from bellbird.core.errors import Fault, InvalidInput
from bellbird.entrypoints import cli, tables
from bellbird.features.roles import actions, queries
from bellbird.features.roles.models import NewRole, RolePatch, Rules, RulesPatch, TenantRole
from bellbird.features.tenants import choice

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def command() -> None:
    """List, show, make, change and delete a tenant's roles.

    \b
    Example: bellbird roles create night-shift --permission contacts:read --visibility own
    """


@command.command(name="list")
@choice.option
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, as_json: bool) -> None:
    """List the roles: those that are built in, then the tenant's own by name.

    \b
    Example: bellbird roles list
    """
    async with choice.reading(tenant) as read:
        page = await queries.page(read, limit=paging.MAX_LIMIT)
        roles = [*page.data]
        while page.next_cursor:
            page = await queries.page(read, limit=paging.MAX_LIMIT, cursor=page.next_cursor)
            roles += page.data
    if as_json:
        tables.json({"data": roles})
    else:
        tables.rows(("Name", "Built in", "Sees", "May", "Withheld"), map(_row, roles))


def _row(role: TenantRole) -> tuple[Any, ...]:
    return role.name, role.built_in, role.visibility, role.permissions, _withheld(role)


def _withheld(role: TenantRole) -> list[str]:
    return [
        *(f"{kind}.{name}" for kind, rules in role.fields.items() for name in rules.hidden),
        *(f"{kind}.{name} (read-only)" for kind, rules in role.fields.items() for name in rules.read_only),
    ]


@command.command()
@click.argument("name")
@choice.option
@cli.as_json
@cli.asynchronous
async def show(name: str, tenant: str | None, as_json: bool) -> None:
    """Show a role.

    \b
    Example: bellbird roles show manager
    """
    async with choice.reading(tenant) as read:
        _print(await queries.get(read, name), as_json)


def _print(role: TenantRole, as_json: bool) -> None:
    if as_json:
        tables.json(role)
        return
    tables.facts([
        ("name", role.name), ("built in", role.built_in), ("visibility", role.visibility),
        ("permissions", role.permissions), ("withheld", _withheld(role)), ("id", role.id),
        ("version", role.version or None), ("created at", role.created_at), ("updated at", role.updated_at),
    ])  # fmt: skip


def described(function: Command) -> Command:
    """Give a command the options that say what a role may do."""
    for option in (
        click.option("--read-only", multiple=True, metavar="KIND.FIELD", help="It cannot change this. Repeatable."),
        click.option("--hide", multiple=True, metavar="KIND.FIELD", help="Not shown: contact.birthday. Repeatable."),
        click.option("--visibility", type=click.Choice(VISIBILITIES), help="Whose records it sees."),
        click.option("--permission", "permissions", multiple=True, help="Such as contacts:read. Repeatable."),
    ):
        function = option(function)
    return function


@command.command()
@click.argument("name")
@choice.option
@described
@cli.as_json
@cli.asynchronous
async def create(
    name: str,
    tenant: str | None,
    permissions: Sequence[str],
    visibility: Any,
    hide: Sequence[str],
    read_only: Sequence[str],
    as_json: bool,
) -> None:
    """Make a role: 1 to 50 small letters, digits, hyphens and underscores name it.

    It sees all records unless --visibility says otherwise.

    \b
    Example: bellbird roles create night-shift --permission contacts:read --permission contacts:write \\
               --visibility team --hide contact.birthday --read-only contact.phones
    """
    rules = {kind: Rules(**lists) for kind, lists in _rules(hide, read_only).items()}
    new = NewRole(name=name, permissions=tuple(permissions), visibility=visibility or "all", fields=rules)
    async with choice.writing(tenant) as tx:
        role = await actions.create(tx, new)
    if as_json:
        tables.json(role)
    else:
        cli.note(f"The role {role.name} is made.")


@command.command(name="set")
@click.argument("name")
@choice.option
@described
@click.option("--show", multiple=True, metavar="KIND.FIELD", help="No longer hidden or read-only. Repeatable.")
@cli.as_json
@cli.asynchronous
async def set_(
    name: str,
    tenant: str | None,
    permissions: Sequence[str],
    visibility: Any,
    hide: Sequence[str],
    read_only: Sequence[str],
    show: Sequence[str],
    as_json: bool,
) -> None:
    """Change what a role may do, for everybody who has it.

    Permissions replace those it had; what is hidden or read-only is added to what was, unless --show frees it.

    \b
    Example: bellbird roles set night-shift --permission contacts:read --show contact.birthday
    """
    if not (permissions or visibility or hide or read_only or show):
        raise click.UsageError("Say what to change: `bellbird roles set --help` lists the options.")
    given, freed = _rules(hide, read_only), {_place(text) for text in show}
    async with choice.writing(tenant) as tx:
        role = await queries.get(tx, name)
        patch = RolePatch(
            permissions=tuple(permissions) or UNSET,
            visibility=visibility or UNSET,
            fields=_changed(role.fields, given, freed) or UNSET,
        )
        role = await actions.update(tx, name, patch, version=role.version)
    _print(role, as_json)


@command.command()
@click.argument("name")
@choice.option
@cli.without_asking
@cli.asynchronous
async def delete(name: str, tenant: str | None, yes: bool) -> None:
    """Delete a role that nobody has.

    \b
    Example: bellbird roles delete night-shift
    """
    cli.confirm(f"Delete the role {name}?", yes)
    async with choice.writing(tenant) as tx:
        await actions.delete(tx, name)
    cli.note(f"The role {name} is deleted.")


def _rules(hide: Sequence[str], read_only: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """`contact.birthday` and the like by kind of record. Raises InvalidInput."""
    rules: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind, name, listed in [
        *((*_place(text), "hidden") for text in hide),
        *((*_place(text), "read_only") for text in read_only),
    ]:
        lists = rules.setdefault(kind, {"hidden": (), "read_only": ()})
        lists[listed] += (name,)
    return rules


def _place(text: str) -> tuple[str, str]:
    kind, _, name = text.strip().partition(".")
    if not (kind and name):
        message = "must be a kind of record and a field of it, such as contact.birthday"
        raise InvalidInput(faults=[Fault("invalid_value", message, pointer=f"/{text}")])
    return kind, name.replace("-", "_")


def _changed(
    before: Mapping[str, Rules], given: Mapping[str, Mapping[str, Iterable[str]]], freed: set[tuple[str, str]]
) -> dict[str, RulesPatch | None]:
    """What the options change in a role's rules."""
    changed: dict[str, RulesPatch | None] = {}
    for kind in (*given, *(kind for kind, _ in freed)):
        old, new = before.get(kind, Rules()), given.get(kind, {})
        gone = {name for each, name in freed if each == kind}
        # What is made read-only was perhaps hidden before: it is shown then.
        hidden = ({*old.hidden} - {*new.get("read_only", ())} | {*new.get("hidden", ())}) - gone
        read_only = {*old.read_only, *new.get("read_only", ())} - gone
        changed[kind] = RulesPatch(hidden=tuple(sorted(hidden)), read_only=tuple(sorted(read_only)))
    return changed
