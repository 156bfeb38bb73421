"""The live stream: the event log, followed once for each process, and every client's way through it.

The end of the log is read once for all (core/tail.py). What is of a tenant that somebody listens to goes into the
tenant's channel, and its clients take it from there, each at its own pace and from its own position in the log. Whoever
is further back than the channel reaches reads on in the log until it has come to where the channel begins: a position
is either before that or not, so nothing is missed and nothing comes twice.
"""

import asyncio
import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from litestar.types import Scope

from bellbird.core import feed, ids, retention
from bellbird.core.actors import Actor
from bellbird.core.engine import ReadTx
from bellbird.core.errors import BellbirdError, NotSignedIn, Unavailable
from bellbird.core.events import Logged
from bellbird.core.feed import Position
from bellbird.core.settings import Settings
from bellbird.core.tail import Tail
from bellbird.core.wakeups import Listener
from bellbird.entrypoints.rest import Access
from bellbird.entrypoints.streaming import (
    AHEAD,
    UNKNOWN,
    Closing,
    EventsGone,
    InvalidEventId,
    Item,
    Request,
    SlowClient,
    TooManyStreams,
)

log = logging.getLogger(__name__)

# Seconds after which the log is looked at even if nobody said that there is something new.
POLL: Final = 1.0

# How many streams one user or key may have, in one process.
MOST_OF_CALLER: Final = 100

# How much of a tenant's channel is kept for those who are a little behind, and how much is taken from it at a time.
KEPT: Final = 1_000
KEPT_BYTES: Final = 1_000_000
BATCH: Final = 100

# How much of the log a client that is further behind reads at a time, and how many clients may do so at once.
PAGE: Final = 200
READERS: Final = 4

# A client that took this long for what it was sent, and has been left behind by the channel meanwhile, is slow.
SLOW: Final = 1.0

# How often what the database could not answer is asked again, each time after a second.
TRIES: Final = 5

Owners = Callable[[ReadTx, Collection[UUID]], Awaitable[Mapping[UUID, UUID | None]]]
"""Whose contacts are, by their ids; those that are gone are left out."""

_READER: Final = Actor.system("stream")


class Sent(NamedTuple):
    """An event for a client: the item, and what the client sees of it."""

    item: Item
    body: bytes


class Channel:
    """The last events of one tenant, and the clients that follow them."""

    __slots__ = ("_bytes", "_items", "followers", "start", "tenant_id")

    def __init__(self, tenant_id: UUID, start: Position) -> None:
        self.tenant_id = tenant_id
        # Everything of the tenant behind this position, as far as the hub has come, is here.
        self.start = start
        self.followers: set[Follower] = set()
        self._items: list[Item] = []
        self._bytes = 0

    def add(self, items: Iterable[Item]) -> None:
        """Take in what comes next, and wake everybody."""
        for item in items:
            self._items.append(item)
            self._bytes += item.size
        if len(self._items) > 2 * KEPT or self._bytes > 2 * KEPT_BYTES:
            self._trim()
        for follower in self.followers:
            follower.wake()

    def after(self, position: Position) -> list[Item]:
        """The next items behind a position that is not before the channel's start."""
        items = self._items
        if not items or items[-1].position <= position:
            return []
        at = bisect_right(items, position, key=_position)
        return items[at : at + BATCH]

    def _trim(self) -> None:
        drop = max(0, len(self._items) - KEPT)
        kept = sum(item.size for item in self._items[drop:])
        while kept > KEPT_BYTES and drop < len(self._items) - 1:
            kept -= self._items[drop].size
            drop += 1
        self.start = self._items[drop - 1].position if drop else self.start
        del self._items[:drop]
        self._bytes = kept


def _position(item: Item) -> Position:
    return item.position


class Hub:
    """Follows the log for all clients of this process, from the first one's coming to the last one's going."""

    def __init__(self, access: Access, owners: Owners, settings: Settings) -> None:
        self.access = access
        self.engine = access.engine
        self.heartbeat = settings.stream_heartbeat
        self.most = settings.stream_clients
        self.owners = owners
        self.reading = asyncio.Semaphore(READERS)
        # How far the log has been read; everything of it is in the channels that there were.
        self.position = feed.BEGINNING
        self.channels: dict[UUID, Channel] = {}
        self.sent = 0
        self.closed: Counter[str] = Counter()
        self.is_closing = False
        self._callers: Counter[tuple[UUID, str]] = Counter()
        self._kinds: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Litestar copies the state of an application, and there is one hub

    def clients(self) -> Mapping[tuple[str, ...], float]:
        """How many there are, by kind, for the metrics."""
        return {(kind,): float(self._kinds[kind]) for kind in ("sse", "websocket")}

    async def follow(self, kind: str, scope: Scope, asked: Request) -> "Follower":
        """Let a client that has signed in follow the log; `leave()` it in the end.

        Raises TooManyStreams, InvalidEventId, EventsGone, Closing, Unavailable.
        """
        state: Any = scope["state"]
        caller = (state["tenant_id"], str(state["actor"]))
        if self.is_closing:
            raise Closing()
        if self._kinds.total() >= self.most:
            raise TooManyStreams(f"This server has {self.most} live streams already.", retry_after=10)
        if self._callers[caller] >= MOST_OF_CALLER:
            raise TooManyStreams(f"This caller has {MOST_OF_CALLER} live streams already.", retry_after=10)
        self._callers[caller] += 1
        self._kinds[kind] += 1
        follower = Follower(self, kind, scope, asked)
        try:
            await follower.begin()
        except BaseException:
            await follower.leave()
            raise
        return follower

    async def join(self, follower: "Follower") -> Channel:
        """The channel of a client's tenant, which has what happens from now on. Raises Unavailable."""
        async with self._starting:
            if self._task is None or self._task.done():
                tail = Tail(self.engine)
                await tail.open()
                self.position = tail.start
                # Not as a part of the first client's request, whose id would be on whatever it logs.
                self._task = asyncio.create_task(self._run(tail), context=Context())
                self._task.add_done_callback(self._ended)
            channel = self.channels.get(follower.tenant_id)
            if channel is None:
                channel = self.channels[follower.tenant_id] = Channel(follower.tenant_id, self.position)
            channel.followers.add(follower)
        return channel

    async def left(self, follower: "Follower") -> None:
        """Forget a client; with the last one, stop reading."""
        caller = (follower.tenant_id, follower.caller)
        self._callers[caller] -= 1
        if not self._callers[caller]:
            del self._callers[caller]
        self._kinds[follower.kind] -= 1
        channel = self.channels.get(follower.tenant_id)
        if channel is not None:
            channel.followers.discard(follower)
            if not channel.followers:
                del self.channels[follower.tenant_id]
        async with self._starting:
            if not self.channels:
                await self._stop()

    def stop(self) -> None:
        """Tell every client that the server is stopping; none is let in any more."""
        self.is_closing = True
        for channel in self.channels.values():
            for follower in channel.followers:
                follower.end(Closing())

    async def close(self) -> None:
        """Stop, and wait until nothing runs."""
        self.stop()
        async with self._starting:
            await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("the live stream's reader ended", exc_info=error)
        for channel in self.channels.values():
            for follower in channel.followers:
                follower.end(Unavailable("The event log could not be read any further: connect again."))
        self.channels.clear()

    async def _run(self, tail: Tail) -> None:
        listener = Listener(self.engine.connect)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(tail.follow(listener, POLL))
                group.create_task(self._deliver(tail))
        finally:
            await listener.close()

    async def _deliver(self, tail: Tail) -> None:
        """Put what is read into the channels."""
        while True:
            news = tail.news
            try:
                events, position = await tail.after(self.position)
                await self._distribute(events, position)
            except Unavailable:
                await asyncio.sleep(POLL)
                continue
            if not events:
                await news.wait()

    async def _distribute(self, events: Sequence[Logged], position: Position) -> None:
        by_tenant: dict[UUID, list[Logged]] = {}
        for event in events:
            by_tenant.setdefault(event.tenant_id, []).append(event)
        items: dict[UUID, list[Item]] = {}
        # While something is looked up, somebody of another tenant may come, whose channel begins before these events.
        while missing := [id for id in by_tenant if id in self.channels and id not in items]:
            items |= {id: [Item(event) for event in by_tenant[id]] for id in missing}
            await asyncio.gather(*(self._prepare(self.channels[id], items[id]) for id in missing))
        for id, each in items.items():
            if id in self.channels:
                self.channels[id].add(each)
        self.position = position

    async def _prepare(self, channel: Channel, items: Sequence[Item]) -> None:
        """Look up at once what otherwise each of the tenant's clients would ask for."""
        try:
            if any(follower.actor.visibility != "all" for follower in channel.followers):
                await self.find_owners(channel.tenant_id, items)
            if self.engine.snapshots.get(channel.tenant_id) is None:
                await ReadTx(self.engine, channel.tenant_id, _READER, None, None).snapshot()
        except NotSignedIn:
            log.debug("a tenant is gone: each of its clients will be told so")

    async def find_owners(self, tenant_id: UUID, items: Iterable[Item]) -> None:
        """Find out whose the contacts are that the items are about, as far as nobody has. Raises Unavailable."""
        unknown = [item for item in items if item.owner_id is UNKNOWN]
        if unknown:
            read = self.engine.reader(tenant_id, _READER)
            owners = await self.owners(read, {item.event.contact_id for item in unknown if item.event.contact_id})
            for item in unknown:
                item.owner_id = owners.get(item.event.contact_id) if item.event.contact_id else None


class Follower:
    """One client's way through its tenant's part of the log."""

    def __init__(self, hub: Hub, kind: str, scope: Scope, asked: Request) -> None:
        state: Any = scope["state"]
        self.kind = kind
        self.tenant_id: UUID = state["tenant_id"]
        self.actor: Actor = state["actor"]
        self.caller = str(self.actor)
        self.asked = asked
        # Everything up to here was told, or is not for this client; and the last event before that.
        self.position = feed.BEGINNING
        self.last_id: UUID | None = asked.after
        self.is_over = False
        # Seconds that the last sending took: the client's doing.
        self.took = 0.0
        self._hub = hub
        self._scope = scope
        self._channel: Channel | None = None
        self._news = asyncio.Event()
        self._why: BellbirdError | None = None
        self._is_gone = False
        self._has_left = False
        self._is_live = False
        # With `seconds=0` what is in the log already is all.
        self._reads_only = asked.seconds == 0

    async def begin(self) -> None:
        """Find the place from which to go on. Raises InvalidEventId, EventsGone, Unavailable."""
        read = ReadTx(self._hub.engine, self.tenant_id, self.actor, self._scope["state"].get("request_id"))
        if self.asked.after is not None:
            self.position = await self._place(read, self.asked.after)
        if not self._reads_only:
            self._channel = await self._hub.join(self)
        if self.asked.after is None:
            # What was committed before this question is past, whatever the hub has read of it by now.
            last = await feed.last(read)
            here = self._hub.position if self._channel else feed.BEGINNING
            self.position = max(here, last) if last else here
            self.last_id = last.id if last else None
            self.is_over = self._reads_only

    async def _place(self, read: ReadTx, after: UUID) -> Position:
        now = read.clock.now()
        if after > ids.first_at(now + AHEAD):
            raise InvalidEventId(f"The event {after} would be in the future.")
        found = await feed.find(read, after)
        if found is not None:
            return found
        kept = retention.start(now, (await read.tenant()).settings.keep_events_months)
        kept = max(kept, await retention.kept_since(read) or kept)
        if after < ids.first_at(kept):
            raise EventsGone(f"The log is kept since {kept:%Y-%m-%d}; {after} is older.")
        raise InvalidEventId(f"There is no event {after} in this tenant's log.")

    def wake(self) -> None:
        """There may be something new."""
        self._news.set()

    def end(self, why: BellbirdError) -> None:
        """Have the client told why, and the stream closed."""
        self._why = self._why or why
        self._news.set()

    def gone(self) -> None:
        """The client has hung up."""
        self._is_gone = True
        self._news.set()

    @property
    def is_done(self) -> bool:
        """Whether nobody is there any more, or nothing is to come."""
        return self.is_over or self._is_gone

    def count(self, why: str) -> None:
        """Note for the metrics why it was closed by us."""
        self._hub.closed[why] += 1

    async def leave(self) -> None:
        """The stream is over."""
        if not self._has_left:
            self._has_left = True
            await self._hub.left(self)

    async def take(self, seconds: float) -> list[Sent]:
        """The next events for the client; none if there were none for so long, or it is over.

        Raises NotSignedIn, Forbidden, SlowClient, Closing, Unavailable: why the stream has to be closed.
        """
        until = asyncio.get_running_loop().time() + seconds
        failed = 0
        while not self.is_done:
            if self._why is not None:
                raise self._why
            try:
                items = await self._next(until)
                if items is None:
                    await self._check()
                    return []
                if items and (found := await self._seen(items)):
                    return found
            except Unavailable:
                failed += 1
                if failed > TRIES or self._why is not None:
                    raise
                await asyncio.sleep(1)
        return []

    async def _next(self, until: float) -> list[Item] | None:
        """What comes behind the client's position; None when the time is over."""
        channel = self._channel
        if channel is None or self.position < channel.start:
            return await self._read(channel)
        self._is_live = True
        self._news.clear()
        if items := channel.after(self.position):
            return items
        if self._why is None and not self._is_gone:
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return None
        return []

    async def _read(self, channel: Channel | None) -> list[Item]:
        """A page of the log."""
        # A client that was up with the others may be behind because very much happened at once: that is not its doing.
        if self._is_live and self.took >= SLOW:
            raise SlowClient(f"The client took {self.took:.1f} s for what it was sent, and is too far behind.")
        self._is_live = False
        # Whatever of the tenant is before this position, the question finds: the hub was there earlier.
        passed = self._hub.position if channel else self.position
        async with self._hub.reading:
            read = self._hub.engine.reader(self.tenant_id, self.actor)
            events = await feed.read_of_tenant(read, self.position, limit=PAGE)
        if len(events) < PAGE:
            self.is_over = channel is None and not events
            if not events:
                self.position = max(self.position, passed)
        return [Item(event) for event in events]

    async def _seen(self, items: Sequence[Item]) -> list[Sent]:
        """What of them the client wants and may see; they are passed with that."""
        wanted = [item for item in items if item.event in self.asked.wanted]
        found = []
        if wanted:
            await self._check()
            actor = self.actor
            if actor.visibility != "all":
                await self._hub.find_owners(self.tenant_id, wanted)
            found = [Sent(item, body) for item in wanted if (body := item.body_for(actor)) is not None]
        self.position, self.last_id = items[-1].position, items[-1].event.id
        self._hub.sent += len(found)
        return found

    async def _check(self) -> None:
        """That the client is signed in still, and what it may see by now: at most a second old."""
        self.actor = await self._hub.access.again(self._scope)
