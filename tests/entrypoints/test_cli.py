"""The command line as a whole: quick, honest about mistakes, and never a traceback."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bellbird.cli import bellbird, modules
from bellbird.core.errors import Fault, InvalidInput
from bellbird.entrypoints import cli as entry
from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

HEAVY = (
    "pydantic",
    "psycopg",
    "litestar",
    "rich",
    "phonenumbers",
    "email_validator",
    "msgspec",
    "uvicorn",
    "sqlalchemy",
)


def all_commands(
    group: click.Group = bellbird, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))


def test_help_imports_nothing_heavy_and_answers_at_once() -> None:
    asked = (
        "import sys; from bellbird.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", asked, "--help"], capture_output=True, text=True, check=True)
    assert time.monotonic() - began < 1  # 0.15 on an idle machine
    assert ran.stderr == "[]\n"
    assert re.search("contacts +Add, find, list", ran.stdout)


def test_every_command_has_a_line_of_help_and_an_example() -> None:
    for path, command in all_commands():
        assert command.get_short_help_str(), path
        assert "Example: bellbird " in (command.help or "") or "Example: " in (command.help or ""), path


def test_a_command_is_summed_up_by_the_first_line_of_its_module() -> None:
    for module in modules().values():
        assert entry.summary(module).endswith("."), module


def test_python_m_bellbird_is_the_same() -> None:
    ran = subprocess.run([sys.executable, "-m", "bellbird", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("bellbird, version ")


def test_an_unknown_command_is_answered_with_those_there_are() -> None:
    result = CliRunner().invoke(bellbird, ["tenantz"])
    assert result.exit_code == 2
    assert "There is no command 'tenantz'; there are demo, serve" in result.stderr


def test_unknown_settings_are_named_all_at_once(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_PORTT", "1")
    monkeypatch.setenv("BELLBIRD_WORKERS", "many")
    ran = cli("tenants", "list", fails=1)
    assert "BELLBIRD_PORTT is not a setting; did you mean BELLBIRD_PORT?" in ran.err
    assert "BELLBIRD_WORKERS" in ran.err
    assert ran.out == ""


def test_a_database_that_is_away_is_a_sentence(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/bellbird")
    ran = cli("tenants", "list", fails=1)
    assert ran.err.startswith("Error: The database cannot be reached.")
    assert "hunter2" not in ran.err


def failing(error: BaseException) -> click.Group:
    group = entry.Group(name="bellbird", modules={})

    @click.pass_context
    def fail(context: click.Context) -> None:
        raise error

    group.modules = {"fail": "-"}
    group.get_command = lambda context, name: click.Command("fail", callback=fail)  # type: ignore[method-assign]
    return group


def test_each_fault_has_a_line_of_its_own() -> None:
    faults = [Fault("x", "is wrong", pointer="/phones/0/number"), Fault("x", "is bad", parameter="limit")]
    result = CliRunner().invoke(failing(InvalidInput(faults=faults)), ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "Error: This cannot be accepted:\n  phones.0.number: is wrong\n  limit: is bad\n"


def test_two_faults_of_one_field_are_both_told() -> None:
    faults = [Fault("x", "is wrong", pointer="/a"), Fault("x", "is bad", pointer="/a")]
    result = CliRunner().invoke(failing(InvalidInput(faults=faults)), ["fail"])
    assert "a: is wrong; is bad" in result.stderr


def test_a_fault_of_ours_is_a_sentence_too() -> None:
    result = CliRunner().invoke(failing(RuntimeError("what?")), ["fail"])
    assert result.exit_code == 1
    assert "RuntimeError: what?" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(cli: Run) -> None:
    result = CliRunner().invoke(bellbird, ["--debug", "tenants", "show", "nobody"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_ends_with_130() -> None:
    result = CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130
    assert "Stopped." in result.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    shell = f"'{sys.executable}' -m bellbird settings | true"
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert ran.stderr == ""


def test_tables_are_plain_where_nobody_watches(acme: Run) -> None:
    ran = acme("tenants", "list")
    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[1].startswith("acme  acme  active  AU      Australia/Sydney")
