"""`bellbird serve` and `bellbird demo`, as processes."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.command_line import SECRET, Run, cli, cli_settings  # noqa: F401 - fixtures
from tests.conftest import run
from tests.servers import ask, free_port, wait_for


@contextmanager
def running(folder: Path, clone: str, *words: str, **settings: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A `bellbird` process that serves on a port of its own; yields it and its address, once it answers."""
    port = free_port()
    env = {**os.environ, "BELLBIRD_DATABASE_URL": clone, "BELLBIRD_SECRET": SECRET, "BELLBIRD_PORT": str(port)}
    env |= {f"BELLBIRD_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "bellbird", *words],
        env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthz").status_code == 200
        return process.poll() is not None

    try:
        wait_for(answers, "the server's start")
        assert process.poll() is None, process.communicate()
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, clone: str) -> None:
    with running(tmp_path, clone, "serve", "--workers", "2") as (process, url):
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert f"Bellbird serves on {url}" in err
        assert "bellbird token --tenant SLUG" in err


def test_it_takes_as_many_connections_as_it_is_allowed(tmp_path: Path, clone: str) -> None:
    """A live stream is an open file, and by default a process may have 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(tmp_path, clone, "serve") as (process, _):
        now, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    allowed = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    assert now == max(soft, allowed)


def test_the_demo_serves_made_up_contacts_and_says_how_to_sign_in(tmp_path: Path, clone: str, cli: Run) -> None:
    with running(tmp_path, clone, "demo", "--contacts", "40") as (process, url):
        again = cli("demo", "--contacts", "40", "--port", url.rpartition(":")[2])
        assert f"Bellbird is already running on {url}" in again.out
        token = next(line for line in again.out.splitlines() if line.startswith("TOKEN=")).removeprefix("TOKEN=")
        client = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"})
        assert client.get("/contacts?total=true").json()["total"]["count"] == 40
        lookup = next(line for line in again.out.splitlines() if "/lookup" in line)
        assert client.get(lookup.partition("/api/v1")[2].rstrip('"')).json()["data"]
        client.close()
        sign_in = re.search(r"Sign in as (\S+) with the password (\S+)", again.out)
        assert sign_in
        for email, role in ((sign_in[1], "owner"), ("ava@demo.example", "agent")):
            credentials = {"email": email, "password": sign_in[2]}
            session = httpx.post(f"{url}/api/v1/auth/sign-in", json=credentials).json()
            headers = {"Authorization": f"Bearer {session['access_token']}"}
            assert httpx.get(f"{url}/api/v1/me", headers=headers).json()["role"] == role
            count = httpx.get(f"{url}/api/v1/contacts?total=true", headers=headers).json()["total"]["count"]
            assert count == 40 if role == "owner" else 0 < count < 40, "an agent sees the own contacts"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"Bellbird serves the demo on {url}" in out
    assert "40 made-up contacts were added to the tenant demo." in err


def test_a_port_in_use_is_named_before_anything_starts(cli: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"Port {port} of 127.0.0.1 is in use" in cli("serve", "--port", port, fails=1).err


def test_the_demo_says_the_way_out_of_a_port_in_use(cli: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        taken.listen()
        ran = cli("demo", "--port", port, fails=1)
    assert "BELLBIRD_PORT=8001 make demo" in ran.err
    assert "There is no tenant yet" in cli("tenants", "list").err


def test_an_address_of_another_machine_is_refused(cli: Run) -> None:
    assert "is not an address of this machine" in cli("serve", "--host", "192.0.2.1", fails=1).err


# How many of a database's backends wait for a lock.
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


@pytest.fixture
def token(cli: Run) -> str:
    """Signs in to the tenant acme of the test's own database."""
    cli("tenants", "create", "acme")
    return cli("token", "--tenant", "acme").out.strip()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_under_way_when_it_is_told_to_stop_is_finished_and_nothing_more_begun(
    tmp_path: Path, clone: str, token: str, workers: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with (
        running(tmp_path, clone, "serve", "--workers", workers) as (process, url),
        psycopg.connect(clone) as holder,
        ThreadPoolExecutor() as threads,
        httpx.Client(base_url=url) as idle,
    ):
        assert idle.get("/readyz").status_code == 200
        holder.execute("lock table contacts in access exclusive mode")
        write = {"json": {"first_name": "Ann"}, "headers": headers, "timeout": 20}
        asked = [threads.submit(httpx.post, f"{url}/api/v1/contacts", **write) for _ in range(3)]
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        wait_for(lambda: ask(clone, waiting) == [(3,)], "the writes' waiting")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: _refuses(url), "refusing whatever is new")
        with suppress(httpx.TransportError):  # it has hung up, or says that it is about to
            assert idle.get("/readyz").status_code == 503
        time.sleep(0.5)
        assert process.poll() is None, "it waits for what is under way"
        holder.rollback()
        assert [each.result(20).status_code for each in asked] == [201] * 3
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert "Traceback" not in err
    assert ask(clone, "select count(*) from contacts") == [(3,)]


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz")
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it came in the very moment
        return False
    return False


def test_while_it_stops_it_says_that_it_is_not_ready(tmp_path: Path, clone: str) -> None:
    """Between the signal and the end of listening there is a tenth of a second; a busy connection shows it."""
    with running(tmp_path, clone, "serve") as (process, url), httpx.Client(base_url=url) as busy:
        process.send_signal(signal.SIGTERM)
        said = []
        with suppress(httpx.TransportError):
            while True:
                answer = busy.get("/readyz")
                said.append((answer.status_code, answer.headers.get("connection")))
        process.communicate(timeout=20)
        assert process.returncode == 0
    if said:  # else the signal was faster than the first question
        assert said[-1] == (503, "close")


def test_a_request_that_outlasts_its_time_does_not_keep_it_from_stopping(
    tmp_path: Path, clone: str, token: str
) -> None:
    with (
        running(tmp_path, clone, "serve", request_timeout="1.5") as (process, url),
        psycopg.connect(clone) as holder,
        ThreadPoolExecutor() as threads,
    ):
        holder.execute("lock table contacts in access exclusive mode")
        headers = {"Authorization": f"Bearer {token}"}
        asked = threads.submit(httpx.get, f"{url}/api/v1/contacts", headers=headers, timeout=20)
        wait_for(lambda: ask(clone, WAITING) == [(1,)], "the read's waiting")
        process.send_signal(signal.SIGTERM)
        assert (asked.result(20).status_code, asked.result().json()["code"]) == (503, "timeout")
        process.communicate(timeout=20)
        assert process.returncode == 0


def counted(text: str, **labels: str) -> float:
    """How many requests were answered, by Prometheus's text."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "bellbird_http_requests_total" and labels.items() <= sample.labels.items()
    )


def test_the_numbers_of_all_workers_are_told_by_each(tmp_path: Path, clone: str) -> None:
    with running(tmp_path, clone, "serve", "--workers", "3", metrics_token="a secret of sixteen") as (process, url):
        scraper = {"Authorization": "Bearer a secret of sixteen"}
        assert httpx.get(f"{url}/metrics").status_code == 401
        for _ in range(30):  # each on a connection of its own, so that all workers have some
            assert httpx.get(f"{url}/openapi.json").status_code == 200
        told: list[float] = []

        def all_told() -> bool:
            told.append(counted(httpx.get(f"{url}/metrics", headers=scraper).text, route="/openapi.json"))
            return told[-1] == 30

        wait_for(all_told, "telling of all requests", seconds=10)
        for _ in range(10):
            all_told()
        assert told == sorted(told), "it never falls, whoever is asked"
        assert told[-1] == 30
        folders = _children_folder(process.pid)
        assert folders.exists()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert not folders.exists(), "nothing is left behind"


def _children_folder(pid: int) -> Path:
    """Where the workers of a server share their numbers, from their environment."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                environ = (stat.parent / "environ").read_bytes().split(b"\0")
                found = [each for each in environ if each.startswith(b"BELLBIRD_METRICS_DIR=")]
                if found:
                    return Path(found[0].decode().partition("=")[2])
    raise AssertionError("no worker was told of a folder")


def test_its_log_is_json_and_has_no_query_string_and_no_path(tmp_path: Path, clone: str, token: str) -> None:
    with running(tmp_path, clone, "serve", "--workers", "2", "--access-log") as (process, url):
        headers = {"Authorization": f"Bearer {token}", "X-Request-Id": "trace-7"}
        listed = httpx.get(f"{url}/api/v1/contacts?q=Aroha+Ngata", headers=headers)
        assert listed.status_code == 200
        httpx.get(f"{url}/api/v1/contacts/0192f0c0-0000-7000-8000-00000000a117", headers=headers)
        httpx.get(f"{url}/nowhere/aroha@kiwi.co.nz")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    for word in ("Aroha", "Ngata", "aroha", "00000000a117"):
        assert word not in err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["logger"] == "bellbird.access" and line["route"] != "/healthz"]
    assert sorted((line["route"] or "", line["status"]) for line in asked) == [
        ("", 404), ("/api/v1/contacts", 200), ("/api/v1/contacts/{id}", 404),
    ]  # fmt: skip
    (first,) = [line for line in asked if line["route"] == "/api/v1/contacts"]
    assert first["request_id"] == "trace-7"
    assert first["tenant_id"] and first["actor"].startswith("user:")
    assert not [line for line in lines if line["logger"] in ("uvicorn.access", "psycopg.pool")]


def test_its_log_is_quiet_unless_something_goes_wrong(tmp_path: Path, clone: str, token: str) -> None:
    with running(tmp_path, clone, "serve", log_format="json") as (process, url):
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/api/v1/contacts", headers=headers).status_code == 200
        run(clone, "alter table contacts rename column company to firm")
        failed = httpx.post(f"{url}/api/v1/contacts", json={"first_name": "Aroha"}, headers=headers)
        assert failed.status_code == 500
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert "Aroha" not in err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["logger"] for line in lines] == ["bellbird", "bellbird.access"], err
    assert {line["request_id"] for line in lines} == {failed.headers["x-request-id"]}


def test_who_asks_through_a_trusted_proxy_is_told_to_stay_with_https(tmp_path: Path, clone: str) -> None:
    forwarded = {"X-Forwarded-Proto": "https"}
    with running(tmp_path, clone, "serve") as (_, url):
        assert "strict-transport-security" in httpx.get(f"{url}/healthz", headers=forwarded).headers
        assert "strict-transport-security" not in httpx.get(f"{url}/healthz").headers
    with running(tmp_path, clone, "serve", trusted_proxies="10.0.0.0/8") as (_, url):
        assert "strict-transport-security" not in httpx.get(f"{url}/healthz", headers=forwarded).headers


@pytest.mark.parametrize("proxies", ["nonsense", "10.0.0.0/99", "127.0.0.1, proxy.internal"])
def test_a_proxy_that_is_no_address_is_refused(cli: Run, monkeypatch: pytest.MonkeyPatch, proxies: str) -> None:
    monkeypatch.setenv("BELLBIRD_TRUSTED_PROXIES", proxies)
    assert "BELLBIRD_TRUSTED_PROXIES: must be addresses or networks" in cli("serve", fails=1).err
