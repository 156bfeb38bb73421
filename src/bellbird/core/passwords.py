"""Passwords: which of them will do, and their hashes (argon2id), made and checked on two threads of their own.

One hash takes 64 MB and tens of milliseconds: that is what makes guessing dear, and why no more than two are made at
once, beside everything else that the process does, and no more wait than can be served soon.
"""

import asyncio
import functools
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, ParamSpec, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from bellbird.core import text
from bellbird.core.errors import Unavailable, describe_faults

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256

# Fewer different characters than this are no password, however many there are.
MIN_DIFFERENT: Final = 5

# What the most used passwords are made of, once the digits and signs at their ends are off; and along the keys.
_COMMON: Final = frozenset({
    "admin", "administrator", "changeme", "iloveyou", "letmein", "login", "master", "passphrase", "passw", "password",
    "qwerty", "secret", "test", "user", "welcome", "bellbird",
})  # fmt: skip
_ROWS: Final = ("1234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "1q2w3e4r5t6y7u8i9o0p")
_MEANT: Final = str.maketrans("@0$13!", "aosiei")

# The parameters of RFC 9106, section 4, for less memory: 3 passes over 64 MB in 4 lanes.
_HASHER = PasswordHash((Argon2Hasher(),))
_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="passwords")

# A queue longer than this would be waited in for longer than a request may take.
MAX_WAITING: Final = 50
_waiting = 0

Given = ParamSpec("Given")
Result = TypeVar("Result")


class InvalidPassword(ValueError):
    """The password will not do; `code` is one of
    `password_too_short`, `password_too_long`, `password_character`, `password_guessable`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Verdict(NamedTuple):
    """Whether a password was right; `renewed` is its hash under today's parameters, if it was kept under others."""

    right: bool
    renewed: str | None = None


def check(password: str, *, about: Iterable[str] = ()) -> None:
    """See whether a new password will do: 12 to 256 characters, none of them a control, and nobody's first guess.

    Nothing else is asked of it (NIST SP 800-63B, section 3.1.1.2). `about` is what is known of the person, such as
    their e-mail address and their name. Raises InvalidPassword, which does not tell the password.
    """
    if len(password) > MAX_LENGTH:
        raise InvalidPassword("password_too_long", f"has {len(password)} characters; at most {MAX_LENGTH} are allowed")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise InvalidPassword("password_character", "has a control character, or half of one that takes two")
    normal = _normal(password)
    if len(normal) < MIN_LENGTH:
        raise InvalidPassword("password_too_short", f"has {len(normal)} characters; at least {MIN_LENGTH} are needed")
    if why := _guessable(normal, about):
        raise InvalidPassword("password_guessable", f"{why}; several words that do not belong together will do")


async def hash(password: str) -> str:
    """The hash to keep of a password. Raises Unavailable when too many are waiting for theirs."""
    return await _aside(_hash, password)


async def verify(password: str, kept: str | None) -> Verdict:
    """Whether this is the password of which `kept` is the hash: nobody's, where it is None.

    It takes as long in every case, so that the time tells nobody who has a password. Raises Unavailable.
    """
    return await _aside(_verify, password, kept)


def _hash(password: str) -> str:
    return _HASHER.hash(_bytes(password))


def _verify(password: str, kept: str | None) -> Verdict:
    stand_in = _nobodys(_HASHER)
    # Longer ones are nobody's either, and normalising a megabyte takes long.
    given = _bytes(password if len(password) <= MAX_LENGTH else "")
    right, renewed = _HASHER.verify_and_update(given, kept or stand_in)
    return Verdict(right, renewed) if right and kept else Verdict(False)


@functools.cache
def _nobodys(hasher: PasswordHash) -> str:
    """The hash of a password that nobody has."""
    return hasher.hash(secrets.token_bytes(32))


def _bytes(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


def _normal(password: str) -> str:
    # Keyboards differ in how they compose what looks the same (RFC 8265, section 4.2, here with NFKC as NIST has it).
    return password if password.isascii() else unicodedata.normalize("NFKC", password)


async def _aside(function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
    """Run a function on the threads for passwords."""
    global _waiting
    if _waiting >= MAX_WAITING:
        raise Unavailable("Too many people are signing in at this moment: try again shortly.", retry_after=5)
    _waiting += 1
    try:
        call = functools.partial(function, *args, **options)
        return await asyncio.get_running_loop().run_in_executor(_THREADS, call)
    finally:
        _waiting -= 1


def _guessable(password: str, about: Iterable[str]) -> str | None:
    """Why a password would be among the first guesses, if it would."""
    folded = password.casefold()
    if len(set(folded)) < MIN_DIFFERENT:
        return f"has fewer than {MIN_DIFFERENT} different characters"
    if any(folded in row * 30 or folded in row[::-1] * 30 for row in _ROWS):
        return "is a row of keys, letters or digits"
    core = _core(folded)
    if core in _COMMON or core.translate(_MEANT) in _COMMON:
        return "is one of the most used passwords with something at its ends"
    plain = _joined(password)
    for known in about:
        for part in (known, known.partition("@")[0]):
            own = _joined(part)
            if own and plain.startswith(own) and not plain.removeprefix(own).strip("0123456789"):
                return "is the name or the e-mail address of the person themselves"
    return None


def _core(folded: str) -> str:
    """What is left between the digits and signs at the ends; of one word said several times, the word."""
    core = folded.strip("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
    return next((core[:n] for n in range(1, len(core)) if core[:n] * (len(core) // n) == core), core)


def _joined(words: str) -> str:
    return text.fold(words).replace(" ", "")


describe_faults({
    "password_too_short": f"The password has fewer than {MIN_LENGTH} characters.",
    "password_too_long": f"The password has more than {MAX_LENGTH} characters.",
    "password_character": "The password has a character that cannot be typed.",
    "password_guessable": "The password would be among the first guesses.",
})  # fmt: skip
