"""A worker whose provider keeps in a file whom it dials: `python -m tests.features.calls.dialling_process`.

The file of `DIALLED` outlives the process, as a provider does. Each call takes a moment before it is in the file, and
another until that is answered.
"""

import asyncio
import os
from datetime import datetime
from pathlib import Path

from bellbird.app import Bellbird
from bellbird.commands.worker import command
from bellbird.core.engine import Engine
from bellbird.core.telephony import Account, Order, Placed
from tests.features.calls.carrier import Carrier

DIALLED = Path(os.environ.get("DIALLED", os.devnull))
MOMENT = 0.03


class FiledCarrier(Carrier):
    async def place(self, account: Account, order: Order) -> Placed:
        await asyncio.sleep(MOMENT)
        with DIALLED.open("a") as file:
            file.write(f"{order.call_id}\n")
        await asyncio.sleep(MOMENT)
        return Placed(f"CA{order.call_id.hex}")

    async def find(self, account: Account, order: Order, since: datetime) -> Placed | None:
        there = str(order.call_id) in DIALLED.read_text().split()
        return Placed(f"CA{order.call_id.hex}") if there else None


if __name__ == "__main__":
    opened = Bellbird.open

    def opened_with_carrier(self: Bellbird) -> Engine:
        engine = opened(self)
        engine.providers.add(FiledCarrier())
        return engine

    Bellbird.open = opened_with_carrier  # type: ignore[method-assign]
    command()
