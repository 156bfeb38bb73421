"""Fill a demo tenant with believable contacts and serve it."""

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import nullcontext
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import UUID

import click

from bellbird.app import Bellbird
from bellbird.commands import serve
from bellbird.core.settings import load
from bellbird.entrypoints import cli

if TYPE_CHECKING:
    from bellbird.demo import centre

# Whoever signs in with the printed token.
USER = UUID("0190a1b2-0000-7000-8000-000000000001")
VALID = timedelta(days=30)


@click.command()
@click.option("--contacts", "count", type=click.IntRange(0, 1_000_000), default=2000, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on; default: BELLBIRD_PORT.")
@click.option("--quiet", is_flag=True, help="Let nobody call anybody while it serves.")
def command(count: int, port: int | None, quiet: bool) -> None:
    """Fill a demo tenant with believable contacts and calls of Australia and New Zealand, and serve it until Ctrl-C.

    The contacts are made up, and so are the calls with them in the last 90 days, and the same ones every time.
    Run again, it adds only what is missing. While it serves, simulated agents call and are called, through a simulated
    telephone company: no telephone rings anywhere.

    \b
    Example: bellbird demo --contacts 10000 --port 8001
             bellbird demo --quiet
    """
    if find_spec("faker") is None:
        raise cli.Refusal("The demo's people are made by Faker, which is missing: pip install 'bellbird-crm[demo]'")
    settings = load() if port is None else load(port=port)
    if settings.workers == 1:
        settings = settings.model_copy(update={"with_worker": True})
    if "log_level" not in settings.model_fields_set:
        # Each call is several jobs: what is said below would soon be out of sight.
        settings = settings.model_copy(update={"log_level": "warning"})
    running = _answers_as_bellbird(serve.url(settings))
    if not running:
        serve.claim(settings, "BELLBIRD_PORT, such as: BELLBIRD_PORT=8001 make demo")
    bellbird = Bellbird(settings)
    try:
        bellbird.open()
        token, work = asyncio.run(_prepare(bellbird, count, is_first=not running))
        if running and not _lets_in(serve.url(settings), token):
            raise cli.Refusal(
                f"A Bellbird with other data runs on port {settings.port}. "
                "Stop it, or choose another port: BELLBIRD_PORT=8001 make demo"
            )
        _introduce(bellbird, token, running)
        if not running:
            from bellbird.demo import centre

            with nullcontext() if quiet or not settings.with_worker else centre.at_work(settings, work):
                serve.serve(settings)
    finally:
        asyncio.run(bellbird.close())


async def _prepare(bellbird: Bellbird, count: int, *, is_first: bool) -> "tuple[str, centre.Work]":
    """See that the demo's data is there; returns a token, and what the call centre works with.

    With `is_first`, nobody else serves it: what was under way when the last one stopped is over.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from bellbird.demo import calls, centre, filling, history, telephone

    tenant = await filling.tenant(bellbird)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Contacts", total=count)
        staff = await filling.staff(bellbird)
        agents = filling.those(staff, "agent")
        added = await filling.fill(bellbird, count, lambda seen: progress.advance(task, seen), agents)
        account = await telephone.account(bellbird)
        if is_first:
            await telephone.end_calls(bellbird, account.id)
        people = await history.callable_contacts(bellbird, count)
        callers = filling.those(staff, "agent", "manager")
        office = calls.Office(callers, people, account.id, account.numbers[0].number)
        days = progress.add_task("Days of calls", total=history.DAYS + 1)
        called = await history.fill(bellbird, office, lambda seen: progress.advance(days, seen))
    if added:
        cli.note(f"{added:,} made-up contacts were added to the tenant {tenant.slug}.")
    if called:
        cli.note(f"{called:,} made-up calls of the last {history.DAYS} days were added.")
    # Connections belong to the event loop they were opened in, and this one ends here.
    await bellbird.engine.close()
    token = bellbird.tokens.make(tenant.id, USER, valid_for=VALID, roles=("owner",))
    whose = {agent: [contact for contact in people if contact.owner_id == agent] for agent in agents}
    return token, centre.Work(tenant.id, account, whose)


def _answers_as_bellbird(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=1) as answer:  # noqa: S310 - http, to our own address
            said = json.load(answer)
            return isinstance(said, dict) and said.keys() == {"status", "version"} and "x-request-id" in answer.headers
    except (OSError, ValueError):
        return False


def _lets_in(url: str, token: str) -> bool:
    request = urllib.request.Request(f"{url}/api/v1/contacts?limit=1", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _introduce(bellbird: Bellbird, token: str, running: bool) -> None:
    from bellbird.demo import filling, people

    url, password = serve.url(bellbird.settings), filling.password(bellbird.secret)
    _box(
        f"Bellbird {'is already running' if running else 'serves the demo'} on {url}",
        f"The API and its description: {url}/docs",
        f"Sign in as {filling.OWNER.email} with the password {password}",
        "or with the token below, which is valid for 30 days.",
        "" if running else "Ctrl-C stops it.",
    )
    caller = people.a_mobile()
    others = ", ".join(f"{each.email} ({each.role})" for each in filling.TEAM[1:])
    click.echo(f"""
The same password is that of {others}.

TOKEN={token}

Try it, in another terminal:
  curl -H "Content-Type: application/json" "{url}/api/v1/auth/sign-in" \\
    -d '{{"email": "{filling.OWNER.email}", "password": "{password}"}}'
  curl -H "Authorization: Bearer $TOKEN" "{url}/api/v1/contacts?q=nguyen"
  curl -H "Authorization: Bearer $TOKEN" "{url}/api/v1/contacts/lookup?number={caller}"
  curl -H "Authorization: Bearer $TOKEN" -g "{url}/api/v1/contacts?filter[tag]=vip&total=true"
  curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "{url}/api/v1/contacts" \\
    -d '{{"first_name": "Ann", "phones": [{{"number": "0412 345 678"}}]}}'
  bellbird contacts list --tenant demo --filter tag=vip

What the agents are doing, as it happens; and call somebody (what they do goes by the last digit of their number):
  curl -N -H "Authorization: Bearer $TOKEN" "{url}/api/v1/events/stream?types=call.*"
  curl -H "Authorization: Bearer $TOKEN" -g "{url}/api/v1/calls?filter[outcome]=call_back&limit=5"
  curl -H "Authorization: Bearer $TOKEN" "{url}/api/v1/calls/statistics?group_by=agent"
  curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "{url}/api/v1/calls" \\
    -d '{{"to": "0491 570 156"}}'
""")


def _box(*lines: str) -> None:
    lines = tuple(filter(None, lines))
    width = max(map(len, lines))
    click.echo("\n".join(("", f"╭─{'─' * width}─╮", *(f"│ {line:{width}} │" for line in lines), f"╰─{'─' * width}─╯")))
