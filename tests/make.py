"""Things to test with, one plain function each."""

from typing import Any

from bellbird.core.engine import Tx
from bellbird.features import contacts
from bellbird.features.contacts import Contact, Email, NewContact, Phone


async def contact(tx: Tx, **given: Any) -> Contact:
    """A contact, called Ann when nothing was said; `phone` and `email` are short for lists of one."""
    return await contacts.create(tx, new_contact(**given))


def new_contact(**given: Any) -> NewContact:
    if "phone" in given:
        given["phones"] = (Phone(given.pop("phone")),)
    if "email" in given:
        given["emails"] = (Email(given.pop("email")),)
    return NewContact(**(given or {"first_name": "Ann"}))
