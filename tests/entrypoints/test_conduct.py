"""What every request and every answer goes through, whatever is asked."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.actors import Actor
from bellbird.core.settings import Settings
from bellbird.features import tenants
from tests.conftest import SECRET
from tests.servers import ask
from tests.small_app import client, ended, raw, small_app


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client(small_app()) as made:
        yield made


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """That an answer is a problem like any other; returns it."""
    assert answer.status_code == status, answer.content
    body: dict[str, Any] = json.loads(answer.content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:bellbird:error:{code}"
    assert (body["code"], body["status"]) == (code, status)
    assert body["title"] and body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


# Request ids.


async def test_a_request_without_an_id_is_given_one_of_its_own(http: httpx.AsyncClient) -> None:
    given = [(await http.get("/plain")).headers["x-request-id"] for _ in range(50)]
    assert len(set(given)) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in given)
    assert given == sorted(given), "they tell the order"


async def test_two_processes_give_different_ids() -> None:
    assert small_app().new_id()[:24] != small_app().new_id()[:24]


async def test_an_id_of_the_callers_own_is_kept(http: httpx.AsyncClient) -> None:
    answer = await http.get("/plain", headers={"X-Request-Id": "order_4711-1"})
    assert answer.headers["x-request-id"] == "order_4711-1"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a;b", "../etc", "é", "<script>"])
async def test_an_id_that_could_not_be_one_is_replaced(given: str) -> None:
    answer = await raw(small_app(), headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_what_the_host_application_has_put_into_the_state_stays_there_and_nothing_is_added_to_its_own() -> None:
    seen = {}

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope["state"])
        await app.app(scope, receive, send)

    app = small_app(through=inner)
    theirs = {"user": "theirs"}

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": theirs}, receive, send)

    assert (await raw(host)).status_code == 200
    assert seen["user"] == "theirs"
    assert theirs == {"user": "theirs"}


# What a request's headers must be.


async def test_headers_of_64_kilobytes_are_read_and_larger_ones_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/plain", headers={"Cookie": "x" * 60_000})).status_code == 200
    token = {"Authorization": "Bearer " + "x" * 1_000_000}
    assert (await http.get("/plain", headers=token)).status_code == 200, (
        "a token is refused as one, by whoever reads it"
    )
    answer = await http.get("/plain", headers={"Cookie": "x" * 1_000_000})
    assert "65536" in problem(answer, 400, "headers_too_large")["detail"]
    many = [(b"x-%d" % number, b"y" * 50) for number in range(2000)]
    problem(await raw(small_app(), headers=many), 400, "headers_too_large")


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Type", "Content-Length", "Content-Encoding", "Host", "Idempotency-Key",
             "If-Match", "X-Request-Id"],
)  # fmt: skip
async def test_a_header_that_says_one_thing_may_not_be_sent_twice(name: str) -> None:
    twice = [(name.lower().encode(), b"a"), (b"accept", b"*/*"), (name.lower().encode(), b"b")]
    body = problem(await raw(small_app(), headers=twice), 400, "duplicate_header")
    assert body["errors"] == [
        {"parameter": name.lower(), "detail": "is there more than once; send it once", "code": "duplicate_header"}
    ]


async def test_a_header_that_is_a_list_may_be_sent_in_parts() -> None:
    parts = [(b"if-none-match", b'"1"'), (b"if-none-match", b'"2"'), (b"accept", b"a/b"), (b"accept", b"c/d")]
    assert (await raw(small_app(), headers=parts)).status_code == 200


@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"\0", b"a\x1bb", b"a\x7f"])
async def test_control_characters_in_a_header_are_refused(value: bytes) -> None:
    body = problem(await raw(small_app(), headers=[(b"x-note", value)]), 400, "invalid_header")
    assert body["errors"][0]["parameter"] == "x-note"


async def test_tabs_and_letters_of_any_language_in_a_header_are_no_fault() -> None:
    assert (await raw(small_app(), headers=[(b"x-note", "a\tMāori".encode())])).status_code == 200


async def test_a_path_or_query_that_is_too_long_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/plain?q=" + "x" * 16_000)).status_code == 200
    problem(await http.get("/plain?q=" + "x" * 17_000), 414, "uri_too_long")
    problem(await http.get("/things/" + "x" * 17_000), 414, "uri_too_long")


READ = [
    ("POST", "application/json"),
    ("POST", "Application/JSON; charset=UTF-8"),
    ("POST", 'application/json; charset="utf-8"'),
    ("POST", "application/x-www-form-urlencoded"),  # what `curl -d` says of anything
    ("POST", None),
    ("PATCH", "application/merge-patch+json"),
    ("PATCH", "application/json"),
]
NOT_READ = [
    ("POST", "text/plain"),
    ("POST", "multipart/form-data; boundary=x"),
    ("POST", "application/xml"),
    ("POST", "application/json; charset=latin-1"),
    ("POST", "application/merge-patch+json"),
    ("PATCH", "application/json-patch+json"),
    ("POST", ""),
]


@pytest.mark.parametrize(("method", "kind"), READ)
async def test_a_body_of_json_is_read(http: httpx.AsyncClient, method: str, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await http.request(method, "/echo", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"length": 2})


@pytest.mark.parametrize(("method", "kind"), NOT_READ)
async def test_a_body_of_another_kind_is_refused(http: httpx.AsyncClient, method: str, kind: str) -> None:
    answer = await http.request(method, "/echo", content=b"{}", headers={"Content-Type": kind})
    assert repr(kind.lower()) in problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["accept-patch" if method == "PATCH" else "accept"] == "application/json"


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "gzip, gzip", "bomb"])
async def test_an_encoded_body_is_refused_unread(http: httpx.AsyncClient, encoding: str) -> None:
    answer = await http.post("/echo", content=b"\x1f\x8b", headers={"Content-Encoding": encoding})
    assert encoding in problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["accept-encoding"] == "identity", "what would be right (RFC 9110, 15.5.16)"
    plain = await http.post("/echo", content=b"{}", headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200


async def test_a_body_in_chunks_is_looked_at_as_well(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    answer = await http.post("/echo", content=chunks(), headers={"Content-Type": "text/csv"})
    problem(answer, 415, "unsupported_media_type")


async def test_what_is_said_of_no_body_does_not_matter(http: httpx.AsyncClient) -> None:
    assert (await http.get("/plain", headers={"Content-Type": "text/plain"})).status_code == 200
    assert (await http.post("/echo", headers={"Content-Type": "text/plain"})).status_code == 200


# The deadline.


async def test_a_request_that_takes_too_long_is_given_up() -> None:
    ended.clear()
    app = small_app(request_timeout=0.2)
    async with client(app) as http:
        started = time.monotonic()
        answer = await http.get("/slow")
        assert 0.15 < time.monotonic() - started < 2
        assert "0.2 seconds" in problem(answer, 503, "timeout")["detail"]
        assert int(answer.headers["retry-after"]) >= 1
        assert ended == ["cancelled"]
        assert (await http.get("/plain")).status_code == 200
    assert not app.deadline.running


async def test_of_many_requests_each_has_the_whole_time() -> None:
    async with client(small_app(request_timeout=0.3)) as http:

        async def timed(after: float) -> float:
            await asyncio.sleep(after)
            started = time.monotonic()
            assert (await http.get("/slow")).status_code == 503
            return time.monotonic() - started

        for took in await asyncio.gather(*(timed(number * 0.04) for number in range(10))):
            assert 0.25 < took < 0.8


async def test_an_answer_that_has_begun_is_not_cut_off() -> None:
    async with client(small_app(request_timeout=0.15)) as http:
        answer = await http.get("/stream")
        assert answer.text.count("data:") == 4
        assert (await http.get("/slow")).status_code == 503, "and the next one's time is watched as well"


async def test_an_answer_that_is_made_in_spite_of_it_is_sent() -> None:
    async with client(small_app(request_timeout=0.1)) as http:

        async def ask_and_go_on() -> int:
            answer = await http.get("/stubborn")
            async with asyncio.timeout(5):  # which would be confused by a cancellation left behind
                await asyncio.sleep(0.01)
            return answer.status_code

        assert await asyncio.create_task(ask_and_go_on()) == 200


async def test_somebody_elses_cancellation_is_not_swallowed() -> None:
    task = asyncio.create_task(raw(small_app(), path="/slow"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_when_the_server_gives_up_waiting_before_it_stops_the_caller_is_told() -> None:
    app = small_app()
    task = asyncio.create_task(raw(app, path="/slow"))
    await asyncio.sleep(0.05)
    app.stopping = True
    task.cancel()
    answer = await task
    assert "stopping" in problem(answer, 503, "unavailable")["detail"]
    assert answer.headers["connection"] == "close"


# What every answer has.


async def test_every_answer_has_the_headers_that_keep_it_safe(http: httpx.AsyncClient) -> None:
    for path, status in (("/plain", 200), ("/nowhere", 404), ("/forbidden", 403), ("/fault", 500)):
        answer = await http.get(path)
        assert answer.status_code == status
        got = answer.headers
        assert got["x-content-type-options"] == "nosniff"
        assert got["referrer-policy"] == "no-referrer"
        assert got["x-frame-options"] == "DENY"
        assert got["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert got["cache-control"] == "private, no-cache"
        assert got["vary"] == "Authorization, Accept-Encoding"
        assert "strict-transport-security" not in got, "it did not come by https"


async def test_what_came_by_https_is_to_stay_there() -> None:
    async with client(small_app(), "https://small.test") as http:
        assert (await http.get("/plain")).headers["strict-transport-security"] == "max-age=31536000"


async def test_a_page_may_show_its_own_style_and_run_nothing(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/page")).headers["content-security-policy"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy
    assert "script" not in policy


async def test_what_a_handler_has_settled_stays(http: httpx.AsyncClient) -> None:
    answer = await http.get("/settled")
    assert answer.headers.get_list("cache-control") == ["public, max-age=60"]
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("vary") == ["Authorization, Accept-Encoding, Accept"]
    assert answer.headers.get_list("x-frame-options") == ["DENY"]


async def test_tokens_are_never_kept_by_a_cache(http: httpx.AsyncClient) -> None:
    assert (await http.post("/api/v1/auth/sign-in")).headers["cache-control"] == "no-store"


async def test_what_others_note_for_the_answer_is_in_its_head() -> None:
    async def limits(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["headers"].append((b"ratelimit", b'"caller";r=3;t=9'))
        await app.app(scope, receive, send)

    app = small_app(through=limits)
    assert (await raw(app)).headers["ratelimit"] == '"caller";r=3;t=9'
    assert (await raw(app, path="/forbidden")).headers["ratelimit"]


# HEAD and OPTIONS.


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    for path in ("/plain", "/long", "/nowhere", "/forbidden"):
        got, head = await http.get(path), await http.head(path)
        assert head.status_code == got.status_code
        assert head.content == b""
        mine = {**head.headers, "x-request-id": ""}
        body_id = got.headers["x-request-id"]
        assert mine == {**got.headers, "x-request-id": ""}, body_id


async def test_a_route_says_how_it_can_be_used(http: httpx.AsyncClient) -> None:
    assert (await http.options("/plain")).headers["allow"] == "GET, HEAD, OPTIONS"
    refused = await http.delete("/plain")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await http.get("/echo")).headers["allow"].count("GET") == 0


# Faults.


async def test_a_fault_outside_the_framework_is_answered_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("of no interest to a caller")

    answer = await raw(small_app(through=broken), headers=[(b"x-request-id", b"trace-9")])
    body = problem(answer, 500, "internal_error")
    assert "no interest" not in str(body)
    assert any("trace-9" in record.getMessage() and record.exc_info for record in caplog.records)


async def test_a_fault_in_the_middle_of_an_answer_is_left_to_the_server() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late to say so")

    with pytest.raises(RuntimeError, match="too late"):
        await raw(small_app(through=broken))


async def test_a_client_that_hangs_up_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    app = small_app()

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    await raw(app, "POST", "/echo", [(b"content-length", b"100")], receive=gone)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
    text = app.metrics.exposed("")[0].decode()
    assert 'route="/echo",status="none"} 1.0' in text
    assert "bellbird_errors_total{" not in text


async def test_what_is_no_http_request_passes_through() -> None:
    seen = []

    async def through(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        await small_app(through=through)({"type": kind, "headers": []}, None, None)  # type: ignore[arg-type, typeddict-item, misc]
    assert seen == ["lifespan", "websocket"]


# With the database.


@pytest.fixture
async def hurried(clone: str) -> AsyncIterator[tuple[httpx.AsyncClient, str, Bellbird]]:
    """The API with half a second for each request, over a database of this test's own."""
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET, request_timeout=0.5, pool_size=3)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        async with bellbird.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("owner",))
        async with client(create_app(bellbird), "http://t/api/v1", headers={"Authorization": f"Bearer {token}"}) as api:
            yield api, clone, bellbird


async def test_a_write_that_is_given_up_is_rolled_back_and_its_connection_not_used_again(
    hurried: tuple[httpx.AsyncClient, str, Bellbird],
) -> None:
    api, conninfo, bellbird = hurried
    assert (await api.post("/contacts", json={"first_name": "Ann"})).status_code == 201
    with psycopg.connect(conninfo) as holder:
        holder.execute("lock table contacts in access exclusive mode")
        answers = await asyncio.gather(
            *(api.post("/contacts", json={"first_name": "Ben"}) for _ in range(2)), api.get("/contacts")
        )
        for answer in answers:
            problem(answer, 503, "timeout")
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        assert ask(conninfo, waiting) == [(0,)], "nobody's query was left running"
        holder.rollback()
    assert [each["first_name"] for each in (await api.get("/contacts")).json()["data"]] == ["Ann"]
    assert (await api.post("/contacts", json={"first_name": "Cas"})).status_code == 201
    stats = bellbird.engine.pools()["app"]
    assert stats["pool_available"] == stats["pool_size"], "every connection came back"


async def test_requests_given_up_at_any_moment_leave_the_pool_whole(
    hurried: tuple[httpx.AsyncClient, str, Bellbird],
) -> None:
    """Wherever a request is when its time is over: waiting for a connection, for the database, for its COMMIT."""
    api, conninfo, bellbird = hurried
    app: Any = api._transport.app  # type: ignore[attr-defined]
    chance = random.Random(4)
    statuses = []
    for _ in range(12):
        app.deadline.seconds = chance.uniform(0.001, 0.05)
        calls = [
            api.post("/contacts", json={"first_name": f"N{number}"}) if number % 2 else api.get("/contacts?total=true")
            for number in range(12)
        ]
        statuses += [answer.status_code for answer in await asyncio.gather(*calls)]
    assert 503 in statuses
    assert set(statuses) <= {200, 201, 503}
    app.deadline.seconds = 10
    for _ in range(10):
        assert (await api.post("/contacts", json={"first_name": "Last"})).status_code == 201
    stats = bellbird.engine.pools()["app"]
    assert stats["pool_available"] == stats["pool_size"] <= 3
    (stored,) = ask(
        conninfo, "select (select count(*) from contacts), (select count(*) from events where type = 'contact.created')"
    )
    assert stored[0] == stored[1], "each contact with its event, or neither"
    assert int(str(stored[0])) >= statuses.count(201) + 10, "what was answered 201 is there"
