"""The demo's people: believable, valid, and always the same."""

from datetime import UTC, datetime

from bellbird.core import ids
from bellbird.core.tenants import TenantSettings
from bellbird.demo import people, places
from bellbird.features.contacts import Contact, cleaning

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def made(count: int) -> list[Contact]:
    settings = TenantSettings()
    return [cleaning.make(people.contact(number), settings, id=ids.uuid7(NOW), now=NOW) for number in range(count)]


def test_every_number_and_address_is_valid() -> None:
    contacts = made(300)  # raises InvalidInput for one that is not
    typed = [phone.raw or "" for contact in contacts for phone in contact.phones]
    assert len({"".join("9" if c.isdigit() else c for c in raw) for raw in typed}) > 12, "typed in many ways"
    regions = {phone.region for contact in contacts for phone in contact.phones}
    assert regions == {"AU", "NZ"}
    kinds = {phone.line_type for contact in contacts for phone in contact.phones}
    assert kinds == {"mobile", "landline", "local_rate", "toll_free"}


def test_contact_n_depends_on_n_alone() -> None:
    assert people.contact(77) == people.contact(77)
    first = [people.contact(number) for number in (5, 50)]
    people.employer.cache_clear()
    assert [people.contact(number) for number in (5, 50)] == first


def test_colleagues_write_from_their_companys_domain() -> None:
    contacts = made(120)
    domains = {url.url.removeprefix("https://www."): c.company for c in contacts if c.urls for url in c.urls}
    for contact in contacts:
        for email in contact.emails:
            domain = email.address.partition("@")[2]
            if domain in domains:
                assert contact.company == domains[domain]


def test_places_are_what_they_say() -> None:
    first_digit = {"NSW": "2", "ACT": "2", "VIC": "3", "QLD": "4", "SA": "5", "WA": "6", "TAS": "7", "NT": "0"}
    for place in places.AUSTRALIA:
        assert place.postcode[0] == first_digit[place.region], place
    area_codes = {"NSW": "2", "ACT": "2", "VIC": "3", "TAS": "3", "QLD": "7", "SA": "8", "WA": "8", "NT": "8"}
    for place in places.AUSTRALIA:
        assert place.landlines[0] == area_codes[place.region], place
