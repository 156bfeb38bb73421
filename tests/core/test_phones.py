"""Numbers as people type them, and what each is read as or why it is refused."""

import re
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from bellbird.core import phones
from bellbird.core.phones import InvalidPhone, LineType, PhoneNumber

BOTH = ("AU", "NZ")


def read(text: str, region: str = "AU", allowed: tuple[str, ...] | None = BOTH) -> PhoneNumber:
    return phones.parse(text, default_region=region, allowed_regions=allowed)


def refusal(text: str, region: str = "AU", allowed: tuple[str, ...] | None = BOTH) -> InvalidPhone:
    with pytest.raises(InvalidPhone) as caught:
        read(text, region, allowed)
    return caught.value


@pytest.mark.parametrize(
    ("text", "region", "number", "line_type"),
    [
        ("0412 345 678", "AU", "+61412345678", "mobile"),
        ("412345678", "AU", "+61412345678", "mobile"),  # a spreadsheet ate the 0
        ("61 412 345 678", "AU", "+61412345678", "mobile"),
        ("+61 412 345 678", "NZ", "+61412345678", "mobile"),
        ("+61 (0)412 345 678", "AU", "+61412345678", "mobile"),
        ("+61 0412 345 678", "AU", "+61412345678", "mobile"),
        ("(+61) 412-345-678", "AU", "+61412345678", "mobile"),
        ("0011 64 21 123 4567", "AU", "+64211234567", "mobile"),
        ("00 61 412 345 678", "NZ", "+61412345678", "mobile"),
        ("(02) 9374 4000", "AU", "+61293744000", "landline"),
        ("0412.345.678", "AU", "+61412345678", "mobile"),
        ("021 123 4567", "NZ", "+64211234567", "mobile"),
        ("+64 (0)21 123 4567", "AU", "+64211234567", "mobile"),
        ("+64 9 300 0000", "AU", "+6493000000", "landline"),
        ("13 11 14", "AU", "+61131114", "local_rate"),
        ("+61131114", "AU", "+61131114", "local_rate"),
        ("1300 975 707", "AU", "+611300975707", "local_rate"),
        ("1800 123 456", "AU", "+611800123456", "toll_free"),
        ("1900 123 456", "AU", "+611900123456", "premium"),
        ("1902 123 456", "AU", "+611902123456", "premium"),
        ("0800 83 83 83", "NZ", "+64800838383", "toll_free"),
        ("0508 123 456", "NZ", "+64508123456", "toll_free"),
        ("0900 12345", "NZ", "+6490012345", "premium"),
        ("0550 000 000", "AU", "+61550000000", "location_independent"),
        ("+61 550 000 000", "NZ", "+61550000000", "location_independent"),
        ("0163 123 456", "AU", "+61163123456", "pager"),
        ("0147 123 456", "AU", "+61147123456", "voip"),
        ("1800 4 PIZZA", "AU", "+611800474992", "toll_free"),
        ("13 CABS", "AU", "+61132227", "local_rate"),
        ("1300 FLOWERS", "AU", "+611300356937", "local_rate"),  # the S is dialled and ignored
        ("0800 4 Pizza", "NZ", "+64800474992", "toll_free"),
        ("+64 800 4 PIZZA", "AU", "+64800474992", "toll_free"),
        ("tel:+61-412-345-678", "AU", "+61412345678", "mobile"),
        ("TEL:0412345678;phone-context=+61", "NZ", "+61412345678", "mobile"),
        ("tel:0412345678;phone-context=example.com", "AU", "+61412345678", "mobile"),
        ("tel:+61%20412%20345%20678", "AU", "+61412345678", "mobile"),
        ("０４１２　３４５　６７８", "AU", "+61412345678", "mobile"),
        ("＋６１ ４１２ ３４５ ６７８", "AU", "+61412345678", "mobile"),
        ("٠٤١٢٣٤٥٦٧٨", "AU", "+61412345678", "mobile"),
        ("0412\u00a0345\u202f678", "AU", "+61412345678", "mobile"),
        ("0412–345‑678", "AU", "+61412345678", "mobile"),
        ("\u202a+61 412 345 678\u202c", "AU", "+61412345678", "mobile"),
        ("\u200e0412 345 678\u200f", "AU", "+61412345678", "mobile"),
        (" 0412 345 678\r\n", "AU", "+61412345678", "mobile"),
    ],
)
def test_a_number_is_read_as_its_writer_meant_it(text: str, region: str, number: str, line_type: str) -> None:
    expected = PhoneNumber(number, None, "NZ" if number.startswith("+64") else "AU", LineType(line_type))

    assert expected == read(text, region)


@pytest.mark.parametrize(
    "text",
    [
        "0412 345 678 ext 12",
        "0412 345 678 Ext. 12",
        "0412345678x12",
        "0412 345 678 #12",
        "0412 345 678, extension 12",
        "0412 345 678;ext=12",
        "tel:+61412345678;ext=12",
        "tel:0412345678;ext=12;phone-context=+61",
    ],
)
def test_an_extension_is_kept_apart_from_the_number(text: str) -> None:
    assert PhoneNumber("+61412345678", "12", "AU", LineType.MOBILE) == read(text)


@pytest.mark.parametrize(
    ("text", "region", "code", "says"),
    [
        ("", "AU", "phone_empty", "holds no number"),
        ("\u200e", "AU", "phone_empty", "holds no number"),
        ("---", "AU", "phone_empty", "holds no number"),
        ("ext 12", "AU", "phone_empty", "holds no number"),
        ("1800 PIZZA 123", "AU", "phone_too_long", "too many digits"),
        ("call me", "AU", "phone_has_letters", "letters"),
        ("04O2 345 678", "AU", "phone_has_letters", "0 for O"),
        ("0412 345 67l", "AU", "phone_has_letters", "1 for I"),
        ("1300 OO0 000", "AU", "phone_has_letters", "0 for O"),
        ("0412 PIZZAS", "AU", "phone_has_letters", "letters"),
        ("000", "AU", "phone_short_code", "emergency or short code"),
        ("111", "NZ", "phone_short_code", "emergency or short code"),
        ("112", "AU", "phone_short_code", "emergency or short code"),
        ("12455", "AU", "phone_short_code", "emergency or short code"),
        ("9", "AU", "phone_too_short", "too few digits"),
        ("0412 345 67", "AU", "phone_too_short", "too few digits for Australia"),
        ("0412 345 6789", "AU", "phone_too_long", "too many digits for Australia"),
        ("13 11 1", "AU", "phone_too_short", "too few digits for Australia"),
        ("1300 123", "AU", "phone_too_short", "too few digits for Australia"),
        ("021 12", "NZ", "phone_too_short", "021 123 4567"),
        ("9374 4000", "AU", "phone_too_short", "no area code"),
        ("300 0000", "NZ", "phone_too_short", "no area code"),
        ("12345678901234567890", "AU", "phone_too_long", "15 digits"),
        ("0" * 61, "AU", "phone_too_long", "61 characters"),
        ("0198 123 456", "AU", "phone_invalid", "no number in use in Australia"),
        ("+999 123 456", "AU", "phone_invalid", "calling code"),
        ("0412 345 678", "NZ", "phone_invalid", "one of Australia: if that is meant, type +61 412 345 678"),
        ("1300 975 707", "NZ", "phone_invalid", "one of Australia: if that is meant, type +61 1300 975 707"),
        ("027 12 345 678", "AU", "phone_invalid", "type +64 27 123 45678"),
        ("0800 83 83 83", "AU", "phone_invalid", "one of New Zealand: if that is meant, type +64 800 838 383"),
        ("0064 21 123 4567", "AU", "phone_invalid", "type +64 21 123 4567"),
        ("0412345678 / 0413345678", "AU", "phone_invalid", "more than one number"),
        ("0412345678 or 0413345678", "AU", "phone_invalid", "more than one number"),
        ("0412\x00345678", "AU", "phone_invalid", "U+0000"),
        ("0412\t345678", "AU", "phone_invalid", "U+0009"),
        ("0412+345678", "AU", "phone_invalid", "+ only in front"),
        ("0412 345 678 #", "AU", "phone_invalid", "U+0023"),
        ("*555", "NZ", "phone_invalid", "U+002A"),
        ("+1 212 555 0100", "AU", "phone_region_not_allowed", "US"),
        ("+800 1234 5678", "AU", "phone_region_not_allowed", "Australia, New Zealand"),
    ],
)
def test_what_is_no_number_is_refused_with_the_true_reason(text: str, region: str, code: str, says: str) -> None:
    error = refusal(text, region)

    assert code == error.code
    assert says in error.message


def test_an_error_shows_what_was_typed() -> None:
    assert "'0412 345 67'" in refusal("0412 345 67").message


def test_a_refused_region_is_named_with_those_allowed() -> None:
    error = refusal("+64 21 123 4567", allowed=("AU",))

    assert "phone_region_not_allowed" == error.code
    assert "New Zealand" in error.message
    assert "accepted from: Australia." in error.message


def test_another_region_is_not_suggested_unless_it_is_allowed() -> None:
    assert "Australia" not in refusal("1300 975 707", "NZ", ("NZ",)).message


def test_a_new_zealand_mobile_that_libphonenumber_takes_for_a_sydney_number_is_not_guessed_at() -> None:
    error = refusal("021 123 4567", "AU", BOTH)
    assert "phone_ambiguous" == error.code
    assert "+64211234567 for New Zealand or +61211234567 for Australia" in error.message
    assert "+61211234567" == read("02 1123 4567", "AU").number
    assert "+61211234567" == read("021 123 4567", "AU", allowed=("AU",)).number
    assert ("+61211234567", "+64211234567") == phones.candidates(
        "021 123 4567", default_region="AU", allowed_regions=BOTH
    )


@pytest.mark.parametrize("allowed", [("AU",), ("CX",), ("CC", "NZ"), None])
@pytest.mark.parametrize("text", ["+61 8 9164 1234", "+61 8 9162 1234", "0412 345 678"])
def test_the_whole_of_plus_61_is_australia(text: str, allowed: tuple[str, ...] | None) -> None:
    assert "AU" == read(text, allowed=allowed).region


def test_every_region_is_allowed_when_none_is_named() -> None:
    assert PhoneNumber("+12125550100", None, "US", LineType.LANDLINE_OR_MOBILE) == read("+1 212 555 0100", allowed=None)
    assert PhoneNumber("+870773111632", None, "001", LineType.SATELLITE) == read("+870 773 111 632", allowed=None)
    assert PhoneNumber("+80012345678", None, "001", LineType.TOLL_FREE) == read("+800 1234 5678", allowed=None)


def test_the_override_is_still_needed() -> None:
    """Fails when libphonenumber learns of 0550: then the override can go."""
    assert not phonenumbers.is_valid_number(phonenumbers.parse("+61550000000"))


EXAMPLES = [
    (region, number)
    for region in BOTH
    for kind in PhoneNumberType.values()
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]
FORMATS = [
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("region", "number"), EXAMPLES, ids=str)
def test_each_kind_of_number_is_read_from_each_of_its_written_forms(
    region: str, number: phonenumbers.PhoneNumber, form: int
) -> None:
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)

    assert e164 == read(phonenumbers.format_number(number, form), region).number


@given(
    st.from_regex(
        r"\+61(4[0-9]{8}|[2378][0-9]{8}|1[38]00[0-9]{6}|13[0-9]{4}|1[0-9]{5,9}|550[0-9]{6})|\+64[2-9][0-9]{7,9}",
        fullmatch=True,
    )
)
def test_what_was_read_once_is_read_the_same_from_every_form(e164: str) -> None:
    try:
        number = read(e164)
    except InvalidPhone:
        return
    parsed = phonenumbers.parse(e164)

    assert e164 == number.number
    for form in FORMATS:
        assert number == read(phonenumbers.format_number(parsed, form), number.region)
    assert number.line_type == LineType.LOCATION_INDEPENDENT or phonenumbers.is_valid_number(parsed)


numberlike = st.text(st.sampled_from("0123456789 +()-./x#,;eEtTlL:=%ABOI*\u202a\u00a0０٤²"), max_size=70)


@given(st.one_of(st.text(max_size=80), numberlike), st.sampled_from([*BOTH, "US", "CX"]))
def test_no_text_does_worse_than_be_refused(text: str, region: str) -> None:
    found = phones.candidates(text, default_region=region, allowed_regions=BOTH)
    phones.looks_like_number(text)
    try:
        number = read(text, region)
    except InvalidPhone as error:
        assert re.fullmatch("phone_[a-z_]+", error.code)
        assert error.message
    else:
        assert number.number == found[0]
        assert PhoneNumber(number.number, None, number.region, number.line_type) == read(number.number)
    assert set(phones.digits(text)) <= set("0123456789")


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("0412 345 678", "AU", ("+61412345678",)),
        ("61412345678", "NZ", ("+61412345678",)),
        ("64211234567", "AU", ("+64211234567",)),
        ("021 123 4567", "NZ", ("+64211234567", "+61211234567")),
        ("1300975707", "NZ", ("+611300975707",)),
        ("+61412345678", "NZ", ("+61412345678",)),
        ("+1 212 555 0100", "AU", ()),
        ("anonymous", "AU", ()),
        ("", "AU", ()),
    ],
)
def test_a_caller_is_looked_up_by_all_that_the_digits_may_mean(
    text: str, region: str, expected: tuple[str, ...]
) -> None:
    assert expected == phones.candidates(text, default_region=region, allowed_regions=BOTH)


def test_a_caller_from_anywhere_is_found_when_every_region_is_allowed() -> None:
    assert ("+12125550100",) == phones.candidates("12125550100", default_region="AU", allowed_regions=None)


@pytest.mark.parametrize(
    ("e164", "expected"),
    [
        ("+61412345678", ("61412345678", "0412345678")),
        ("+61293744000", ("61293744000", "0293744000")),
        ("+61131114", ("61131114", "131114")),
        ("+611300975707", ("611300975707", "1300975707")),
        ("+61550000000", ("61550000000", "0550000000")),
        ("+61147123456", ("61147123456", "0147123456")),
        ("+64211234567", ("64211234567", "0211234567")),
        ("+64800838383", ("64800838383", "0800838383")),
        ("+442079460000", ("442079460000", "02079460000")),
        ("+12125550100", ("12125550100", "2125550100")),
        ("+999", ("999",)),
    ],
)
def test_a_number_is_found_by_its_digits_at_home_and_abroad(e164: str, expected: tuple[str, ...]) -> None:
    assert expected == phones.search_digits(e164)


@pytest.mark.parametrize(("region", "number"), EXAMPLES, ids=str)
def test_the_digits_at_home_are_those_libphonenumber_writes(region: str, number: phonenumbers.PhoneNumber) -> None:
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)

    assert phones.digits(national) == phones.search_digits(e164)[1]


def test_digits_of_every_script_are_the_same_digits() -> None:
    assert "04123" == phones.digits("(04) 1２٣ x²")


@pytest.mark.parametrize("text", ["0412", "+61 4", "(02) 9374", "1800 4 PIZZA", "０４１２", "0412 345 678 x12"])
def test_digits_and_phone_punctuation_look_like_a_number(text: str) -> None:
    assert phones.looks_like_number(text)


@pytest.mark.parametrize("text", ["", "12", "+61", "Ann", "12 Smith St", "ann@example.com", "1800 PI", "#123"])
def test_names_addresses_and_two_digits_do_not_look_like_a_number(text: str) -> None:
    assert not phones.looks_like_number(text)


def test_the_regions_are_libphonenumbers() -> None:
    assert {"AU", "NZ", "GB", "US", "CX"} <= phones.regions()
    assert "001" not in phones.regions()


def test_importing_the_module_does_not_load_libphonenumber() -> None:
    code = "import sys, bellbird.core.phones; sys.exit('phonenumbers' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@given(
    region=st.sampled_from(["AU", "NZ", "GB"]),
    dialled=st.from_regex(r"(0|\+61|\+64|\+610|\+640|00|)[0-9]{7,11}", fullmatch=True),
)
@settings(max_examples=1000)
def test_what_is_plainly_a_number_of_home_is_parsed_as_libphonenumber_would(region: str, dialled: str) -> None:
    plainly = phones._usual(dialled, region)
    if plainly is not None:
        parsed = phonenumbers.parse(dialled, region)
        assert phonenumbers.is_valid_number(plainly) == phonenumbers.is_valid_number(parsed)
        assert plainly == parsed or not phonenumbers.is_valid_number(plainly)
