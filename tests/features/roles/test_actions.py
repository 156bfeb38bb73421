"""Making, changing, deleting and listing roles, and giving them to somebody meanwhile."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import actors, paging
from bellbird.core.actors import OPERATORS, PERMISSIONS, ROLES, Actor, FieldRules, securable
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import BellbirdError, Conflict, Forbidden, InvalidInput, TenantSuspended, VersionMismatch
from bellbird.core.principals import Claims, Principals
from bellbird.core.tenants import Tenant
from bellbird.features import roles
from bellbird.features.roles import (
    NewRole,
    RoleBuiltIn,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RolePatch,
    Rules,
    RulesPatch,
)
from tests.conftest import Begin

READ, WRITE = "contacts:read", "contacts:write"

MEMBER = """
insert into memberships (tenant_id, id, email, name, role, created_at, updated_at)
values ($1, $2, 'ann@acme.example', 'Ann', $3, now(), now())
"""


@pytest.fixture(autouse=True)
def thing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of record that the tests alone know, one of which has nothing to withhold."""
    for kind in ("thing", "other"):
        monkeypatch.setitem(actors.SECURABLE, kind, frozenset())
    securable("thing", ["id", "kind", "version", "created_at", "updated_at", "deleted_at", "a", "b", "c"])


def new(name: str = "temp", *permissions: str, **more: Any) -> NewRole:
    return NewRole(name=name, permissions=permissions or (READ,), **more)


async def test_a_role_is_made_read_changed_and_deleted(tx: Tx) -> None:
    made = await roles.create(tx, new("night-shift_2", WRITE, READ, READ, visibility="team"))
    assert (made.name, made.built_in, made.permissions, made.visibility) == (
        "night-shift_2", False, (READ, WRITE), "team",
    )  # fmt: skip
    assert (made.version, made.fields) == (1, {})
    assert await roles.get(tx, made.name) == made
    changed = await roles.update(tx, made.name, RolePatch(permissions=(READ,), visibility="own"))
    assert (changed.permissions, changed.visibility, changed.version, changed.id) == ((READ,), "own", 2, made.id)
    assert await roles.get(tx, made.name) == changed
    await roles.delete(tx, made.name)
    with pytest.raises(RoleNotFound):
        await roles.get(tx, made.name)


async def test_the_built_in_roles_are_read_and_nothing_else(tx: Tx) -> None:
    for name, role in ROLES.items():
        shown = await roles.get(tx, name)
        assert (shown.built_in, set(shown.permissions), shown.id, shown.version) == (True, role.permissions, None, 0)
        with pytest.raises(RoleBuiltIn):
            await roles.update(tx, name, RolePatch(visibility="own"))
        with pytest.raises(RoleBuiltIn):
            await roles.delete(tx, name)
        with pytest.raises(RoleNameTaken, match="built in"):
            await roles.create(tx, new(name))


@pytest.mark.parametrize("name", ["", "A", "a b", "a" * 51, "ä", "a\n", "a.b", "a\0"])
async def test_a_name_is_small_letters_digits_hyphens_and_underscores(tx: Tx, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await roles.create(tx, new(name))
    assert [(fault.code, fault.pointer) for fault in refused.value.faults] == [("role_name_invalid", "/name")]
    for verb in (roles.get(tx, name), roles.update(tx, name, RolePatch()), roles.delete(tx, name)):
        with pytest.raises(RoleNotFound):
            await verb


async def test_a_name_belongs_to_one_role_of_the_tenant(begin: Begin, other_tenant: Tenant) -> None:
    async with begin() as tx:
        await roles.create(tx, new())
    async with begin(other_tenant) as tx:
        await roles.create(tx, new())
    with pytest.raises(RoleNameTaken):
        async with begin() as tx:
            await roles.create(tx, new())


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"permissions": ("contacts:reed",)}, [("/permissions/0", "unknown_permission", "mean contacts:read?")]),
        ({"permissions": (READ, "", "x" * 500)}, [("/permissions/1", "unknown_permission", "there are audit:read"),
                                                  ("/permissions/2", "unknown_permission", "…' is no permission")]),
        ({"permissions": ("tenants:write",)}, [("/permissions/0", "unknown_permission", "is no permission")]),
        ({"permissions": "contacts:read"}, [("/permissions", "invalid_type", "must be a list")]),
        ({"permissions": ("x",) * 101}, [("/permissions", "too_many", "100 is the limit")]),
        ({"visibility": "everything"}, [("/visibility", "invalid_value", "own, team or all, not 'everything'")]),
        ({"fields": {"thinq": Rules()}}, [("/fields/thinq", "unknown_kind", "did you mean thing?")]),
        ({"fields": {"a/b~c": Rules()}}, [("/fields/a~1b~0c", "unknown_kind", "is no kind")]),
        ({"fields": {"thing": Rules(hidden=("a", "d"), read_only=("id",))}},
         [("/fields/thing/hidden/1", "not_securable", "'d' is no field of a thing that can be withheld"),
          ("/fields/thing/read_only/0", "not_securable", "'id' is no field")]),
        ({"fields": {"thing": Rules(hidden=("kind", "version", "created_at", "updated_at"))}},
         [(f"/fields/thing/hidden/{index}", "not_securable", "there are a, b, c") for index in range(4)]),
        ({"fields": {"thing": Rules(hidden="abc")}},  # type: ignore[arg-type]
         [("/fields/thing/hidden", "invalid_type", "must be a list, not 'abc'")]),
    ],
)  # fmt: skip
async def test_whatever_cannot_be_is_told_at_once_and_where_it_is(
    tx: Tx, given: dict[str, Any], faults: list[tuple[str, str, str]]
) -> None:
    """Of a new role, and of a change to one."""
    with pytest.raises(InvalidInput) as refused:
        await roles.create(tx, NewRole(name="temp", **{"permissions": (READ,), **given}))
    for found, (pointer, code, message) in zip(refused.value.faults, faults, strict=True):
        assert (found.pointer, found.code) == (pointer, code)
        assert message in found.message
    made = await roles.create(tx, new())
    if isinstance(fields := given.get("fields"), dict):
        given = {"fields": {kind: {"hidden": rules.hidden, "read_only": rules.read_only}
                            for kind, rules in fields.items()}}  # fmt: skip
    with pytest.raises(InvalidInput) as refused_change:
        await roles.update(tx, "temp", RolePatch(**given))
    assert refused_change.value.faults == refused.value.faults
    assert await roles.get(tx, "temp") == made


async def test_all_that_is_wrong_with_a_role_is_told_together(tx: Tx) -> None:
    with pytest.raises(InvalidInput) as refused:
        await roles.create(tx, new("A B", "x", visibility="y", fields={"z": Rules()}))
    assert [fault.pointer for fault in refused.value.faults] == [
        "/name", "/permissions/0", "/visibility", "/fields/z",
    ]  # fmt: skip


async def test_a_role_can_have_every_permission_but_the_operators(tx: Tx) -> None:
    made = await roles.create(tx, new("all", *sorted(PERMISSIONS - OPERATORS)))
    assert set(made.permissions) == ROLES["owner"].permissions
    assert (await roles.create(tx, NewRole(name="none", permissions=()))).permissions == ()


async def test_rules_are_kept_in_order_and_without_what_says_nothing(tx: Tx) -> None:
    rules = {"thing": Rules(hidden=("b", "a", "b"), read_only=("c", "a")), "other": Rules()}
    made = await roles.create(tx, new(fields=rules))
    assert made.fields == {"thing": Rules(("a", "b"), ("c",))}
    assert await roles.get(tx, "temp") == made


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({}, {"thing": Rules(("a",), ("b",))}),
        ({"thing": {}}, {"thing": Rules(("a",), ("b",))}),
        ({"thing": {"hidden": ("c",)}}, {"thing": Rules(("c",), ("b",))}),
        ({"thing": {"hidden": None}}, {"thing": Rules((), ("b",))}),
        ({"thing": {"hidden": None, "read_only": None}}, {}),
        ({"thing": None}, {}),
        (None, {}),
    ],
)
async def test_rules_are_patched_list_by_list(
    tx: Tx, patch: dict[str, RulesPatch | None] | None, after: dict[str, Rules]
) -> None:
    await roles.create(tx, new(fields={"thing": Rules(("a",), ("b",))}))
    changed = await roles.update(tx, "temp", RolePatch(fields=patch))
    assert changed.fields == after
    assert (await roles.get(tx, "temp")).fields == after


async def test_a_patch_that_changes_nothing_writes_nothing(tx: Tx, owner: psycopg.Connection[Any]) -> None:
    made = await roles.create(tx, new("temp", READ, WRITE))
    same = RolePatch(permissions=(WRITE, READ, WRITE), visibility="all", fields={})
    assert await roles.update(tx, "temp", same) == made
    assert await roles.update(tx, "temp", RolePatch()) == made


async def test_a_change_to_an_older_version_is_refused_with_the_present_one(tx: Tx) -> None:
    await roles.create(tx, new())
    now = await roles.update(tx, "temp", RolePatch(visibility="own"), version=1)
    for verb in (
        roles.update(tx, "temp", RolePatch(visibility="team"), version=1),
        roles.delete(tx, "temp", version=1),
    ):
        with pytest.raises(VersionMismatch) as refused:
            await verb
        assert refused.value.extra["current"] == now
    await roles.delete(tx, "temp", version=2)


def admin(*without: str, **more: Any) -> Actor:
    return Actor.user(uuid4(), permissions=ROLES["admin"].permissions - {*without}, **more)


LESS = [
    (admin("contacts:purge"), new("x", READ, "contacts:purge"), "does not have: contacts:purge"),
    (admin(visibility="team"), new("x", READ), "the visibility all"),
    (admin(fields={"thing": FieldRules(frozenset("a"))}), new("x"), r"the field thing\.a"),
    (admin(fields={"thing": FieldRules(read_only=frozenset("a"))}), new("x"), r"a say in the field thing\.a"),
    (Actor("key", "k", ROLES["admin"].permissions - {WRITE}), new("x", WRITE), "key:k does not have: contacts:write"),
]


@pytest.mark.parametrize(("maker", "wanted", "said"), LESS)
async def test_nobody_makes_a_role_of_more_than_they_have(
    engine: Engine, tenant: Tenant, maker: Actor, wanted: NewRole, said: str
) -> None:
    with pytest.raises(Forbidden, match=said):
        async with engine.tenant(tenant.id, maker) as tx:
            await roles.create(tx, wanted)


@pytest.mark.parametrize(("changer", "wanted", "said"), LESS)
async def test_nobody_changes_a_role_from_or_to_more_than_they_have(
    engine: Engine, tenant: Tenant, begin: Begin, changer: Actor, wanted: NewRole, said: str
) -> None:
    less = new("less", READ, visibility="own", fields={"thing": Rules(hidden=("a",))})
    async with begin() as tx:
        await roles.create(tx, wanted)
        await roles.create(tx, less)
    as_wanted = RolePatch(permissions=wanted.permissions, visibility=wanted.visibility, fields=None)
    as_less = RolePatch(permissions=less.permissions, visibility="own", fields={"thing": {"hidden": ("a",)}})
    for name, patch in (("less", as_wanted), ("x", as_less)):
        with pytest.raises(Forbidden, match=said):
            async with engine.tenant(tenant.id, changer) as tx:
                await roles.update(tx, name, patch)
    async with engine.tenant(tenant.id, changer) as tx:
        await roles.update(tx, "less", RolePatch(permissions=()))


async def test_who_may_not_is_told_so(engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"roles:read"}))) as tx:
        await roles.page(tx)
        for verb in (roles.create(tx, new()), roles.update(tx, "x", RolePatch()), roles.delete(tx, "x")):
            with pytest.raises(Forbidden, match="roles:write"):
                await verb
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"roles:write"}))) as tx:
        for reading in (roles.get(tx, "owner"), roles.page(tx)):
            with pytest.raises(Forbidden, match="roles:read"):
                await reading


async def test_a_suspended_tenant_keeps_its_roles_as_they_are(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        await roles.create(tx, new())
    owner.execute("update tenants set status = 'suspended', version = version + 1 where id = %s", [tenant.id])
    async with begin() as tx:
        for verb in (roles.create(tx, new("b")), roles.update(tx, "temp", RolePatch()), roles.delete(tx, "temp")):
            with pytest.raises(TenantSuspended):
                await verb
        assert await roles.get(tx, "temp")


async def test_the_log_says_what_became_of_a_role(begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        made = await roles.create(tx, new(fields={"thing": Rules(("a",))}))
    async with begin() as tx:
        await roles.update(tx, "temp", RolePatch(visibility="own", fields={"thing": None}))
    async with begin() as tx:
        await roles.delete(tx, "temp")
    asked = (
        "select type, entity_type, entity_id, changes, data from events where tenant_id = %s and type <> %s order by id"
    )
    told = owner.execute(asked.encode(), [tenant.id, "tenant.created"]).fetchall()
    rules = {"thing": {"hidden": ["a"], "read_only": []}}
    given = {
        "name": [None, "temp"],
        "permissions": [None, [READ]],
        "visibility": [None, "all"],
        "fields": [None, rules],
    }
    assert told == [
        ("role.created", "role", made.id, given, {"name": "temp"}),
        ("role.updated", "role", made.id, {"visibility": ["all", "own"], "fields": [rules, {}]}, {"name": "temp"}),
        ("role.deleted", "role", made.id, {"name": ["temp", None]}, {"name": "temp"}),
    ]


async def test_a_page_has_what_is_built_in_first_and_then_the_tenants_own(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        for name in ("zebra", "_x", "b", "a-1", "owner2", "0"):
            await roles.create(tx, new(name))
    everything = await roles.page(read)
    names = [role.name for role in everything.data]
    assert names[:5] == list(ROLES)
    assert sorted(names[5:]) == sorted(["zebra", "_x", "b", "a-1", "owner2", "0"])
    assert (everything.next_cursor, everything.previous_cursor) == (None, None)
    for size in range(1, 13):
        page = await roles.page(read, limit=size)
        forward = [role.name for role in page.data]
        while page.next_cursor:
            page = await roles.page(read, limit=size, cursor=page.next_cursor)
            forward += [role.name for role in page.data]
        assert forward == names, size
        backward = [role.name for role in page.data]
        while page.previous_cursor:
            page = await roles.page(read, limit=size, cursor=page.previous_cursor)
            backward = [role.name for role in page.data] + backward
        assert backward == names, size


async def test_backwards_a_page_has_what_was_before(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        for name in ("x1", "x2", "x3"):
            await roles.create(tx, new(name))
    last = await roles.page(read, limit=7)
    last = await roles.page(read, limit=7, cursor=last.next_cursor)
    assert [role.name for role in last.data] == ["x3"]
    before = await roles.page(read, limit=4, cursor=last.previous_cursor)
    assert [role.name for role in before.data] == ["agent", "viewer", "x1", "x2"]
    first = await roles.page(read, limit=4, cursor=before.previous_cursor)
    assert [role.name for role in first.data] == ["owner", "admin", "manager"]
    assert first.previous_cursor is None


async def test_another_tenants_cursor_and_roles_are_not_known(
    begin: Begin, engine: Engine, actor: Actor, other_tenant: Tenant, read: ReadTx
) -> None:
    async with begin() as tx:
        await roles.create(tx, new())
    cursor = (await roles.page(read, limit=5)).next_cursor
    theirs = ReadTx(engine, other_tenant.id, actor, None)
    with pytest.raises(InvalidInput, match="cursor"):
        await roles.page(theirs, cursor=cursor)
    with pytest.raises(RoleNotFound):
        await roles.get(theirs, "temp")
    assert len((await roles.page(theirs)).data) == 5


@pytest.mark.parametrize("key", [("x", "a"), (9, "a"), (-1, "a"), (True, "a"), (5, 3), (5, "a\0")])
async def test_a_cursor_that_was_made_up_is_refused(tenant: Tenant, read: ReadTx, key: tuple[Any, Any]) -> None:
    made_up = paging.encode(paging.Edge(key), paging.fingerprint(tenant.id, "roles"))
    with pytest.raises(InvalidInput, match="cursor"):
        await roles.page(read, cursor=made_up)


async def given_to(tx: Tx, name: str) -> UUID:
    """Somebody with the role, as the feature `users` gives it to them."""
    role, id = await roles.named(tx, name, lock=True), uuid4()
    tx.queue(MEMBER, tx.tenant_id, id, role.name)
    return id


async def test_a_role_that_somebody_has_is_not_deleted(begin: Begin, tenant: Tenant, tx: Tx) -> None:
    async with begin() as first:
        await roles.create(first, new())
        for _ in range(3):
            await given_to(first, "temp")
    with pytest.raises(RoleInUse, match="3 members have the role temp") as refused:
        await roles.delete(tx, "temp")
    assert refused.value.extra == {"members": 3}
    assert isinstance(refused.value, Conflict)


async def test_a_role_is_named_to_be_given(tx: Tx) -> None:
    assert await roles.named(tx, "manager", lock=True) is ROLES["manager"]
    await roles.create(tx, new(visibility="own", fields={"thing": Rules(("a",), ("b",))}))
    role = await roles.named(tx, "temp", lock=True)
    assert role == roles.Role(
        "temp", frozenset({READ}), "own", {"thing": FieldRules(frozenset("a"), frozenset("b"))}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("manger", "did you mean manager?"),
        ("tempo", "did you mean temp?"),
        ("", "there are owner"),
        ("a\0", "there are"),
    ],
)
async def test_a_role_that_there_is_not_cannot_be_given(tx: Tx, name: str, said: str) -> None:
    await roles.create(tx, new())
    with pytest.raises(InvalidInput) as refused:
        await roles.named(tx, name, lock=True, pointer="/who/role")
    (fault,) = refused.value.faults
    assert (fault.code, fault.pointer) == ("unknown_role", "/who/role")
    assert said in fault.message


async def test_of_giving_a_role_and_deleting_it_at_once_one_is_refused(begin: Begin) -> None:
    for giving_first in (True, False):
        name = f"r{giving_first}".lower()
        async with begin() as tx:
            await roles.create(tx, new(name))
        async with begin() as first, asyncio.timeout(10):
            await (given_to(first, name) if giving_first else roles.delete(first, name))
            await first.flush()

            async def second(giving: bool = not giving_first, name: str = name) -> None:
                async with begin() as tx:
                    await (given_to(tx, name) if giving else roles.delete(tx, name))

            waiting = asyncio.create_task(second())
            await asyncio.sleep(0.1)
            assert not waiting.done(), "it waits for what the other one will do"
            await first.commit()
            with pytest.raises(RoleInUse if giving_first else InvalidInput):
                await waiting


async def test_of_two_changes_at_once_neither_is_lost(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        await roles.create(tx, new())

    async def change(patch: RolePatch) -> None:
        async with begin() as tx:
            await roles.update(tx, "temp", patch)

    await asyncio.gather(*(change(RolePatch(fields={"thing": {"hidden": ("a",)}})) for _ in range(3)),
                         change(RolePatch(visibility="own")), change(RolePatch(permissions=(READ, WRITE))))  # fmt: skip
    after = await roles.get(read, "temp")
    assert (after.visibility, after.permissions, after.fields) == ("own", (READ, WRITE), {"thing": Rules(("a",))})
    assert after.version == 4, "three of them changed nothing twice"


async def test_of_two_that_go_by_the_same_version_one_is_refused(begin: Begin) -> None:
    async with begin() as tx:
        await roles.create(tx, new())

    async def change(visibility: Any) -> BellbirdError | None:
        try:
            async with begin() as tx:
                await roles.update(tx, "temp", RolePatch(visibility=visibility), version=1)
        except VersionMismatch as refused:
            return refused
        return None

    results = await asyncio.gather(change("own"), change("team"))
    assert sorted(result is None for result in results) == [False, True]


async def test_whoever_has_a_role_is_held_to_its_change_at_once(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        await roles.create(tx, new("temp", READ, WRITE))
        id = await given_to(tx, "temp")
    principals, claims = Principals(engine), Claims(tenant.id, "user", str(id))
    assert (await principals.actor(claims)).permissions == {READ, WRITE}
    async with begin() as tx:
        await roles.update(tx, "temp", RolePatch(permissions=(READ,), visibility="own",
                                                 fields={"thing": {"hidden": ("a",)}}))  # fmt: skip
    actor = await principals.actor(claims)
    assert (actor.permissions, actor.visibility, actor.rules("thing").hidden) == ({READ}, "own", {"a"})
