"""The windows of `windows.py` in Redis or Valkey, for all processes together.

Requests that come while Redis is being asked are asked about together, next: one script counts each of them against
all of its limits, as one step and by Redis's own clock.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from redis.asyncio import ConnectionPool, Redis

from bellbird.core.breaker import Breaker
from bellbird.entrypoints.windows import Key, Limit, Taken

# How many requests are asked about together: Redis does nothing else meanwhile, for some milliseconds.
TOGETHER: Final = 200

# Each key is a list of pairs, oldest first: when a request came (of those counted together, the last), and how many
# had come by then. The first pair has left the window: what came by then is taken off. Times are in microseconds.
# Of each request the arguments are how many limits it has, and of each limit its amount, window and grain.
TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function stand(key, window)
  local last = redis.call('LRANGE', key, -2, -1)
  -- A clock that was set back would have everybody wait until it is where it was.
  if last[1] and tonumber(last[1]) > now then
    redis.call('DEL', key)
    last = {}
  end
  local first = redis.call('LRANGE', key, 1, 2)
  while first[2] and tonumber(first[2]) <= now - window do
    redis.call('LTRIM', key, 2, -1)
    first = redis.call('LRANGE', key, 1, 2)
  end
  return (last[2] or 0) - (first[1] or 0), first[2], last
end

local function add(key, window, grain, oldest, last)
  if not last[1] then
    redis.call('RPUSH', key, 0, 0, now, 1)
  elseif grain > 0 and oldest and math.floor(last[1] / grain) == math.floor(now / grain) then
    redis.call('LSET', key, -2, now)
    redis.call('LSET', key, -1, last[2] + 1)
  else
    redis.call('RPUSH', key, now, last[2] + 1)
  end
  redis.call('PEXPIRE', key, math.ceil(window / 1000))
end

local answers, key, arg = {}, 1, 1
while arg <= #ARGV do
  local answer, limits = {1}, {}
  for i = 1, tonumber(ARGV[arg]) do
    local amount, window = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
    local used, oldest, last = stand(KEYS[key], window)
    if used >= amount then
      answer[1] = 0
    end
    answer[2 * i] = amount - used
    answer[2 * i + 1] = oldest and oldest + window - now or window
    limits[i] = {KEYS[key], window, tonumber(ARGV[arg + 3]), oldest, last}
    key, arg = key + 1, arg + 3
  end
  if answer[1] == 1 then
    for _, limit in ipairs(limits) do
      add(unpack(limit, 1, 5))
    end
  end
  answers[#answers + 1] = answer
  arg = arg + 1
end
return answers
"""

Asked = tuple[Sequence[Limit], Sequence[Key], "asyncio.Future[Taken | None]"]


class SharedWindows:
    """The windows of all processes that share a Redis."""

    def __init__(self, url: str, *, fail_open: bool) -> None:
        # A pool of its own, as the client's would try again three times, with pauses of seconds between.
        self._redis = Redis.from_pool(ConnectionPool.from_url(url))
        self._take = self._redis.register_script(TAKE)
        meanwhile = "requests pass uncounted" if fail_open else "requests are refused"
        self._breaker = Breaker("Redis, which counts requests,", meanwhile)
        self._waiting: list[Asked] = []
        self._asking: asyncio.Task[None] | None = None

    @property
    def failures(self) -> int:
        """How many questions were not answered."""
        return self._breaker.failures

    async def take(self, limits: Sequence[Limit], keys: Sequence[Key]) -> Taken | None:
        """Count a request against its limits, as `Windows` does; None when Redis does not answer."""
        told: asyncio.Future[Taken | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((limits, keys, told))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await told

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self) -> None:
        """Ask about those who wait, some at a time, until nobody does."""
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                answers = await self._breaker.ask(partial(self._answers, asked))
                for place, (_, _, told) in enumerate(asked):
                    if not told.done():  # as when its request was given up
                        told.set_result(answers[place] if answers is not None else None)
        finally:
            self._asking = None

    async def _answers(self, asked: Sequence[Asked]) -> list[Taken]:
        names: list[bytes] = []
        sizes: list[int] = []
        for limits, keys, _ in asked:
            sizes.append(len(limits))
            for limit, key in zip(limits, keys, strict=True):
                names.append(_name(limit, key))
                sizes += (limit.amount, limit.seconds * 10**6, int(limit.grain * 10**6))
        found = []
        for admitted, *states in await self._take(keys=names, args=sizes):
            # A limit that was lowered may have been passed already.
            lefts, waits = [max(left, 0) for left in states[::2]], [wait / 10**6 for wait in states[1::2]]
            found.append((admitted == 1, list(zip(lefts, waits, strict=True))))
        if len(found) != len(asked):
            raise ValueError(f"{len(found)} answers to {len(asked)} questions")
        return found


def _name(limit: Limit, key: Key) -> bytes:
    parts = (f"{part:032x}" if isinstance(part, int) else str(part) for part in key)
    return ":".join(["bellbird:rate", limit.name, *parts]).encode("utf-8", "surrogatepass")
