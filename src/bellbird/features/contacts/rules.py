"""What of a contact an actor is shown, may ask about and may change.

What a role hides is left out of every answer, and asking does not find it out either: no filter, no order of a list and
no question draws on it. What a contact is called may have been made up from what is hidden; then it is hidden as well.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final

from msgspec import UNSET

from bellbird.core import events, timeline
from bellbird.core.actors import SECURABLE, Actor, securable
from bellbird.core.errors import Fault, Forbidden, InvalidInput
from bellbird.features.contacts.cleaning import NOTHING, PATCHABLE
from bellbird.features.contacts.models import Contact, ContactPatch, NewContact

KIND: Final = "contact"

# What every contact has; the rest is only in some answers.
FIELDS: Final = tuple(field.name for field in fields(Contact) if field.default is not UNSET)
INCLUDABLE: Final = ("owner",)

securable(KIND, FIELDS)

# How many users a fault names of those who may be given, and how many faults there are of a kind.
NAMED: Final = 20

# When what a contact is called was made up from a field, as SQL; `_is_secret` says the same of a contact.
_MADE_FROM: Final[Mapping[str, str]] = {
    "first_name": "first_name is not null and display_name = concat_ws(' ', first_name, last_name)",
    "last_name": "last_name is not null and display_name = concat_ws(' ', first_name, last_name)",
    "company": "display_name = company",
    "emails": "emails @> jsonb_build_array(jsonb_build_object('address', display_name))",
    "phones": "display_name = any(phone_numbers)",
}
NAMING: Final = frozenset(_MADE_FROM)

# What is on record of a contact is for whoever may read contacts. Whether a name that it had was made up, a change does
# not tell: it is left out wherever it may have been.
events.readable(KIND, "contacts:read", made_up={"display_name": NAMING})
timeline.source(
    timeline.of_log("contacts:read", "contact.created", "contact.updated", "contact.deleted", "contact.restored")
)

# What a contact with a hidden name is sorted by instead of it.
NAMELESS: Final = "''::text collate \"C\""

_NONE: Final[frozenset[str]] = frozenset()


def hidden(actor: Actor) -> frozenset[str]:
    """The fields that the actor is not shown."""
    withheld = actor.rules(KIND).hidden
    return withheld & SECURABLE[KIND] if withheld else _NONE


def secret_name(of: frozenset[str]) -> str | None:
    """The condition, in SQL, for a name that was made up from what is hidden; None when none can have been."""
    reasons = [f"({made})" for name, made in _MADE_FROM.items() if name in of]
    return f"(({' or '.join(reasons)}) is true)" if reasons else None


def _is_secret(contact: Contact, of: frozenset[str]) -> bool:
    name = contact.display_name
    first, last = contact.first_name, contact.last_name
    parts_are_secret = ("first_name" in of and first) or ("last_name" in of and last)
    return bool(
        (parts_are_secret and name == " ".join(filter(None, (first, last))))
        or ("company" in of and name == contact.company)
        or ("emails" in of and any(name == email.address for email in contact.emails))
        or ("phones" in of and any(name == phone.number for phone in contact.phones))
    )


@dataclass(frozen=True, slots=True)
class View:
    """What is left out of the contacts of an answer: fields, and names that were made up from hidden ones."""

    withheld: frozenset[str]
    naming: frozenset[str]

    def leave_out(self, contact: Contact) -> None:
        """Take what is not shown out of a contact, which nobody else may have yet."""
        if self.naming and "display_name" not in self.withheld and _is_secret(contact, self.naming):
            put(contact, "display_name", UNSET)
        for name in self.withheld:
            put(contact, name, UNSET)


# Sets a field of a contact that nobody else has yet: nobody is to find one changed.
put: Final = object.__setattr__


@lru_cache(500)
def _view(secret: frozenset[str], asked: frozenset[str] | None) -> View:
    unasked = _NONE if asked is None else frozenset(FIELDS) - asked - {"id"}
    return View(secret | unasked, secret & NAMING)


def view(actor: Actor, asked: Collection[str] | None = None) -> View | None:
    """What the actor is shown of contacts, when only the fields `asked` for are wanted; None when it is everything.

    Raises InvalidInput naming the fields that there are not.
    """
    secret = hidden(actor)
    if asked is None:
        return _view(secret, None) if secret else None
    if unknown := [name for name in dict.fromkeys(asked) if name not in FIELDS]:
        raise InvalidInput(faults=[_unknown(name) for name in unknown[:NAMED]])
    return _view(secret, frozenset(asked))


def _unknown(name: str) -> Fault:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(FIELDS)}"
    return Fault("unknown_field", f"there is no field {name[:60]!r}; {hint}", parameter="fields")


def shown(actor: Actor, contact: Contact) -> Contact:
    """The contact as the actor may see it, for the answer to a write."""
    seen = view(actor)
    if seen is None:
        return contact
    answer = replace(contact)
    seen.leave_out(answer)
    return answer


def includes_owner(actor: Actor, include: Collection[str]) -> bool:
    """Whether an answer has the owners as well. Raises InvalidInput, and Forbidden for who may not read users."""
    if not include:
        return False
    for name in include:
        if name not in INCLUDABLE:
            message = f"cannot be {name[:60]!r}; there is {', '.join(INCLUDABLE)}"
            raise InvalidInput.at("include", message, code="unknown_include")
    actor.require("users:read")
    return "owner_id" not in hidden(actor)


# Who is not shown contacts' numbers, is not shown whom they were called by either.
NUMBERS: Final = (KIND, "phones")


def require_numbers(actor: Actor) -> None:
    """Raises Forbidden when the numbers of contacts are hidden, which calls and all about them tell."""
    require_shown(actor, "phones", "To see what tells telephone numbers")


def require_shown(actor: Actor, name: str, what_for: str) -> None:
    """Raises Forbidden when a field that something cannot do without is hidden."""
    if name in hidden(actor):
        raise Forbidden(f"{what_for} needs the field {name} of contacts, which is hidden from {actor}.")


def admit(actor: Actor, new: NewContact) -> tuple[NewContact, Mapping[str, Fault]]:
    """A contact to be made, with the owner it will have, and what it may not set, by field.

    Who does not see all makes contacts of their own, and gives none away to where they would not see it.
    """
    refused = _unwritable(actor, new, NOTHING)
    if actor.visibility == "all":
        return new, refused
    if new.owner_id is None:
        new = replace(new, owner_id=actor.user_id)
    return new, _with_owner(actor, new, refused)


def refusals(actor: Actor, patch: ContactPatch) -> Mapping[str, Fault]:
    """What a patch may not change, by field."""
    refused = _unwritable(actor, patch, (UNSET,))
    if actor.visibility == "all" or patch.owner_id is UNSET:
        return refused
    return _with_owner(actor, patch, refused)


_NO_FAULTS: Final[Mapping[str, Fault]] = {}


def _unwritable(actor: Actor, given: NewContact | ContactPatch, absent: tuple[Any, ...]) -> Mapping[str, Fault]:
    rules = actor.rules(KIND)
    if not rules:
        return _NO_FAULTS
    kept = (rules.read_only | rules.hidden) & SECURABLE[KIND]
    named = [name for name in PATCHABLE if name in kept and getattr(given, name) not in absent]
    return {name: Fault("field_read_only", _NOT_YOURS, pointer=f"/{name}") for name in named}


_NOT_YOURS: Final = "cannot be set or changed by your role; leave it out"


def _with_owner(actor: Actor, given: NewContact | ContactPatch, refused: Mapping[str, Fault]) -> Mapping[str, Fault]:
    owner = given.owner_id
    if (owner is not UNSET and owner is not None and actor.sees(owner)) or "owner_id" in refused:
        return refused
    return {**refused, "owner_id": Fault("owner_not_visible", _who_may_own(actor), pointer="/owner_id")}


def _who_may_own(actor: Actor) -> str:
    owners = sorted(map(str, actor.owners))
    if not owners:
        return f"{actor} is no user and sees nobody's contacts, so that it can own and give none"
    if len(owners) == 1:
        return f"must be {owners[0]}: you see your own contacts alone"
    more = f" or {len(owners) - NAMED:,} others" if len(owners) > NAMED else ""
    return f"must be a user whose contacts you see: {', '.join(owners[:NAMED])}{more}"
