"""What is logged beside a message is shown: a field that the formatter does not know would be left out."""

import ast
from collections.abc import Iterator
from pathlib import Path

from bellbird.core import logs

SOURCE = Path(logs.__file__).parents[1]


def given(tree: ast.AST) -> Iterator[str]:
    """The fields of each `extra={...}`, also where they were put together before the call."""
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Dict)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extra":
            value = named.get(node.value.id) if isinstance(node.value, ast.Name) else node.value
            if isinstance(value, ast.Dict):
                yield from (key.value for key in value.keys if isinstance(key, ast.Constant))


def test_every_field_that_is_logged_is_known() -> None:
    found = {name for file in SOURCE.rglob("*.py") for name in given(ast.parse(file.read_text()))}
    assert {"consumer", "hash", "hook", "job", "operation"} <= found
    assert found - set(logs.FIELDS) == set()
