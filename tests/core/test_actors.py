"""The one predicate: what an actor may do, see, change and grant."""

from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from bellbird.core.actors import OPERATORS, PERMISSIONS, ROLES, SECURABLE, Actor, FieldRules, Role, securable, visible
from bellbird.core.errors import CannotGrant, Forbidden

ANN, BEN, EVE = uuid4(), uuid4(), uuid4()


def test_no_role_of_a_tenant_has_what_is_the_operators() -> None:
    assert not any(role.permissions & OPERATORS for role in ROLES.values())
    assert Actor.system().permissions == PERMISSIONS


def test_each_role_has_what_the_one_below_has() -> None:
    names = ["viewer", "agent", "manager", "admin", "owner"]
    assert list(ROLES) == names[::-1]
    for lower, higher in pairwise(names):
        assert ROLES[lower].permissions <= ROLES[higher].permissions


def test_what_is_asked_for_and_missing_is_named() -> None:
    with pytest.raises(Forbidden, match="needs the permission contacts:write, which user:x does not have"):
        Actor.user("x", permissions=ROLES["viewer"].permissions).require("contacts:write")


@pytest.mark.parametrize(
    ("actor", "owner", "seen"),
    [
        (Actor.user(ANN), None, True),
        (Actor.user(ANN), BEN, True),
        (Actor.user(ANN, visibility="own"), ANN, True),
        (Actor.user(ANN, visibility="own"), BEN, False),
        (Actor.user(ANN, visibility="own"), None, False),
        (Actor.user(ANN, visibility="own", team=frozenset({BEN})), BEN, False),
        (Actor.user(ANN, visibility="team", team=frozenset({BEN})), BEN, True),
        (Actor.user(ANN, visibility="team", team=frozenset({BEN})), ANN, True),
        (Actor.user(ANN, visibility="team", team=frozenset({BEN})), EVE, False),
        (Actor.user(ANN, visibility="team"), None, False),
        (Actor.user("no uuid", visibility="own"), None, False),
    ],
)
def test_a_record_is_seen_by_its_owner(actor: Actor, owner: UUID | None, seen: bool) -> None:
    assert actor.sees(owner) is seen


def test_whoever_sees_all_adds_nothing_to_a_statement() -> None:
    assert visible(Actor.user(ANN), 3) == ("", ())
    sql, values = visible(Actor.user(ANN, visibility="team", team=frozenset({BEN})), 3)
    assert sql == " and owner_id = any($3::uuid[])"
    assert values == (sorted({ANN, BEN}),)
    assert visible(Actor.user(ANN, visibility="own"), 2) == (" and owner_id = $2", (ANN,))
    assert visible(Actor.user("no uuid", visibility="own"), 2) == (" and owner_id = any($2::uuid[])", ([],))


def role(*permissions: str, visibility: str = "all", hidden: str = "", read_only: str = "") -> Role:
    rules = FieldRules(frozenset(hidden.split()), frozenset(read_only.split()))
    return Role("custom", frozenset(permissions), visibility, {"contact": rules})  # type: ignore[arg-type]


def acting(role: Role) -> Actor:
    return Actor("user", str(ANN), role.permissions, visibility=role.visibility, fields=role.fields, role=role.name)


@pytest.mark.parametrize(
    ("own", "given", "may"),
    [
        (ROLES["owner"], ROLES["owner"], True),
        (ROLES["admin"], ROLES["owner"], False),
        (ROLES["admin"], ROLES["admin"], True),
        (ROLES["agent"], ROLES["viewer"], True),
        (ROLES["agent"], ROLES["manager"], False),
        (role("contacts:read", visibility="team"), role("contacts:read", visibility="own"), True),
        (role("contacts:read", visibility="team"), role("contacts:read", visibility="all"), False),
        (role(hidden="birthday"), role(hidden="birthday phones"), True),
        (role(hidden="birthday"), role(read_only="birthday"), False),
        (role(read_only="birthday"), role(hidden="birthday"), True),
        (role(read_only="birthday"), role(read_only="birthday"), True),
        (role(read_only="birthday"), role(), False),
    ],
)
def test_nobody_gives_more_than_they_have(own: Role, given: Role, may: bool) -> None:
    assert acting(own).may_grant(given) is may
    assert Actor.system().may_grant(given)


def test_what_cannot_be_given_is_named() -> None:
    own = role("contacts:read", visibility="team", hidden="birthday", read_only="phones custom")
    wanted = role("contacts:read", "contacts:purge", "roles:write", hidden="phones")
    with pytest.raises(CannotGrant) as refused:
        acting(own).require_grant(wanted)
    assert refused.value.detail.endswith(
        "does not have: contacts:purge, roles:write, the visibility all, the field contact.birthday, "
        "a say in the field contact.custom."
    )
    acting(own).require_grant(own)


def test_a_key_is_no_owner_whatever_it_is_called() -> None:
    key = Actor("key", "k", ROLES["owner"].permissions, role="owner")
    assert key.may_grant(ROLES["admin"])
    assert not key.may_grant(ROLES["owner"])
    with pytest.raises(CannotGrant, match="does not have: the role owner"):
        key.require_grant(ROLES["owner"])


def test_what_tells_records_apart_cannot_be_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECURABLE, "thing", frozenset())
    securable("thing", ["id", "kind", "version", "created_at", "updated_at", "deleted_at", "a"])
    assert SECURABLE["thing"] == {"a"}


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (FieldRules(frozenset("ab")), FieldRules(frozenset("b")), FieldRules(frozenset("b"))),
        (FieldRules(frozenset("a")), FieldRules(read_only=frozenset("a")), FieldRules(read_only=frozenset("a"))),
        (FieldRules(frozenset("a")), FieldRules(), FieldRules()),
        (FieldRules(read_only=frozenset("ab")), FieldRules(read_only=frozenset("bc")),
         FieldRules(read_only=frozenset("b"))),
    ],
)  # fmt: skip
def test_of_two_roles_only_what_both_withhold_is_withheld(
    first: FieldRules, second: FieldRules, both: FieldRules
) -> None:
    assert first & second == both == second & first
