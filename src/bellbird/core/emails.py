"""E-mail addresses: checked by email-validator without asking the DNS, and made comparable."""

import re
import unicodedata
from dataclasses import dataclass

# RFC 5321, section 4.5.3.1.3, with erratum 1690: a path of 256 octets less its angle brackets.
MAX_OCTETS = 254


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An address that can be written to: `Ann.Lee@acme.com.au`."""

    address: str
    """The local part as typed (NFC), the domain in lower case; an internationalised domain in Unicode, not in xn--."""
    key: str
    """What two addresses are compared by: `address` with its local part casefolded.

    RFC 5321 lets a server tell Ann@ from ann@; none that people use does, and people type both for one mailbox.
    """
    domain: str
    """As in `address`."""


class InvalidEmail(ValueError):
    """Not an e-mail address; `code` is one of
    `email_empty`, `email_too_long`, `email_has_name`, `email_domain_invalid`, `email_invalid`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# What nearly every address looks like, and email-validator accepts as it is (a property test holds the two together).
# Reading these here costs 2 us instead of 25, which is a twentieth of what creating a contact costs.
_PLAIN = re.compile(
    r"(?=.{1,64}@.{1,180}$)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@"
    r"(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}\.)+[A-Za-z]{2,24}"
)
_UNREACHABLE = (".local", ".localhost", ".invalid", ".onion", ".arpa")


def parse(text: str) -> EmailAddress:
    """Read an e-mail address as a person typed it; surrounding space is ignored.

    example.com, .example and .test (RFC 2606, RFC 6761) are accepted: demonstrations and our users' own tests live
    there. localhost, .local, .onion, .arpa and .invalid are refused: mail can't reach them.

    Raises InvalidEmail.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text) and not text.lower().endswith(_UNREACHABLE):
        local, _, domain = text.rpartition("@")
        domain = domain.lower()
        return EmailAddress(f"{local}@{domain}", f"{local.lower()}@{domain}", domain)

    # Imported here because it takes 40 ms, which `bellbird --help` shouldn't.
    from email_validator import validate_email

    if len(text) > MAX_OCTETS:  # before the library, which would read all of it
        raise _too_long(text, len(text), "characters")
    try:
        valid = validate_email(text, check_deliverability=False, test_environment=True)
    except ValueError as error:  # EmailNotValidError, and UnicodeError for half of a surrogate pair
        raise _refusal(text, error) from None
    local = unicodedata.normalize("NFC", valid.local_part.casefold())
    return EmailAddress(address=valid.normalized, key=f"{local}@{valid.domain}", domain=valid.domain)


def key(address: str) -> str:
    """What a normalised address is compared by: without regard to case, though RFC 5321 would let it matter."""
    local, at, domain = address.rpartition("@")
    return local.casefold() + at + domain


def _refusal(text: str, error: ValueError) -> InvalidEmail:
    """Why the address was refused, in the order a person would correct it."""
    shown = _shown(text)
    local, at, domain = text.rpartition("@")
    if not text:
        return InvalidEmail("email_empty", "The e-mail address is empty. Expected one such as ann@example.com.au.")
    if len(octets := text.encode("utf-8", "surrogatepass")) > MAX_OCTETS:
        return _too_long(text, len(octets), "octets in UTF-8")
    if "<" in text or ">" in text:
        return InvalidEmail(
            "email_has_name",
            f"{shown} has a name or angle brackets around the address. "
            "Give only the address, such as ann@example.com.au, and the name in its own field.",
        )
    if not at:
        return InvalidEmail("email_invalid", f"{shown} has no @. Expected an address such as ann@example.com.au.")
    if "." not in domain:
        return InvalidEmail(
            "email_domain_invalid",
            f"{shown} has no dot after the @. Expected a whole domain, such as example.com.au, not {_shown(domain)}.",
        )
    code = "email_domain_invalid" if local and not _domain_is_valid(domain) else "email_invalid"
    why = "It has a character that isn't valid Unicode." if isinstance(error, UnicodeError) else str(error)
    return InvalidEmail(code, f"{shown} isn't an e-mail address. {why} Expected one such as ann@example.com.au.")


def _domain_is_valid(domain: str) -> bool:
    from email_validator import validate_email

    try:
        validate_email("ann@" + domain, check_deliverability=False, test_environment=True)
    except ValueError:
        return False
    return True


def _too_long(text: str, length: int, unit: str) -> InvalidEmail:
    return InvalidEmail(
        "email_too_long",
        f"The e-mail address {_shown(text)} is {length} {unit} long; "
        f"at most {MAX_OCTETS} octets are allowed (RFC 5321).",
    )


def _shown(text: str) -> str:
    """The text as an error quotes it: escaped where it can't be seen, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:79] + "…")
