"""Seals and their verification: what a superuser alters, removes or puts in is named, and what is lawful is not."""

import asyncio
from hashlib import sha256
from uuid import UUID, uuid4

import pytest

from bellbird.core import ids
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import Forbidden
from bellbird.features import audit, contacts
from bellbird.features.audit import Finding, merkle
from bellbird.features.contacts import ContactPatch
from tests import make
from tests.conftest import SECRET
from tests.features.audit.conftest import OPERATOR, Signed


def named(findings: list[Finding]) -> list[tuple[str, UUID | None]]:
    return [(each.kind, each.id) for each in findings]


async def written(signed: Signed, count: int = 5) -> list[UUID]:
    """Contacts, each made in a transaction of its own and changed in another; the ids of all events, in order."""
    for n in range(count):
        async with signed.begin() as tx:
            made = await make.contact(tx, first_name=f"Ann {n}", phone="0412 345 678")
        async with signed.begin() as tx:
            await contacts.update(tx, made.id, ContactPatch(company="Acme"))
    return [row[0] for row in signed.run("select id from events where contact_id is not null order by tx, id")]


def test_the_tree_is_that_of_rfc_6962() -> None:
    """Its own examples: see section 2.1.3, and the test vectors of Certificate Transparency."""
    contents = "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
    leaves = [merkle.leaf(bytes.fromhex(each)) for each in contents]
    roots = {
        0: sha256(b"").hexdigest(),
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    assert {count: merkle.root(leaves[:count]).hex() for count in roots} == roots


async def test_what_nobody_touched_is_right(signed: Signed) -> None:
    await written(signed)
    assert await signed.verify() == []
    assert (signed.summary.events, signed.summary.seals, signed.summary.unsealed) == (11, 0, 11)
    assert await signed.seal() == 1
    assert await signed.seal() == 0, "nothing new"
    await written(signed, 1)
    assert await signed.seal() == 1
    await written(signed, 1)
    assert await signed.verify() == []
    assert (signed.summary.events, signed.summary.seals, signed.summary.unsealed) == (15, 2, 2)
    rows = signed.run("select number, after, upto, previous, hash, events from seals order by number")
    assert [row[0] for row in rows] == [1, 2]
    assert (rows[0][2], rows[0][4]) == (rows[1][1], rows[1][3]), "one chain"
    assert [row[5] for row in rows] == [11, 2]


async def test_long_stretches_get_several_seals_and_a_transaction_stays_whole(signed: Signed) -> None:
    async with signed.begin() as tx:
        for _ in range(7):
            await make.contact(tx)
    await written(signed, 3)
    assert await signed.seal(most=3) == 3
    assert [row[0] for row in signed.run("select events from seals order by number")] == [8, 3, 3]
    assert await signed.verify() == []


async def test_many_who_seal_at_once_make_one_chain(signed: Signed) -> None:
    await written(signed)
    await asyncio.gather(*(signed.seal(most=2) for _ in range(5)))
    await signed.seal()
    assert await signed.verify() == []
    assert signed.summary.unsealed == 0


async def test_what_is_not_committed_yet_comes_into_a_later_seal(signed: Signed) -> None:
    async with signed.begin() as slow:
        await make.contact(slow)
        await slow.flush()
        await written(signed, 1)
        await signed.seal(of_all=False)
    assert await signed.seal() == 1
    assert await signed.verify() == []
    assert signed.summary.unsealed == 0


COLUMNS: dict[str, str] = {
    "type": "type = 'contact.touched'",
    "entity_type": "entity_type = 'user'",
    "entity_id": "entity_id = gen_random_uuid()",
    "contact_id": "contact_id = null",
    "actor": "actor = 'user:somebody-else'",
    "origin": "origin = 'cli'",
    "request_id": "request_id = 'another'",
    "changes": "changes = replace(changes::text, 'Acme', 'Evil')::json",
    "changes, a space more": "changes = (' ' || changes::text)::json",
    "changes taken out": "changes = null",
    "data": "data = '{\"version\": 9}'",
    "proof": "proof = decode(repeat('ab', 48), 'hex')",
    "salt": "proof = overlay(proof placing '\\xabababab' from 1 for 4)",
    "commitment": "proof = overlay(proof placing '\\xabababab' from 17 for 4)",
    "signature": "proof = overlay(proof placing '\\xabababab' from 33 for 4)",
    "proof cut": "proof = substr(proof, 1, 40)",
}


@pytest.mark.parametrize("sealed", [True, False])
async def test_every_column_that_is_altered_is_noticed(signed: Signed, sealed: bool) -> None:
    events = await written(signed)
    if sealed:
        await signed.seal()
    for column, change in COLUMNS.items():
        assert await signed.verify() == []
        signed.run("create table kept as select * from events")
        signed.run(f"update events set {change} where id = %s", events[3])
        assert named(await signed.verify()) == [("altered", events[3])], column
        signed.run("delete from events where id = %s", events[3])
        signed.run("insert into events select * from kept where id = %s", events[3])
        signed.run("drop table kept")
    signed.run("update events set proof = null where id = %s", events[3])
    assert named(await signed.verify()) == [("inserted", events[3])], "whatever it was, it is not Bellbird's any more"


async def test_what_was_altered_is_said(signed: Signed) -> None:
    events = await written(signed)
    await signed.seal()
    signed.run("update events set changes = null where id = %s", events[0])
    signed.run("update events set actor = 'user:x' where id = %s", events[1])
    signed.run("update events set proof = decode(repeat('ab', 48), 'hex') where id = %s", events[2])
    assert [each.what.partition(" (")[0] for each in await signed.verify()] == [
        "its content", "what it says of who did what to which thing", "its proof",
    ]  # fmt: skip


@pytest.mark.parametrize("to", ["0", "3", "another's", "18446744073709551000"])
async def test_an_event_that_is_moved_to_another_transaction_is_named(signed: Signed, to: str) -> None:
    events = await written(signed)
    await signed.seal()
    await written(signed)
    await signed.seal()
    await written(signed, 1)
    if to == "another's":
        ((to,),) = signed.run("select tx::text from events order by tx desc limit 1")
    signed.run("update events set tx = %s::text::xid8 where id = %s", to, events[3])
    ((kind, id),) = named(await signed.verify())
    assert (id, kind) in {(events[3], "altered"), (events[3], "inserted")}


async def test_an_event_not_yet_sealed_cannot_be_moved_into_what_is_or_the_future(signed: Signed) -> None:
    await written(signed)
    await signed.seal()
    new = (await written(signed, 1))[-1]
    for to, kind in (("5", "inserted"), ("18446744073709551000", "altered")):
        signed.run("update events set tx = %s::text::xid8 where id = %s", to, new)
        assert named(await signed.verify()) == [(kind, new)]


async def test_an_event_of_another_id_or_tenant_is_removed_here(signed: Signed) -> None:
    events = await written(signed)
    await signed.seal()
    other = uuid4()
    signed.run("update events set id = %s where id = %s", other, events[2])
    assert sorted(named(await signed.verify())) == [("inserted", other), ("removed", events[2])]
    signed.run("update events set tenant_id = %s where id = %s", uuid4(), other)
    assert named(await signed.verify()) == [("removed", events[2])]


async def test_what_is_deleted_is_named(signed: Signed) -> None:
    events = await written(signed)
    await signed.seal()
    await written(signed)
    await signed.seal()
    signed.run("delete from events where id = any(%s)", [events[0], events[4]])
    findings = await signed.verify()
    assert sorted(named(findings)) == sorted([("removed", events[0]), ("removed", events[4])])
    assert str(findings[0]).endswith("removed: seal 1 has it")


INSERT = """
insert into events (tenant_id, id, tx, type, entity_type, entity_id, contact_id, actor, origin, changes, proof)
values (%s, %s, %s::text::xid8, 'contact.updated', 'contact', %s, %s, 'user:x', 'api', '{"company": ["A", "B"]}', %s)
"""


@pytest.mark.parametrize("proof", ["none", "another's", "made up"])
@pytest.mark.parametrize("id", ["old", "new"])
@pytest.mark.parametrize("tx", ["old", "new"])
async def test_what_is_put_in_is_named(signed: Signed, tx: str, id: str, proof: str) -> None:
    events = await written(signed)
    await signed.seal()
    await written(signed, 1)
    ((contact, at, right, now),) = signed.run(
        "select contact_id, tx::text, proof, pg_current_xact_id()::text from events where id = %s", events[2]
    )
    proofs = {"none": None, "another's": right, "made up": bytes(48)}
    moment = ids.made_at(events[2]) if id == "old" else signed.engine.clock.now()
    made = ids.uuid7(moment)
    signed.run(INSERT, signed.tenant.id, made, at if tx == "old" else now, contact, contact, proofs[proof])
    (finding,) = await signed.verify()
    assert finding.id == made
    assert finding.kind == "inserted" or (tx == "new" and proof != "none" and "did not write it" in finding.what)
    await signed.seal()
    assert [each.id for each in await signed.verify()] == [made], "sealing it makes nothing better"


async def test_a_purge_before_and_after_the_seal_is_right(signed: Signed) -> None:
    events = await written(signed)
    first, second = (row[0] for row in signed.run("select id from contacts order by id limit 2"))
    async with signed.begin() as tx:
        await contacts.purge(tx, first)
    await signed.seal()
    async with signed.begin() as tx:
        await contacts.purge(tx, second)
    assert await signed.verify() == []
    await signed.seal()
    assert await signed.verify() == []
    # And what a purge does, done by hand to one that was not purged, is not.
    ((third,),) = signed.run("select id from contacts order by id limit 1")
    signed.run(
        "update events set changes = null, data = null,"
        " proof = overlay(proof placing '\\x00000000000000000000000000000000' from 1 for 16) where contact_id = %s",
        third,
    )
    of_third = [row[0] for row in signed.run("select id from events where contact_id = %s order by id", third)]
    assert named(await signed.verify()) == [("erased", id) for id in of_third]
    # Not even with a purge put in beside it.
    made = ids.uuid7(signed.engine.clock.now())
    signed.run(INSERT.replace("contact.updated", "contact.purged"), signed.tenant.id, made, "9", third, third, None)
    assert len(await signed.verify()) == 3
    assert events


async def test_what_a_purged_contact_was_cannot_be_put_back_differently(signed: Signed) -> None:
    events = await written(signed, 1)
    ((contact,),) = signed.run("select id from contacts")
    async with signed.begin() as tx:
        await contacts.purge(tx, contact)
    await signed.seal()
    signed.run('update events set changes = \'{"company": [null, "Evil"]}\' where id = %s', events[0])
    assert named(await signed.verify()) == [("altered", events[0])]


SEAL_COLUMNS = {
    "sealed_at": "sealed_at = now()",
    "after": "after = '1'",
    "upto": "upto = '9999999'",
    "events": "events = 3",
    "newest": "newest = gen_random_uuid()",
    "root": "root = sha256('x')",
    "previous": "previous = sha256('x')",
    "hash": "hash = sha256('x')",
    "leaves": "leaves = leaves || leaves",
    "leaves gone": "leaves = null",
    "mac": "mac = sha256('x')",
}


async def test_every_column_of_a_seal_that_is_altered_is_noticed(signed: Signed) -> None:
    for _ in range(3):
        await written(signed, 2)
        await signed.seal()
    signed.run("create table kept as select * from seals")
    for column, change in SEAL_COLUMNS.items():
        signed.run(f"update seals set {change} where number = 2")
        findings = await signed.verify()
        assert {each.seal for each in findings} == {2}, (column, findings)
        signed.run("delete from seals")
        signed.run("insert into seals select * from kept")
        assert await signed.verify() == []


async def test_a_seal_removed_renumbered_or_put_in_is_named(signed: Signed) -> None:
    for _ in range(4):
        await written(signed, 1)
        await signed.seal()
    signed.run("create table kept as select * from seals")
    signed.run("delete from seals where number = 2")
    assert [(each.kind, each.seal) for each in await signed.verify()] == [("seal_removed", 2)]
    signed.run("update seals set number = 9 where number = 3")
    assert [(each.kind, each.seal) for each in await signed.verify()][:2] == [("seal_removed", 2), ("seal_removed", 3)]
    signed.run("delete from seals")
    signed.run("insert into seals select * from kept")
    signed.run(
        "insert into seals select tenant_id, gen_random_uuid(), 5, now(), upto, '99999', 0, newest, root, hash,"
        " sha256('x'), mac, '' from kept where number = 4"
    )
    assert {(each.kind, each.seal) for each in await signed.verify()} == {("seal_altered", 5)}


async def test_an_event_taken_out_with_its_leaf_is_found_by_the_seal(signed: Signed) -> None:
    events = await written(signed)
    await signed.seal()
    signed.run("delete from events where id = %s", events[2])
    ((leaves,),) = signed.run("select leaves from seals")
    each = [leaves[at : at + 48] for at in range(0, len(leaves), 48)]
    rest = [leaf for leaf in each if leaf[:16] != events[2].bytes]
    root = merkle.root(leaf[16:] for leaf in rest)
    signed.run("update seals set leaves = %s, root = %s, events = events - 1", b"".join(rest), root)
    (finding,) = await signed.verify()
    assert (finding.kind, finding.seal) == ("seal_altered", 1)


async def test_the_last_seal_and_what_it_covers_are_missed_by_who_kept_its_hash(signed: Signed) -> None:
    await written(signed, 1)
    await signed.seal()
    events = await written(signed, 1)
    await signed.seal()
    assert await signed.verify() == []
    known = signed.summary.hash
    assert await signed.verify(known=known) == []
    signed.run("delete from seals where number = 2")
    signed.run("delete from events where id = %s", events[-1])
    await signed.seal()
    assert await signed.verify() == [], "a chain that was cut back and made anew is right in itself"
    (finding,) = await signed.verify(known=known)
    assert "removed, or the chain was made anew" in finding.what


async def test_another_secret_did_not_sign_this(signed: Signed, clone: str) -> None:
    await written(signed, 1)
    await signed.seal()
    async with Engine(clone, secret=SECRET[::-1]) as other, other.system(OPERATOR) as tx:
        findings = [each async for each in audit.verify(tx, signed.tenant.id, audit.Summary())]
    assert {each.kind for each in findings} == {"seal_inserted", "altered"}


async def test_of_ten_thousand_events_each_is_looked_at(signed: Signed) -> None:
    for _ in range(4):
        async with signed.begin() as tx:
            for _ in range(700):
                await make.contact(tx)
    await signed.seal(most=1000)
    assert await signed.verify() == []
    assert signed.summary.events == 2801
    ((victim,),) = signed.run("select id from events order by tx, id offset 2000 limit 1")
    signed.run("update events set actor = 'user:x' where id = %s", victim)
    assert named(await signed.verify()) == [("altered", victim)]


async def test_only_the_operator_seals(signed: Signed) -> None:
    with pytest.raises(Forbidden):
        await audit.seal(signed.engine, Actor.user(uuid4()))
    with pytest.raises(Forbidden):
        await audit.maintain(signed.engine, Actor.user(uuid4()))
    async with signed.engine.system(Actor.user(uuid4(), permissions=frozenset())) as tx:
        with pytest.raises(Forbidden):
            await anext(audit.verify(tx, signed.tenant.id, audit.Summary()))
