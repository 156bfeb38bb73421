"""Telephone numbers: read as people type them, kept as E.164, known for what they are.

libphonenumber's data (the `phonenumbers` package) decides, with a short table of what it gets wrong. It is imported
inside the functions because it takes 60 ms, which `bellbird --help` shouldn't.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import phonenumbers

MAX_LENGTH = 60


class LineType(StrEnum):
    """What answers at a number, and who pays. `landline_or_mobile`: the plan doesn't tell them apart (US, CA)."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    LANDLINE_OR_MOBILE = "landline_or_mobile"
    TOLL_FREE = "toll_free"  # AU 1800, NZ 0800 and 0508
    LOCAL_RATE = "local_rate"  # AU 13 and 1300
    PREMIUM = "premium"  # AU 190, NZ 0900
    VOIP = "voip"
    LOCATION_INDEPENDENT = "location_independent"  # AU 0550
    SATELLITE = "satellite"
    PERSONAL = "personal"
    PAGER = "pager"
    UAN = "uan"
    VOICEMAIL = "voicemail"


# By libphonenumber's PhoneNumberType, 0 to 10.
_LINE_TYPES = (
    LineType.LANDLINE, LineType.MOBILE, LineType.LANDLINE_OR_MOBILE, LineType.TOLL_FREE, LineType.PREMIUM,
    LineType.LOCAL_RATE, LineType.VOIP, LineType.PERSONAL, LineType.PAGER, LineType.UAN, LineType.VOICEMAIL,
)  # fmt: skip

# What libphonenumber doesn't know: E.164 pattern, region, line type.
_OVERRIDES = (
    # Location independent communications service, 0550: Telecommunications Numbering Plan 2015 and 2025 (ACMA).
    (re.compile(r"\+61550\d{6}"), "AU", LineType.LOCATION_INDEPENDENT),
)
# Inmarsat and the global mobile satellite system (ITU-T E.164, list of assigned country codes): it says mobile.
_SATELLITE = frozenset({870, 881})

# +61 is one numbering plan: Christmas Island and the Cocos Islands are rows of Australia's, and allowed with it.
_PLAN_OF = {"CX": "AU", "CC": "AU"}
_NAMES = {"AU": "Australia", "NZ": "New Zealand", "001": "no one country (001)"}
_EXAMPLES = {"AU": "0412 345 678", "NZ": "021 123 4567"}
# Emergency and text relay codes (AU, NZ, 3GPP TS 22.101), and what begins with 1 and is too brief to be a 13 number.
_SHORT_CODE = re.compile(r"000|106|11[12]|911|999|1[0-24-7]\d{1,3}")
# How many digits follow the trunk 0, where libphonenumber's lengths (AU: 5 to 12) are too wide to say what is missing.
_LENGTHS = {
    "AU": ((re.compile("[234578]"), 9, 9), (re.compile("1[38]00|190"), 10, 10), (re.compile("13(?!45)"), 6, 6)),
    "NZ": ((re.compile("[346]|7[2-9]|9[1-9]"), 8, 8), (re.compile("2"), 8, 10)),
}
_LOCAL = {"AU": (re.compile("[2-9][0-9]{7}"), "(02) 9374 4000"), "NZ": (re.compile("[2-9][0-9]{6}"), "09 300 0000")}


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that can be called from anywhere, or (13, 1300, 1800) that is written as if it could."""

    number: str
    """E.164: "+61412345678"."""
    extension: str | None
    """Digits, dialled after the call is answered."""
    region: str
    """ISO 3166-1 alpha-2, "AU" for the whole of +61; "001" for numbers of no country (+800, +870)."""
    line_type: LineType


class InvalidPhone(ValueError):
    """Not a number we can keep; `code` is one of `phone_empty`, `phone_too_short`, `phone_too_long`,
    `phone_has_letters`, `phone_short_code`, `phone_region_not_allowed`, `phone_ambiguous`, `phone_invalid`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# "021 123 4567": libphonenumber takes it for (02) 1123 4567, but the Numbering Plan's schedule has no (02) numbers that
# begin with 0, 1 or 2, and whoever groups the digits so means one of New Zealand's mobile prefixes.
_TASMAN = re.compile(r"\s*\(?02[012][\s).-]")


def parse(text: str, *, default_region: str, allowed_regions: Collection[str] | None) -> PhoneNumber:
    """Read a number as a person typed it, national forms in `default_region`; None allows every region.

    Letters count only in the advertised words of AU 13, 1300, 1800 and NZ 0800, 0508 numbers ("1800 4 PIZZA"):
    anywhere else a letter is a slip (O for 0), and guessing would call a stranger.

    Raises InvalidPhone.
    """
    dialled, extension = _dialled(text)
    number = _read(dialled, extension, default_region)
    if number is None:
        raise _refusal(text, dialled, default_region, allowed_regions)
    if (
        number.region == "AU"
        and _TASMAN.match(text)
        and _allows(allowed_regions, "NZ")
        and (across := _read(dialled, extension, "NZ"))
    ):
        raise InvalidPhone(
            "phone_ambiguous",
            f"{_shown(text)} is written as a New Zealand mobile, but would be read as Australian here: "
            f"type {across.number} for New Zealand or {number.number} for Australia.",
        )
    if not _allows(allowed_regions, number.region):
        allowed = ", ".join(map(_name, sorted(allowed_regions or ()))) or "none"
        raise InvalidPhone(
            "phone_region_not_allowed",
            f"{_shown(text)} is a number of {_name(number.region)} ({number.number}). "
            f"Numbers are accepted from: {allowed}. Give one of those, or have the region allowed in the settings.",
        )
    return number


def candidates(text: str, *, default_region: str, allowed_regions: Collection[str] | None) -> tuple[str, ...]:
    """The E.164 numbers the text may mean, likeliest first; () for none. For "who is calling": never raises.

    Read in `default_region`, then in the other allowed regions (AU and NZ first, ten at most), then as an
    international number without its plus, as exchanges send it ("61412345678").
    """
    try:
        dialled, _ = _dialled(text)
    except InvalidPhone:
        return ()
    return tuple(meant.number for meant in _meanings(dialled, default_region, allowed_regions))


def _meanings(dialled: str, default_region: str, allowed_regions: Collection[str] | None) -> list[PhoneNumber]:
    readings = [(dialled, region) for region in (default_region, "AU", "NZ", *sorted(allowed_regions or ()))][:10]
    if dialled[0] == "+":
        readings = readings[:1]
    elif len(dialled) > 9:
        readings.append(("+" + dialled, default_region))
    found = [_read(each, None, region) for each, region in dict.fromkeys(readings)]
    return list(dict.fromkeys(n for n in found if n is not None and _allows(allowed_regions, n.region)))


def digits(text: str) -> str:
    """The decimal digits of a text, in ASCII: those of full-width and of every other script too."""
    if text.isascii():
        return "".join(filter(str.isdigit, text))
    return "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())


def search_digits(e164: str) -> tuple[str, ...]:
    """The digit strings a person may type a part of to find an E.164 number: without plus, and as dialled at home.

    "+61412345678" -> ("61412345678", "0412345678"); "+61131114" -> ("61131114", "131114").
    """
    international = e164.removeprefix("+")
    # By hand for the two plans that nearly every number is of: formatting takes 20 us, and this runs on each write.
    if e164.startswith("+61"):
        return international, e164[3:] if e164.startswith(("+6113", "+6118", "+6119")) else "0" + e164[3:]
    if e164.startswith("+64"):
        return international, "0" + e164[3:]
    import phonenumbers

    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return (international,)
    national = digits(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL))
    return tuple(dict.fromkeys((international, national)))


def regions() -> frozenset[str]:
    """The regions whose numbers can be read (ISO 3166-1 alpha-2)."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def looks_like_number(text: str) -> bool:
    """Whether what was typed in a search box is meant as a telephone number, or a part of one of 3 digits or more."""
    try:
        dialled, _ = _dialled(text)
    except InvalidPhone:
        return False
    if any(map(str.isalpha, text)) and not _meanings(dialled, "AU", None):
        return False
    return len(dialled.removeprefix("+")) >= 3


# Marks that phones and web pages put around a number so that it reads left to right; nobody means or sees them.
_UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF])
_PUNCTUATION = str.maketrans("", "", " ()-./")
_DIALLED = re.compile(r"\+?[0-9]+")
# The word or sign may not follow a letter: the x of "1800 FAX 123" is part of a name.
_EXTENSION = re.compile(r"(?<![a-z])[,;]?\s*(?:extension|extn|ext|x|#)[.:=]?\s*([0-9]{1,7})$", re.IGNORECASE)
_VANITY = re.compile(r"((?:\+61)?(?:1300|1800|13)|(?:\+640?|0)(?:800|508))[0-9]*[A-Z][0-9A-Z]*", re.IGNORECASE)
_RUN_ON = re.compile(r"^((?:\+61)?(?:1[38]00[0-9A-Z]{6}|13(?!00)[0-9A-Z]{4}))[A-Z]+$")
_KEYPAD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_TWO_NUMBERS = re.compile(r"(?:\d\D{0,3}){6,}(?:[/,;&|]|\bor\b)\D*(?:\d\D{0,3}){6,}", re.IGNORECASE)


def _dialled(text: str) -> tuple[str, str | None]:
    """The digits of a number as typed, with its plus if any, and its extension. Raises InvalidPhone."""
    if len(text) > MAX_LENGTH:
        raise InvalidPhone(
            "phone_too_long", f"{_shown(text)} is {len(text)} characters long; a number has at most {MAX_LENGTH}."
        )
    plain = (text if text.isascii() else _to_ascii(text)).strip(" \t\r\n")
    if plain[:4].lower() == "tel:":
        plain = _from_uri(plain[4:])
    extension = None
    if plain[-1:].isdecimal() and (found := _EXTENSION.search(plain)):
        plain, extension = plain[: found.start()], found[1]
    compact = plain.translate(_PUNCTUATION)
    if _DIALLED.fullmatch(compact):
        return compact, extension
    if _VANITY.fullmatch(compact) and not set(filter(str.isalpha, compact.upper())) <= set("OIL"):
        # Australian words may run on ("1300 FLOWERS"): the network ignores what is keyed after the last digit it needs.
        return _RUN_ON.sub(r"\1", compact.upper()).translate(_KEYPAD), extension
    raise _unreadable(text, compact)


def _to_ascii(text: str) -> str:
    """Full-width forms, other scripts' digits, dashes and spaces as ASCII has them; the rest as it was."""
    return "".join(map(_ascii_character, text.translate(_UNSEEN)))


def _ascii_character(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if "\uff01" <= character <= "\uff5e":  # full-width ASCII
        return chr(ord(character) - 0xFEE0)
    category = unicodedata.category(character)
    return " " if category == "Zs" else "-" if category == "Pd" or character == "\u2212" else character


def _from_uri(number: str) -> str:
    """A tel: URI (RFC 3966) without its scheme, as a person would type it."""
    number, *parameters = unquote(number).split(";")
    values = dict(parameter.lower().partition("=")[::2] for parameter in parameters)
    context = values.get("phone-context", "")
    # A context that is a domain name says nothing about the digits: they are read in the default region.
    prefix = context if context.startswith("+") and not number.startswith("+") else ""
    return prefix + number + (f" ext {values['ext']}" if "ext" in values else "")


# The usual forms of home: a trunk 0 or the country's code, then digits that begin like a number. Nothing is left for
# libphonenumber to parse, which takes two thirds of its time; whether there is such a number it still decides.
_HOME = {"AU": ("+61", re.compile(r"[23478]\d{8}")), "NZ": ("+64", re.compile(r"[2-9]\d{7,9}"))}


def _usual(dialled: str, region: str) -> "phonenumbers.PhoneNumber | None":
    """The number of Australia or New Zealand that these digits plainly are, as libphonenumber would parse it."""
    import phonenumbers

    for home, (code, begins) in _HOME.items():
        national = dialled[3:] if dialled.startswith(code) else dialled[1:] if region == home else ""
        if (dialled[0] == "0" or dialled.startswith(code)) and begins.fullmatch(national):
            return phonenumbers.PhoneNumber(country_code=int(code), national_number=int(national))
    return None


def _read(dialled: str, extension: str | None, region: str) -> PhoneNumber | None:
    """The valid number that these digits are when dialled in a region, or None."""
    import phonenumbers
    from phonenumbers import NumberParseException, PhoneNumberFormat

    # libphonenumber would read Australia's "1300 975 707" as a New Zealand premium number that lacks its 0.
    if region == "NZ" and dialled[0] == "1":
        return None
    try:
        parsed = _usual(dialled, region) or phonenumbers.parse(dialled, region)
    except NumberParseException:
        return None
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    for pattern, plan, line_type in _OVERRIDES:
        if pattern.fullmatch(e164):
            return PhoneNumber(e164, extension, plan, line_type)
    # Unknown exactly when is_valid_number is False, which would do the same work again.
    kind = phonenumbers.number_type(parsed)
    if kind == phonenumbers.PhoneNumberType.UNKNOWN:
        return None
    code = parsed.country_code
    plan = "AU" if code == 61 else phonenumbers.region_code_for_number(parsed) or "001"
    return PhoneNumber(e164, extension, plan, LineType.SATELLITE if code in _SATELLITE else _LINE_TYPES[kind])


def _allows(allowed_regions: Collection[str] | None, region: str) -> bool:
    return allowed_regions is None or any(_PLAN_OF.get(allowed, allowed) == region for allowed in allowed_regions)


def _unreadable(text: str, compact: str) -> InvalidPhone:
    """Why text that isn't digits and punctuation was refused."""
    shown = _shown(text)
    if _TWO_NUMBERS.search(text):
        return InvalidPhone("phone_invalid", f"{shown} holds more than one number. Give each on its own.")
    if any(map(str.isalpha, compact)):
        return InvalidPhone(
            "phone_has_letters",
            f"{shown} has letters in it. Only the words of Australian 13, 1300 and 1800 and New Zealand 0800 and 0508 "
            "numbers are read: type the digits (0 for O, 1 for I).",
        )
    if not any(map(str.isdecimal, compact)):
        return InvalidPhone("phone_empty", f"{shown} holds no number. Expected one such as 0412 345 678.")
    odd = next((c for c in compact.lstrip("+") if not c.isdecimal()), "+")
    return InvalidPhone(
        "phone_invalid",
        f"{shown} has {odd!r} (U+{ord(odd):04X}) where it can't stand. Expected digits, spaces, brackets, hyphens and "
        "dots, with + only in front and an extension as 'ext 12' at the end.",
    )


def _refusal(text: str, dialled: str, default_region: str, allowed_regions: Collection[str] | None) -> InvalidPhone:
    """Why digits are no number: the first reason that is true, in the order that helps a person most."""
    import phonenumbers
    from phonenumbers import PhoneNumberFormat, ValidationResult

    shown, example = _shown(text), _EXAMPLES.get(default_region, "+61 412 345 678")
    if _SHORT_CODE.fullmatch(dialled):
        why = "is an emergency or short code, which reaches a service and not a contact"
        return InvalidPhone("phone_short_code", f"{shown} {why}. Expected a whole number such as {example}.")
    if _TWO_NUMBERS.search(text):
        return InvalidPhone("phone_invalid", f"{shown} holds more than one number. Give each on its own.")
    if (local := _LOCAL.get(default_region)) and local[0].fullmatch(dialled):
        return InvalidPhone("phone_too_short", f"{shown} has no area code. Type the whole number, such as {local[1]}.")
    if meant := _meanings(dialled, default_region, allowed_regions):
        typed = phonenumbers.format_number(phonenumbers.parse(meant[0].number), PhoneNumberFormat.INTERNATIONAL)
        other = f"but one of {_name(meant[0].region)}: if that is meant, type {typed}"
        return InvalidPhone("phone_invalid", f"{shown} is not a number of {_name(default_region)}, {other}.")
    try:
        parsed = phonenumbers.parse(dialled, default_region)
    except phonenumbers.NumberParseException as error:
        code, why = "phone_too_short", "it has too few digits"
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            code, why = "phone_invalid", "it begins with no country's calling code"
        elif error.error_type == phonenumbers.NumberParseException.TOO_LONG:
            code, why = "phone_too_long", "no number has more than 15 digits (ITU-T E.164)"
        return InvalidPhone(code, f"{shown} is not a number: {why}. Expected one such as {example} or +61 412 345 678.")
    region = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    national = phonenumbers.national_significant_number(parsed).lstrip("0")
    least, most = next((lengths for begins, *lengths in _LENGTHS.get(region, ()) if begins.match(national)), (0, 99))
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    if reason == ValidationResult.TOO_SHORT or len(national) < least:
        code, why = "phone_too_short", "has too few digits for"
    elif reason == ValidationResult.TOO_LONG or len(national) > most:
        code, why = "phone_too_long", "has too many digits for"
    else:
        code, why = "phone_invalid", "has digits that begin no number in use in"
    example = _EXAMPLES.get(region, example)
    return InvalidPhone(code, f"{shown} {why} {_name(region)}. Expected one such as {example}: check the digits.")


def _name(region: str) -> str:
    return _NAMES.get(region, region)


def _shown(text: str) -> str:
    """The text as an error quotes it: escaped where it can't be seen, cut where it is long."""
    return repr(text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…")
