"""`bellbird serve` and `bellbird demo`, as processes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.command_line import SECRET, Run, cli, cli_settings  # noqa: F401 - fixtures
from tests.servers import free_port, wait_for


@contextmanager
def running(folder: Path, clone: str, *words: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A `bellbird` process that serves on a port of its own; yields it and its address, once it answers."""
    port = free_port()
    env = {**os.environ, "BELLBIRD_DATABASE_URL": clone, "BELLBIRD_SECRET": SECRET, "BELLBIRD_PORT": str(port)}
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
