"""Washing numbers against the Do Not Call Register: a washed list brought in, or a service asked.

A package brings a service by an entry point of the group `bellbird.washers`: its name, and something to be called
without arguments that returns a `Washer`.

    [project.entry-points."bellbird.washers"]
    register = "my_package.register:Register"
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import BinaryIO, Final, Protocol
from uuid import UUID

from bellbird.core import phones
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.phones import InvalidPhone
from bellbird.features.contacts import csv_files
from bellbird.features.dialling import actions
from bellbird.features.dialling.actions import MAX_WASHES
from bellbird.features.dialling.models import NewWashes, Washed, WashedNumber

WASHERS: Final = "bellbird.washers"

# How many faults of a file are told.
TOLD: Final = 50

_LISTED: Final = {
    **dict.fromkeys(("yes", "y", "true", "1", "listed", "registered"), True),
    **dict.fromkeys(("no", "n", "false", "0", "not listed", "unlisted", "clear"), False),
}


class Washer(Protocol):
    """A service that knows who is on the register."""

    name: str

    async def wash(self, numbers: Sequence[str]) -> Mapping[str, bool]:
        """Whether each of up to 1,000 numbers (E.164) is on the register. Raises BellbirdError."""


def washer(name: str) -> Washer:
    """A washer by its name. Raises InvalidInput naming those that there are."""
    found = {entry.name: entry for entry in entry_points(group=WASHERS)}
    if name not in found:
        there = ", ".join(sorted(found)) or "none: install a package that brings one"
        raise InvalidInput.at("washer", f"there is no washer {name[:60]!r}; there are {there}")
    made: Washer = found[name].load()()
    return made


async def ask(engine: Engine, tenant_id: UUID, actor: Actor, washer: Washer, numbers: Sequence[str]) -> Washed:
    """Have numbers washed by a service, and keep what it says; no transaction is open while it is asked.

    A number that it says nothing of is not kept. Raises what the service raises; InvalidInput.
    """
    actor.require("washes:write")
    asked = await washer.wash(numbers[:MAX_WASHES])
    washed_at = engine.clock.now()
    told = tuple(WashedNumber(number=number, listed=asked[number]) for number in numbers if number in asked)
    async with engine.tenant(tenant_id, actor) as tx:
        return await actions.wash(tx, NewWashes(numbers=told, washed_at=washed_at, source=washer.name))


def read(file: BinaryIO, region: str) -> list[WashedNumber]:
    """The numbers of a washed list: a CSV file with the columns `number` and `listed`.

    Raises UnreadableFile, and InvalidInput with every line at fault, up to 50: then nothing of it is to be brought in.
    """
    survey = csv_files.survey(file)
    titles = [title.strip().casefold() for title in survey.header]
    if missing := [name for name in ("number", "listed") if name not in titles]:
        message = f"has no column {' and no column '.join(missing)}; its first line has to name number and listed"
        raise InvalidInput(faults=[Fault("missing_field", message, pointer="/line 1")])
    where = titles.index("number"), titles.index("listed")
    numbers, faults = list[WashedNumber](), list[Fault]()
    for record in csv_files.records(file, survey):
        try:
            numbers.append(_number(record, where, region))
        except InvalidPhone as error:
            faults.append(Fault(error.code, error.message, pointer=f"/line {record.line}"))
        except ValueError as error:
            faults.append(Fault("invalid_value", str(error), pointer=f"/line {record.line}"))
        if len(faults) >= TOLD:
            break
    if faults:
        raise InvalidInput(faults=faults)
    return numbers


def _number(record: csv_files.Record, where: tuple[int, int], region: str) -> WashedNumber:
    if record.problem:
        raise ValueError(record.problem)
    number, listed = (record.cells[place].strip() if place < len(record.cells) else "" for place in where)
    said = _LISTED.get(listed.casefold())
    if said is None:
        raise ValueError(f"listed must be yes or no, not {listed[:40]!r}")
    parsed = phones.parse(number, default_region=region, allowed_regions=None)
    return WashedNumber(number=parsed.number, listed=said)


def batches(numbers: Sequence[WashedNumber], washed_at: datetime | None, source: str) -> Iterator[NewWashes]:
    """A washed list in pieces that can be kept at once. Numbers that come twice are kept together."""
    listed: dict[str, bool] = {}
    for each in numbers:
        listed[each.number] = listed.get(each.number, False) or each.listed
    once = [WashedNumber(number=number, listed=said) for number, said in listed.items()]
    for first in range(0, len(once), MAX_WASHES):
        yield NewWashes(numbers=tuple(once[first : first + MAX_WASHES]), washed_at=washed_at, source=source)
