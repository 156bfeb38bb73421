"""The optional cache in Redis or Valkey that processes share: bytes under a key, for a while.

Of `cashews` only the Redis backend is used, and of that only what passes bytes through: its own serialization reads
pickles, which would run whatever somebody wrote into Redis, and its cache swallows every error and logs each.
What comes back is believed only if a process with the same secret wrote it, under the same key.
"""

import hmac
import warnings
from typing import Final

from cashews.backends.redis import Redis
from cashews.serialize import NULL_SERIALIZER

from bellbird.core.breaker import Breaker

PREFIX: Final = "bellbird:cache:"
CONNECTIONS: Final = 8
SEAL: Final = 16


class SharedCache:
    """Keeps bytes for all processes with one secret. Whatever goes wrong is a miss, after 0.25 seconds at most.

    `hits` and `misses` count what was asked for, `failures` the questions that Redis did not answer.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._secret = secret.encode()
        self._redis = Redis(
            url,
            suppress=False,
            serializer=NULL_SERIALIZER,
            max_connections=CONNECTIONS,
            wait_for_connection_timeout=None,  # the breaker's is the only one
            socket_timeout=None,
            client_name="bellbird",
        )
        self._breaker = Breaker("Redis, which caches,", "the database is asked instead")
        self.hits = 0
        self.misses = 0

    @property
    def failures(self) -> int:
        """How many questions were not answered."""
        return self._breaker.failures

    async def get(self, key: str) -> bytes | None:
        """What was kept under the key, or None."""
        name = PREFIX + key
        found = await self._breaker.ask(lambda: self._get(name))
        if isinstance(found, bytes) and hmac.compare_digest(found[:SEAL], self._seal(name, found[SEAL:])):
            self.hits += 1
            return found[SEAL:]
        self.misses += 1
        return None

    async def set(self, key: str, value: bytes, ttl_seconds: int) -> None:
        """Keep a value for so many seconds, if possible."""
        name = PREFIX + key
        await self._breaker.ask(lambda: self._set(name, self._seal(name, value) + value, ttl_seconds))

    async def close(self) -> None:
        """Close the connections."""
        with warnings.catch_warnings():
            # It closes by a name that the client has given up; warnings as errors would leave connections open.
            warnings.simplefilter("ignore", DeprecationWarning)
            await self._redis.close()  # type: ignore[no-untyped-call]

    async def _get(self, name: str) -> object:
        await self._open()
        return await self._redis.get_raw(name)

    async def _set(self, name: str, value: bytes, ttl_seconds: int) -> None:
        await self._open()
        await self._redis.set_raw(name, value, ex=ttl_seconds)

    async def _open(self) -> None:
        if not self._redis.is_init:
            await self._redis.init()  # type: ignore[no-untyped-call]

    def _seal(self, name: str, value: bytes) -> bytes:
        return hmac.digest(self._secret, name.encode("utf-8", "surrogatepass") + b"\0" + value, "sha256")[:SEAL]
