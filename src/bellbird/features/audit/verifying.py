"""Whether a tenant's log is as Bellbird wrote it: every seal, every leaf, every event, in one pass.

Each event carries its own proof, so that what was altered or put in is found at once; what was taken out is found by
the seals, which also hold every event to its place. One page of events and one seal are in memory at a time.
Everything is read as it is at one moment, which holds nobody back.
"""

import hmac
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from bellbird.core import ids, proofs, retention
from bellbird.core.engine import SystemTx
from bellbird.features.audit import merkle
from bellbird.features.audit.actions import NO_SEAL
from bellbird.features.audit.models import Finding, Summary
from bellbird.features.audit.rows import (
    EVENT,
    WHOLE,
    WIDTH,
    Sealed,
    Written,
    hash_of,
    mac_of,
    sealed_from_row,
    written_from_row,
)

PAGE: Final = 1_000
NO_END: Final = 2**64 - 1
EVERYTHING_KEPT: Final = UUID(int=0)

# Before the first question: from then on every answer is of the same moment.
AT_ONE_MOMENT = "set transaction isolation level repeatable read, read only"

# A row that is seen was written by a transaction with a lower number than this.
SEEN = "select pg_snapshot_xmax(pg_current_snapshot())::text"

NEXT_SEAL = f"select {WHOLE} from seals where tenant_id = $1 and number > $2 order by number limit 1"

STRETCH = f"""
select {EVENT}
from events
where tenant_id = $1 and (tx, id) > ($2::xid8, $3) and tx < $4::xid8
order by events.tx, events.id
limit {PAGE}
"""

BY_ID = f"select {EVENT} from events where tenant_id = $1 and id = any($2::uuid[])"

TRIMMED = f"""
select {EVENT}
from events
where tenant_id = $1 and entity_id = $1 and (contact_id is null or contact_id <> entity_id) and type = 'log.trimmed'
"""

PURGED = f"""
select {EVENT}
from events
where tenant_id = $1 and contact_id = any($2::uuid[]) and type = 'contact.purged'
"""


@dataclass
class _Walk:
    """How far a verification is: up to which transaction, and which seal was the last, with its hash if it was right.

    `gone` is the moment before which the log was trimmed, as an id; `seen` is above every transaction so far.
    """

    tx: SystemTx
    tenant_id: UUID
    key: bytes
    summary: Summary
    known: str | None
    gone: UUID = EVERYTHING_KEPT
    seen: int = NO_END
    upto: int = 0
    number: int = 0
    hash: bytes | None = NO_SEAL
    named: set[UUID] = field(default_factory=set)


async def verify(
    tx: SystemTx, tenant_id: UUID, summary: Summary, *, known: str | None = None
) -> AsyncIterator[Finding]:
    """Everything in a tenant's log that is not as it was written, an event once; `summary` is filled on the way.

    `tx` is a transaction that nothing has been asked in yet. `known` is the hash of a seal that was kept elsewhere:
    if the chain still has it, no seal up to it was made anew.
    """
    tx.require("audit:read")
    assert tx.engine.log_key is not None, "only a deployment with a secret can tell what it signed"
    walk = _Walk(tx, tenant_id, tx.engine.log_key, summary, known)
    tx.queue(AT_ONE_MOMENT, prepared=False)
    ((seen,),) = await tx.all(SEEN)
    walk.seen, walk.gone = int(seen), await _gone(walk)
    async for finding in _through(walk):
        if finding.id is None or finding.id not in walk.named:
            summary.findings += 1
            if finding.id is not None:
                walk.named.add(finding.id)
            yield finding


async def _gone(walk: _Walk) -> UUID:
    """The first id that is kept, as the log itself says, in events that are right."""
    rows = [written_from_row(walk.tenant_id, row) for row in await walk.tx.all(TRIMMED, walk.tenant_id)]
    right = [(each.data,) for each in rows if each.verdict(walk.key) == "right"]
    moments = [moment for each in right if (moment := retention.trimmed_before([each]))]
    return ids.first_at(max(moments)) if moments else EVERYTHING_KEPT


async def _through(walk: _Walk) -> AsyncIterator[Finding]:
    while rows := await walk.tx.all(NEXT_SEAL, walk.tenant_id, walk.number):
        seal = sealed_from_row(rows[0])
        for missing in range(walk.number + 1, min(seal.number, walk.number + 1_000)):
            yield Finding("seal_removed", f"the next one that is there is seal {seal.number}", seal=missing)
        faults = list(_faults(walk, seal))
        for fault in faults:
            yield fault
        if faults:
            async for finding in _by_leaves(walk, seal, dict(seal.each_leaf())):
                yield finding
        else:
            async for finding in _loose(walk, seal.after):
                yield finding
            async for finding in _sealed(walk, seal):
                yield finding
            walk.upto = seal.upto
        walk.number, walk.hash = seal.number, None if faults else seal.hash
        walk.summary.seals += 1
        walk.summary.sealed_until, walk.summary.hash = seal.sealed_at, seal.hash.hex()
        if walk.known == seal.hash.hex() and not faults:
            walk.known = None
    before = walk.summary.events
    async for finding in _loose(walk, NO_END):
        yield finding
    walk.summary.unsealed = walk.summary.events - before
    if walk.known is not None:
        message = f"no seal has the hash {walk.known[:80]}: it was removed, or the chain was made anew"
        yield Finding("seal_removed", message, seal=walk.number)


def _faults(walk: _Walk, seal: Sealed) -> Iterator[Finding]:
    """What is wrong with a seal itself."""
    if not hmac.compare_digest(seal.hash, hash_of(walk.tenant_id, seal)):
        yield Finding("seal_altered", "its hash is not that of what it says", seal=seal.number)
    elif not hmac.compare_digest(seal.mac, mac_of(walk.key, seal.hash)):
        yield Finding("seal_inserted", "it does not carry this deployment's signature", seal=seal.number)
    elif seal.number == walk.number + 1 and walk.hash is not None and seal.previous != walk.hash:
        yield Finding("seal_altered", "it does not follow the one before it", seal=seal.number)
    if seal.leaves is None:
        if seal.newest >= walk.gone:
            yield Finding("seal_altered", "its leaves are gone, and its events are not that old", seal=seal.number)
    elif len(seal.leaves) != seal.events * WIDTH or merkle.root(leaf for _, leaf in seal.each_leaf()) != seal.root:
        yield Finding("seal_altered", "its leaves are not those that it was made of", seal=seal.number)


async def _sealed(walk: _Walk, seal: Sealed) -> AsyncIterator[Finding]:
    """The events of a seal's stretch, each of which has to be among its leaves, and the other way round."""
    leaves = dict(seal.each_leaf())
    async for page in _pages(walk, seal.after, seal.upto):
        erased = []
        for event in page:
            leaf, verdict = leaves.pop(event.id, None), event.verdict(walk.key)
            if leaf is None and not (seal.leaves is None and event.id < walk.gone):
                what = f"it stands in the stretch of seal {seal.number}, which does not have it"
                yield Finding("inserted", what, event.id)
            elif finding := _judged(walk, event, verdict, leaf):
                yield finding
            elif verdict == "erased":
                erased.append(event)
        async for finding in _not_purged(walk, erased):
            yield finding
    async for finding in _by_leaves(walk, seal, leaves):
        yield finding


async def _by_leaves(walk: _Walk, seal: Sealed, leaves: dict[UUID, bytes]) -> AsyncIterator[Finding]:
    """Events that a seal has and that were not met in its stretch: moved, or gone."""
    wanted = [id for id in leaves if id >= walk.gone]
    for at in range(0, len(wanted), PAGE):
        some = wanted[at : at + PAGE]
        found = await walk.tx.all(BY_ID, walk.tenant_id, some)
        there = {event.id: event for event in (written_from_row(walk.tenant_id, row) for row in found)}
        for id in some:
            if id not in there:
                yield Finding("removed", f"seal {seal.number} has it", id)
            elif there[id].leaf() != leaves[id]:
                finding = _judged(walk, there[id], there[id].verdict(walk.key), leaves[id])
                yield finding or Finding("altered", "its transaction (tx)", id)


async def _loose(walk: _Walk, upto: int) -> AsyncIterator[Finding]:
    """The events that no seal covers, or none any more: each has its own proof."""
    async for page in _pages(walk, walk.upto, upto):
        erased = []
        for event in page:
            verdict = event.verdict(walk.key)
            if finding := _judged(walk, event, verdict, None):
                yield finding
            elif verdict == "erased":
                erased.append(event)
        async for finding in _not_purged(walk, erased):
            yield finding


async def _pages(walk: _Walk, after: int, upto: int) -> AsyncIterator[list[Written]]:
    at = (after, UUID(int=0))
    while rows := await walk.tx.all(STRETCH, walk.tenant_id, str(at[0]), at[1], str(upto)):
        page = [written_from_row(walk.tenant_id, row) for row in rows]
        at = (page[-1].tx, page[-1].id)
        walk.summary.events += len(page)
        yield page


def _judged(walk: _Walk, event: Written, verdict: proofs.Verdict, leaf: bytes | None) -> Finding | None:
    """What is wrong with an event that is where it belongs; `leaf` is what its seal has of it."""
    if verdict == "unsigned":
        return Finding("inserted", "it carries no proof: it was not written by Bellbird", event.id)
    if verdict == "altered":
        return Finding("altered", _which(walk, event, leaf), event.id)
    if (leaf is not None and event.leaf() != leaf) or event.tx >= walk.seen:
        return Finding("altered", "its transaction (tx)", event.id)
    return None


def _which(walk: _Walk, event: Written, leaf: bytes | None) -> str:
    """What of an event is not as it was."""
    about, proof = (event.tenant_id, event.id, *event.about), event.proof or b""
    if len(proof) == proofs.SIZE and (
        proofs.check(walk.key, about, None, None, proofs.ERASED + proof[proofs.SALT :]) == "erased"
    ):
        return "its content (changes, data)"
    if leaf is None:
        return "what it says of who did what to which thing; or Bellbird did not write it"
    if event.leaf() == leaf:
        return "what it says of who did what to which thing (type, entity, contact, actor, origin, request)"
    return "its proof"


async def _not_purged(walk: _Walk, erased: Sequence[Written]) -> AsyncIterator[Finding]:
    """Of events without their content, those whose contact was never purged."""
    contacts = sorted({event.contact_id for event in erased if event.contact_id})
    rows = await walk.tx.all(PURGED, walk.tenant_id, contacts) if contacts else []
    purges = [written_from_row(walk.tenant_id, row) for row in rows]
    purged = {each.contact_id for each in purges if each.verdict(walk.key) in ("right", "erased")}
    for event in erased:
        if event.contact_id not in purged:
            yield Finding("erased", "its content is gone, and its contact was never purged", event.id)
