"""A test that lacks a program is skipped with the reason on a developer's machine, and fails in CI."""

import pytest

from tests.servers import missing


def test_a_missing_program_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PgBouncer is not installed"):
        missing("PgBouncer")


def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must not skip"):
        missing("PgBouncer")
