"""Traces, as a collector on loopback receives them."""

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bellbird.app import Bellbird, create_app
from bellbird.core.actors import Actor
from bellbird.core.settings import Settings, SettingsInvalid, load
from bellbird.core.tenants import Tenant
from bellbird.core.tracing import Tracing
from bellbird.features import tenants
from tests.conftest import SECRET, run
from tests.servers import free_port
from tests.small_app import client, small_app

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """What was received: spans as dictionaries, and every byte as it came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[dict[str, Any]] = []
        self.resources: list[dict[str, Any]] = []
        self.bytes = b""

    def take(self, body: bytes) -> None:
        self.bytes += body
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_attributes(each.resource.attributes))
            for scope in each.scope_spans:
                self.spans += [
                    {
                        "name": span.name, "kind": span.kind, "id": span.span_id.hex(), "trace": span.trace_id.hex(),
                        "parent": span.parent_span_id.hex(), "status": span.status.code, "events": len(span.events),
                        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        **_attributes(span.attributes),
                    }
                    for span in scope.spans
                ]  # fmt: skip


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in found}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            made.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


async def traced(path: str, headers: dict[str, str] | None = None, **settings: Any) -> tuple[Collector, dict[str, Any]]:
    """Ask a small application for something; the collector and the one span."""
    with collecting() as collector:
        tracing = Tracing(collector.url, version="1.2.3")
        async with client(small_app(tracing=tracing, **settings)) as http:
            await http.get(path, headers=headers)
        tracing.close()
        (span,) = collector.spans
        return collector, span


async def test_a_request_is_a_span_by_its_route() -> None:
    collector, span = await traced("/things/aroha@kiwi.co.nz?q=Ngata", {"X-Request-Id": "trace-7"})
    assert (span["name"], span["kind"], span["status"]) == ("GET /things/{id}", 2, 0)
    assert span["http.request.method"] == "GET"
    assert span["http.route"] == "/things/{id}"
    assert span["http.response.status_code"] == 200
    assert span["url.scheme"] == "http"
    assert span["bellbird.request_id"] == "trace-7"
    assert 0 < span["seconds"] < 5
    for word in (b"aroha", b"Ngata", b"kiwi"):
        assert word not in collector.bytes
    (resource,) = collector.resources
    assert (resource["service.name"], resource["service.version"]) == ("bellbird", "1.2.3")


async def test_the_callers_trace_goes_on() -> None:
    _, span = await traced("/plain", {"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert (span["trace"], span["parent"]) == (TRACE, PARENT)


@pytest.mark.parametrize("nonsense", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000])
async def test_a_trace_that_cannot_be_is_not_gone_by(nonsense: str) -> None:
    _, span = await traced("/plain", {"traceparent": nonsense})
    assert span["parent"] == ""
    assert span["trace"] != "0" * 32


@pytest.mark.parametrize(
    ("path", "name", "status", "failed"),
    [
        ("/nowhere", "GET", 404, None),
        ("/fault", "GET /fault", 500, "internal_error"),
        ("/slow", "GET /slow", 503, "timeout"),
    ],
)
async def test_what_went_wrong_is_told_by_its_code_alone(path: str, name: str, status: int, failed: str | None) -> None:
    collector, span = await traced(path, request_timeout=0.1)
    assert (span["name"], span["http.response.status_code"]) == (name, status)
    assert span.get("error.type") == failed
    assert span["status"] == (2 if failed else 0)
    assert span["events"] == 0, "no exception with its message"
    for word in (b"Aroha", b"aroha", b"0412"):
        assert word not in collector.bytes


@pytest.fixture
async def alone(clone: str) -> AsyncIterator[tuple[httpx.AsyncClient, Bellbird, Collector, Tenant]]:
    """The whole API, traced, over a database of this test's own."""
    with collecting() as collector:
        settings = Settings(_env_file=None, database_url=clone, secret=SECRET, otlp_endpoint=collector.url)  # type: ignore[call-arg, arg-type]
        async with Bellbird(settings) as bellbird:
            async with bellbird.system(Actor.system()) as system:
                tenant = await tenants.create(system, "acme")
            token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("owner",))
            headers = {"Authorization": f"Bearer {token}"}
            async with client(create_app(bellbird), "http://t/api/v1", headers=headers) as api:
                yield api, bellbird, collector, tenant


async def test_each_exchange_with_the_database_is_a_span_of_its_request(
    alone: tuple[httpx.AsyncClient, Bellbird, Collector, Tenant], clone: str
) -> None:
    api, bellbird, collector, tenant = alone
    made = await api.post("/contacts", json={"first_name": "Aroha", "emails": [{"address": "aroha@kiwi.co.nz"}]})
    assert made.status_code == 201
    run(clone, "alter table contacts rename column company to firm")
    assert (await api.post("/contacts", json={"first_name": "Ngata"})).status_code == 500
    await bellbird.close()
    servers = {span["id"]: span for span in collector.spans if span["kind"] == 2}
    assert [span["name"] for span in servers.values()] == ["POST /api/v1/contacts"] * 2
    assert all(span["bellbird.tenant_id"] == str(tenant.id) for span in servers.values())
    good, bad = servers.values()
    exchanges = [span for span in collector.spans if span["parent"] == good["id"]]
    assert len(exchanges) >= 2
    assert all(span["db.system.name"] == "postgresql" and span["db.operation.batch.size"] >= 2 for span in exchanges)
    failed = [span for span in collector.spans if span["parent"] == bad["id"] and span["status"] == 2]
    assert [span["error.type"] for span in failed] == ["42703"]
    for word in (b"Aroha", b"aroha", b"Ngata", b"insert into"):
        assert word not in collector.bytes


async def test_a_collector_that_is_away_disturbs_nobody() -> None:
    tracing = Tracing(f"http://127.0.0.1:{free_port()}", version="1.2.3")
    async with client(small_app(tracing=tracing)) as http:
        for _ in range(5):
            assert (await http.get("/plain")).status_code == 200
    started = time.monotonic()
    tracing.close()
    assert time.monotonic() - started < 10


def test_without_the_extra_the_setting_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", _not_installed)
    with pytest.raises(
        SettingsInvalid, match=r"BELLBIRD_OTLP_ENDPOINT: needs the extra `otel`: pip install 'bellbird-crm\[otel\]'"
    ):
        load(otlp_endpoint="http://collector:4318")


def _not_installed(name: str) -> None:
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://"])
def test_an_address_that_cannot_be_one_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsInvalid, match="must look like http://collector:4318"):
        load(otlp_endpoint=endpoint)


def test_without_the_setting_nothing_of_it_is_even_loaded(clone: str) -> None:
    program = (
        "import sys; from bellbird.app import Bellbird, create_app; from bellbird.core.settings import Settings\n"
        f"create_app(Bellbird(Settings(_env_file=None, database_url={clone!r}, secret={SECRET!r})))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
