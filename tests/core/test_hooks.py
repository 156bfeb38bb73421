"""Hooks: before a change they may amend or refuse it, and whatever they do, it is written whole or not at all."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bellbird import app as composition
from bellbird.app import Bellbird, create_app
from bellbird.core import hooks, topics
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import Forbidden, HookFailed, HookInvalid, HookTimedOut, InvalidInput, NotFound, Rejected
from bellbird.core.events import Logged
from bellbird.core.hooks import HOOKABLE, Change, Hooks
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import contacts
from bellbird.features.contacts import ContactPatch, Email, NewContact, Phone
from tests import make
from tests.conftest import SECRET, Server, SignIn
from tests.core.test_consumers import begun, until

TESTER = Actor.user(uuid4())
EVENTS = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


@pytest.fixture
async def hooked(server: Server, database: str) -> AsyncIterator[Engine]:
    """An engine with hooks of its own, which wait for 0.3 s."""
    async with Engine(server.conninfo(database), hooks=Hooks(timeout=0.3)) as engine:
        yield engine


def of(engine: Engine) -> Hooks:
    assert engine.hooks
    return engine.hooks


async def names(engine: Engine, tenant: Tenant) -> list[str]:
    page = await contacts.page(engine.reader(tenant.id, TESTER))
    return sorted(each.display_name for each in page.data)


async def log_of(engine: Engine, tenant: Tenant) -> list[str]:
    rows = await engine.reader(tenant.id, TESTER).all(
        "select type from events where tenant_id = $1 and entity_type = 'contact' order by id", tenant.id
    )
    return [row[0] for row in rows]


async def test_a_hook_amends_what_is_made_and_what_it_says_is_checked(hooked: Engine, tenant: Tenant) -> None:
    given = []

    @of(hooked).before("contact.create")
    async def shout(tx: Tx, new: NewContact) -> NewContact | None:
        given.append(new)
        return replace(new, last_name=(new.last_name or "").upper()) if new.last_name else None

    async with hooked.tenant(tenant.id, TESTER) as tx:
        made = await make.contact(tx, first_name="Ann", last_name="Lee")
        assert made.display_name == "Ann LEE"
        assert (await make.contact(tx, first_name="Bo")).display_name == "Bo"
    assert len(given) == 2

    @of(hooked).before("contact.create")
    async def wrong(tx: Tx, new: NewContact) -> NewContact:
        return replace(new, phones=(Phone("no number"),), timezone="Mars/Base")

    with pytest.raises(InvalidInput, match="/timezone") as refused:
        async with hooked.tenant(tenant.id, TESTER) as tx:
            await make.contact(tx, first_name="Cy")
    assert {fault.pointer for fault in refused.value.faults} == {"/phones/0/number", "/timezone"}
    assert await names(hooked, tenant) == ["Ann LEE", "Bo"]


async def test_a_hook_comes_before_every_verb_and_is_told_of_what(hooked: Engine, tenant: Tenant) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(verb: str) -> None:
        @of(hooked).before(verb)
        async def note(tx: Tx, given: Any) -> None:
            asked.append((verb, given))

    for verb in HOOKABLE:
        listen(verb)
    async with hooked.tenant(tenant.id, TESTER) as tx:
        new = make.new_contact(first_name="Ann", email="ann@acme.example")
        id = (await contacts.create(tx, new)).id
        patch = ContactPatch(company="Acme")
        await contacts.update(tx, id, patch)
        found = await contacts.upsert(tx, NewContact(emails=(Email("ann@acme.example"),), source="web"), match="email")
        assert not found.created
        await contacts.delete(tx, id)
        await contacts.restore(tx, id)
        await contacts.purge(tx, id)
        upserted = await contacts.upsert(tx, NewContact(external_id="x", first_name="Bo"), match="external_id")
        assert upserted.created
    assert asked == [
        ("contact.create", new),
        ("contact.update", Change(id, patch)),
        ("contact.update", Change(id, ContactPatch(source="web"))),
        ("contact.delete", id),
        ("contact.restore", id),
        ("contact.purge", id),
        ("contact.create", NewContact(external_id="x", first_name="Bo")),
    ]


async def test_a_hook_amends_a_change_and_an_upsert(hooked: Engine, tenant: Tenant) -> None:
    @of(hooked).before("contact.update")
    async def sign(tx: Tx, change: Change) -> Change:
        return replace(change, patch=replace(change.patch, source="hook"))

    @of(hooked).before("contact.create")
    async def mark(tx: Tx, new: NewContact) -> NewContact:
        return replace(new, tags=("new",))

    async with hooked.tenant(tenant.id, TESTER) as tx:
        made = await make.contact(tx, first_name="Ann")
        assert made.tags == ("new",)
        assert (await contacts.update(tx, made.id, ContactPatch(company="A"))).source == "hook"
        new = NewContact(first_name="Bo", external_id="1")
        assert (await contacts.upsert(tx, new, match="external_id")).contact.tags == ("new",)
        assert (await contacts.upsert(tx, replace(new, company="B"), match="external_id")).contact.source == "hook"

    @of(hooked).before("contact.create")
    async def rename(tx: Tx, new: NewContact) -> NewContact:
        return replace(new, external_id="another")

    with pytest.raises(HookFailed, match="what the contact is matched by"):
        async with hooked.tenant(tenant.id, TESTER) as tx:
            await contacts.upsert(tx, NewContact(first_name="Cy", external_id="2"), match="external_id")


class Broken(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (Rejected("We know him too well.", pointer="/last_name"), Rejected),
        (Forbidden("Not on Sundays."), Forbidden),
        (NotFound(), NotFound),
        (Broken("the password is swordfish"), HookFailed),
        (asyncio.CancelledError(), HookFailed),
        (ExceptionGroup("some", [Broken()]), HookFailed),
    ],
)
async def test_a_hook_that_raises_leaves_nothing_written(
    hooked: Engine, tenant: Tenant, raised: BaseException, seen: type[Exception]
) -> None:
    async with hooked.tenant(tenant.id, TESTER) as tx:
        ann = await make.contact(tx, first_name="Ann")

    async def fail(tx: Tx, given: Any) -> None:
        await tx.run("update contacts set company = 'half' where tenant_id = $1", tx.tenant_id)
        raise raised

    for verb in HOOKABLE:
        of(hooked).before(verb, name="the-broken-one")(fail)
    tries: list[Any] = [
        lambda tx: make.contact(tx, first_name="Bo"),
        lambda tx: contacts.update(tx, ann.id, ContactPatch(company="X")),
        lambda tx: contacts.delete(tx, ann.id),
        lambda tx: contacts.restore(tx, ann.id),
        lambda tx: contacts.purge(tx, ann.id),
        lambda tx: contacts.upsert(tx, NewContact(company="C", external_id="1"), match="external_id"),
    ]
    for verb in tries:
        with pytest.raises(seen) as refused:
            async with hooked.tenant(tenant.id, TESTER) as tx:
                await verb(tx)
        assert "swordfish" not in str(refused.value)
        if seen is HookFailed:
            assert "the-broken-one" in str(refused.value)
    assert await contacts.get(hooked.reader(tenant.id, TESTER), ann.id) == ann
    assert await log_of(hooked, tenant) == ["contact.created"]


async def test_a_hook_that_hangs_is_given_up_in_time_and_the_next_is_served(hooked: Engine, tenant: Tenant) -> None:
    hanging = True

    @of(hooked).before("contact.create", name="slow")
    async def slow(tx: Tx, new: NewContact) -> None:
        if hanging:
            await tx.all("select pg_sleep(20)")

    began = asyncio.get_running_loop().time()
    with pytest.raises(HookTimedOut, match=r"hook slow took longer than 0\.3 s"):
        async with hooked.tenant(tenant.id, TESTER) as tx:
            await make.contact(tx)
    assert asyncio.get_running_loop().time() - began < 3
    hanging = False
    async with hooked.tenant(tenant.id, TESTER) as tx:
        await make.contact(tx)
    assert await log_of(hooked, tenant) == ["contact.created"]


async def test_a_hook_that_takes_no_notice_of_being_cancelled_can_write_no_more(hooked: Engine, tenant: Tenant) -> None:
    errors: list[Exception] = []
    end, ended = asyncio.Event(), asyncio.Event()

    @of(hooked).before("contact.create", name="stubborn")
    async def stubborn(tx: Tx, new: NewContact) -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        try:
            await tx.run("update contacts set company = 'late' where tenant_id = $1", tx.tenant_id)
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            errors.append(error)
        ended.set()

    with pytest.raises(HookTimedOut):
        async with hooked.tenant(tenant.id, TESTER) as tx:
            await tx.all("select 1")
            await make.contact(tx)
    end.set()
    await asyncio.wait_for(ended.wait(), 5)
    assert [type(error).__name__ for error in errors] == ["Unavailable"]
    assert await log_of(hooked, tenant) == []
    stats = hooked.pools()["app"]
    assert stats["pool_size"] == stats["pool_available"], "no connection is left with it"


@pytest.mark.parametrize("answer", [5, "text", NewContact, uuid4()])
async def test_a_hook_that_answers_something_else_has_failed(hooked: Engine, tenant: Tenant, answer: Any) -> None:
    @of(hooked).before("contact.create", name="odd")
    async def odd(tx: Tx, new: NewContact) -> Any:
        return answer

    @of(hooked).before("contact.delete", name="other")
    async def other(tx: Tx, id: UUID) -> UUID:
        return uuid4()

    @of(hooked).before("contact.update", name="another")
    async def another(tx: Tx, change: Change) -> Change:
        return replace(change, id=uuid4())

    for verb in (
        lambda tx: make.contact(tx),
        lambda tx: contacts.delete(tx, uuid4()),
        lambda tx: contacts.update(tx, uuid4(), ContactPatch()),
    ):
        with pytest.raises(HookFailed, match="must return None or what it was given"):
            async with hooked.tenant(tenant.id, TESTER) as tx:
                await verb(tx)


async def test_a_hook_may_use_the_verbs_and_does_not_come_before_itself(hooked: Engine, tenant: Tenant) -> None:
    @of(hooked).before("contact.create")
    async def with_company(tx: Tx, new: NewContact) -> None:
        if new.company:
            await contacts.create(tx, NewContact(kind="organisation", company=f"{new.company} Ltd"))

    async with hooked.tenant(tenant.id, TESTER) as tx:
        await make.contact(tx, first_name="Ann", company="Acme")
    assert await names(hooked, tenant) == ["Acme Ltd", "Ann"]


async def test_without_a_hook_nothing_is_asked_or_run(engine: Engine, tenant: Tenant) -> None:
    given = NewContact(first_name="Ann")
    async with engine.tenant(tenant.id, TESTER) as tx:
        assert await tx.before("contact.create", given) is given
        assert tx._connection is None


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda at: at.before("contact.creat"), "no verb contact.creat .* did you mean contact.create"),
        (lambda at: at.before("nothing"), "there are call.place"),
        (lambda at: at.on("contact.craeted"), "no events of the type contact.craeted; did you mean contact.created"),
        (lambda at: at.on("contacts.*"), r"did you mean contact\.\*"),
        (lambda at: at.on(), "Name the types"),
        (lambda at: at.before("contact.create")(lambda tx, new: None), "has no name"),
        (lambda at: at.before("contact.create", name="x")(lambda tx, new: None), "hook x must be `async def`"),
        (lambda at: at.on("*")(names_of), "must take one parameter, the event, or two"),
        (lambda at: at.before("contact.create")(one_of), "must take two parameters"),
        (lambda at: [at.on("*")(one_of), at.on("*")(one_of)], "two hooks called .*one_of"),
        (lambda at: [at.before("contact.delete")(two_of), at.before("contact.delete")(two_of)], "two hooks called"),
    ],
)
def test_what_cannot_be_registered_is_said_at_once(register: Any, said: str) -> None:
    with pytest.raises(HookInvalid, match=said):
        register(Hooks())


async def names_of(a: Any, b: Any, c: Any) -> None: ...


async def one_of(event: Logged) -> None: ...


async def two_of(tx: Tx, given: Any) -> None: ...


def test_every_documented_type_of_event_can_be_hooked_and_no_other() -> None:
    composition._import_features()
    documented = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", EVENTS.read_text(), re.MULTILINE))
    assert documented == topics.TYPES


def test_topics_are_types_kinds_or_everything() -> None:
    some = topics.Topics(("contact.*", "user.added"))
    assert "contact.created" in some and "user.added" in some
    assert "user.updated" not in some and "contacts.created" not in some
    assert "anything.at_all" in topics.Topics(("*",))
    assert "contact.created" not in topics.Topics(())


async def test_over_http_a_refusal_is_a_problem_that_names_the_place(
    owner_conninfo: str, tenant: Tenant, sign_in: SignIn
) -> None:
    settings = Settings(_env_file=None, database_url=owner_conninfo, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:

        @bellbird.before("contact.create")
        async def picky(tx: Tx, new: NewContact) -> None:
            if new.first_name == "Rejected":
                raise Rejected("Not this one.", pointer="/first_name")
            if new.first_name == "Broken":
                raise ZeroDivisionError("secret")

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(bellbird), raise_app_exceptions=False),
            base_url="http://bellbird.test/api/v1", headers=sign_in(tenant).headers,
        ) as api:  # fmt: skip
            refused = await api.post("/contacts", json={"first_name": "Rejected"})
            broken = await api.post("/contacts", json={"first_name": "Broken"})
            assert (await api.post("/contacts", json={"first_name": "Fine"})).status_code == 201
            assert [each["first_name"] for each in (await api.get("/contacts")).json()["data"]] == ["Fine"]
    assert (refused.status_code, refused.json()["code"]) == (422, "rejected")
    assert refused.json()["errors"] == [
        {"code": "hook_rejected", "detail": "Not this one.", "pointer": "#/first_name"}
    ]  # fmt: skip
    assert (broken.status_code, broken.json()["code"]) == (500, "hook_failed")
    assert "secret" not in broken.text and "picky" in broken.json()["hook"]


async def test_on_hooks_are_called_by_a_worker_with_bellbird_if_they_ask_for_it(clone: str) -> None:
    from bellbird.core.consumers import Consumers
    from bellbird.features import tenants

    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    heard: list[Any] = []
    async with Bellbird(settings) as bellbird:

        @bellbird.on("contact.created", name="greet")
        async def greet(event: Logged, host: Bellbird) -> None:
            assert host is bellbird
            async with host.tenant(event.tenant_id, Actor.system("greeter", origin="hook")) as tx:
                await contacts.update(tx, event.entity_id, ContactPatch(source="greeted"))

        @bellbird.on("contact.*", name="note")
        async def note(event: Logged) -> None:
            heard.append((event.type, event.origin))

        (first, second) = bellbird.hooks.consumers()
        assert (first.name, second.name) == ("hook:greet", "hook:note")
        stop = asyncio.Event()
        task = asyncio.create_task(Consumers(bellbird.engine, [first, second], poll=0.05).run(stop))
        await begun(bellbird.engine, "hook:greet", "hook:note")
        async with bellbird.system(Actor.system()) as system:
            await tenants.create(system, "acme")
        async with bellbird.tenant("acme", TESTER) as tx:
            await make.contact(tx)
        await until(lambda: len(heard) == 2)
        stop.set()
        await task
    assert heard == [("contact.created", "library"), ("contact.updated", "hook")]


def packaged(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    found = [EntryPoint(f"shop{number}", value, composition.HOOKS) for number, value in enumerate(values)]
    monkeypatch.setattr(composition, "entry_points", lambda group: found)


def bring(bellbird: Bellbird) -> None:
    """What a package's entry point names."""
    bellbird.on("contact.created", name="brought")(one_of)


def bring_a_mistake(bellbird: Bellbird) -> None:
    bellbird.on("contact.creatd")(one_of)


async def test_packages_bring_hooks_by_an_entry_point(clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(monkeypatch, f"{__name__}:bring")
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("sys").modules[bring.__module__])
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    bellbird = Bellbird(settings)
    for _ in range(2):
        async with bellbird:
            assert [each.name for each in bellbird.hooks.consumers()] == ["hook:brought"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("bellbird_shop_that_is_not:hooks", "ModuleNotFoundError"),
        ("bellbird:no_such_thing", "AttributeError"),
        (f"{__name__}:bring_a_mistake", "did you mean contact.created"),
    ],
)
async def test_a_package_whose_hooks_are_broken_is_named(
    clone: str, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    packaged(monkeypatch, value)
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    with pytest.raises(HookInvalid, match=rf"The hooks shop0 \({value}\) of a package cannot be loaded: .*{said}"):
        Bellbird(settings).open()


def test_a_hook_is_called_by_where_it_is_unless_it_has_a_name() -> None:
    made = Hooks()
    made.on("*")(one_of)
    made.on("*", name="mine")(one_of)
    (first, second) = [each.name for each in made.consumers()]
    assert first.endswith("test_hooks.one_of") and first.startswith("hook:")
    assert second == "hook:mine"
    assert hooks.TIMEOUT == Settings(_env_file=None).hook_timeout  # type: ignore[call-arg]


async def test_hooks_are_given_to_by_one_event_after_another() -> None:
    seen: list[Sequence[Any]] = []
    made = Hooks()

    @made.on("*", name="one")
    async def one(event: Any) -> None:
        seen.append(event)

    (consumer,) = made.consumers()
    await consumer.handle([1, 2])  # type: ignore[list-item]
    assert seen == [1, 2] and consumer.singly
