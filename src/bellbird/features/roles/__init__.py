"""Roles: what somebody may do in a tenant, which records they see, and which fields are withheld from them.

Every tenant has five that are built in (owner, admin, manager, agent, viewer) and makes its own beside them.
Nobody makes or changes a role so that it could do more than they can themselves.
"""

from bellbird.core.actors import Role
from bellbird.features.roles.actions import create, delete, update
from bellbird.features.roles.models import (
    NewRole,
    RoleBuiltIn,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RolePatch,
    Rules,
    RulesPatch,
    TenantRole,
)
from bellbird.features.roles.queries import get, named, page

__all__ = [
    "NewRole",
    "Role",
    "RoleBuiltIn",
    "RoleInUse",
    "RoleNameTaken",
    "RoleNotFound",
    "RolePatch",
    "Rules",
    "RulesPatch",
    "TenantRole",
    "create",
    "delete",
    "get",
    "named",
    "page",
    "update",
]
