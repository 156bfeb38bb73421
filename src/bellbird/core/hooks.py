"""Hooks: code of whoever runs Bellbird, before a change in its transaction, and after it from the event log.

    @bellbird.before("contact.create")
    async def no_competitors(tx, new):
        if new.company == "Kookaburra":
            raise Rejected("We don't keep our competitors.", pointer="/company")

    @bellbird.on("contact.created")
    async def welcome(event, bellbird): ...

A `before` hook that fails in any way leaves nothing written. An `on` hook is a consumer of the log: what it fails at is
tried again, and given up with the reason after some tries.
"""

import difflib
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from bellbird.core import topics
from bellbird.core.errors import BellbirdError, HookFailed, HookInvalid, HookTimedOut
from bellbird.core.patience import OutOfTime, within

if TYPE_CHECKING:
    from bellbird.core.consumers import Consumer
    from bellbird.core.engine import Tx
    from bellbird.core.events import Logged

# How many seconds a hook before a change may take: its transaction is open as long.
TIMEOUT: Final = 5.0

# The verbs that hooks can come before, with what they are given. Core knows no feature: each says so when it is
# imported.
HOOKABLE: Final[dict[str, type]] = {}

Before = Callable[["Tx", Any], Awaitable[Any]]
Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])
Given = TypeVar("Given")

log = logging.getLogger(__name__)

# A hook may use the verbs itself; what it does comes before no hook that is at work already, or there were no end.
_at_work: ContextVar[tuple[str, ...]] = ContextVar("_at_work", default=())


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is about to be made: to what, and which. A hook may return it with another `patch`."""

    id: UUID
    patch: Any


def hookable(verb: str, given: type) -> None:
    """From now on hooks can come before this verb; they are given one of these."""
    HOOKABLE[verb] = given


class Hooks:
    """The hooks of one deployment; `host` is what an `on` hook of two parameters gets second."""

    def __init__(self, host: Any = None, *, timeout: float = TIMEOUT) -> None:
        self._host = host
        self.timeout = timeout
        self._before: dict[str, list[tuple[str, Before]]] = {}
        self._on: dict[str, Consumer] = {}

    def before(self, verb: str, *, name: str | None = None) -> Callable[[Function], Function]:
        """Have `async def hook(tx, given)` called before each change of the kind, in its transaction.

        It may return what it was given with other values, which are checked like the caller's own, or None.
        Raises HookInvalid.
        """
        if verb not in HOOKABLE:
            raise HookInvalid(f"There is no verb {verb} for a hook to come before; {_near(verb, HOOKABLE)}")

        def register(hook: Function) -> Function:
            called = _called(hook, name)
            if _parameters(hook, called) != 2:
                raise HookInvalid(f"The hook {called} must take two parameters: the transaction, and what is given.")
            registered = self._before.setdefault(verb, [])
            if any(called == other for other, _ in registered):
                raise HookInvalid(f"There are two hooks called {called} before {verb}: give one another name.")
            registered.append((called, hook))
            return hook

        return register

    def on(
        self, *types: str, name: str | None = None, tries: int = 5, timeout: float = 30.0
    ) -> Callable[[Function], Function]:
        """Have `async def hook(event)`, or `hook(event, bellbird)`, called after changes: `contact.*` is a type too.

        A worker calls it, at least once for every event from when it first ran. Its `name` is what it is known by when
        it has moved in the code. Raises HookInvalid.
        """
        from bellbird.core.consumers import Consumer

        mistakes = [each for each in map(topics.mistake, types) if each] if types else ["Name the types of events."]
        if mistakes:
            raise HookInvalid(" ".join(mistakes))

        def register(hook: Function) -> Function:
            called = f"hook:{_called(hook, name)}"
            count = _parameters(hook, called)
            if count not in (1, 2):
                raise HookInvalid(f"The {called} must take one parameter, the event, or two: the event, and Bellbird.")
            if called in self._on:
                raise HookInvalid(f"There are two hooks called {called.partition(':')[2]}: give one another name.")

            async def handle(events: "Sequence[Logged]") -> None:
                for event in events:
                    await (hook(event) if count == 1 else hook(event, self._host))

            self._on[called] = Consumer(called, types, handle, tries=tries, timeout=timeout, singly=True)
            return hook

        return register

    def consumers(self) -> "list[Consumer]":
        """The `on` hooks, for a worker to run."""
        return list(self._on.values())

    def come_before(self, verb: str) -> bool:
        """Whether there is a hook before this verb."""
        return verb in self._before

    async def ask(self, tx: "Tx", verb: str, given: Given) -> Given:
        """What the hooks make of what is given, in the order in which they were registered.

        Raises HookFailed, HookTimedOut, and whatever BellbirdError a hook raises.
        """
        busy = _at_work.get()
        for name, hook in self._before.get(verb, ()):
            if name not in busy:
                token = _at_work.set((*busy, name))
                try:
                    given = _amended(name, given, await self._call(tx, verb, name, hook, given))
                finally:
                    _at_work.reset(token)
        return given

    async def _call(self, tx: "Tx", verb: str, name: str, hook: Before, given: Any) -> Any:
        try:
            return await within(self.timeout, _run(hook, tx, given))
        except BellbirdError:
            raise
        except OutOfTime as late:
            if late.runs_on:
                await tx.abandon()
            detail = f"The hook {name} took longer than {self.timeout:g} s before {verb}; nothing was changed."
            raise HookTimedOut(detail, hook=name) from None
        except Exception as error:
            log.exception("a hook failed", extra={"hook": name, "verb": verb})
            raise HookFailed(f"The hook {name} failed before {verb}; nothing was changed.", hook=name) from error


async def _run(hook: Before, tx: "Tx", given: Any) -> Any:
    return await hook(tx, given)


def _amended(name: str, given: Given, answer: Any) -> Given:
    """What a hook's answer stands for. Raises HookFailed when it is neither None nor of the kind that was given."""
    if answer is None:
        return given
    right = type(answer) is type(given)
    if right and isinstance(answer, UUID):
        right = answer == given
    elif right and isinstance(answer, Change) and isinstance(given, Change):
        right = answer.id == given.id and type(answer.patch) is type(given.patch)
    if not right:
        what = f"another {type(given).__name__}" if type(answer) is type(given) else f"a {type(answer).__name__}"
        log.error("a hook answered what cannot be", extra={"hook": name, "answer": type(answer).__name__})
        raise HookFailed(f"The hook {name} returned {what}: it must return None or what it was given.", hook=name)
    return answer  # type: ignore[no-any-return]


def _called(hook: Any, name: str | None) -> str:
    """What a hook is called. Raises HookInvalid for one without a name."""
    if name is None:
        name = f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', '')}"
        if "<lambda>" in name or not getattr(hook, "__qualname__", ""):
            raise HookInvalid("This hook has no name of its own: give it one by name=...")
    return name.replace(".<locals>", "")


def _parameters(hook: Any, called: str) -> int:
    """How many things a hook is given. Raises HookInvalid for one that is not asynchronous."""
    function = hook if inspect.isroutine(hook) else getattr(hook, "__call__", None)  # noqa: B004 - its own, to look at
    if not inspect.iscoroutinefunction(hook) and not inspect.iscoroutinefunction(function):
        raise HookInvalid(f"The hook {called} must be `async def`.")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(hook).parameters.values()
    return sum(each.kind in kinds and each.default is inspect.Parameter.empty for each in parameters)


def _near(verb: str, known: dict[str, type]) -> str:
    near = difflib.get_close_matches(verb, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}."
