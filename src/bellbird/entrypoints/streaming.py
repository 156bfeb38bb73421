"""What is asked of a live stream, what it refuses, and how an event is written to it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import topics
from bellbird.core.actors import Actor
from bellbird.core.errors import BellbirdError, Fault, InvalidInput, RateLimited, Unavailable
from bellbird.core.events import Logged, shown
from bellbird.core.feed import Position, position
from bellbird.core.topics import Topics
from bellbird.entrypoints import docs, rest

LONGEST: Final = 24 * 60 * 60

# How far ahead of ours another server's clock may be.
AHEAD: Final = timedelta(minutes=1)


class InvalidEventId(InvalidInput):
    """The stream cannot go on after this event.

    `Last-Event-ID`, or `last_event_id`, is no event's id, lies in the future, or is of no event of this tenant.
    """

    code = "invalid_event_id"
    status = 400


class EventsGone(BellbirdError):
    """The log is no longer kept as far back as this event.

    What happened since cannot be told in full: read anew what you need, then follow without `Last-Event-ID`.
    """

    code = "events_gone"
    status = 410


class TooManyStreams(RateLimited):
    """There are too many live streams: close one, or try again later.

    `detail` says whether of the caller or of the server.
    """

    code = "too_many_streams"


class SlowClient(BellbirdError):
    """The client reads more slowly than things happen, and the stream was closed.

    It is told in the stream itself. Connect again with the last event's id: nothing is lost.
    """

    code = "slow_client"
    status = 408


class Closing(Unavailable):
    """The server is stopping, and the stream was closed.

    It is told in the stream itself. Connect again with the last event's id: nothing is lost.
    """

    code = "closing"


class Flooding(BellbirdError):
    """The client of a WebSocket sends too much.

    It is told in the WebSocket itself, which is then closed with 1008.
    """

    code = "flooding"
    status = 429


class UpgradeRequired(BellbirdError):
    """This path is for WebSockets.

    The same events come over plain HTTP at `/api/v1/events/stream`.
    """

    code = "upgrade_required"
    status = 426


FOLLOWING: Final = docs.About(
    errors=(InvalidEventId, EventsGone, TooManyStreams, Closing),
    query={
        "types": docs.text(
            "Only these, separated by commas: types, `contact.*` for all of a kind",
            min_length=1, max_length=2000, example="contact.created,contact.updated",
        ),
        "contact_id": docs.text("Only what is about this contact", format="uuid"),
        "entity_id": docs.text("Only what is about this thing", format="uuid"),
        "last_event_id": docs.text(
            "Go on after this event, as the header `Last-Event-ID` does, which comes first", max_length=200
        ),
        "seconds": docs.integer(
            "End it by itself after so many seconds; 0: as soon as all is told that there is already",
            minimum=0, maximum=LONGEST,
        ),
    },
    answers={200: "The events as they happen, until one side ends it (`text/event-stream`)."},
    media="text/event-stream",
    answer='retry: 2000\nid: 0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0e\n\n'
    'id: 0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f\nevent: contact.deleted\n'
    'data: {"id":"0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f","type":"contact.deleted"}\n\n',
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client wants: of these types, about this contact, about this thing."""

    topics: Topics
    contact_id: UUID | None = None
    entity_id: UUID | None = None

    def __contains__(self, event: Logged) -> bool:
        return (
            event.type in self.topics
            and self.contact_id in (None, event.contact_id)
            and self.entity_id in (None, event.entity_id)
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for: which events, after which one, and for how many seconds (None: for good)."""

    wanted: Wanted
    after: UUID | None
    seconds: int | None


def read(given: Mapping[str, list[str]], last_event_id: str | None) -> Request:
    """The query string's parameters and the header. Raises InvalidInput, InvalidEventId."""
    types = rest.single(given, "types")
    patterns = ["*"] if types is None else [each.strip() for each in types.split(",")]
    mistakes = [each for each in map(topics.mistake, patterns) if each]
    if mistakes:
        raise InvalidInput(faults=[Fault("unknown_type", each, parameter="types") for each in mistakes[:20]])
    seconds = rest.single(given, "seconds")
    if seconds is not None and not 0 <= int(seconds) <= LONGEST:
        raise InvalidInput.at("seconds", f"must be a number from 0 to {LONGEST}, not {seconds}")
    wanted = Wanted(Topics(patterns), _id(given, "contact_id"), _id(given, "entity_id"))
    after = last_event_id or rest.single(given, "last_event_id")
    return Request(wanted, _event_id(after) if after else None, None if seconds is None else int(seconds))


def _id(given: Mapping[str, list[str]], name: str) -> UUID | None:
    text = rest.single(given, name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput.at(name, f"must be a UUID, not {text[:60]!r}", code="invalid_id") from None


def _event_id(text: str) -> UUID:
    try:
        found = UUID(text.strip())
    except ValueError:
        raise InvalidEventId(f"The last event's id must be a UUID as the stream has it, not {text[:60]!r}.") from None
    if found.version != 7 or found.variant != uuid.RFC_4122:
        raise InvalidEventId(f"{found} is no event's id: they are UUIDs of version 7.")
    return found


_encode: Final = msgspec.json.Encoder().encode

# Nobody has looked yet whose the contact is.
UNKNOWN: Final = UUID(int=0)


class Item:
    """An event on its way to clients, encoded once for all who see the same of it."""

    __slots__ = ("_bodies", "event", "owner_id", "position", "size")

    def __init__(self, event: Logged) -> None:
        self.event = event
        self.position: Position = position(event)
        # Whose the contact is that the event is about.
        self.owner_id: UUID | None = UNKNOWN if event.contact_id else None
        body = _body(event)
        self._bodies: dict[frozenset[str], bytes] = {frozenset(): body}
        self.size = len(body)

    def body_for(self, actor: Actor) -> bytes | None:
        """The event as JSON, as the actor may see it; None if it may not."""
        seen = shown(actor, self.event, self.owner_id)
        if seen is None:
            return None
        if seen is self.event:
            return self._bodies[frozenset()]
        hidden = actor.rules(self.event.entity_type).hidden
        if hidden not in self._bodies:
            self._bodies[hidden] = _body(seen)
        return self._bodies[hidden]


def _body(event: Logged) -> bytes:
    return _encode({
        "id": event.id, "type": event.type, "at": event.at, "entity_type": event.entity_type,
        "entity_id": event.entity_id, "contact_id": event.contact_id, "actor": event.actor, "origin": event.origin,
        "request_id": event.request_id, "changes": event.changes, "data": event.data,
    })  # fmt: skip


def told(error: BellbirdError) -> dict[str, Any]:
    """Why a stream ends, as a problem."""
    return {
        "type": f"urn:bellbird:error:{error.code}",
        "title": error.title(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
