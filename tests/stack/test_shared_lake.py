"""The shared lake: the same numbers as the local one, read and written by others."""

import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from exp_platform.lake import open_lake
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

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


@pytest.mark.parametrize("table", TABLES)
def test_trino_reads_every_table(shared, ran, trino_rows, table):
    counted = trino_rows(f"select count(*) from {table} where experiment_id = '{ran}'")
    assert counted == [(len(rows_of(shared.settings(), table, ran)),)]


@pytest.mark.parametrize("table", TABLES)
def test_spark_reads_every_table(shared, ran, spark, table):
    found = spark.table(f"iceberg.exp.{table}").where(f"experiment_id = '{ran}'")
    assert found.count() == len(rows_of(shared.settings(), table, ran))


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


@pytest.mark.parametrize("writer", ["trino", "spark"])
def test_rows_of_another_engine_are_read_and_replaced(
    shared, ran, spark, trino_rows, writer
):
    """The run ledger is append-only, so a strange row in it must stay visible."""
    name = shared.names[1]
    settings = shared.settings()
    run_end_to_end(settings, name, RunOptions(generate_synth=True))
    before = rows_of(settings, "outcomes", name)
    statement = (
        "delete from iceberg.exp.outcomes"
        f" where experiment_id = '{name}' and metric_name = 'revenue'"
    )
    if writer == "trino":
        trino_rows(statement)
    else:
        spark.sql(statement)
    left = rows_of(settings, "outcomes", name)
    assert 0 < len(left) < len(before)
    assert not any("'revenue'" in row for row in left)
    assert rows_of(settings, "outcomes", ran) == rows_of(
        shared.settings("local"), "outcomes", ran
    )
    run_end_to_end(settings, name)
    assert rows_of(settings, "outcomes", name) == before


def run_again(config, name):
    from exp_platform.config import load_settings

    run_end_to_end(load_settings(config), name, RunOptions(generate_synth=True))
    return name


def test_two_writers_at_once_lose_nothing(shared, ran):
    config = str(shared.root / "configs" / "stack.yaml")
    names = shared.names[2:4]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run_again, config, name) for name in names * 3]
        assert [job.result(300) for job in jobs] == [*names * 3]
    settings = shared.settings()
    lake = open_lake(settings)
    runs = lake.read("analysis_runs").to_pylist()
    lake.close()
    for name in names:
        assert sum(run["experiment_id"] == name for run in runs) == 3
        assert len(rows_of(settings, "decisions", name)) > 0
    assert rows_of(settings, "outcomes", ran) == rows_of(
        shared.settings("local"), "outcomes", ran
    )
