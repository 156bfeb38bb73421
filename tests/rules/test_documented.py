"""Settings, error codes, events, permissions and commands: each is documented, and the docs name no other."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import click
import pytest

from bellbird.core.actors import PERMISSIONS
from bellbird.core.errors import FAULTS
from bellbird.core.settings import PREFIX, Settings
from bellbird.core.tenants import TenantSettings
from bellbird.entrypoints import refusals
from docs.generate import errors_page, import_everything
from tests.rules.test_source import TREES

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


def rows(path: Path, heading: str = "") -> dict[str, list[str]]:
    """The rows of the tables under a heading, by the code in their first cell."""
    text = path.read_text(encoding="utf-8")
    if heading:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"\| `([^`]+)` \|(.*)\|", line):
            assert match[1] not in found, f"{match[1]} is there twice"
            found[match[1]] = [cell.strip() for cell in match[2].split("|")]
    return found


def test_every_setting_is_documented_and_no_other() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"\| `({PREFIX}[A-Z_]+)` \|", text)) == settings, "in the table"
    assert set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", text)) == settings, "anywhere"


def test_every_setting_of_a_tenant_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for name in TenantSettings.__dataclass_fields__:
        assert f"`{name}" in text, name


def test_no_page_names_a_setting_that_there_is_not() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
        assert named <= settings, page.name


def test_the_page_of_errors_is_what_the_code_says() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    assert errors_page(page) == page, "run `make docs`"


def test_every_error_has_a_code_of_its_own_and_says_what_it_means() -> None:
    import_everything()
    classes = list(refusals.every())
    codes = {each.code for each in classes}
    assert {"contact_not_found", "method_not_allowed", "schema_out_of_date"} <= codes
    assert len(codes) == len(classes), "a code stands for one class"
    for each in classes:
        said = (each.__doc__ or "").split("\n\n")
        assert all(paragraph.strip().endswith(".") for paragraph in said), (
            f"{each.__name__}: its docstring is its title"
        )
        assert HTTPStatus(each.status)


def fault_codes() -> set[str]:
    """What a Fault's `code` can be: the strings given to whatever makes one."""
    found = set()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                given: list[ast.expr] = [word.value for word in node.keywords if word.arg == "code"]
                if name in ("Fault", "fault", "InvalidPhone", "InvalidEmail", "InvalidPassword", "InvalidText"):
                    given += node.args
                found |= {
                    each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
            elif isinstance(node, ast.Assign) and "code" in ast.unparse(node.targets[0]):
                found |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)
                          and isinstance(each.value, str)}  # fmt: skip
            elif isinstance(node, ast.arg | ast.arguments):
                for default in getattr(node, "defaults", []) + getattr(node, "kw_defaults", []):
                    if isinstance(default, ast.Constant) and isinstance(default.value, str):
                        found.add(default.value)
    # A tenant's setting is named where its fault is noted.
    return {code for code in found if re.fullmatch(r"[a-z]+(_[a-z]+)+", code)} - set(
        TenantSettings.__dataclass_fields__
    )


def test_every_code_of_a_fault_is_documented_and_no_other() -> None:
    import_everything()
    assert set(FAULTS) == fault_codes() - {each.code for each in refusals.every()}
    assert set(rows(REFERENCE / "errors.md", "Faults")) == set(FAULTS)
    for code, sentence in FAULTS.items():
        assert sentence.endswith("."), code


def words_given_to(*functions: str) -> set[str]:
    """The types of events among what is given to these functions."""
    return {
        word.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in functions
        for word in node.args
        if isinstance(word, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(word.value))
    }


def test_every_event_is_documented_and_no_other() -> None:
    kinds = words_given_to("recorded")
    assert {"contact.created", "tenant.resumed"} <= kinds
    assert words_given_to("Event", "_event") <= kinds, "each feature says what it records: topics.recorded(...)"
    assert words_given_to("of_log") <= kinds, "a timeline has events that there are"
    documented = rows(REFERENCE / "events.md")
    assert set(documented) == kinds
    for kind, (sentence, *_rest) in documented.items():
        assert sentence.endswith("."), kind


def test_every_permission_is_documented_and_no_other() -> None:
    documented = rows(REFERENCE / "permissions.md")
    assert set(documented) == PERMISSIONS
    required = {
        node.args[0].value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "require"
        and node.args and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip
    assert required == PERMISSIONS, "each is asked for somewhere, and none is asked for that there is not"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found
            yield from commands(found, f"{name} {each}")
    else:
        yield name, command


def test_every_command_is_documented_and_no_other() -> None:
    cli = pytest.importorskip("bellbird.cli")
    known = dict(commands(cli.bellbird, "bellbird"))
    assert "bellbird serve" in known
    documented = rows(REFERENCE / "cli.md")
    assert set(documented) == set(known)
    for name, command in known.items():
        assert documented[name][0].endswith("."), name
        assert (command.help or "").strip(), f"{name} --help tells nothing"
