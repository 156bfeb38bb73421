"""From what was sent to what is kept: every field read, checked and put in its one form, all faults found at once."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, datetime
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET

from bellbird.core import emails, phones, text
from bellbird.core.emails import InvalidEmail
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.phones import InvalidPhone
from bellbird.core.tenants import TenantSettings
from bellbird.core.text import InvalidText
from bellbird.features.contacts.models import Address, Contact, ContactPatch, Email, NewContact, Phone, Url

MAX_NAME: Final = 200
MAX_TEXT: Final = 200
MAX_LABEL: Final = 50
MAX_URLS: Final = 20
MAX_TAGS: Final = 100
MAX_OBJECT_BYTES: Final = 16_384
MAX_OBJECT_DEPTH: Final = 8

# BCP 47 as far as people's locales go: language, script, region ("en-AU", "mi", "zh-Hant-TW").
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_URL = re.compile(r"https?://[^\s/?#@]+\.[^\s]*|https?://[^\s/?#@]+", re.IGNORECASE)
# ISO 3166-1 codes of places without telephone numbers of their own, which libphonenumber therefore leaves out.
_WITHOUT_PHONES: Final = frozenset({"AQ", "BV", "GS", "HM", "PN", "TF", "UM"})

_Ranked = TypeVar("_Ranked", Phone, Email, Address)

PATCHABLE: Final = tuple(field.name for field in fields(ContactPatch))


# Faults that were found in fields before these were read.
Refused = Mapping[str, Fault]

_NONE_REFUSED: Final[Refused] = {}


def make(
    new: NewContact, settings: TenantSettings, *, id: UUID, now: datetime, refused: Refused = _NONE_REFUSED
) -> Contact:
    """The contact that `new` describes. Raises InvalidInput with every fault, also those of the fields `refused`."""
    # Most contacts have a handful of fields: the rest need no reading.
    given = {name: value for name in PATCHABLE if (value := getattr(new, name)) not in NOTHING}
    return _read(given, {}, settings, refused, id=id, version=1, created=now, now=now)


def change(
    contact: Contact,
    patch: ContactPatch,
    settings: TenantSettings,
    *,
    now: datetime,
    refused: Refused = _NONE_REFUSED,
) -> Contact:
    """The contact after a merge patch; itself when nothing would change. Raises InvalidInput with every fault."""
    given = {name: value for name in PATCHABLE if (value := getattr(patch, name)) is not UNSET}
    for name in ("custom", "preferences"):
        if isinstance(given.get(name), Mapping) and name not in refused:
            given[name] = _merge(getattr(contact, name), given[name])
    before = {name: getattr(contact, name) for name in PATCHABLE}
    if "display_name" not in given and contact.display_name == _called(**before):
        before["display_name"] = None  # it was made up from the other fields, so it follows them
    after = _read(
        given,
        before,
        settings,
        refused,
        id=contact.id,
        version=contact.version + 1,
        created=contact.created_at,
        now=now,
    )
    return contact if replace(after, version=contact.version, updated_at=contact.updated_at) == contact else after


def search_text(contact: Contact) -> str:
    """What `q=` looks in: every word between spaces, folded; e-mail addresses whole as well; numbers as digits."""
    found = [
        *text.words(" ".join(filter(None, (contact.display_name, contact.first_name, contact.last_name)))),
        *text.words(" ".join(filter(None, (contact.company, contact.job_title)))),
    ]
    for email in contact.emails:
        found += [emails.key(email.address), *text.words(email.address)]
    for phone in contact.phones:
        found += phones.search_digits(phone.number)
    return " " + " ".join(dict.fromkeys(found)) + " "


def _read(
    given: Mapping[str, Any],
    kept: Mapping[str, Any],
    settings: TenantSettings,
    refused: Refused,
    *,
    id: UUID,
    version: int,
    created: datetime,
    now: datetime,
) -> Contact:
    reader = _Reader(settings)
    reader.faults += refused.values()
    absent = {**_ABSENT, "custom": {}, "preferences": {}}  # of its own: a contact's objects can be altered in place
    values = {**absent, **kept}
    # What stays is not read again: it may be hidden from whoever would be told of a fault in it.
    for name, value in given.items():
        if name not in refused:
            values[name] = absent[name] if value in NOTHING else reader.field(name, value)
    if not reader.faults and not any(values[name] for name in _NAMING):
        reader.fault("contact_needs_identity", "", "A contact needs a name, a company, a phone or an e-mail.")
    if reader.faults:
        raise InvalidInput(faults=reader.faults)
    values["display_name"] = values["display_name"] or _called(**values)
    return Contact(id=id, version=version, created_at=created, updated_at=now, **values)


NOTHING: Final[tuple[Any, ...]] = (None, "", (), [], {})
_ABSENT: Final[dict[str, Any]] = {
    **dict.fromkeys(PATCHABLE),
    **dict.fromkeys(("phones", "emails", "addresses", "urls", "tags"), ()),
    "kind": "person",
}

_NAMING = ("first_name", "last_name", "display_name", "company", "phones", "emails")


def _called(**values: Any) -> str:
    """What a contact without a display name is called."""
    name = " ".join(filter(None, (values["first_name"], values["last_name"])))
    if values["kind"] == "organisation":
        name = values["company"] or name
    if name or values["company"]:
        return name or values["company"]
    return values["emails"][0].address if values["emails"] else values["phones"][0].number if values["phones"] else ""


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


class _Reader:
    """Reads fields one by one and collects what is wrong with them."""

    def __init__(self, settings: TenantSettings) -> None:
        self.settings = settings
        self.faults: list[Fault] = []

    def fault(self, code: str, pointer: str, message: str) -> None:
        self.faults.append(Fault(code, message, pointer=pointer))

    def field(self, name: str, value: Any) -> Any:
        """One field of a contact in its kept form; what could not be read is None, with a fault noted."""
        read = _READERS.get(name)
        return read(self, value, f"/{name}") if read else self.text(value, f"/{name}", MAX_TEXT)

    def text(self, value: Any, pointer: str, limit: int = MAX_TEXT) -> str | None:
        if value is None or value == "" or not self.is_text(value, pointer):
            return None
        try:
            return text.clean(value, max_length=limit) or None
        except InvalidText as error:
            self.fault(error.code, pointer, str(error))
            return None

    def is_text(self, value: Any, pointer: str) -> bool:
        if not isinstance(value, str):
            self.fault("invalid_type", pointer, f"must be text, not {type(value).__name__}")
        return isinstance(value, str)

    def kind(self, value: Any, pointer: str) -> str:
        if value is None:
            return "person"
        if value not in ("person", "organisation"):
            self.fault("invalid_value", pointer, f"must be person or organisation, not {value!r}")
        return str(value)

    def phones(self, value: Any, pointer: str) -> tuple[Phone, ...]:
        items = self.items(value, pointer, Phone, self.settings.max_phones, "phones")
        read = [self.phone(phone, f"{pointer}/{index}") for index, phone in enumerate(items)]
        return self.with_primary(_unlike(read, lambda phone: (phone.number, phone.extension)), pointer)

    def phone(self, phone: Phone, pointer: str) -> Phone | None:
        region = self.region(phone.region, f"{pointer}/region") or self.settings.default_region
        label = self.text(phone.label, f"{pointer}/label", MAX_LABEL)
        allowed = self.settings.allowed_regions or None
        if not self.is_text(phone.number, f"{pointer}/number"):
            return None
        try:
            typed = phone.number + (f" ext {phone.extension}" if phone.extension else "")
            number = phones.parse(typed, default_region=region, allowed_regions=allowed)
        except InvalidPhone as error:
            self.fault(error.code, f"{pointer}/number", str(error))
            return None
        raw = phone.raw if phone.raw and phone.number == number.number else phone.number
        return Phone(
            number.number, number.extension, label, number.region, str(number.line_type), phone.primary,
            self.status(phone.status, f"{pointer}/status"), self.text(raw, f"{pointer}/number", phones.MAX_LENGTH),
        )  # fmt: skip

    def emails(self, value: Any, pointer: str) -> tuple[Email, ...]:
        items = self.items(value, pointer, Email, self.settings.max_emails, "emails")
        read = [self.email(email, f"{pointer}/{index}") for index, email in enumerate(items)]
        return self.with_primary(_unlike(read, lambda email: emails.key(email.address)), pointer)

    def email(self, email: Email, pointer: str) -> Email | None:
        label = self.text(email.label, f"{pointer}/label", MAX_LABEL)
        if not self.is_text(email.address, f"{pointer}/address"):
            return None
        try:
            address = emails.parse(email.address).address
        except InvalidEmail as error:
            self.fault(error.code, f"{pointer}/address", str(error))
            return None
        return Email(address, label, email.primary, self.status(email.status, f"{pointer}/status"))

    def addresses(self, value: Any, pointer: str) -> tuple[Address, ...]:
        items = self.items(value, pointer, Address, self.settings.max_addresses, "addresses")
        read = []
        for index, address in enumerate(items):
            at = f"{pointer}/{index}"
            parts = {
                name: self.text(getattr(address, name), f"{at}/{name}", MAX_TEXT)
                for name in ("street", "city", "region", "postcode", "label")
            }
            country = self.region(address.country, f"{at}/country")
            read.append(Address(**parts, country=country, primary=address.primary))
        return self.with_primary(read, pointer)

    def urls(self, value: Any, pointer: str) -> tuple[Url, ...]:
        read = []
        for index, url in enumerate(self.items(value, pointer, Url, MAX_URLS, "urls")):
            address = self.text(url.url, f"{pointer}/{index}/url", 2000)
            if address is not None and not _URL.fullmatch(address):
                message = f"{address!r} is not a web address such as https://example.com.au"
                self.fault("url_invalid", f"{pointer}/{index}/url", message)
            elif address is not None:
                read.append(Url(address, self.text(url.label, f"{pointer}/{index}/label", MAX_LABEL)))
        return tuple(read)

    def tags(self, value: Any, pointer: str) -> tuple[str, ...]:
        items = self.items(value, pointer, str, MAX_TAGS, "tags")
        read = [self.text(tag, f"{pointer}/{index}", MAX_LABEL) for index, tag in enumerate(items)]
        return tuple(dict.fromkeys(tag for tag in read if tag))

    def birthday(self, value: Any, pointer: str) -> date | None:
        if value is None:
            return None
        if not isinstance(value, date) or isinstance(value, datetime):
            self.fault("invalid_type", pointer, f"must be a date such as 1990-12-31, not {value!r}")
            return None
        if value.year < 1850:
            self.fault("invalid_value", pointer, f"{value} is before anybody alive was born")
        return value

    def timezone(self, value: Any, pointer: str) -> str | None:
        name = self.text(value, pointer)
        if name is not None and name not in timezones():
            message = f"{name!r} is not a time zone of the IANA database, such as Australia/Sydney"
            self.fault("timezone_unknown", pointer, message)
        return name

    def locale(self, value: Any, pointer: str) -> str | None:
        name = self.text(value, pointer)
        if name is not None and not _LOCALE.fullmatch(name):
            self.fault("locale_invalid", pointer, f"{name!r} is not a language tag (BCP 47) such as en-AU or mi-NZ")
        return name

    def region(self, value: Any, pointer: str) -> str | None:
        name = self.text(value, pointer)
        if name is None:
            return None
        if name.upper() not in phones.regions() | _WITHOUT_PHONES | {"001"}:
            self.fault("region_unknown", pointer, f"{name!r} is not a country code (ISO 3166-1) such as AU or NZ")
            return None
        return name.upper()

    def owner(self, value: Any, pointer: str) -> UUID | None:
        if value is not None and not isinstance(value, UUID):
            self.fault("invalid_type", pointer, f"must be a UUID, not {value!r}")
            return None
        return value

    def status(self, value: Any, pointer: str) -> Any:
        if value not in ("ok", "invalid", "opted_out"):
            self.fault("invalid_value", pointer, f"must be ok, invalid or opted_out, not {value!r}")
        return value

    def object(self, value: Any, pointer: str) -> dict[str, Any]:
        if not value:
            return {}
        if not isinstance(value, Mapping):
            self.fault("invalid_type", pointer, f"must be an object, not {type(value).__name__}")
            return {}
        before = len(self.faults)
        self.json(value, pointer, depth=1)
        if len(self.faults) == before and (size := len(msgspec.json.encode(value))) > MAX_OBJECT_BYTES:
            message = f"is {size:,} bytes long as JSON; {MAX_OBJECT_BYTES:,} is the limit"
            self.fault("object_too_large", pointer, message)
        return dict(value)

    def json(self, value: Any, pointer: str, depth: int) -> None:
        """Note what of a JSON value cannot be kept."""
        if depth > MAX_OBJECT_DEPTH:
            self.fault("object_too_deep", pointer, f"is nested deeper than {MAX_OBJECT_DEPTH} levels")
        elif isinstance(value, str):
            try:
                text.clean(value, max_length=MAX_OBJECT_BYTES, multiline=True)
            except InvalidText as error:
                self.fault(error.code, pointer, str(error))
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if self.is_text(key, pointer):
                    self.json(key, pointer, depth)
                self.json(item, f"{pointer}/{_escape(str(key))}", depth + 1)
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.json(item, f"{pointer}/{index}", depth + 1)
        elif isinstance(value, int | float):
            if not abs(value) <= sys.float_info.max:  # nor is NaN
                self.fault("number_out_of_range", pointer, "is not a number that can be kept (64-bit floating point)")
        elif value is not None:
            self.fault("invalid_type", pointer, f"must be JSON, not {type(value).__name__}")

    def items(self, value: Any, pointer: str, kind: type, limit: int, noun: str) -> Sequence[Any]:
        """A list within its limit, every item of the right kind; otherwise nothing, with the fault noted."""
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.fault("invalid_type", pointer, f"must be a list, not {type(value).__name__}")
            return ()
        if len(value) > limit:
            self.fault("too_many", pointer, f"has {len(value)} {noun}; a contact may have at most {limit}")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, kind):
                self.fault("invalid_type", f"{pointer}/{index}", f"must be {kind.__name__}, not {item!r}")
                return ()
        return value

    def with_primary(self, items: Sequence[_Ranked | None], pointer: str) -> tuple[_Ranked, ...]:
        """The list with one primary item: the one marked so, or the first."""
        read = [item for item in items if item is not None]
        marked = [index for index, item in enumerate(read) if item.primary]
        if len(marked) > 1:
            self.fault("more_than_one_primary", pointer, f"{len(marked)} are marked primary; one at most can be")
        if read and not marked:
            read[0] = replace(read[0], primary=True)
        return tuple(read)


_READERS: Final[dict[str, Callable[[_Reader, Any, str], Any]]] = {
    "kind": _Reader.kind,
    "phones": _Reader.phones,
    "emails": _Reader.emails,
    "addresses": _Reader.addresses,
    "urls": _Reader.urls,
    "tags": _Reader.tags,
    "birthday": _Reader.birthday,
    "timezone": _Reader.timezone,
    "locale": _Reader.locale,
    "owner_id": _Reader.owner,
    "custom": _Reader.object,
    "preferences": _Reader.object,
}


def _unlike(items: Iterable[_Ranked | None], key: Callable[[_Ranked], Any]) -> list[_Ranked]:
    """The items without repetitions: the same number twice in one contact says nothing new."""
    kept: dict[Any, _Ranked] = {}
    for item in items:
        if item is not None:
            kept.setdefault(key(item), item)
    return list(kept.values())


def _escape(key: str) -> str:
    """RFC 6901, section 3."""
    return key.replace("~", "~0").replace("/", "~1")


@cache
def timezones() -> frozenset[str]:
    """The time zones there are."""
    return frozenset(available_timezones())
