"""Settings: every mistake told at once, with what would be right; secrets never shown."""

import os
import threading
from pathlib import Path

import pytest

from bellbird.core.settings import Settings, SettingsInvalid, described, load, signing_secret

URL = "postgresql://bellbird:hunter2@db.internal/bellbird"
SECRET = "s" * 32


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a .env file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes() -> list[str]:
    with pytest.raises(SettingsInvalid) as refused:
        load()
    assert all(mistake in str(refused.value) for mistake in refused.value.mistakes)
    return refused.value.mistakes


def test_the_tests_run_without_the_developers_own_settings() -> None:
    assert [name for name in os.environ if name.startswith("BELLBIRD_")] == []


def test_without_any_the_defaults_hold() -> None:
    settings = load()
    assert (settings.database_url, settings.port, settings.pool_size) == (None, 8000, 10)


def test_the_environment_wins_over_the_file(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / ".env").write_text("BELLBIRD_PORT=1111\nBELLBIRD_HOST=0.0.0.0\nOTHER=1\n")
    monkeypatch.setenv("BELLBIRD_PORT", "2222")
    settings = load()
    assert (settings.port, settings.host) == (2222, "0.0.0.0")
    sources = {row.name: row.source for row in described(settings)}
    assert (sources["BELLBIRD_PORT"], sources["BELLBIRD_HOST"], sources["BELLBIRD_WORKERS"]) == (
        "environment", ".env", "default",
    )  # fmt: skip


def test_every_mistake_is_listed_with_what_would_be_right(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / ".env").write_text("BELLBIRD_POOLSIZE=5\n")
    for name, value in {
        "DATABASE_URL": "mysql://user:hunter2@db/x",
        "SECRET": "hunter2",
        "PORT": "70000",
        "WORKERS": "many",
        "LOG_LEVEL": "loud",
        "POOL_TIMEOUT": "0",
        "DATABSE_URL": "postgresql:///x",
        "XYZZY": "1",
    }.items():
        monkeypatch.setenv(f"BELLBIRD_{name}", value)
    found = {mistake.split()[0].rstrip(":"): mistake for mistake in mistakes()}
    assert set(found) == {
        f"BELLBIRD_{name}"
        for name in ("DATABASE_URL", "SECRET", "PORT", "WORKERS", "LOG_LEVEL", "POOL_TIMEOUT", "DATABSE_URL", "XYZZY",
                     "POOLSIZE")
    }  # fmt: skip
    assert "postgresql://user:password@host:5432/name" in found["BELLBIRD_DATABASE_URL"]
    assert "32 characters" in found["BELLBIRD_SECRET"]
    assert "70000" in found["BELLBIRD_PORT"]
    assert "'loud'" in found["BELLBIRD_LOG_LEVEL"]
    assert "did you mean BELLBIRD_DATABASE_URL?" in found["BELLBIRD_DATABSE_URL"]
    assert "did you mean BELLBIRD_POOL_SIZE?" in found["BELLBIRD_POOLSIZE"]
    assert "hunter2" not in "".join(found.values())


def test_an_own_database_needs_an_own_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", URL)
    assert mistakes() == [
        "BELLBIRD_SECRET is needed with BELLBIRD_DATABASE_URL, or every process would sign differently"
    ]
    monkeypatch.setenv("BELLBIRD_SECRET", SECRET)
    assert load().database_url is not None


def test_an_empty_database_url_means_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", "")
    assert load().database_url is None


def test_secrets_are_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", URL)
    monkeypatch.setenv("BELLBIRD_SECRET", SECRET)
    settings = load()
    shown = {row.name: row.value for row in described(settings)}
    assert shown["BELLBIRD_SECRET"] == shown["BELLBIRD_DATABASE_URL"] == "(hidden)"
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)
    assert all(row.description for row in described(settings))
    assert [row.name for row in described(settings)] == [f"BELLBIRD_{name.upper()}" for name in Settings.model_fields]


def test_settings_do_not_change_while_they_are_used() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


def test_a_secret_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = signing_secret(load(), folder)
    assert len(first) >= 48
    assert signing_secret(load(), folder) == first
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    for turn in range(20):
        found: list[str] = []
        folder = tmp_path / str(turn)
        start = threading.Barrier(4)

        def read(folder: Path = folder, start: threading.Barrier = start, found: list[str] = found) -> None:
            start.wait()
            found.append(signing_secret(Settings(), folder))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found[0]) >= 48
