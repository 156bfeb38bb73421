"""People to test with, whose passwords cost nothing to check; and a look into every table for what may not be there."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from bellbird.core import passwords
from bellbird.core.engine import Tx
from bellbird.features import users
from bellbird.features.users import NewUser, User

PASSWORD = "five plain words will do"
OTHER = "and so will these others"

# As the application has it.
HASHER = passwords._HASHER


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of the same kind, with parameters that nobody should use."""
    cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    monkeypatch.setattr(passwords, "_HASHER", cheap)


class Counted:
    """How often a password was compared with a hash."""

    def __init__(self) -> None:
        self.times = 0


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Counts argon2's own work."""
    counted, verify = Counted(), Argon2Hasher.verify

    def count(self: Argon2Hasher, password: str | bytes, hash: str | bytes) -> bool:
        counted.times += 1
        return verify(self, password, hash)

    monkeypatch.setattr(Argon2Hasher, "verify", count)
    return counted


def an_email() -> str:
    return f"ann.{uuid4().hex}@acme.example"


async def user(tx: Tx, **given: Any) -> User:
    """A member of the tenant, an agent called Ann Lee unless said, who has joined with PASSWORD."""
    return await users.add(tx, new_user(**given))


def new_user(**given: Any) -> NewUser:
    return NewUser(**{"email": an_email(), "name": "Ann Lee", "role": "agent", "password": PASSWORD, **given})


async def invited(tx: Tx, **given: Any) -> User:
    """Somebody who has an invitation still to accept."""
    return await user(tx, **{"password": None, **given})


def rows_with(owner: psycopg.Connection[Any], *words: str) -> list[str]:
    """The tables in which any of the words stands anywhere, also as the bytes of it."""
    tables = owner.execute(
        "select oid::regclass::text from pg_class"
        " where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace"
    ).fetchall()
    found = []
    for (table,) in tables:
        for word in words:
            where = "position(%s in t::text) > 0 or position(%s in t::text) > 0"
            asked = f"select 1 from {table} t where {where} limit 1"
            if owner.execute(asked.encode(), [word, word.encode().hex()]).fetchone():
                found.append(f"{table} has {word}")
    return found
