"""The shared lake holds the same numbers as the local one, and sums alike everywhere."""

import math

import pytest

from exp_platform.lake import open_lake

TABLES = [
    "exposures",
    "outcomes",
    "experiment_registry",
    "metric_aggregates_overall",
    "metric_aggregates_daily",
    "metric_aggregates_by_age",
    "analysis_results",
    "check_results",
    "decisions",
    "analysis_runs",
]
VOLATILE = {"run_id", "computed_at", "snapshots", "inputs", "config_hash", "row_number"}


def rows_of(settings, table, experiment_id):
    lake = open_lake(settings)
    try:
        rows = lake.read(table, experiment_id).to_pylist()
    finally:
        lake.close()
    return sorted(
        repr({k: v for k, v in row.items() if k not in VOLATILE}) for row in rows
    )


@pytest.mark.parametrize("table", TABLES)
def test_shared_lake_holds_what_the_local_one_holds(shared, ran, table):
    stack, local = (rows_of(shared.settings(n), table, ran) for n in ("stack", "local"))
    assert len(stack) > 0
    assert stack == local


def test_memo_is_the_same_but_for_run_facts(shared, ran):
    texts = [
        (shared.settings(n).paths.memos / f"{ran}.md").read_text("utf-8")
        for n in ("stack", "local")
    ]
    stack, local = (text.split("\n## 7")[0] for text in texts)
    assert stack == local


def test_engines_sum_the_outcomes_alike(shared, ran, spark, trino_rows):
    sql = (
        "select metric_name, count(*), sum(value) from {table}"
        f" where experiment_id = '{ran}' group by metric_name order by metric_name"
    )
    lake = open_lake(shared.settings())
    with lake.engine() as engine:
        lake.attach(engine, "outcomes", experiment_id=ran)
        own = engine.rows(sql.format(table="exp.outcomes"))
    lake.close()
    others = {
        "trino": trino_rows(sql.format(table="outcomes")),
        "spark": [
            tuple(r)
            for r in spark.sql(sql.format(table="iceberg.exp.outcomes")).collect()
        ],
    }
    for rows in others.values():
        assert [row[:2] for row in rows] == [row[:2] for row in own]
        for theirs, ours in zip(rows, own, strict=True):
            # the same doubles in another order
            assert math.isclose(theirs[2], ours[2], rel_tol=1e-12)
