"""The `bellbird` command as a person runs it, in this process and on a database of the test's own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from bellbird.cli import bellbird

SECRET = "only-for-tests-" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def cli_settings(clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a deployment with a database of this test's own."""
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", clone)
    monkeypatch.setenv("BELLBIRD_SECRET", SECRET)


@pytest.fixture
def cli(cli_settings: None) -> Run:
    """`cli("tenants", "list")` runs a command; one that should succeed, unless `fails` says with which code not."""
    runner = CliRunner()

    def run(*words: str, fails: int = 0, **options: Any) -> Ran:
        result = runner.invoke(bellbird, [str(word) for word in words], prog_name="bellbird", **options)
        assert "Traceback" not in result.stderr
        assert result.exit_code == fails, (result.stdout, result.stderr, result.exception)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def acme(cli: Run) -> Run:
    """The same, with one tenant, acme, which refuses duplicates."""
    cli("tenants", "create", "acme", "--set", "duplicate_policy=reject")
    return cli
