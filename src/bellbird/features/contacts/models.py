"""The shapes of a contact: as it is read, as it is made, as it is changed. One shape for library, REST and GraphQL."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import topics
from bellbird.core.errors import BellbirdError, Conflict, NotFound, describe_faults, translate_constraint

Kind = Literal["person", "organisation"]
Status = Literal["ok", "invalid", "opted_out"]
MatchBy = Literal["email", "phone", "external_id"]

# Unknown fields are errors, and so is a number where a text belongs.
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone number of a contact.

    Going in, `number` may be in any format people type, `region` (ISO 3166-1 alpha-2) says in which country's
    national format it is (default: the tenant's), and `line_type` is ignored.
    Coming out, `number` is E.164, `region` and `line_type` are what the numbering plan says, and `raw` is as typed.
    """

    number: str
    extension: str | None = None
    label: str | None = None
    region: str | None = None
    line_type: str | None = None
    primary: bool = False
    status: Status = "ok"
    raw: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address of a contact; coming out, its domain is in lower case."""

    address: str
    label: str | None = None
    primary: bool = False
    status: Status = "ok"

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; `region` is the state or province, `country` ISO 3166-1 alpha-2."""

    street: str | None = None
    city: str | None = None
    region: str | None = None
    postcode: str | None = None
    country: str | None = None
    label: str | None = None
    primary: bool = False

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Url:
    """A web address of a contact, http or https."""

    url: str
    label: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Owner:
    """The user who looks after a contact."""

    id: UUID
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Contact:
    """A person or an organisation that a tenant knows.

    A field that was not asked for, or that the role of whoever asks hides, is left out (in Python it is UNSET).
    """

    id: UUID
    kind: Kind
    first_name: str | None
    last_name: str | None
    display_name: str
    company: str | None
    job_title: str | None
    phones: tuple[Phone, ...]
    emails: tuple[Email, ...]
    addresses: tuple[Address, ...]
    urls: tuple[Url, ...]
    birthday: date | None
    timezone: str | None
    locale: str | None
    source: str | None
    owner_id: UUID | None
    tags: tuple[str, ...]
    custom: dict[str, Any]
    preferences: dict[str, Any]
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    # Only where it was asked to be included; None when nobody does who is a member of the tenant.
    owner: Owner | None | UnsetType = UNSET
    # Only in the answer to a write under the duplicate policy `warn`: who else has one of its numbers or addresses,
    # and how many more contacts that whoever wrote does not see.
    duplicates: tuple[UUID, ...] | UnsetType = UNSET
    other_duplicates: int | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """A contact to be made: it needs a name, a phone or an e-mail; everything else may be left out.

    Without a `display_name` it is called by its names, its company, its e-mail or its number, whichever there is.
    """

    kind: Kind = "person"
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    company: str | None = None
    job_title: str | None = None
    phones: tuple[Phone, ...] = ()
    emails: tuple[Email, ...] = ()
    addresses: tuple[Address, ...] = ()
    urls: tuple[Url, ...] = ()
    birthday: date | None = None
    timezone: str | None = None
    locale: str | None = None
    source: str | None = None
    owner_id: UUID | None = None
    tags: tuple[str, ...] = ()
    custom: dict[str, Any] = field(default_factory=dict)
    preferences: dict[str, Any] = field(default_factory=dict)
    external_id: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPatch:
    """A change to a contact, as a JSON merge patch (RFC 7396): what is left out stays, null empties, a list replaces.

    `custom` and `preferences` are objects and merge key by key, to any depth.
    """

    kind: Kind | UnsetType = UNSET
    first_name: str | None | UnsetType = UNSET
    last_name: str | None | UnsetType = UNSET
    display_name: str | None | UnsetType = UNSET
    company: str | None | UnsetType = UNSET
    job_title: str | None | UnsetType = UNSET
    phones: tuple[Phone, ...] | None | UnsetType = UNSET
    emails: tuple[Email, ...] | None | UnsetType = UNSET
    addresses: tuple[Address, ...] | None | UnsetType = UNSET
    urls: tuple[Url, ...] | None | UnsetType = UNSET
    birthday: date | None | UnsetType = UNSET
    timezone: str | None | UnsetType = UNSET
    locale: str | None | UnsetType = UNSET
    source: str | None | UnsetType = UNSET
    owner_id: UUID | None | UnsetType = UNSET
    tags: tuple[str, ...] | None | UnsetType = UNSET
    custom: dict[str, Any] | None | UnsetType = UNSET
    preferences: dict[str, Any] | None | UnsetType = UNSET
    external_id: str | None | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class ContactNotFound(NotFound):
    """There is no such contact.

    It never was, is deleted, is another tenant's, or is not for the caller to see.
    """

    code = "contact_not_found"


class DuplicateContact(Conflict):
    """Another contact has one of these numbers or addresses, and is not to be made twice.

    The tenant rejects duplicates, or an upsert matches a contact that the caller does not see.
    `contacts` lists their ids, `others` is how many more there are that the caller does not see.
    """

    code = "duplicate_contact"


class ExternalIdTaken(Conflict):
    """Another contact has this external_id."""

    code = "external_id_taken"


class AmbiguousMatch(Conflict):
    """More than one contact matches, so that it is not clear which one to update.

    `contacts` lists their ids, `others` is how many more there are that the caller does not see.
    """

    code = "ambiguous_match"


class HistoryGone(BellbirdError):
    """The log is not kept so far back.

    `kept_since` is the first moment that it is kept from, where that is why.
    """

    code = "history_gone"
    status = 410


translate_constraint("contacts_external_id_unique", ExternalIdTaken)

describe_faults({
    "field_read_only": "The caller's role may not set or change this field.",
    "owner_not_visible": "The caller would not see a contact of this owner.",
    "unknown_include": "There is nothing of this name to include.",
    "contact_needs_identity": "A contact needs a name, a company, a phone or an e-mail.",
    "more_than_one_primary": "Several items of a list are marked primary.",
    "object_too_deep": "`custom` or `preferences` is nested too deep.",
    "object_too_large": "`custom` or `preferences` is too large.",
    "number_out_of_range": "The number cannot be kept as 64-bit floating point.",
    "url_invalid": "This is no http or https address.",
    "locale_invalid": "This is no language tag (BCP 47).",
    "unknown_column": "A column of the CSV file stands for no field.",
    "column_twice": "Two columns of the CSV file stand for the same field.",
})  # fmt: skip

topics.recorded("contact.created", "contact.updated", "contact.deleted", "contact.restored", "contact.purged")
