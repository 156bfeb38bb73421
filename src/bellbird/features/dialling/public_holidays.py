"""Public holidays, national and of states and regions, as the `holidays` package has them.

A country's own are the days that all of it keeps. In Australia those are the seven of section 115 of the Fair Work Act
2009, less the King's Birthday, which states keep on days of their own; a day that is taken
instead of one of them counts where every state takes it. Easter Saturday is a day of states: Tasmania and Western
Australia do not keep it.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from bellbird.core.errors import InvalidInput
from bellbird.features.dialling.regions import ZONE_OF


@lru_cache(256)
def of(country: str, region: str | None, year: int) -> Mapping[date, str]:
    """The public holidays of a country (ISO 3166-1), or of one of its states or regions with the country's, in a year.

    A country that nobody has holidays of has none. Raises InvalidInput for a region that its country does not have.
    """
    import holidays  # takes a third of a second, with all its countries

    try:
        found = holidays.country_holidays(country, subdiv=region, years=year, language="en_US")
    except NotImplementedError as error:
        known = holidays.list_supported_countries(include_aliases=False)
        if country not in known:
            return {}
        there = ", ".join(known[country]) or "none"
        message = f"{country} has no region {region!r} with public holidays of its own; it has {there}"
        raise InvalidInput.at("region", message) from error
    return {day: str(name) for day, name in found.items()}


def on(day: date, country: str, region: str | None, *, regional: bool = True) -> str | None:
    """The holiday that a day is there, by its name; None for none. `regional` counts those of the region too."""
    national = of(country, None, day.year).get(day)
    if national is None and country == "AU":
        national = _everywhere_in_australia(day)
    if national is not None or region is None or not regional:
        return national
    return of(country, region, day.year).get(day)


def _everywhere_in_australia(day: date) -> str | None:
    """A day that every state and territory keeps, each by a law of its own: what is taken for Christmas on a Sunday."""
    names = [of("AU", state, day.year).get(day) for state in ZONE_OF]
    return names[0] if all(names) else None
