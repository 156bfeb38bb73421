"""Places in Australia and New Zealand: suburbs with what belongs to them, and streets."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """A suburb or town; `landlines` is how its landline numbers begin, without the trunk 0."""

    city: str
    region: str
    postcode: str
    country: str
    landlines: str
    timezone: str


_SYDNEY, _MELBOURNE, _BRISBANE = "Australia/Sydney", "Australia/Melbourne", "Australia/Brisbane"
_ADELAIDE, _PERTH, _HOBART, _DARWIN = "Australia/Adelaide", "Australia/Perth", "Australia/Hobart", "Australia/Darwin"

# Postcodes: Australia Post, NZ Post. About by population.
_AU: Final = (
    ("Parramatta", "NSW", "2150", "2989", _SYDNEY), ("Surry Hills", "NSW", "2010", "2921", _SYDNEY),
    ("Manly", "NSW", "2095", "2997", _SYDNEY), ("Bondi Junction", "NSW", "2022", "2938", _SYDNEY),
    ("Penrith", "NSW", "2750", "2473", _SYDNEY), ("Newtown", "NSW", "2042", "2955", _SYDNEY),
    ("Newcastle", "NSW", "2300", "2492", _SYDNEY), ("Wollongong", "NSW", "2500", "2422", _SYDNEY),
    ("Wagga Wagga", "NSW", "2650", "2692", _SYDNEY), ("Orange", "NSW", "2800", "2636", _SYDNEY),
    ("Braddon", "ACT", "2612", "2624", _SYDNEY), ("Belconnen", "ACT", "2617", "2625", _SYDNEY),
    ("Fitzroy", "VIC", "3065", "3941", _MELBOURNE), ("Richmond", "VIC", "3121", "3942", _MELBOURNE),
    ("Footscray", "VIC", "3011", "3968", _MELBOURNE), ("Box Hill", "VIC", "3128", "3989", _MELBOURNE),
    ("St Kilda", "VIC", "3182", "3953", _MELBOURNE), ("Frankston", "VIC", "3199", "3978", _MELBOURNE),
    ("Geelong", "VIC", "3220", "3522", _MELBOURNE), ("Ballarat", "VIC", "3350", "3533", _MELBOURNE),
    ("Bendigo", "VIC", "3550", "3544", _MELBOURNE), ("Shepparton", "VIC", "3630", "3582", _MELBOURNE),
    ("Fortitude Valley", "QLD", "4006", "7325", _BRISBANE), ("Toowong", "QLD", "4066", "7337", _BRISBANE),
    ("Southport", "QLD", "4215", "7559", _BRISBANE), ("Maroochydore", "QLD", "4558", "7544", _BRISBANE),
    ("Toowoomba", "QLD", "4350", "7463", _BRISBANE), ("Cairns", "QLD", "4870", "7405", _BRISBANE),
    ("Townsville", "QLD", "4810", "7477", _BRISBANE), ("Fremantle", "WA", "6160", "8943", _PERTH),
    ("Subiaco", "WA", "6008", "8938", _PERTH), ("Joondalup", "WA", "6027", "8930", _PERTH),
    ("Bunbury", "WA", "6230", "8972", _PERTH), ("Norwood", "SA", "5067", "8836", _ADELAIDE),
    ("Glenelg", "SA", "5045", "8829", _ADELAIDE), ("Mount Gambier", "SA", "5290", "8872", _ADELAIDE),
    ("Hobart", "TAS", "7000", "3623", _HOBART), ("Launceston", "TAS", "7250", "3633", _HOBART),
    ("Darwin City", "NT", "0800", "8898", _DARWIN),
)  # fmt: skip

_NZ: Final = (
    ("Ponsonby", "Auckland", "1011", "9376"), ("Newmarket", "Auckland", "1023", "9520"),
    ("Takapuna", "Auckland", "0622", "9486"), ("Henderson", "Auckland", "0612", "9836"),
    ("Manukau", "Auckland", "2104", "9262"), ("Hamilton", "Waikato", "3204", "7838"),
    ("Tauranga", "Bay of Plenty", "3110", "7578"), ("Rotorua", "Bay of Plenty", "3010", "7348"),
    ("Whangārei", "Northland", "0110", "9438"), ("Te Aro", "Wellington", "6011", "4384"),
    ("Lower Hutt", "Wellington", "5010", "4566"), ("Palmerston North", "Manawatū-Whanganui", "4410", "6357"),
    ("Napier", "Hawke's Bay", "4110", "6835"), ("New Plymouth", "Taranaki", "4310", "6758"),
    ("Addington", "Christchurch", "8024", "3338"), ("Riccarton", "Christchurch", "8011", "3348"),
    ("Nelson", "Nelson", "7010", "3548"), ("Queenstown", "Otago", "9300", "3442"),
    ("Dunedin", "Otago", "9016", "3477"), ("Invercargill", "Southland", "9810", "3218"),
)  # fmt: skip

AUSTRALIA: Final = tuple(Place(city, state, code, "AU", lines, zone) for city, state, code, lines, zone in _AU)
NEW_ZEALAND: Final = tuple(
    Place(city, region, code, "NZ", lines, "Pacific/Auckland") for city, region, code, lines in _NZ
)

STREETS: Final = (
    "Albert", "Beach", "Bridge", "Church", "Collins", "Elizabeth", "Flinders", "George", "Harbour View", "High", "Hill",
    "Karaka", "King", "Lake", "Macquarie", "Mānuka", "Park", "Pōhutukawa", "Queen", "Railway", "Rātā", "River",
    "Station", "Totara", "Victoria", "Waratah", "Wattle", "William",
)  # fmt: skip
STREET_KINDS: Final = ("Street", "Street", "Street", "Road", "Road", "Avenue", "Parade", "Terrace", "Crescent", "Place")
