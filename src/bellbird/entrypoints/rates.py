"""Rate limits: how many requests a caller, a tenant and an address may make in any minute, and how that stands."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID

import limits

from bellbird.core.actors import Actor
from bellbird.core.addresses import subscriber
from bellbird.core.errors import RateLimited, Unavailable
from bellbird.core.settings import Settings
from bellbird.entrypoints.windows import Key, Limit, Taken, Windows

if TYPE_CHECKING:
    from bellbird.entrypoints.shared_windows import SharedWindows

Kind = Literal["read", "write"]
Headers = list[tuple[bytes, bytes]]


class Rule(NamedTuple):
    """The limits of one class of requests, and the header that names them."""

    limits: tuple[Limit, ...]
    policy: bytes

    @classmethod
    def of(cls, what: str, **notations: str) -> "Rule":
        """From `whose="120000/minute"`; an empty notation is no limit."""
        found = []
        for whose, notation in notations.items():
            if notation:
                item = limits.parse(notation)
                found.append(Limit(f"{whose}-{what}", whose, what, item.amount, item.get_expiry()))
        policy = ", ".join(f'"{limit.name}";q={limit.amount};w={limit.seconds}' for limit in found)
        return cls(tuple(found), policy.encode())


class RateLimits:
    """Counts requests against the limits of the settings, and tells with each answer how they stand.

    In memory they hold for this process, in Redis for all processes together. While Redis does not answer, requests
    pass uncounted (`unchecked` says how many) or, by setting, none does.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        read = Rule.of("read", caller=settings.rate_caller_read, tenant=settings.rate_tenant_read)
        write = Rule.of("write", caller=settings.rate_caller_write, tenant=settings.rate_tenant_write)
        self._rules: dict[Kind, Rule] = {"read": read, "write": write}
        self._auth = Rule.of("auth", address=settings.rate_address_auth)
        self._callback = Rule.of("callback", address=settings.rate_address_callbacks)
        self._now = now
        self._fail_open = settings.rate_fail_open
        self._windows = Windows([*read.limits, *write.limits, *self._auth.limits, *self._callback.limits])
        self._shared = _shared_windows(settings)
        self.unchecked = 0

    @property
    def failures(self) -> int:
        """How many questions Redis did not answer."""
        return self._shared.failures if self._shared is not None else 0

    async def check(self, tenant_id: UUID, actor: Actor, kind: Kind, headers: Headers) -> None:
        """Count a request of a tenant's user or key, and add to the answer's headers. In memory it never waits.

        Raises RateLimited, Unavailable; then too the headers tell.
        """
        rule = self._rules[kind]
        tenant = tenant_id.int
        keys: list[Key] = [
            (tenant, actor.kind, actor.id) if limit.whose == "caller" else (tenant,) for limit in rule.limits
        ]
        await self._count(rule, keys, headers)

    async def check_address(self, address: str | None, headers: Headers) -> None:
        """Count an attempt to sign in, from wherever it comes, as `check` does.

        A client that has no address, as on a Unix socket whose proxy tells none, is not counted.
        """
        if address:
            await self._count(self._auth, [(subscriber(address),)], headers)

    async def check_caller_back(self, address: str | None, headers: Headers) -> None:
        """Count a callback of a call provider, or of who pretends to be one, as `check_address` does."""
        if address:
            await self._count(self._callback, [(subscriber(address),)], headers)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._shared is not None:
            await self._shared.close()

    async def _count(self, rule: Rule, keys: Sequence[Key], headers: Headers) -> None:
        if not rule.limits:
            return
        if self._shared is None:
            taken = self._windows.take(rule.limits, keys, self._now())
        elif (answer := await self._shared.take(rule.limits, keys)) is not None:
            taken = answer
        elif self._fail_open:
            self.unchecked += 1
            return
        else:
            raise Unavailable("Requests cannot be counted just now, and so are not answered: try again shortly.")
        headers += ((b"ratelimit-policy", rule.policy), (b"ratelimit", _stand(rule.limits, taken)))
        if not taken[0]:
            raise _refusal(rule.limits, taken)


def _shared_windows(settings: Settings) -> "SharedWindows | None":
    if settings.redis_url is None:
        return None
    from bellbird.entrypoints.shared_windows import SharedWindows

    return SharedWindows(settings.redis_url.get_secret_value(), fail_open=settings.rate_fail_open)


def _stand(of: Sequence[Limit], taken: Taken) -> bytes:
    """How limits stand, as draft-ietf-httpapi-ratelimit-headers-11 has it: what is left for so many seconds."""
    admitted, states = taken
    items = [
        f'"{limit.name}";r={left - admitted};t={math.ceil(wait)}'
        for limit, (left, wait) in zip(of, states, strict=True)
    ]  # fmt: skip
    return ", ".join(items).encode()


def _refusal(of: Sequence[Limit], taken: Taken) -> RateLimited:
    """What is told when limits are used up: the one that lasts longest."""
    used_up = [(wait, limit) for limit, (left, wait) in zip(of, taken[1], strict=True) if left <= 0]
    wait, limit = max(used_up, key=lambda each: each[0])
    seconds = max(1, math.ceil(wait))
    what = {"read": "read", "write": "write", "auth": "sign in", "callback": "call back"}[limit.what]
    return RateLimited(
        f"This {limit.whose} may {what} {limit.amount} times in {_seconds(limit.seconds)}, and has done so: "
        f"try again in {_seconds(seconds)}.",
        retry_after=seconds,
    )


def _seconds(number: int) -> str:
    return "1 second" if number == 1 else f"{number} seconds"
