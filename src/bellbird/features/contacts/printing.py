"""Contacts on the terminal."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from msgspec import UnsetType

from bellbird.entrypoints import tables
from bellbird.features.contacts.models import Address, Contact, Phone

TITLES: Final = ("Name", "Company", "Phone", "E-mail", "Id", "Updated")


def rows(contacts: Iterable[Contact], home: str) -> None:
    """A table of contacts; phone numbers of the region `home` as they are dialled there."""
    width = len(TITLES) - tables.is_narrow()
    tables.rows(TITLES[:width], [_row(contact, home)[:width] for contact in contacts])


def _row(contact: Contact, home: str) -> tuple[Any, ...]:
    company = contact.company if contact.company != contact.display_name else None
    phone = next((readable(each, home) for each in contact.phones if each.primary), None)
    email = next((each.address for each in contact.emails if each.primary), None)
    return contact.display_name, company, phone, email, contact.id, contact.updated_at


def facts(contact: Contact, home: str) -> None:
    """All of one contact."""
    plain = {name: value for name, value in asdict(contact).items() if not isinstance(value, tuple | UnsetType)}
    lists = [
        *(("phone", _marked(readable(each, home), each.label, each.line_type, each)) for each in contact.phones),
        *(("email", _marked(each.address, each.label, None, each)) for each in contact.emails),
        *(("address", _marked(_address(each), each.label, None, each)) for each in contact.addresses),
        *(("url", _marked(each.url, each.label, None, None)) for each in contact.urls),
        ("tags", contact.tags),
    ]
    kept_apart = ("id", "version", "created_at", "updated_at", "deleted_at")
    tables.facts([
        *((name, value) for name, value in plain.items() if name not in kept_apart),
        *lists,
        *((name, plain[name]) for name in kept_apart),
    ])  # fmt: skip


def readable(phone: Phone, home: str) -> str:
    """A number as people read it: "0412 345 678" at home, "+64 21 123 456" from elsewhere."""
    import phonenumbers
    from phonenumbers import PhoneNumberFormat

    form = PhoneNumberFormat.NATIONAL if phone.region == home else PhoneNumberFormat.INTERNATIONAL
    number = phonenumbers.format_number(phonenumbers.parse(phone.number), form)
    return f"{number} ext {phone.extension}" if phone.extension else number


def _marked(text: str, label: str | None, kind: str | None, item: Any) -> str:
    status = getattr(item, "status", "ok")
    marks = (label, kind.replace("_", " ") if kind else None, None if status == "ok" else status.replace("_", " "))
    primary = "primary" if getattr(item, "primary", False) else None
    said = ", ".join(mark for mark in dict.fromkeys((*marks, primary)) if mark)
    return f"{text}  ({said})" if said else text


def _address(address: Address) -> str:
    town = " ".join(filter(None, (address.city, address.region, address.postcode)))
    return ", ".join(filter(None, (address.street, town, address.country)))
