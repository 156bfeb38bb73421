"""The filter language's form: what a query string means in JSON, and parameters renumbered as they are used."""

from typing import Any

import pytest

from bellbird.core import filters
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params


@pytest.mark.parametrize(
    ("given", "nested"),
    [
        ({"filter[a]": ["1"]}, {"a": {"eq": "1"}}),
        ({"filter[a][gte]": ["1"], "filter[a][lt]": ["2"]}, {"a": {"gte": "1", "lt": "2"}}),
        ({"filter[a][in]": ["1,2"], "filter[b]": [""]}, {"a": {"in": ["1", "2"]}, "b": {"eq": ""}}),
        ({}, {}),
    ],
)
def test_parameters_of_a_query_string_nest(given: dict[str, list[str]], nested: dict[str, Any]) -> None:
    assert filters.nest(given) == nested


@pytest.mark.parametrize("name", ["filter[]", "filter[a", "filter[a][]", "filter[a][b][c]", "filtera]"])
def test_another_form_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        filters.nest({name: ["1"]})
    assert refused.value.faults[0].parameter == name


def test_only_the_parameters_that_are_used_are_sent_and_in_order() -> None:
    params = Params("a", "b")
    assert [params.add(value) for value in "cdefghijk"] == [f"${n}" for n in range(3, 12)]
    sql, values = params.used_in("x = $3 and y = $11 and z = $3 and w = $1")
    assert sql == "x = $2 and y = $3 and z = $2 and w = $1"
    assert values == ["a", "c", "k"]


def test_values_never_become_sql() -> None:
    fields = {"name": {"eq": filters.by("name = {}", str)}}
    params = Params()
    condition = filters.parse({"name": "x'; drop table contacts; --"}, fields)
    assert condition
    assert filters.compile(condition, params) == "name = $1"
    assert params.values == ["x'; drop table contacts; --"]
