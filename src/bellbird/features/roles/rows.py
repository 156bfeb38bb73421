"""A role as a row of the table, and back; and the built-in ones, which have none."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bellbird.core.actors import ROLES, FieldRules, Role
from bellbird.features.roles.models import Rules, TenantRole

READ: Final = "id, name, permissions, visibility, fields::text, version, created_at, updated_at"

_rules = msgspec.json.Decoder(dict[str, Rules]).decode


def from_row(row: tuple[Any, ...]) -> TenantRole:
    """A row of READ as a role."""
    id, name, permissions, visibility, fields, *rest = row
    return TenantRole(id, name, False, tuple(sorted(permissions)), visibility, _rules(fields), *rest)


def shown(fields: Mapping[str, FieldRules]) -> dict[str, Rules]:
    """Rules as they are read, and kept: in order, so that the same rules are the same text."""
    return {
        kind: Rules(tuple(sorted(rules.hidden)), tuple(sorted(rules.read_only)))
        for kind, rules in sorted(fields.items())
    }


def effective(role: TenantRole) -> Role:
    """A role as the engine goes by it."""
    fields = {kind: FieldRules(frozenset(each.hidden), frozenset(each.read_only)) for kind, each in role.fields.items()}
    return Role(role.name, frozenset(role.permissions), role.visibility, fields)


def _built_in(role: Role) -> TenantRole:
    permissions = tuple(sorted(role.permissions))
    return TenantRole(None, role.name, True, permissions, role.visibility, shown(role.fields), 0, None, None)


BUILT_IN: Final = tuple(map(_built_in, ROLES.values()))
