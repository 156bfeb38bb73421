"""Contacts: the people and organisations a tenant knows, with every way to reach them.

A contact is found by anything a person remembers of it, is never lost by a mistake (a deleted one can be restored),
and is never made twice by two people at once where the tenant forbids it.
"""

from bellbird.features.contacts.actions import Upserted, create, delete, expired, purge, restore, update, upsert
from bellbird.features.contacts.bulk import AssignParams, PurgeParams
from bellbird.features.contacts.history import as_of
from bellbird.features.contacts.models import (
    Address,
    AmbiguousMatch,
    Contact,
    ContactNotFound,
    ContactPatch,
    DuplicateContact,
    Email,
    ExternalIdTaken,
    HistoryGone,
    NewContact,
    Owner,
    Phone,
    Url,
)
from bellbird.features.contacts.queries import Query, get, lookup, page

__all__ = [
    "Address",
    "AmbiguousMatch",
    "AssignParams",
    "Contact",
    "ContactNotFound",
    "ContactPatch",
    "DuplicateContact",
    "Email",
    "ExternalIdTaken",
    "HistoryGone",
    "NewContact",
    "Owner",
    "Phone",
    "PurgeParams",
    "Query",
    "Upserted",
    "Url",
    "as_of",
    "create",
    "delete",
    "expired",
    "get",
    "lookup",
    "page",
    "purge",
    "restore",
    "update",
    "upsert",
]
