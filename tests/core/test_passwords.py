"""Passwords: which of them will do, and that what is kept is a hash which takes as long for nobody's."""

import asyncio

import pytest

from bellbird.core import passwords
from bellbird.core.errors import Unavailable
from bellbird.core.passwords import InvalidPassword
from tests.people import HASHER, Counted, cheap_passwords, verifications  # noqa: F401 - fixtures

ABOUT = ("Ann.Smith@acme.example", "Ann Smith-O'Hara")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse", "five plain words will do", "tr0ub4dor&3xx", "Ann Smith is my boss", "парольный замок",
        "鳥鳥花花風風月月山山川川海", "x7$" * 4 + "pQ", "x" * 200 + "abcdefgh ijk", "no digits or signs at all",
    ],
)  # fmt: skip
def test_whatever_is_long_enough_and_nobodys_first_guess_will_do(password: str) -> None:
    passwords.check(password, about=ABOUT)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password_too_short"),
        ("elevenchars", "password_too_short"),
        ("ｆｏｕｒ　ｗｏｒｄｓ"[:10], "password_too_short"),
        ("a" * 257, "password_too_long"),
        ("tab\tinside of it", "password_character"),
        ("nul\0inside of it", "password_character"),
        ("half \ud800 of a pair", "password_character"),
        ("aaaaaaaaaaaaaaa", "password_guessable"),
        ("abababababab", "password_guessable"),
        ("123456789012", "password_guessable"),
        ("987654321098", "password_guessable"),
        ("qwertyuiopas", "password_guessable"),
        ("QWERTYUIOPAS", "password_guessable"),
        ("1q2w3e4r5t6y", "password_guessable"),
        ("password1234", "password_guessable"),
        ("Password!!!!", "password_guessable"),
        ("P@$$w0rd2024", "password_guessable"),
        ("passwordpassword", "password_guessable"),
        ("bellbird2026!", "password_guessable"),
        ("ann.smith@acme.example", "password_guessable"),
        ("ann.smith1234", "password_guessable"),
        ("Ann Smith O’Hara", "password_guessable"),
    ],
)
def test_what_will_not_do_says_why_and_not_what_it_was(password: str, code: str) -> None:
    with pytest.raises(InvalidPassword) as refused:
        passwords.check(password, about=ABOUT)
    assert refused.value.code == code
    assert not password or password not in str(refused.value)


async def test_a_hash_is_salted_and_found_right_however_it_is_typed() -> None:
    one, two = await passwords.hash("Caf\u00e9 au lait"), await passwords.hash("Caf\u00e9 au lait")
    assert one != two
    assert one.startswith("$argon2id$")
    for typed in ("Caf\u00e9 au lait", "Cafe\u0301 au lait", "Ｃafe\u0301 au lait"):
        assert (await passwords.verify(typed, one)).right
    for typed in ("caf\u00e9 au lait", "Cafe au lait", "", "x" * 10_000, "\ud800"):
        assert not (await passwords.verify(typed, one)).right


async def test_nobodys_password_takes_as_much_work_and_is_never_right(verifications: Counted) -> None:
    for kept in (None, await passwords.hash("five plain words")):
        for given in ("five plain word", "", "x" * 100_000):
            before = verifications.times
            verdict = await passwords.verify(given, kept)
            assert (verdict.right, verdict.renewed) == (False, None)
            assert verifications.times == before + 1


async def test_no_more_wait_than_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    outcomes = await asyncio.gather(*[passwords.hash("five plain words") for _ in range(5)], return_exceptions=True)
    assert [isinstance(each, Unavailable) for each in outcomes] == [False] * 3 + [True] * 2
    assert await passwords.hash("five plain words"), "and when they are served, others are"


async def test_whoever_gives_up_makes_room() -> None:
    tasks = [asyncio.create_task(passwords.hash("five plain words")) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert passwords._waiting == 0


def test_the_parameters_are_those_of_the_standard() -> None:
    """RFC 9106, section 4, for less memory."""
    assert HASHER.hash("five plain words").startswith("$argon2id$v=19$m=65536,t=3,p=4$")
