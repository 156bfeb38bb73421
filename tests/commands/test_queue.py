"""The queue as its operator meets it: served with, counted, examined."""

import signal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bellbird.core import doctor
from tests.command_line import Run, cli, cli_settings  # noqa: F401 - fixtures
from tests.commands.test_serving import running
from tests.conftest import Server
from tests.servers import wait_for

JOBS = "select task_name, status::text from procrastinate.procrastinate_jobs where queue_name = 'default'"


def defer(connection: psycopg.Connection[Any], task: str) -> int:
    row = connection.execute(
        "select procrastinate.defer_job(null, %s, 'default', '{}', 0, null, null, null)", [task]
    ).fetchone()
    assert row
    return int(row[0])


def numbers(url: str) -> dict[tuple[str, str], float]:
    """What is told of the queue."""
    return {
        (sample.name.removeprefix("bellbird_queue_"), sample.labels.get("status", "")): sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
        for sample in family.samples
        if sample.name.startswith("bellbird_queue_")
    }


def test_the_server_does_jobs_itself_when_it_is_asked_to(tmp_path: Path, clone: str, cli: Run) -> None:
    with (
        psycopg.connect(clone, autocommit=True) as owner,
        running(tmp_path, clone, "serve", "--with-worker") as (process, url),
    ):
        job = defer(owner, "jobs.forget")
        status = "select status = 'succeeded' from procrastinate.procrastinate_jobs where id = %s"
        wait_for(lambda: owner.execute(status, [job]).fetchone() == (True,), "the job")
        told = numbers(url)
        assert told["workers", ""] == 1
        assert told["jobs", "failed"] == 0
        states = {each["name"]: each["state"] for each in cli("doctor", "--json").data["data"]}
        assert states["worker"] == states["queue"] == states["direct connection"] == "ok"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert owner.execute("select count(*) from procrastinate.procrastinate_workers").fetchone() == (0,)
        assert owner.execute("select count(*) from procrastinate.procrastinate_jobs where status = 'doing'"
                             ).fetchone() == (0,)  # fmt: skip


def test_without_a_worker_the_queue_is_counted_and_the_doctor_says_so(tmp_path: Path, clone: str, cli: Run) -> None:
    with psycopg.connect(clone, autocommit=True) as owner, running(tmp_path, clone, "serve") as (_, url):
        first = defer(owner, "a.b")
        defer(owner, "a.c")
        owner.execute("update procrastinate.procrastinate_events set at = at - interval '6 minutes' where job_id = %s",
                      [first])  # fmt: skip
        told = numbers(url)
        assert told["workers", ""] == 0
        assert told["jobs", "ready"] == 2
        assert 360 <= told["oldest_seconds", ""] < 420
        checks = {each["name"]: each for each in cli("doctor", "--json").data["data"]}
        assert "bellbird worker" in checks["worker"]["advice"]
        assert checks["queue"]["state"] == "warning"
        assert checks["queue"]["finding"].startswith("2 waiting, 0 for later, 0 being done, 0 failed; the first waits")


def test_a_worker_in_one_of_several_processes_is_refused(cli: Run) -> None:
    ran = cli("serve", "--workers", "2", "--with-worker", "--port", "65431", fails=1)
    assert "run `bellbird worker` beside" in ran.err


def test_a_worker_of_no_queue_is_refused(cli: Run) -> None:
    assert "--queues names no queue" in cli("worker", "--queues", " , ", fails=2).err


@pytest.mark.parametrize(
    ("name", "finding"), [("postgres", "it leads to another database"), (None, "cannot be opened")]
)
def test_the_doctor_tries_the_direct_connection(clone: str, server: Server, name: str | None, finding: str) -> None:
    direct = server.conninfo(name) if name else "postgresql://nobody@127.0.0.1:1/none"
    checks = doctor.examine(clone, embedded=False, connections=1, prepared_statements=True, direct=direct)
    (check,) = [each for each in checks if each.name == "direct connection"]
    assert check.state == "failed"
    assert finding in check.finding
    same = doctor.examine(clone, embedded=False, connections=1, prepared_statements=True, direct=clone)
    assert [each.state for each in same if each.name == "direct connection"] == ["ok"]


def test_jobs_are_listed_by_what_they_are(cli: Run, clone: str) -> None:
    cli("tenants", "create", "acme")
    tenant = cli("tenants", "show", "acme", "--json").data["id"]
    with psycopg.connect(clone, autocommit=True) as owner:
        defer(owner, "a.b")
        defer(owner, "a.c")
        owner.execute(
            "select procrastinate.defer_job(%s, 'a.d', 'slow', '{\"n\": 1}', 0, null, null, now() + interval '1 hour')",
            [tenant],
        )
    assert [each["task"] for each in cli("jobs", "list", "--json").data["data"]] == ["a.d", "a.c", "a.b"]
    assert [each["task"] for each in cli("jobs", "list", "--task", "a.b", "--json").data["data"]] == ["a.b"]
    (mine,) = cli("jobs", "list", "--tenant", "acme", "--status", "todo", "--json").data["data"]
    assert (mine["queue"], mine["tenant_id"], mine["args"]["n"]) == ("slow", tenant, 1)
    assert [each["task"] for each in cli("jobs", "list", "--queue", "slow", "--json").data["data"]] == ["a.d"]
    assert "There may be more: --limit 20" in cli("jobs", "list", "--limit", "2").err
    assert "There is no such job." in cli("jobs", "list", "--status", "failed").err
    assert "'lost' is not one of" in cli("jobs", "list", "--status", "lost", fails=2).err
    assert cli("jobs", "list", "--tenant", "nobody", fails=1).err
    several = [str(each["id"]) for each in cli("jobs", "list", "--json").data["data"]]
    assert "3 jobs are called off." in cli("jobs", "cancel", *several).err
    assert "Only jobs that wait or run" in cli("jobs", "cancel", several[0], fails=1).err
    assert cli("jobs", "retry", *several, "--json").data == {"retried": [int(each) for each in several]}
