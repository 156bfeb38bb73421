"""The scripts that pgbench runs, and what is understood of its answer."""

from datetime import UTC, datetime, timedelta

import pytest

from bellbird.core import ids
from benchmarks import bound
from benchmarks.recording import Recording, Statement
from benchmarks.report import BenchmarkFailed

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
TENANT = str(ids.uuid7(NOW - timedelta(days=1)))

READ = Recording(
    (
        (
            Statement("begin read only", ()),
            Statement(
                "\nselect id\nfrom t\nwhere tenant_id = $1 and tags @> $2::text[] and $1 <> name\n", (TENANT, "{}")
            ),
            Statement("commit", ()),
        ),
    ),
    NOW,
)

SAID = """\
transaction type: multiple scripts
number of transactions actually processed: 29821
number of failed transactions: 0 (0.000%)
latency average = 0.268 ms
tps = 29829.113 (without initial connection time)
"""


def test_an_exchange_is_a_pipeline_and_a_parameter_a_variable() -> None:
    variables = bound.Variables()

    script = bound.script(READ, variables)

    assert script == (
        "\\startpipeline\n"
        "begin read only;\n"
        "select id\nfrom t\nwhere tenant_id = :v0 and tags @> :v1::text[] and :v0 <> name;\n"
        "commit;\n"
        "\\endpipeline\n"
    )
    assert variables.options() == ["-D", f"v0={TENANT}", "-D", "v1={}"]


def test_each_round_trip_is_a_pipeline_of_its_own() -> None:
    script = bound.script(Recording((READ.exchanges[0], READ.exchanges[0]), NOW), bound.Variables())

    assert script.count("\\startpipeline") == script.count("\\endpipeline") == 2


def test_a_row_that_was_inserted_gets_another_id_each_time() -> None:
    made = str(ids.uuid7(NOW))
    insert = Statement("insert into t values ($1, $2, $3)", (TENANT, made, None))
    variables = bound.Variables()

    script = bound.script(Recording(((insert,),), NOW), variables)

    assert "insert into t values (:v0, uuidv7(), null);" in script
    assert len(variables.options()) == 2


def test_values_stay_out_of_the_script() -> None:
    awkward = 'O\'Brien; \\! :v0 $1 {"a": 1}'
    variables = bound.Variables()

    script = bound.script(Recording(((Statement("select $1", (awkward,)),),), NOW), variables)

    assert "select :v0;" in script
    assert variables.options() == ["-D", f"v0={awkward}"]


def test_what_pgbench_measured_is_read() -> None:
    assert bound.read(SAID) == bound.Bound(tps=29829.113, transactions=29821)


@pytest.mark.parametrize(
    "output", ["", SAID.replace("transactions: 0", "transactions: 3"), SAID.replace("processed: 29821", "processed: 0")]
)
def test_a_bound_that_was_not_reached_is_no_figure(output: str) -> None:
    with pytest.raises(BenchmarkFailed):
        bound.read(output)


def test_a_recording_counts_what_was_sent() -> None:
    assert READ.statements == 3
    assert not READ.made_here(TENANT)
    assert not READ.made_here("Ann")
    assert not READ.made_here(None)
