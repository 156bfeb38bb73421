"""What somebody who may change users may do to whom: nobody gives more than they have, nor touches who has more."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from bellbird.core.actors import Actor, Role, Visibility
from bellbird.core.errors import CannotGrant
from bellbird.features.users.models import LastOwner, User


def seeing(role: Role, visibility: Visibility | None) -> Role:
    """A role as somebody has it who sees other records than it says."""
    return replace(role, visibility=visibility) if visibility else role


def check_touch(actor: Actor, user: User, role: Role) -> None:
    """Raises CannotGrant when the user, in this role, may do or see more than the actor."""
    if not actor.may_grant(role):
        raise CannotGrant(f"{user.name} may do or see what {actor} may not: only somebody who may can change that.")


def check_grant(actor: Actor, user: User, before: Role, after: Role) -> None:
    """Raises CannotGrant when the user would come to more than the actor has, or give more to themselves."""
    actor.require_grant(after)
    if user.id == actor.user_id:
        # A token may say more than the membership does: that is no reason for the membership to say it too.
        Actor(
            "user", actor.id, before.permissions, visibility=before.visibility, fields=before.fields, role=before.name
        ).require_grant(after)


def check_teams(actor: Actor, before: Sequence[UUID], after: Sequence[UUID]) -> None:
    """Whoever sees their teams' records alone would see those of anybody they put in one. Raises CannotGrant."""
    if actor.visibility != "all" and set(after) - set(before):
        raise CannotGrant(f"Only who sees all records puts people in teams, and {actor} does not.")


def owns(user: User) -> bool:
    """Whether the user is an owner of the tenant at present."""
    return user.role == "owner" and user.disabled_at is None


def check_owners(before: User, after: User, owners: Sequence[User]) -> None:
    """Raises LastOwner when nobody is left who owns the tenant, or nobody of them who can sign in."""
    if not owns(before) or owns(after):
        return
    others = [each for each in owners if each.id != before.id]
    if not others or (before.joined_at and not any(each.joined_at for each in others)):
        joined = " who has joined" if others else ""
        raise LastOwner(f"{before.name} is the last owner{joined}: make somebody else one first.")
