"""The states, postcodes and area codes of Australia and New Zealand, and the time zones that go with them: data.

Sources: IANA time zone database (which zone is where); Australia Post (ranges of postcodes by state, and the few
postcodes that reach over a border); the Telecommunications Numbering Plan 2025 (area codes, wider than states); New
Zealand Post (postcodes of the Chatham Islands); ISO 3166-2 (names and codes of states and regions).
"""

import re
from typing import Final

# A place as far as rules can tell places apart: country, state or region (None: unknown), time zone.
Place = tuple[str, str | None, str]

ZONE_OF: Final = {
    "ACT": "Australia/Sydney", "NSW": "Australia/Sydney", "NT": "Australia/Darwin", "QLD": "Australia/Brisbane",
    "SA": "Australia/Adelaide", "TAS": "Australia/Hobart", "VIC": "Australia/Melbourne", "WA": "Australia/Perth",
}  # fmt: skip

# Where a state does not keep one time.
BROKEN_HILL: Final[Place] = ("AU", "NSW", "Australia/Broken_Hill")
LORD_HOWE: Final[Place] = ("AU", "NSW", "Australia/Lord_Howe")
EUCLA: Final[Place] = ("AU", "WA", "Australia/Eucla")
CHRISTMAS: Final[Place] = ("CX", None, "Indian/Christmas")
COCOS: Final[Place] = ("CC", None, "Indian/Cocos")
# The same for whoever may be there, for all that is known: their holidays are only kept for whoever is.
PERHAPS_THERE: Final[tuple[Place, ...]] = (("AU", None, "Indian/Christmas"), ("AU", None, "Indian/Cocos"))
NORFOLK: Final[Place] = ("NF", None, "Pacific/Norfolk")
CHATHAM: Final[Place] = ("NZ", "CIT", "Pacific/Chatham")
NZ_ZONE: Final = "Pacific/Auckland"


def state(name: str) -> Place:
    """An Australian state at its usual time."""
    return ("AU", name, ZONE_OF[name])


AUSTRALIA: Final[tuple[Place, ...]] = (*map(state, ZONE_OF), BROKEN_HILL, LORD_HOWE, EUCLA, *PERHAPS_THERE)

AU_NAMES: Final = {
    "australian capital territory": "ACT", "new south wales": "NSW", "northern territory": "NT", "queensland": "QLD",
    "south australia": "SA", "tasmania": "TAS", "victoria": "VIC", "western australia": "WA",
}  # fmt: skip

# Postcodes by state, first and last.
POSTCODES: Final = (
    ("0200", "0299", "ACT"), ("0800", "0999", "NT"), ("1000", "2599", "NSW"), ("2600", "2618", "ACT"),
    ("2619", "2899", "NSW"), ("2900", "2920", "ACT"), ("2921", "2999", "NSW"), ("3000", "3999", "VIC"),
    ("4000", "4999", "QLD"), ("5000", "5999", "SA"), ("6000", "6999", "WA"), ("7000", "7999", "TAS"),
    ("8000", "8999", "VIC"), ("9000", "9999", "QLD"),
)  # fmt: skip

# Postcodes that keep another time than their state, or reach into more than one.
ODD_POSTCODES: Final[dict[str, tuple[Place, ...]]] = {
    "2880": (BROKEN_HILL,),
    "2898": (LORD_HOWE,),
    "2899": (NORFOLK,),
    "6443": (EUCLA, state("WA")),
    "6798": (CHRISTMAS,),
    "6799": (COCOS,),
    "0872": (state("NT"), state("SA"), state("WA")),
    "2406": (state("NSW"), state("QLD")),
    "2540": (state("NSW"), state("ACT")),
    "2620": (state("NSW"), state("ACT")),
    "4377": (state("QLD"), state("NSW")),
    "4380": (state("QLD"), state("NSW")),
    "4383": (state("QLD"), state("NSW")),
    "4385": (state("QLD"), state("NSW")),
    "4825": (state("QLD"), state("NT")),
}

# Places of those that say which it is.
TOWNS: Final[dict[tuple[str, str], Place]] = {
    ("2880", "tibooburra"): state("NSW"),
    ("2880", "milparinka"): state("NSW"),
    ("2880", "packsaddle"): state("NSW"),
    ("6443", "balladonia"): state("WA"),
    ("6443", "caiguna"): EUCLA,
    ("6443", "cocklebiddy"): EUCLA,
    ("6443", "eucla"): EUCLA,
    ("6443", "madura"): EUCLA,
    ("6443", "mundrabilla"): EUCLA,
}

# Cities that need no state to be known; there is one of each in its country.
AU_CITIES: Final[dict[str, Place]] = {
    "adelaide": state("SA"), "alice springs": state("NT"), "brisbane": state("QLD"), "broken hill": BROKEN_HILL,
    "cairns": state("QLD"), "canberra": state("ACT"), "darwin": state("NT"), "eucla": EUCLA, "geelong": state("VIC"),
    "gold coast": state("QLD"), "hobart": state("TAS"), "lord howe island": LORD_HOWE, "melbourne": state("VIC"),
    "perth": state("WA"), "sydney": state("NSW"), "townsville": state("QLD"), "wollongong": state("NSW"),
}  # fmt: skip

# Countries of their own in ISO 3166 that are dialled as Australia, or nearly.
ISLANDS: Final[dict[str, Place]] = {"CX": CHRISTMAS, "CC": COCOS, "NF": NORFOLK}

# Regions of New Zealand, by the codes that public holidays have them under: an anniversary day is a province's, and
# South Canterbury keeps its own.
NZ_REGIONS: Final = {
    "auckland": "AUK", "bay of plenty": "BOP", "canterbury": "CAN", "gisborne": "GIS", "hawke's bay": "HKB",
    "hawkes bay": "HKB", "manawatu-whanganui": "MWT", "manawatū-whanganui": "MWT", "marlborough": "MBH",
    "nelson": "NSN", "northland": "NTL", "otago": "OTA", "southland": "STL", "south canterbury": "South Canterbury",
    "taranaki": "TKI", "tasman": "TAS", "waikato": "WKO", "wellington": "WGN", "greater wellington": "WGN",
    "west coast": "WTC", "chatham islands": "CIT",
}  # fmt: skip
NZ_CODES: Final = frozenset(NZ_REGIONS.values())
NZ_CITIES: Final = {
    "auckland": "AUK", "blenheim": "MBH", "christchurch": "CAN", "dunedin": "OTA", "gisborne": "GIS",
    "greymouth": "WTC", "hamilton": "WKO", "hastings": "HKB", "invercargill": "STL", "napier": "HKB", "nelson": "NSN",
    "new plymouth": "TKI", "palmerston north": "MWT", "queenstown": "OTA", "rotorua": "BOP", "tauranga": "BOP",
    "timaru": "South Canterbury", "wellington": "WGN", "whanganui": "MWT", "whangarei": "NTL", "whangārei": "NTL",
}  # fmt: skip
CHATHAM_POSTCODES: Final = frozenset({"8016", "8942"})


def new_zealand(*codes: str) -> tuple[Place, ...]:
    """Regions of New Zealand at their time."""
    return tuple(CHATHAM if code == "CIT" else ("NZ", code, NZ_ZONE) for code in codes)


NEW_ZEALAND: Final = new_zealand(*sorted(NZ_CODES))


def _au(*names: str) -> tuple[Place, ...]:
    return tuple(map(state, names))


_SOUTH_ISLAND: Final = ("NSN", "MBH", "TAS", "WTC", "CAN", "South Canterbury", "OTA", "STL")

# Where a number can be by its area code; the first that fits counts. What fits none can be anywhere in its country.
# Area codes are wider than states: (02) has the ACT and the north of Victoria, (03) the south of New South Wales, (07)
# Tweed Heads and other towns south of the border, (08) three states, Broken Hill and the islands.
AREA_CODES: Final[tuple[tuple[re.Pattern[str], tuple[Place, ...]], ...]] = (
    (re.compile(r"\+618"), (*_au("SA", "NT", "WA"), BROKEN_HILL, EUCLA, *PERHAPS_THERE)),
    (re.compile(r"\+6126563"), (LORD_HOWE, state("NSW"))),
    (re.compile(r"\+612"), _au("NSW", "ACT", "VIC")),
    (re.compile(r"\+613"), _au("VIC", "TAS", "NSW")),
    (re.compile(r"\+617(?:55|56|46)"), _au("QLD", "NSW")),
    (re.compile(r"\+617"), _au("QLD")),
    (re.compile(r"\+672"), (NORFOLK,)),
    (re.compile(r"\+643305"), new_zealand("CIT", "CAN")),
    (re.compile(r"\+643"), new_zealand(*_SOUTH_ISLAND)),
    (re.compile(r"\+644"), new_zealand("WGN")),
    (re.compile(r"\+646"), new_zealand("TKI", "MWT", "HKB", "GIS", "WGN")),
    (re.compile(r"\+647"), new_zealand("WKO", "BOP")),
    (re.compile(r"\+649"), new_zealand("AUK", "NTL")),
)  # fmt: skip
