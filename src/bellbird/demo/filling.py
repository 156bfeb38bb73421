"""Filling the demo tenant: what is there stays, what is missing is added."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.errors import TenantNotFound
from bellbird.core.paging import MAX_LIMIT
from bellbird.core.tenants import Tenant, TenantSettings
from bellbird.demo import people
from bellbird.features import contacts, teams, tenants, users
from bellbird.features.contacts import Query
from bellbird.features.teams import NewTeam
from bellbird.features.users import NewUser

SLUG = "demo"
BATCH = 100
OPERATOR = Actor.system("demo", origin="cli")

# Calls that the called are waiting for may be placed at any hour, and so the demo works on a Sunday night, too. Whoever
# sells something by telephone leaves the default as it is, and is refused then.
SETTINGS: Final = TenantSettings(default_purpose="service")

# Who works there, as a sales team has them: an agent sees the own contacts only.
OWNER: Final = NewUser(email="olivia@demo.example", name="Olivia Chen", role="owner")
TEAM: Final = (
    OWNER,
    NewUser(email="matiu@demo.example", name="Matiu Parata", role="manager"),
    NewUser(email="ava@demo.example", name="Ava Rossi", role="agent", visibility="own"),
    NewUser(email="noah@demo.example", name="Noah Singh", role="agent", visibility="team"),
    NewUser(email="vera@demo.example", name="Vera Novak", role="viewer"),
)


async def tenant(bellbird: Bellbird) -> Tenant:
    """The demo tenant, made if it is missing."""
    async with bellbird.system(OPERATOR) as tx:
        try:
            return await tenants.get(tx, SLUG)
        except TenantNotFound:
            return await tenants.create(tx, SLUG, name="Demo Pty Ltd", settings=SETTINGS)


def password(secret: str) -> str:
    """The password of everybody in the demo: always the same of one installation, and another in each."""
    return hashlib.blake2b(secret.encode(), digest_size=10, person=b"demo").hexdigest()


async def staff(bellbird: Bellbird) -> Mapping[str, UUID]:
    """See that the demo's people are there; returns who they are, by their e-mail addresses."""
    secret = password(bellbird.secret)
    async with bellbird.tenant(SLUG, OPERATOR) as tx:
        there = {user.email: user.id for user in (await users.page(tx, users.Query(limit=MAX_LIMIT))).data}
        if OWNER.email not in there:
            sales = await teams.create(tx, NewTeam(name="Sales"))
            for new in TEAM:
                in_team = (sales.id,) if new.role in ("agent", "manager") else ()
                there[new.email] = (await users.add(tx, replace(new, password=secret, team_ids=in_team))).id
    return there


def those(staff: Mapping[str, UUID], *roles: str) -> list[UUID]:
    """The demo's people of these roles, unless somebody has removed them."""
    return [staff[each.email] for each in TEAM if each.role in roles and each.email in staff]


async def fill(bellbird: Bellbird, count: int, done: Callable[[int], None], owners: list[UUID]) -> int:
    """See that the first `count` demo contacts are there, unless somebody deleted them; returns how many are new.

    Each of `owners` has a third of them or so, and nobody the rest.
    `done` is told how many it has seen to. Each batch is a transaction, so a run that is killed can be repeated.
    """
    added = 0
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        async with bellbird.tenant(SLUG, OPERATOR) as tx:
            ids = [people.external_id(number) for number in numbers]
            there: set[str | None] = set()
            for deleted in (False, True):
                page = await contacts.page(
                    tx, Query(filter={"external_id": {"in": ids}}, deleted=deleted, limit=2 * BATCH)
                )
                there.update(contact.external_id for contact in page.data)
            for number in numbers:
                if people.external_id(number) not in there:
                    owner = [*owners, None][number % (len(owners) + 1)]
                    await contacts.create(tx, replace(people.contact(number), owner_id=owner))
                    added += 1
        done(len(numbers))
    return added
