"""A contact as a row of the table, and back."""

import re
from dataclasses import fields, make_dataclass
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET

from bellbird.core import emails, text
from bellbird.core.connection import Parameter
from bellbird.features.contacts.cleaning import search_text
from bellbird.features.contacts.models import Address, Contact, Email, Phone, Url

COLUMNS: Final = """id, kind, first_name, last_name, display_name, company, job_title, phones, emails, addresses, urls,
  birthday, timezone, locale, source, owner_id, tags, custom, preferences, external_id,
  version, created_at, updated_at, deleted_at"""

# The same to be read: JSON as text, which psycopg loads faster than jsonb and msgspec decodes as well.
READ: Final = re.sub(r"\b(phones|emails|addresses|urls|custom|preferences)\b", r"\1::text", COLUMNS)

# What a write sets besides COLUMNS: what the indexes look in.
DERIVED: Final = "phone_numbers, email_addresses, email_domains, name_key, search_text"

_EMPTY_LIST, _EMPTY_OBJECT = "[]", "{}"
_phones = msgspec.json.Decoder(tuple[Phone, ...]).decode
_emails = msgspec.json.Decoder(tuple[Email, ...]).decode
_addresses = msgspec.json.Decoder(tuple[Address, ...]).decode
_urls = msgspec.json.Decoder(tuple[Url, ...]).decode
_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


# A frozen dataclass sets each field through object.__setattr__: 2.6 us for a contact, of which a page has fifty.
# A draft with the same slots is filled in 0.3 us, and becomes a contact by changing its class.
_Draft: Any = make_dataclass("_Draft", [field.name for field in fields(Contact)], slots=True)


def from_row(row: tuple[Any, ...]) -> Contact:
    """A row that begins with READ as a contact."""
    contact = _Draft(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6],
        () if row[7] == _EMPTY_LIST else _phones(row[7]),
        () if row[8] == _EMPTY_LIST else _emails(row[8]),
        () if row[9] == _EMPTY_LIST else _addresses(row[9]),
        () if row[10] == _EMPTY_LIST else _urls(row[10]),
        row[11], row[12], row[13], row[14], row[15],
        tuple(row[16]),
        {} if row[17] == _EMPTY_OBJECT else _object(row[17]),
        {} if row[18] == _EMPTY_OBJECT else _object(row[18]),
        row[19], row[20], row[21], row[22], row[23], UNSET, UNSET, UNSET,
    )  # fmt: skip
    contact.__class__ = Contact
    return cast(Contact, contact)


def to_row(contact: Contact) -> tuple[Parameter, ...]:
    """The values of COLUMNS and DERIVED."""
    addresses = [emails.key(email.address) for email in contact.emails]
    return (
        contact.id, contact.kind, contact.first_name, contact.last_name, contact.display_name, contact.company,
        contact.job_title, _encode(contact.phones), _encode(contact.emails), _encode(contact.addresses),
        _encode(contact.urls), contact.birthday, contact.timezone, contact.locale, contact.source, contact.owner_id,
        contact.tags, _encode(contact.custom), _encode(contact.preferences), contact.external_id,
        contact.version, contact.created_at, contact.updated_at, contact.deleted_at,
        [phone.number for phone in contact.phones],
        addresses,
        list(dict.fromkeys(address.rpartition("@")[2] for address in addresses)),
        text.fold(contact.display_name),
        search_text(contact),
    )  # fmt: skip
