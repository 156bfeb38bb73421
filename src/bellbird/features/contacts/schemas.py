"""What JSON Schema can say of a contact's shapes beyond their annotations, and an example of each."""

from collections.abc import Mapping
from typing import Any, Final

from bellbird.core import phones
from bellbird.core.emails import MAX_OCTETS
from bellbird.core.paging import Total
from bellbird.core.tenants import TenantSettings
from bellbird.entrypoints import docs
from bellbird.features.contacts.cleaning import MAX_LABEL, MAX_NAME, MAX_TAGS, MAX_TEXT, MAX_URLS
from bellbird.features.contacts.fields import SORTS, filterable
from bellbird.features.contacts.models import Address, Contact, ContactPatch, Email, NewContact, Owner, Phone, Url
from bellbird.features.contacts.rules import FIELDS, INCLUDABLE
from bellbird.features.contacts.search import MAX_QUESTION

PHONE: Final = {"number": "0412 345 678", "label": "work"}
EMAIL: Final = {"address": "ann.lee@acme.com.au", "label": "work"}
ADDRESS: Final = {
    "street": "12 King Street", "city": "Newtown", "region": "NSW", "postcode": "2042", "country": "AU",
}  # fmt: skip
URL: Final = {"url": "https://acme.com.au", "label": "website"}

NEW: Final[dict[str, Any]] = {
    "first_name": "Ann",
    "last_name": "Lee",
    "company": "Acme Pty Ltd",
    "job_title": "Buyer",
    "phones": [PHONE],
    "emails": [EMAIL],
    "addresses": [ADDRESS],
    "urls": [URL],
    "timezone": "Australia/Sydney",
    "locale": "en-AU",
    "tags": ["vip"],
    "custom": {"shoe_size": 38},
    "external_id": "crm-4711",
}

KEPT: Final[dict[str, Any]] = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
    "kind": "person",
    "display_name": "Ann Lee",
    **NEW,
    "phones": [{
        "number": "+61412345678", "extension": None, "label": "work", "region": "AU", "line_type": "mobile",
        "primary": True, "status": "ok", "raw": "0412 345 678",
    }],
    "emails": [{**EMAIL, "primary": True, "status": "ok"}],
    "addresses": [{**ADDRESS, "label": None, "primary": True}],
    "birthday": None,
    "source": None,
    "owner_id": None,
    "preferences": {},
    "version": 1,
    "created_at": "2026-03-02T09:30:00.125Z",
    "updated_at": "2026-03-02T09:30:00.125Z",
    "deleted_at": None,
}  # fmt: skip

_COUNTRY: Final = {"type": ["string", "null"], "format": "country", "maxLength": MAX_TEXT}
_MANY: Final = {"maxItems": 100, "description": "Up to the tenant's own limit, which is 10 unless it was changed."}
_JSON: Final = {"description": "Up to 16 kB of JSON, eight levels deep."}

_SENT: Final[dict[str, docs.JsonSchema]] = {
    **{name: docs.line(MAX_NAME) for name in ("first_name", "last_name", "display_name")},
    **{name: docs.line(MAX_TEXT) for name in ("company", "job_title", "source", "external_id")},
    "phones": _MANY,
    "emails": _MANY,
    "addresses": _MANY,
    "urls": {"maxItems": MAX_URLS},
    "birthday": {"description": "Not before 1850."},
    "timezone": {**docs.line(MAX_TEXT), "format": "timezone", "description": "A time zone of the IANA database."},
    "locale": {**docs.line(MAX_TEXT), "format": "locale", "description": "A language tag (BCP 47), such as en-AU."},
    "tags": {"maxItems": MAX_TAGS, "items": docs.line(MAX_LABEL)},
    "custom": _JSON,
    "preferences": _JSON,
}

docs.shape(
    Phone,
    example=PHONE,
    properties={
        "number": {"format": "phone", "maxLength": phones.MAX_LENGTH},
        "extension": {"pattern": "^[0-9]{1,10}$"},
        "label": docs.line(MAX_LABEL),
        "region": _COUNTRY,
    },
)
docs.shape(
    Email,
    example=EMAIL,
    properties={"address": {"format": "email", "maxLength": MAX_OCTETS}, "label": docs.line(MAX_LABEL)},
)
docs.shape(
    Address,
    example=ADDRESS,
    properties={
        **{name: docs.line(MAX_TEXT) for name in ("street", "city", "region", "postcode", "label")},
        "country": _COUNTRY,
    },
)
docs.shape(
    Url,
    example=URL,
    properties={"url": {"format": "uri", "pattern": "^[hH][tT][tT][pP][sS]?://", "maxLength": 2000},
                "label": docs.line(MAX_LABEL)},
)  # fmt: skip
docs.shape(
    Owner,
    example={"id": "0192f0c0-a1b2-7c3d-8e4f-000000000001", "name": "Ben Ngata", "email": "ben@bellbird.example"},
)
docs.shape(NewContact, example=NEW, properties=_SENT)
docs.shape(ContactPatch, example={"job_title": "Head of Buying", "custom": {"shoe_size": None}}, properties=_SENT)
docs.shape(Contact, example=KEPT, required=("id",))
docs.shape(Total, example={"count": 2041, "exact": True})

WANTED: Final[Mapping[str, docs.Query]] = {
    "fields": docs.several("Only these fields in the answer, and the id", FIELDS),
    "include": docs.several("What the answer has besides: the owner with name and e-mail address", INCLUDABLE),
}

QUERY: Final[Mapping[str, docs.Query]] = {
    "q": docs.text(
        "What a person typed in a search box: names, companies, e-mails, numbers; the best matches come first",
        max_length=MAX_QUESTION,
        example="ann acme",
    ),
    "filter": docs.filters(
        "Contact",
        filterable(TenantSettings()),
        example={"or": [{"tag": "vip"}, {"created_at": {"gte": "2026-01-01"}}]},
    ),
    "sort": docs.choice("The order", [sign + name for name in SORTS for sign in ("", "-")], default="-created_at"),
    **docs.PAGED,
    "deleted": docs.flag("The deleted contacts that can still be restored instead"),
    "total": docs.flag("Also how many there are, exact up to 10,000 and estimated above"),
    **WANTED,
}
