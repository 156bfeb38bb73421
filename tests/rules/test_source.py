"""What the source itself must keep to: read as a syntax tree, not run."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import bellbird
from bellbird.core import errors
from bellbird.features import FEATURES

SOURCE = Path(bellbird.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

MAX_FILE = 500
MAX_FUNCTION = 60

# Who may work across tenants: core, composition, the tenants themselves, the operator's own commands, and signing in,
# which begins before it is known what tenant somebody belongs to.
MAY_CALL_SYSTEM = re.compile(
    r"core/|app\.py|features/tenants/|features/(sessions|audit)/actions\.py|features/\w+/(cli|jobs)\.py|cli\.py|commands/|demo/"
)

TENANT_TABLES = re.compile(
    r"\b(contacts|events|tenant_contacts|memberships|roles|teams|api_keys|sessions|refresh_tokens)\b"
)
STATEMENT = re.compile(r"\s*(select\b.*\bfrom|insert into|update|delete from)\s", re.IGNORECASE | re.DOTALL)


def test_the_source_was_found() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("name", TREES)
def test_no_file_and_no_function_is_too_long(name: str) -> None:
    assert len((SOURCE / name).read_text(encoding="utf-8").splitlines()) <= MAX_FILE
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{node.name} has {length} lines"


def callers_of_system(tree: ast.AST) -> Iterator[int]:
    """The lines of calls to `.system(...)`, an actor's own constructor left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "system":
            of = node.func.value
            if isinstance(of, ast.Name) and of.id in ("Actor", "platform", "os"):
                continue
            yield node.lineno


def test_only_the_operators_side_works_across_tenants() -> None:
    found = {name: list(callers_of_system(tree)) for name, tree in TREES.items()}
    found = {name: lines for name, lines in found.items() if lines}
    assert "app.py" in found, "the check finds those that there are"
    assert [name for name in found if not MAY_CALL_SYSTEM.match(name)] == []


@pytest.mark.parametrize("call", ["engine.system(actor)", "self.engine.system(x)", "bellbird.system(x)"])
def test_a_new_caller_of_system_would_be_seen(call: str) -> None:
    assert list(callers_of_system(ast.parse(f"async def f():\n    async with {call} as tx: pass"))) == [2]
    for name in ("features/contacts/actions.py", "features/users/actions.py", "features/sessions/rest.py"):
        assert not MAY_CALL_SYSTEM.match(name)


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string in the source that is no docstring; of f-strings the fixed parts, `{}` for the rest."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.value


def offences(text: str) -> list[str]:
    """What SQL may not do here (decisions 4 and 6)."""
    found = []
    if "set_config" in text:
        found.append("set_config: a planner may skip it")
    if re.search(r"\bwith\b[^;]*\bas\s*\(\s*(insert|update|delete)\b", text, re.IGNORECASE):
        found.append("a CTE that changes data")
    if re.search(r"\bset\s+(session\s+)?app\.tenant_id", text, re.IGNORECASE):
        found.append("the tenant set for the session")
    return found


@pytest.mark.parametrize("name", TREES)
def test_no_statement_uses_what_is_not_portable_or_safe(name: str) -> None:
    for text in texts(TREES[name]):
        assert offences(text) == [], text


@pytest.mark.parametrize(
    "statement",
    [
        "select set_config('app.tenant_id', $1, true)",
        "with gone as (delete from contacts returning id) select 1",
        "WITH a AS (SELECT 1), b AS (\n  INSERT INTO events VALUES (1)) SELECT 1",
        "set app.tenant_id = 'x'",
        "set session app.tenant_id = 'x'",
    ],
)
def test_what_is_forbidden_would_be_seen(statement: str) -> None:
    (text,) = texts(ast.parse(f"X = {statement!r}"))
    assert offences(text)


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages([str(SOURCE)], "bellbird."):
        if not re.search(r"__main__|\.migrations", found.name):
            yield importlib.import_module(found.name)


def statements() -> Iterator[tuple[str, str]]:
    """Every SQL constant of every module, as it is sent."""
    for module in modules():
        for name, value in vars(module).items():
            values = value.values() if isinstance(value, dict) else [value]
            for text in values:
                if isinstance(text, str) and STATEMENT.match(text) and not name.startswith("__"):
                    yield f"{module.__name__}.{name}", text


def test_calls_are_written_in_one_place() -> None:
    """There a correction of what statistics may have counted leaves its note (calls/rows.py)."""
    writes = re.compile(r"\b(insert into|update|delete from) calls\b")
    found = {name for name in TREES if writes.search((SOURCE / name).read_text(encoding="utf-8"))}
    assert found == {"features/calls/rows.py", "core/erasing.py"}, "the latter in its docstring"


def test_every_statement_on_a_tenants_table_names_the_tenant() -> None:
    found = dict(statements())
    assert {"bellbird.features.contacts.queries.GET", "bellbird.core.events.APPEND"} <= set(found)
    missing = [
        name
        for name, text in found.items()
        # FORGET and the statements that read the catalogue are about tables, not of them.
        if TENANT_TABLES.search(text) and "tenant_id" not in text and "forget_contact" not in text
    ]
    assert missing == []


def packages_with_all() -> list[str]:
    return [
        name for name, tree in TREES.items()
        if name.endswith("__init__.py") and any(
            isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__" for node in tree.body
        )
    ]  # fmt: skip


@pytest.mark.parametrize("name", packages_with_all())
def test_all_names_everything_that_a_package_opens(name: str) -> None:
    module = importlib.import_module(("bellbird." + name.removesuffix("__init__.py").replace("/", ".")).strip("."))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bellbird")
        for alias in node.names
    }
    assert set(module.__all__) == imported
    assert list(module.__all__) == sorted(module.__all__)
    for each in module.__all__:
        assert getattr(module, each) is not None


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_opens_every_verb_and_shape_of_it(feature: str) -> None:
    package = importlib.import_module(f"bellbird.features.{feature}")
    public: set[str] = set()
    for part in ("models", "queries", "actions"):
        name = f"bellbird.features.{feature}.{part}"
        if importlib.util.find_spec(name) is None:
            continue  # not every feature has something to write, or a shape of its own
        module = importlib.import_module(name)
        public |= {
            each
            for each, thing in vars(module).items()
            if not each.startswith("_") and getattr(thing, "__module__", "") == module.__name__
            and (inspect.isclass(thing) or inspect.isfunction(thing))
        }  # fmt: skip
    assert public - set(package.__all__) == set()


def test_the_library_opens_every_error_of_core_and_every_feature() -> None:
    defined = {
        name for name, thing in vars(errors).items() if inspect.isclass(thing) and thing.__module__ == errors.__name__
    }
    assert defined <= set(bellbird.__all__)
    assert set(FEATURES) <= set(bellbird.__all__)


def test_the_names_of_the_library_lead_where_they_say() -> None:
    homes: dict[str, Any] = bellbird._HOME
    assert sorted(name for names in homes.values() for name in names) == sorted(bellbird.__all__)
    assert set(dir(bellbird)) >= set(bellbird.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        bellbird.nonsense
