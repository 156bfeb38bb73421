"""Where whoever is called is, as far as it is known: by their address, else by their time zone, else by the number.

Where it can be told no closer they can be in any of several places, and a call has to be right in all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bellbird.core.phones import LineType, PhoneNumber
from bellbird.features.contacts import Address
from bellbird.features.dialling import regions
from bellbird.features.dialling.regions import Place

KnownBy = Literal["address", "timezone", "number"]

# Numbers of these kinds tell nothing of where they ring.
_GEOGRAPHIC: Final = (LineType.LANDLINE, LineType.LANDLINE_OR_MOBILE)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The places that somebody can be in, and how that is known."""

    places: tuple[Place, ...]
    known_by: KnownBy

    @property
    def zones(self) -> tuple[str, ...]:
        """Their time zones, each once."""
        return tuple(dict.fromkeys(zone for _, _, zone in self.places))


def find(number: PhoneNumber, addresses: Sequence[Address], timezone: str | None) -> Whereabouts:
    """Where whoever has this number, these addresses and this time zone is.

    The primary address counts, or the first that says enough. A time zone narrows the number's places down; where it is
    none of theirs, it is believed, for it was set by somebody.
    """
    for address in sorted(addresses, key=lambda address: not address.primary):
        if found := by_address(address, number.region):
            return Whereabouts(found, "address")
    possible = by_number(number)
    if timezone and is_zone(timezone):
        everywhere = (*possible, *regions.AUSTRALIA, regions.NORFOLK, *regions.NEW_ZEALAND)
        same = tuple(dict.fromkeys(place for place in everywhere if place[2] == timezone))
        return Whereabouts(same or ((number.region, None, timezone),), "timezone")
    return Whereabouts(possible, "number")


def by_address(address: Address, region: str) -> tuple[Place, ...]:
    """The places that an address can mean, () if it does not say. `region` is the number's, for want of a country."""
    country = (address.country or region).upper()
    city = (address.city or "").strip().casefold()
    state = (address.region or "").strip()
    postcode = "".join((address.postcode or "").split())
    if country in regions.ISLANDS:
        return (regions.ISLANDS[country],)
    if country == "AU":
        return _in_australia(state, city, postcode)
    if country == "NZ":
        return _in_new_zealand(state, city, postcode, is_certain=address.country is not None)
    return ()


def _in_australia(state: str, city: str, postcode: str) -> tuple[Place, ...]:
    name = state.upper().removeprefix("AU-").replace(".", "")
    name = name if name in regions.ZONE_OF else regions.AU_NAMES.get(state.casefold(), "")
    postcode = postcode.zfill(4) if postcode.isdecimal() and len(postcode) == 3 else postcode
    by_postcode = regions.ODD_POSTCODES.get(postcode) or tuple(
        regions.state(of) for first, last, of in regions.POSTCODES if len(postcode) == 4 and first <= postcode <= last
    )
    if town := regions.TOWNS.get((postcode, city)):
        return (town,)
    if by_postcode:
        in_state = tuple(place for place in by_postcode if place[1] in (name, None))
        # Where the state and the postcode contradict each other, one of them is wrong, and nobody knows which.
        return in_state or (*by_postcode, *((regions.state(name),) if name else ()))
    if by_city := regions.AU_CITIES.get(city):
        return (by_city,) if name in ("", by_city[1]) else (by_city, regions.state(name))
    if not name:
        return ()
    return tuple(place for place in regions.AUSTRALIA if place[1] == name)


def _in_new_zealand(state: str, city: str, postcode: str, *, is_certain: bool) -> tuple[Place, ...]:
    name = state.casefold().removesuffix(" region")
    code = regions.NZ_REGIONS.get(name) or state.upper().removeprefix("NZ-")
    if "chatham" in city or code == "CIT" or postcode in regions.CHATHAM_POSTCODES:
        return (regions.CHATHAM,)
    if code in regions.NZ_CODES:
        # South Canterbury is a part of Canterbury, and keeps another day: whoever says Canterbury may mean both.
        codes = (code, "South Canterbury") if code == "CAN" and city not in regions.NZ_CITIES else (code,)
        return regions.new_zealand(*codes)
    if by_city := regions.NZ_CITIES.get(city):
        return regions.new_zealand(by_city)
    if is_certain and (city or state or postcode):
        return tuple(place for place in regions.NEW_ZEALAND if place is not regions.CHATHAM)
    return ()


def by_number(number: PhoneNumber) -> tuple[Place, ...]:
    """The places that a number can ring in."""
    if number.line_type in _GEOGRAPHIC:
        for pattern, found in regions.AREA_CODES:
            if pattern.match(number.number):
                return found
    if number.region == "AU":
        return regions.AUSTRALIA
    if number.region == "NZ":
        return regions.NEW_ZEALAND
    return tuple((number.region, None, zone) for zone in _zones(number.number))


def _zones(number: str) -> tuple[str, ...]:
    """The zones of a number of another country, as libphonenumber has them."""
    import phonenumbers
    from phonenumbers import timezone

    found = timezone.time_zones_for_number(phonenumbers.parse(number))
    known = tuple(zone for zone in found if is_zone(zone))
    # Somewhere on earth: what is right at both ends of the day is right in between.
    return known or ("Pacific/Kiritimati", "Pacific/Pago_Pago")


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
