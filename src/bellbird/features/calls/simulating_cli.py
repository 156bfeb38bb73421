"""Simulated calls on the command line: see what a script does to calls, without a telephone."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, get_args

import click

from bellbird.core import phones
from bellbird.core.engine import Engine
from bellbird.core.errors import BellbirdError, InvalidInput
from bellbird.core.telephony import Account, ProviderUnclear, Surroundings
from bellbird.core.tenants import CallPurpose, Tenant
from bellbird.entrypoints import cli, tables
from bellbird.features import call_accounts
from bellbird.features.call_accounts import CallAccount
from bellbird.features.calls import dialing, placing, receiving, rows
from bellbird.features.calls.models import NewCall
from bellbird.features.tenants import choice
from bellbird.providers.mock import Arrival, Delivery, Scenario, Script, Simulator, scripts

MOCK: Final = Simulator.name

# Whoever sits there does not wait for hours of calls.
SPEED: Final = 10.0


@click.command()
@click.argument("script", type=click.File(encoding="utf-8"), required=False)
@click.option("--to", "numbers", multiple=True, metavar="NUMBER", help="Place a call to this number. Repeatable.")
@click.option("--inbound", multiple=True, metavar="NUMBER", help="Have this number call, or `withheld`. Repeatable.")
@click.option(
    "--speed", type=click.FloatRange(0.1, 1000), default=SPEED, show_default=True, help="How fast time passes."
)
@click.option("--seed", default="1", show_default=True, help="What happens by chance is the same for the same seed.")
@click.option("--purpose", type=click.Choice(get_args(CallPurpose)), help="Why they are called; default: the tenant's.")
@choice.option
@cli.as_json
@cli.asynchronous
async def simulate(
    script: Any, numbers: Sequence[str], inbound: Sequence[str], speed: float, seed: str, tenant: str | None,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Place calls to simulated telephones, and receive some, until all are over; nobody is really called.

    SCRIPT says how calls go, a line for each number; each number in it is called, unless --to names others. What it
    says nothing of goes as chance has it. The tenant needs an account with the provider `mock`.

    \b
    Example: bellbird calls simulate afternoon.calls --speed 20
             bellbird calls simulate --to "0491 570 006" --inbound 0491570156
    """
    text = script.read() if script else ""
    said = scripts.read(text)
    async with cli.bellbird() as bellbird:
        engine, chosen = bellbird.engine, await choice.tenant(bellbird, tenant)
        home = chosen.settings.default_region
        callees = [_number(number, home, "to") for number in numbers] or _named(said)
        callers = _arrivals(said, inbound, home)
        if not callees and not callers:
            raise click.UsageError("Say who is called: a SCRIPT with numbers, --to NUMBER or --inbound NUMBER.")
        account, opened = await _account(engine, chosen)
        deliver = partial(receiving.receive, engine)
        simulator = Simulator(Surroundings(engine.clock, deliver), script=text, seed=seed, speed=speed)
        simulator.watchers.append(_Teller(engine.clock.now(), speed).tell)
        engine.providers.add(simulator)
        simulator.expect(opened, callers, account.numbers[0].number)
        refused = 0
        try:
            for callee in callees:
                refused += not await _place(engine, chosen, account, callee, simulator, options["purpose"])
            await simulator.finish()
        finally:
            await _wind_up(simulator)
        await _conclude(engine, chosen, simulator, as_json)
    if refused:
        raise click.exceptions.Exit(1)


def _number(text: str, home: str, option: str) -> str:
    try:
        return phones.parse(text, default_region=home, allowed_regions=None).number
    except phones.InvalidPhone as error:
        raise InvalidInput.at(f"--{option}", error.message) from None


def _named(script: Script) -> list[str]:
    """The numbers that a script names as a whole."""
    return list(dict.fromkeys(rule.numbers for rule in script.rules if "*" not in rule.numbers))


def _arrivals(script: Script, inbound: Sequence[str], home: str) -> list[Arrival]:
    named = [None if number == "withheld" else _number(number, home, "inbound") for number in inbound]
    return [*script.arrivals, *(Arrival(number, None, 0.0, Scenario(ring=5.0)) for number in named)]


async def _account(engine: Engine, tenant: Tenant) -> tuple[CallAccount, Account]:
    """The tenant's account with the simulator. Raises a Refusal that says how to come by one."""
    async with engine.reader(tenant.id, choice.OPERATOR) as read:
        there = (await call_accounts.page(read)).data
        for account in there:
            if account.provider == MOCK and account.status == "active" and account.numbers:
                # A number may be another account's as well: what is called with is never left to chance here.
                used, _ = await call_accounts.for_calling(read, account.numbers[0].number)
                opened = await call_accounts.opened(engine, read, account.id)
                if used.id == account.id and opened is not None:
                    return account, opened
    raise cli.Refusal(
        f"{tenant.slug} has no active account with the provider `{MOCK}` that has a number of its own. "
        f"Connect one: echo any-secret | bellbird call-accounts connect {MOCK} simulated --number +61255501234 "
        f"--secret-file - --tenant {tenant.slug}"
    )


async def _place(
    engine: Engine, tenant: Tenant, account: CallAccount, number: str, simulator: Simulator, purpose: CallPurpose | None
) -> bool:
    """Place a call and dial it in this process; says what stands against it."""
    new = NewCall(to=number, from_number=account.numbers[0].number, purpose=purpose)
    try:
        async with engine.tenant(tenant.id, choice.OPERATOR) as tx:
            call = await placing.place(tx, new)
    except BellbirdError as error:
        cli.note(f"{number}: not placed: {error.detail}")
        return False
    try:
        await dialing.dial(engine, tenant.id, call.id)
    except ProviderUnclear as error:
        cli.note(f"{number}: {error.detail}")
    if simulator.call(call.id) is None:
        cli.note(f"{number}: not dialled here; bellbird calls show {call.id} tells why.")
    return True


class _Teller:
    """Tells each callback as it is brought, with the time since the beginning."""

    def __init__(self, began: datetime, speed: float) -> None:
        self._began = began
        self._speed = speed

    def tell(self, delivery: Delivery) -> None:
        update, call = delivery.update, delivery.call
        seconds = (delivery.at - self._began).total_seconds() * self._speed
        other = (call.to_number if call.direction == "outbound" else call.from_number) or "withheld"
        way = "to" if call.direction == "outbound" else "from"
        what = update.status or ("recording" if update.recording_url else "price")
        details = [str(told) for told in (update.answered_by, update.reason, update.cost) if told is not None]
        if update.duration:
            details.append(f"after {update.duration} s")
        if delivery.refused:
            details.append(f"refused: {delivery.refused}")
        cli.note(f"{seconds:7.1f} s  {way:4} {other:14} {what:12} {', '.join(details)}".rstrip())


async def _wind_up(simulator: Simulator) -> None:
    """Nothing simulates these calls any more when this process ends: what is still live is hung up."""
    left = simulator.live
    for call in left:
        await simulator.hang_up(call.account, call.id)
    await simulator.finish()
    if left:
        cli.note(f"Hung up {len(left):,} that would not have ended.")


KEPT: Final = f"""
select {rows.READ}
from calls
where tenant_id = $1 and provider_call_id = any($2::text[])
order by id
"""


async def _conclude(engine: Engine, tenant: Tenant, simulator: Simulator, as_json: bool) -> None:
    """What Bellbird has of these calls."""
    async with engine.reader(tenant.id, choice.OPERATOR) as read:
        calls = [rows.from_row(row) for row in await read.all(KEPT, tenant.id, list(simulator.calls))]
    if as_json:
        tables.json(calls)
        return
    tables.rows(
        ("id", "direction", "number", "status", "disposition", "seconds", "reason"),
        (
            (call.id, call.direction, call.number or "withheld", call.status, call.disposition, call.duration,
             call.reason)
            for call in calls
        ),
    )  # fmt: skip


COMMANDS: Final = (simulate,)
