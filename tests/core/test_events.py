"""Who is shown which events: by permission, by whose the contact is, by who started an operation."""

from dataclasses import replace
from uuid import UUID

import pytest

from bellbird.core import events
from bellbird.core.actors import Actor, FieldRules
from bellbird.core.events import Logged
from bellbird.features import contacts, keys, operations, sessions

ANN, BOB = UUID("0192f0c0-0000-7000-8000-00000000a117"), UUID("0192f0c0-0000-7000-8000-00000000b0b0")
ID = UUID("0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f")
CHANGED = Logged(
    ID, ID, 1, "contact.updated", "contact", ID, ID, "user:x", "api", None,
    {"first_name": (None, "Cy"), "display_name": (None, "Cy"), "company": (None, "X")}, {"version": 2},
)  # fmt: skip
STARTED = Logged(
    ID, ID, 1, "operation.started", "operation", ID, None, "user:x", "job", None, None, {"created_by": f"user:{ANN}"}
)
AGENT = frozenset({"contacts:read", "operations:read"})


def agent(of: UUID = ANN, *, visibility: str = "own", team: frozenset[UUID] = frozenset()) -> Actor:
    return Actor.user(of, permissions=AGENT, visibility=visibility, team=team)  # type: ignore[arg-type]


@pytest.mark.parametrize("event", [CHANGED, STARTED])
def test_without_the_permission_nothing_is_shown(event: Logged) -> None:
    assert events.shown(Actor.user(ANN, permissions=frozenset({"teams:read"})), event, ANN) is None
    assert events.shown(Actor.user(ANN, permissions=AGENT), event, ANN) is event


def test_an_event_of_a_contact_is_shown_to_those_who_see_the_contact() -> None:
    assert events.shown(agent(), CHANGED, ANN) is CHANGED
    assert events.shown(agent(), CHANGED, BOB) is None
    assert events.shown(agent(), CHANGED, None) is None
    assert events.shown(agent(visibility="team", team=frozenset({BOB})), CHANGED, BOB) is CHANGED


def test_an_event_of_an_operation_is_shown_to_those_who_see_the_operation() -> None:
    assert events.shown(agent(), STARTED) is STARTED
    assert events.shown(agent(BOB), STARTED) is None
    assert events.shown(agent(BOB, visibility="team", team=frozenset({ANN})), STARTED) is STARTED
    assert events.shown(agent(BOB, visibility="all"), STARTED) is STARTED
    assert events.shown(agent(), replace(STARTED, data=None)) is None


def test_what_no_feature_opens_takes_the_audit_permission() -> None:
    session = replace(STARTED, type="session.started", entity_type="session")
    assert events.shown(Actor.user(ANN, permissions=AGENT), session) is None
    assert events.shown(Actor.user(ANN, permissions=frozenset({"audit:read"})), session) is session


def test_changes_of_hidden_fields_and_of_what_was_made_up_from_them_are_left_out() -> None:
    hiding = replace(agent(), fields={"contact": FieldRules(hidden=frozenset({"first_name"}))})
    shown = events.shown(hiding, CHANGED, ANN)
    assert shown is not None
    assert (shown.changes, shown.data) == ({"company": (None, "X")}, {"version": 2})


def test_the_features_have_said_who_sees_their_events() -> None:
    assert all((contacts, keys, operations, sessions))
    assert {"contact", "operation", "team", "role", "key"} <= events.READABLE.keys()
    assert "session" not in events.READABLE
