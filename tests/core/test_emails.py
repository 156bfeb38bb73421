"""E-mail addresses as people type them."""

import pytest
from email_validator import validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core import emails
from bellbird.core.emails import EmailAddress, InvalidEmail


def refusal(text: str) -> InvalidEmail:
    with pytest.raises(InvalidEmail) as caught:
        emails.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.com", EmailAddress("ann@example.com", "ann@example.com", "example.com")),
        (" Ann.Lee@ACME.com.au\n", EmailAddress("Ann.Lee@acme.com.au", "ann.lee@acme.com.au", "acme.com.au")),
        ("o'brien+news@x.co.nz", EmailAddress("o'brien+news@x.co.nz", "o'brien+news@x.co.nz", "x.co.nz")),
        ("ann@BÜCHER.de", EmailAddress("ann@bücher.de", "ann@bücher.de", "bücher.de")),
        ("ann@xn--bcher-kva.de", EmailAddress("ann@bücher.de", "ann@bücher.de", "bücher.de")),
        ("JOSE\u0301@x.com", EmailAddress("JOSÉ@x.com", "josé@x.com", "x.com")),
        ("ann@straße.de", EmailAddress("ann@straße.de", "ann@straße.de", "straße.de")),
    ],
)
def test_an_address_is_kept_as_typed_with_its_domain_in_lower_case(text: str, expected: EmailAddress) -> None:
    assert expected == emails.parse(text)


@pytest.mark.parametrize("domain", ["example.com", "example.com.au", "example.co.nz", "acme.example", "acme.test"])
def test_the_domains_of_demonstrations_and_tests_are_accepted(domain: str) -> None:
    assert domain == emails.parse(f"ann@{domain}").domain


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "email_empty", "ann@example.com.au"),
        (" ", "email_empty", "empty"),
        ("ann", "email_invalid", "no @"),
        ("ann@localhost", "email_domain_invalid", "no dot"),
        ("ann@example", "email_domain_invalid", "no dot"),
        ("ann@x.local", "email_domain_invalid", "special-use"),
        ("ann@x.invalid", "email_domain_invalid", "special-use"),
        ("ann@x_y.com", "email_domain_invalid", "'_'"),
        ("ann@[127.0.0.1]", "email_domain_invalid", "IP address"),
        ("ann@\ud800.com", "email_domain_invalid", "U+D800"),
        ("ann\ud800@x.com", "email_invalid", "U+D800"),
        ("ann\x00@x.com", "email_invalid", "U+0000"),
        ("ann lee@x.com", "email_invalid", "SPACE"),
        ("a..b@x.com", "email_invalid", "two periods"),
        ("@x.com", "email_invalid", "before the @"),
        ('"ann lee"@x.com', "email_invalid", "Quoting"),
        ("Ann <ann@x.com>", "email_has_name", "Give only the address"),
        ("<ann@x.com>", "email_has_name", "Give only the address"),
        ("a" * 250 + "@x.com", "email_too_long", "256 characters"),
        ("é" * 130 + "@x.com", "email_too_long", "266 octets"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, code: str, says: str) -> None:
    error = refusal(text)

    assert code == error.code
    assert says in error.message


def test_an_error_quotes_a_long_address_in_part() -> None:
    assert len(refusal("a" * 10_000).message) < 250


@given(st.one_of(st.text(), st.emails(), st.text(st.sampled_from("aZé@.<>\"' -_xn\u0130ßﬀ\u0345\ud800"), max_size=30)))
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    try:
        email = emails.parse(text)
    except InvalidEmail as error:
        assert error.code.startswith("email_")
        assert error.message
    else:
        assert email == emails.parse(email.address)
        assert email.address.endswith("@" + email.domain)


@given(st.emails(domains=st.just("example.com")))
def test_addresses_that_differ_only_in_case_have_one_key(text: str) -> None:
    keys = set()
    for form in (text, text.upper(), text.lower()):
        try:
            keys.add(emails.parse(form).key)
        except InvalidEmail:  # quoted local parts
            return

    assert {text.lower()} == keys


_PARTS = st.text("abcXYZ019._+-@'", min_size=1, max_size=70)
_DOMAINS = st.one_of(
    st.text("abcXYZ019.-", max_size=80),
    st.sampled_from(["example.com", "Acme.com.AU", "x.local", "a.invalid", "xn--bcher-kva.ch", "ab--cd.com", "a.test"]),
)


@given(local=_PARTS, domain=_DOMAINS)
@settings(max_examples=500)
def test_the_quick_reading_of_plain_addresses_agrees_with_the_library(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    try:
        valid = validate_email(text.strip(), check_deliverability=False, test_environment=True)
        expected: str | None = valid.normalized
    except ValueError:
        expected = None
    try:
        read = emails.parse(text).address
    except InvalidEmail:
        read = None
    assert read == expected
