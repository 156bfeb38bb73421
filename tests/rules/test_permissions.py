"""Every verb asks for a permission: read from the source, so that none can be forgotten."""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bellbird.features import FEATURES

# Verbs that ask for none, and why.
MAY_ASK_NOTHING = {
    "call_accounts.for_calling": "which account a call is placed with: whoever places it asks",
    "call_accounts.opened": "an account with its secret, for the worker and for callbacks: their signature decides",
    "operations.run": "what whoever started it may do is asked with each batch",
    "sessions.sign_in": "nobody has signed in yet: the password decides",
    "sessions.refresh": "the refresh token decides",
    "sessions.accept": "the invitation and the password decide",
    "sessions.sign_out": "one's own session",
    "sessions.end": "one's own session",
    "sessions.me": "oneself",
    "sessions.change_password": "one's own password, and the present one decides",
    "tenants.get": "only from a transaction across tenants, which is the operator's",
    "tenants.page": "only from a transaction across tenants, which is the operator's",
    "roles.named": "what a role is called, for those who grant it: they ask",
    "users.named": "what users are called, for those who show what is theirs: they ask",
    "teams.hold": "that teams are there, for those who assign them: they ask",
}


def verbs() -> Iterator[tuple[str, Callable[..., Any]]]:
    """What each feature opens that takes a transaction or an engine."""
    for feature in FEATURES:
        package = importlib.import_module(f"bellbird.features.{feature}")
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.iscoroutinefunction(thing):
                yield f"{feature}.{name}", thing


def asks(source: str) -> bool:
    """Whether a function asks, as the first thing that it does with its transaction."""
    (function,) = ast.parse(inspect.cleandoc("\n" + source)).body
    assert isinstance(function, ast.AsyncFunctionDef)
    for statement in ast.walk(function):
        if isinstance(statement, ast.Call) and isinstance(statement.func, ast.Attribute):
            of = statement.func.value
            if statement.func.attr == "require" and isinstance(of, ast.Name) and of.id in ("tx", "read"):
                return True
    return False


def source_of(verb: Callable[..., Any]) -> str:
    return inspect.getsource(verb)


def test_the_verbs_are_found() -> None:
    found = dict(verbs())
    assert {"contacts.create", "users.add", "keys.revoke", "roles.update", "teams.page", "tenants.delete"} <= set(found)
    assert len(found) > 30


@pytest.mark.parametrize("name", [name for name, _ in verbs()])
def test_every_verb_asks_for_a_permission(name: str) -> None:
    asked = asks(source_of(dict(verbs())[name]))
    assert asked or name in MAY_ASK_NOTHING, f"{name} calls no tx.require(...)"
    assert not (asked and name in MAY_ASK_NOTHING and name != "sessions.end_all"), f"{name} asks: take it off the list"


def test_none_on_the_list_is_gone() -> None:
    assert set(MAY_ASK_NOTHING) <= {name for name, _ in verbs()}


def test_a_verb_that_asks_nothing_would_be_seen() -> None:
    assert not asks("async def create(tx, new):\n    tx.queue('insert')\n")
    assert not asks("async def create(tx, new):\n    other.require('contacts:write')\n")
    assert asks("async def create(tx, new):\n    tx.require('contacts:write')\n")
