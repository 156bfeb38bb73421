"""Asking a service that knows who is on the register."""

from collections.abc import Mapping, Sequence

import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import Forbidden, InvalidInput, Unavailable
from bellbird.core.tenants import Tenant
from bellbird.features.dialling import queries, washing


class Register:
    """One who is told who is on it."""

    name = "register"

    def __init__(self, *listed: str, fails: bool = False) -> None:
        self.listed = listed
        self.fails = fails

    async def wash(self, numbers: Sequence[str]) -> Mapping[str, bool]:
        if self.fails:
            raise Unavailable("The register does not answer.")
        return {number: number in self.listed for number in numbers if not number.endswith("9")}


NUMBERS = ("+61412345677", "+61412345678", "+61412345679")


async def test_what_the_service_says_is_kept(engine: Engine, tenant: Tenant, actor: Actor, read: ReadTx) -> None:
    washed = await washing.ask(engine, tenant.id, actor, Register(NUMBERS[0]), NUMBERS)
    assert (washed.numbers, washed.listed) == (2, 1)
    kept = [await queries.washed(read, number) for number in NUMBERS]
    assert [each and (each.listed, each.source) for each in kept] == [(True, "register"), (False, "register"), None]


async def test_a_service_that_fails_keeps_nothing(engine: Engine, tenant: Tenant, actor: Actor, read: ReadTx) -> None:
    with pytest.raises(Unavailable):
        await washing.ask(engine, tenant.id, actor, Register(fails=True), NUMBERS)
    assert await queries.washed(read, NUMBERS[0]) is None


async def test_who_may_not_does_not_reach_the_service(engine: Engine, tenant: Tenant) -> None:
    with pytest.raises(Forbidden):
        await washing.ask(engine, tenant.id, Actor.user("x", permissions=frozenset()), Register(), NUMBERS)


def test_a_washer_that_nobody_brings_is_told() -> None:
    with pytest.raises(InvalidInput, match="there is no washer 'acma'"):
        washing.washer("acma")
