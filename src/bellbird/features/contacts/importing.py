"""Adding contacts by the file: in batches, each a transaction, and without the rows that cannot be accepted.

A row that is refused is refused before anything of it is written, so it never spoils its batch.
What only PostgreSQL can see, an `external_id` that is taken, does: such a batch is then added row by row.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import Conflict, InvalidInput, Unavailable
from bellbird.features.contacts import actions, queries
from bellbird.features.contacts.columns import Layout
from bellbird.features.contacts.csv_files import Record
from bellbird.features.contacts.models import ContactNotFound, DuplicateContact, NewContact

BATCH: Final = 500

# How often, a second apart, a database that went away is asked again before the import gives up.
TRIES: Final = 15


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not added, and why."""

    record: Record
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        return "; ".join(reason.rstrip(".") for reason in self.reasons)


@dataclass(slots=True)
class Outcome:
    """How far an import came: what was added and refused, and the last line that was dealt with for good."""

    added: int = 0
    rejected: int = 0
    through: int = 1


@dataclass(frozen=True, slots=True)
class Importer:
    """Adds the rows of one file to one tenant."""

    engine: Engine
    tenant_id: UUID
    actor: Actor
    layout: Layout
    dry_run: bool = False

    async def run(
        self,
        records: Iterable[Record],
        outcome: Outcome,
        *,
        refuse: Callable[[Sequence[Reject]], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Add every row that can be, and hand the others to `refuse`; `outcome` says at any time how far it is.

        Stops between two batches once `stopped` says so. Raises Unavailable when the database stays away.
        """
        for batch in _batched(records):
            rejects = await self._batch(batch)
            outcome.added += len(batch) - len(rejects)
            outcome.rejected += len(rejects)
            outcome.through = batch[-1].last_line
            refuse(rejects)
            if stopped():
                return

    async def _batch(self, batch: Sequence[Record]) -> list[Reject]:
        rejects, rows = [], []
        for record in batch:
            try:
                rows.append((record, *self._read(record)))
            except InvalidInput as error:
                rejects.append(Reject(record, _reasons(error, {})))
        try:
            rejects += await self._patiently(rows)
        except Conflict:
            for row in rows:
                try:
                    rejects += await self._patiently([row])
                except Conflict as error:
                    rejects.append(Reject(row[0], (error.detail,)))
        return sorted(rejects, key=lambda reject: reject.record.line)

    def _read(self, record: Record) -> tuple[NewContact, dict[str, str]]:
        if record.problem:
            raise InvalidInput(record.problem)
        return self.layout.contact(record.cells)

    async def _patiently(self, rows: Sequence["_Row"]) -> list[Reject]:
        """Add rows in one transaction, again if it was lost on the way; returns those that were refused."""
        for attempt in range(TRIES):
            made: list[UUID] = []
            rejects: list[Reject] = []
            try:
                await self._add(rows, made, rejects)
            except _Undo:
                return rejects
            except Unavailable:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(1)
                # The answer to a COMMIT can be lost when the COMMIT itself was not.
                if made and await self._is_there(made[0]):
                    return rejects
            else:
                return rejects
        raise AssertionError("the last attempt returns or raises")

    async def _add(self, rows: Sequence["_Row"], made: list[UUID], rejects: list[Reject]) -> None:
        async with self.engine.tenant(self.tenant_id, self.actor) as tx:
            for record, new, titles in rows:
                try:
                    made.append((await actions.create(tx, new)).id)
                except InvalidInput as error:
                    rejects.append(Reject(record, _reasons(error, titles)))
                except DuplicateContact as error:
                    rejects.append(Reject(record, (error.detail,)))
            if self.dry_run:
                await tx.flush()
                raise _Undo

    async def _is_there(self, id: UUID) -> bool:
        async with self.engine.reader(self.tenant_id, self.actor) as read:
            try:
                await queries.get(read, id)
            except (ContactNotFound, Unavailable):
                return False
            return True


_Row = tuple[Record, NewContact, dict[str, str]]


class _Undo(Exception):
    """Ends a trial's transaction without a commit."""


def _batched(records: Iterable[Record]) -> Iterator[list[Record]]:
    remaining = iter(records)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _reasons(error: InvalidInput, titles: dict[str, str]) -> tuple[str, ...]:
    """An error's faults, each with the title of the column it is in."""
    reasons = []
    for fault in error.faults:
        pointer = fault.pointer or ""
        title = next((title for at, title in titles.items() if pointer == at or pointer.startswith(f"{at}/")), None)
        where = title or pointer.strip("/").replace("/", ".")
        reasons.append(f"{where}: {fault.message}" if where else fault.message)
    return tuple(reasons) or (error.detail,)
