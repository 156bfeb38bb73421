"""The cases of the guide: each row of its table is asked, and answered as it says."""

from datetime import timedelta

import pytest

from bellbird.features.dialling.judging import judge
from tests.features.dialling.cases import Case, table

CASES = table()


def test_there_are_enough() -> None:
    assert len(CASES) >= 60
    assert [int(case.name.partition(":")[0]) for case in CASES] == list(range(1, len(CASES) + 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_answered_as_the_guide_says(case: Case) -> None:
    verdict = judge(case.facts, case.at)
    assert tuple(reason.code for reason in verdict.reasons) == case.expected
    assert verdict.next_permitted_at == case.upcoming
    assert verdict.allowed is (not case.expected)
    assert all(reason.message in verdict.explanation for reason in verdict.reasons)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expected and case.upcoming], ids=lambda case: case.name
)
def test_the_next_permitted_moment_is_the_first(case: Case) -> None:
    assert case.upcoming is not None
    assert judge(case.facts, case.upcoming).allowed
    assert not judge(case.facts, case.upcoming - timedelta(seconds=1)).allowed
