"""Telephone numbers, all of them valid, written in every way that people write them."""

from collections.abc import Callable
from random import Random

from bellbird.core import phones
from bellbird.core.phones import InvalidPhone
from bellbird.demo.places import Place

NZ_MOBILES = (("21", 6), ("21", 7), ("22", 7), ("27", 7), ("27", 7), ("20", 8))


def mobile(chance: Random, country: str) -> str:
    """A mobile number as its owner typed it."""
    if country == "AU":
        n = _valid(lambda: "4" + _digits(chance, 8), "AU")
        return chance.choice((
            f"0{n[:3]} {n[3:6]} {n[6:]}", f"0{n[:3]} {n[3:6]} {n[6:]}", f"0{n}", f"+61 {n[:3]} {n[3:6]} {n[6:]}",
            f"+61{n}", f"0{n[:3]}-{n[3:6]}-{n[6:]}", f"(0{n[:3]}) {n[3:6]} {n[6:]}", f"0{n[:3]}.{n[3:6]}.{n[6:]}",
        ))  # fmt: skip
    code, length = chance.choice(NZ_MOBILES)
    n = _valid(lambda: code + _digits(chance, length), "NZ")[2:]
    return chance.choice((
        f"0{code} {n[:3]} {n[3:]}", f"0{code} {n[:3]} {n[3:]}", f"0{code}{n}", f"+64 {code} {n[:3]} {n[3:]}",
        f"+64{code}{n}", f"0{code}-{n[:3]}-{n[3:]}",
    ))  # fmt: skip


def landline(chance: Random, place: Place) -> str:
    """A landline number of a place."""
    length = 9 if place.country == "AU" else 8
    n = _valid(lambda: place.landlines + _digits(chance, length - len(place.landlines)), place.country)
    code, n = n[0], n[1:]
    if place.country == "AU":
        return chance.choice((
            f"(0{code}) {n[:4]} {n[4:]}", f"(0{code}) {n[:4]} {n[4:]}", f"0{code} {n[:4]} {n[4:]}", f"0{code}{n}",
            f"+61 {code} {n[:4]} {n[4:]}", f"0{code}-{n[:4]}-{n[4:]}",
        ))  # fmt: skip
    return chance.choice((
        f"0{code} {n[:3]} {n[3:]}", f"(0{code}) {n[:3]} {n[3:]}", f"+64 {code} {n[:3]} {n[3:]}",
        f"0{code}-{n[:3]} {n[3:]}",
    ))  # fmt: skip


def advertised(chance: Random, country: str) -> str:
    """A number that a business advertises: free, or at the price of a local call."""
    if country == "NZ":
        prefix = chance.choice(("0800", "0800", "0508"))
        n = _valid(lambda: prefix[1:] + _digits(chance, 6), "NZ")[3:]
        return f"{prefix} {n[:3]} {n[3:]}"
    prefix = chance.choice(("1300", "1300", "1800"))
    n = _valid(lambda: prefix + _digits(chance, 6), "AU", trunk="")[4:]
    return chance.choice((f"{prefix} {n[:3]} {n[3:]}", f"{prefix} {n[:3]} {n[3:]}", f"{prefix}{n}"))


def _digits(chance: Random, count: int) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def _valid(make: Callable[[], str], country: str, trunk: str = "0") -> str:
    """A number of a range in use: which ones are is libphonenumber's to say."""
    while True:
        number = make()
        try:
            phones.parse(trunk + number, default_region=country, allowed_regions=(country,))
        except InvalidPhone:
            continue
        return number
