"""A process that consumes the log and writes down what it hears, for a test to kill: `consuming.py CONNINFO FILE`."""

import asyncio
import os
import sys
from collections.abc import Sequence

from bellbird.core.consumers import Consumer, Consumers
from bellbird.core.engine import Engine
from bellbird.core.events import Logged


async def consume(conninfo: str, path: str) -> None:
    """Until killed. Each line is a tenant, a transaction and an event; one that says `begin` comes first."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, b"begin\n")

    async def note(events: Sequence[Logged]) -> None:
        lines = "".join(f"{event.tenant_id} {event.tx} {event.id}\n" for event in events)
        os.write(file, lines.encode())
        await asyncio.sleep(0.001)

    async with Engine(conninfo) as engine:
        consumer = Consumer("killed", ("contact.*",), note, batch=20, start="beginning")
        await Consumers(engine, [consumer], poll=0.05).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:]))
