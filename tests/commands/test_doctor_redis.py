"""`bellbird doctor` on a deployment with Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from bellbird.core import doctor
from tests.command_line import Run, cli, cli_settings  # noqa: F401 - fixtures
from tests.servers import Redis, free_port, redis_server


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Redis]:
    with redis_server(tmp_path) as made:
        yield made


def of_redis(run: Run, **options: Any) -> dict[str, str]:
    return next(each for each in run("doctor", "--json", **options).data["data"] if each["name"] == "redis")


def test_a_redis_that_answers_is_well(cli: Run, running: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_REDIS_URL", running.url)
    check = of_redis(cli)
    assert check["state"] == "ok"
    assert check["finding"].startswith("a question takes ")
    with redis.Redis.from_url(running.url) as client:
        assert client.keys() == [], "nothing of it stays"


def test_a_redis_that_is_away_fails_the_check_and_the_database_is_examined_all_the_same(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BELLBIRD_REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    ran = cli("doctor", fails=1)
    assert "cannot be reached" in ran.out
    assert "correct BELLBIRD_REDIS_URL" in ran.out
    assert "1 of 17 checks failed." in ran.err
    assert "hunter2" not in ran.out


def test_a_redis_that_cannot_be_written_to_fails_the_check(running: Redis) -> None:
    with redis.Redis.from_url(running.url) as client:
        client.config_set("maxmemory", 1)
    check = doctor.examine_redis(running.url)
    assert check.state == "failed"
    assert check.finding.startswith("cannot be used: ")


def test_a_redis_that_wants_a_password_fails_the_check(running: Redis) -> None:
    with redis.Redis.from_url(running.url) as client:
        client.config_set("requirepass", "hunter2")
    assert doctor.examine_redis(running.url).state == "failed"
    assert doctor.examine_redis(running.url.replace("//", "//:hunter2@")).state == "ok"


def test_a_redis_that_is_slow_is_warned_of(running: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT", 0.0)
    assert doctor.examine_redis(running.url).state == "warning"


def test_without_the_setting_nothing_is_said_of_it(cli: Run) -> None:
    assert "redis" not in {each["name"] for each in cli("doctor", "--json").data["data"]}
