"""Users: the people who work in a tenant, each with a role, teams, and the records that they see.

A person has one e-mail address and one password, whatever tenants they are a member of; each tenant invites them by
itself. Nobody gives more than they have, and a tenant is never left without an owner.
"""

from bellbird.features.users.actions import add, invite, remove, reset_password, update
from bellbird.features.users.models import (
    AlreadyJoined,
    AlreadyMember,
    Invitation,
    LastOwner,
    NewUser,
    User,
    UserDisabled,
    UserNotFound,
    UserPatch,
)
from bellbird.features.users.queries import Query, get, known, named, page

__all__ = [
    "AlreadyJoined",
    "AlreadyMember",
    "Invitation",
    "LastOwner",
    "NewUser",
    "Query",
    "User",
    "UserDisabled",
    "UserNotFound",
    "UserPatch",
    "add",
    "get",
    "invite",
    "known",
    "named",
    "page",
    "remove",
    "reset_password",
    "update",
]
