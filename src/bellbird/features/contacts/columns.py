"""Which field of a contact each column of a file is, and a row of the file as a contact."""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from bellbird.core.errors import Fault, InvalidInput
from bellbird.features.contacts.models import Address, Email, NewContact, Phone, Url

TEXTS: Final = (
    "first_name", "last_name", "display_name", "company", "job_title", "timezone", "locale", "source", "external_id",
)  # fmt: skip
ADDRESS: Final = ("street", "city", "region", "postcode", "country")
READ: Final = ("kind", "birthday", "owner_id", "tags")
LISTS: Final = ("phone", "email", "url")
NAMES: Final = (*TEXTS, *ADDRESS, *READ, *LISTS)

# What people and other programs call them; `phone mobile` is a phone with the label mobile.
ALIASES: Final = {
    "given_name": "first_name", "forename": "first_name", "firstname": "first_name", "first": "first_name",
    "surname": "last_name", "family_name": "last_name", "lastname": "last_name", "last": "last_name",
    "name": "display_name", "full_name": "display_name", "contact_name": "display_name",
    "organisation": "company", "organization": "company", "company_name": "company", "employer": "company",
    "business": "company", "business_name": "company", "account_name": "company",
    "title": "job_title", "position": "job_title", "role": "job_title", "job": "job_title",
    "telephone": "phone", "phone_number": "phone", "tel": "phone", "ph": "phone", "number": "phone",
    "mobile": "phone mobile", "mobile_phone": "phone mobile", "mobile_number": "phone mobile", "cell": "phone mobile",
    "phone_mobile": "phone mobile", "mob": "phone mobile", "cell_phone": "phone mobile",
    "home_phone": "phone home", "phone_home": "phone home", "landline": "phone home",
    "work_phone": "phone work", "phone_work": "phone work", "business_phone": "phone work",
    "office_phone": "phone work",
    "e_mail": "email", "email_address": "email", "e_mail_address": "email", "mail": "email",
    "work_email": "email work", "email_work": "email work", "business_email": "email work",
    "home_email": "email home", "email_home": "email home", "personal_email": "email home",
    "private_email": "email home",
    "website": "url", "web": "url", "homepage": "url", "web_address": "url",
    "address": "street", "street_address": "street", "address_1": "street", "address_line_1": "street",
    "suburb": "city", "town": "city", "state": "region", "province": "region", "state_territory": "region",
    "post_code": "postcode", "postal_code": "postcode", "zip": "postcode", "zip_code": "postcode",
    "country_code": "country", "tag": "tags", "labels": "tags", "type": "kind",
    "dob": "birthday", "date_of_birth": "birthday", "birth_date": "birthday", "birthdate": "birthday",
    "d_o_b": "birthday",
    "lead_source": "source", "owner": "owner_id", "time_zone": "timezone", "language": "locale",
}  # fmt: skip
COUNTRIES: Final = {"australia": "AU", "new zealand": "NZ", "aotearoa": "NZ", "aotearoa new zealand": "NZ"}
KINDS: Final = {"company": "organisation", "organization": "organisation", "business": "organisation"}
OBJECTS: Final = ("custom", "preferences")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is imported: its place and title in the file, the field it fills and, in a list, the label."""

    index: int
    title: str
    field: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file."""

    width: int
    columns: tuple[Column, ...]

    def contact(self, cells: Sequence[str]) -> tuple[NewContact, dict[str, str]]:
        """A row as a contact, with the title of the column that each part of it came from, by JSON pointer.

        Raises InvalidInput with the row's faults.
        """
        row = _Row()
        surplus = [cell for cell in cells[self.width :] if cell.strip()]
        if surplus or len(cells) < self.width:
            message = f"has {len(cells)} cells, and the first line {self.width}: is a comma missing, or not in quotes?"
            raise InvalidInput(f"{message} Too much is: {', '.join(surplus)[:100]}" if surplus else message)
        for column in self.columns:
            if text := cells[column.index].strip():
                row.take(column, text)
        if row.faults:
            raise InvalidInput(faults=row.faults)
        return row.contact(), row.titles


def layout(header: Sequence[str], *, ignore_unknown: bool = False) -> Layout:
    """What the columns of a file mean. Raises InvalidInput naming every title that means nothing or is there twice."""
    columns, faults, seen = [], [], dict[str, str]()
    for index, title in enumerate(header):
        column = _column(index, title)
        if column is None:
            if not ignore_unknown:
                faults.append(Fault("unknown_column", _unknown(title), pointer=f"/column {index + 1}"))
            continue
        if column.field not in LISTS and column.field in seen:
            message = f"{title!r} is the same field as {seen[column.field]!r}: {column.field}. Leave one of them out."
            faults.append(Fault("column_twice", message, pointer=f"/column {index + 1}"))
        seen[column.field] = title
        columns.append(column)
    if not columns and not faults:
        faults.append(Fault("unknown_column", "none of the columns is a field of a contact", pointer="/the first line"))
    if faults:
        raise InvalidInput(faults=faults)
    return Layout(len(header), tuple(columns))


def _column(index: int, title: str) -> Column | None:
    name, _, key = title.strip().partition(".")
    if name.lower() in OBJECTS and key.strip():
        return Column(index, title, f"{name.lower()}.{key.strip()}")
    folded = _folded(title)
    # "phone 2", "E-mail 3", but "address 1" is a name of its own.
    meant = ALIASES.get(folded) or re.sub(r"_?[0-9]{1,2}$", "", folded)
    meant = ALIASES.get(meant, meant)
    field, _, label = meant.partition(" ")
    if field not in NAMES or (folded[-1:].isdigit() and field not in (*LISTS, "street")):
        return None
    return Column(index, title, field, label or None)


def _folded(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.strip().lower()).strip("_")


def _unknown(title: str) -> str:
    if not title.strip():
        return "has no title in the first line"
    near = difflib.get_close_matches(_folded(title), [*NAMES, *ALIASES], n=1, cutoff=0.7)
    hint = f"did you mean {near[0]}?" if near else f"for a field of your own call it custom.{_folded(title)}."
    return f"{title!r} is not a field of a contact; {hint} Or leave it out with --ignore-unknown."


class _Row:
    """Collects a row's fields, and what is wrong with those that are read here and not by `cleaning`."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.lists: dict[str, list[Any]] = {"phones": [], "emails": [], "urls": []}
        self.address: dict[str, Any] = {}
        self.titles: dict[str, str] = {}
        self.faults: list[Fault] = []

    def take(self, column: Column, text: str) -> None:
        name, _, key = column.field.partition(".")
        if name in LISTS:
            items = self.lists[f"{name}s"]
            self.titles[f"/{name}s/{len(items)}"] = column.title
            items.append(_ITEMS[name](text, column.label))
        elif name in ADDRESS:
            self.titles[f"/addresses/0/{name}"] = column.title
            self.address[name] = COUNTRIES.get(text.lower(), text) if name == "country" else text
        elif key:
            self.titles[f"/{name}/{key}"] = column.title
            self.fields.setdefault(name, {})[key] = text
        else:
            self.titles[f"/{name}"] = column.title
            try:
                self.fields[name] = _READERS[name](text) if name in _READERS else text
            except ValueError as error:
                self.faults.append(Fault("invalid_value", str(error), pointer=f"/{column.title}"))

    def contact(self) -> NewContact:
        if self.address:
            self.lists["addresses"] = [Address(**self.address)]
        return NewContact(**{**self.fields, **{name: tuple(items) for name, items in self.lists.items()}})


def _birthday(text: str) -> date:
    """ISO 8601, or day before month as it is written here."""
    try:
        if match := re.fullmatch(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})", text):
            return date(int(match[3]), int(match[2]), int(match[1]))
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a date such as 1990-12-31 or 31/12/1990, not {text[:40]!r}") from None


def _owner(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"must be a user's UUID, not {text[:40]!r}") from None


_ITEMS: Final[dict[str, Callable[[str, str | None], Any]]] = {
    "phone": lambda number, label: Phone(number, label=label),
    "email": Email,
    "url": Url,
}
_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "birthday": _birthday,
    "owner_id": _owner,
    "kind": lambda text: KINDS.get(text.lower(), text.lower()),
    "tags": lambda text: tuple(filter(None, map(str.strip, text.split(";")))),
}
