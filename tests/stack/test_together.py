"""Engines that write at once lose nothing, and one that dies leaves the last whole run."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from exp_platform.config import load_settings
from exp_platform.lake import open_lake
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

COMMITS = 10
INSERT = (
    "insert into iceberg.exp.outcomes"
    " (experiment_id, user_id, metric_name, value, outcome_ts)"
    " values ('{name}', 'u{number}', 'revenue', cast({number} as double), {instant})"
)
JOB = (sys.executable, "-W", "ignore", "-m", "exp_platform.pipelines.run_end_to_end")


def rows_of(settings, table, name):
    with open_lake(settings) as lake:
        return lake.read(table, name).to_pylist()


def run_often(config, name, times):
    for _ in range(times):
        run_end_to_end(load_settings(config), name, RunOptions(generate_synth=True))


def test_engines_that_write_at_once_lose_nothing(shared, ran, spark, trino_rows):
    """Ten runs on DuckDB, two with Trino's metrics, ten inserts each by Spark and Trino.

    All of them change the table `outcomes`; Spark and Trino know nothing of our locks.
    """
    own, other = shared.names[1:3]
    by_spark, by_trino = f"{ran}_spark", f"{ran}_trino"
    jobs = {
        own: (str(shared.root / "configs" / "stack.yaml"), COMMITS),
        other: (str(shared.computing(metrics="trino")), 2),
    }
    instant = "timestamp '2026-01-06 10:00:00{zone}'"
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as runs,
        ThreadPoolExecutor(2) as statements,
    ):
        running = [
            runs.submit(run_often, config, name, times)
            for name, (config, times) in jobs.items()
        ]
        for name, ask, zone in (
            (by_spark, spark.sql, ""),
            (by_trino, trino_rows, " UTC"),
        ):
            texts = [
                INSERT.format(name=name, number=n, instant=instant.format(zone=zone))
                for n in range(COMMITS)
            ]
            running += [statements.submit(partial(list, map(ask, texts)))]
        for job in running:
            job.result(500)
    settings = shared.settings()
    for name in (by_spark, by_trino):
        values = [row["value"] for row in rows_of(settings, "outcomes", name)]
        assert sorted(values) == [float(n) for n in range(COMMITS)]
    for name, (_, times) in jobs.items():
        ledger = rows_of(settings, "analysis_runs", name)
        assert len({row["run_id"] for row in ledger}) == len(ledger) == times
        assert len({row["digest"] for row in ledger}) == 1
        last = max(ledger, key=lambda row: row["computed_at"])["run_id"]
        seen = {row["run_id"] for row in rows_of(settings, "analysis_results", name)}
        assert seen == {last}
        run_end_to_end(shared.settings("local"), name, RunOptions(generate_synth=True))
        alone = rows_of(shared.settings("local"), "outcomes", name)
        key = lambda row: sorted(map(repr, row.items()))  # noqa: E731
        mine = rows_of(settings, "outcomes", name)
        assert sorted(map(key, mine)) == sorted(map(key, alone))


def java_of(process):
    """The Java that a process started, once its first rows have come there."""
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for pid in tasks.read_text("utf-8").split():
            if b"java" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def wait_for(process, is_there):
    deadline = time.monotonic() + 120
    while not is_there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("stage", "sign"),
    [
        # the rows have come, models are about to be computed
        ("metrics", "*-spark/exp.outcomes.parquet"),
        # exposures are judged, outcomes about to be
        ("ingest", "*-ingest/exposures/_SUCCESS"),
    ],
)
def test_killed_spark_leaves_the_last_whole_run(shared, ran, stage, sign):
    """kill -9 of its Java in the middle of a stage: a clear error, no table changed."""
    settings = shared.settings()
    config = shared.computing(**{stage: "spark"})
    before = shared.files()
    words = [*JOB, "--config", str(config), "--experiment-id", ran]
    temp = settings.paths.temp
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True) as process:
        java = java_of(process)
        wait_for(process, lambda: any(temp.glob(sign)))
        time.sleep(1 if stage == "metrics" else 0)
        os.kill(java, signal.SIGKILL)
        began = time.monotonic()
        _, told = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 4, told
    assert "error: Spark's Java has ended" in told
    assert "Traceback" not in told
    assert not [*temp.glob("*-spark"), *temp.glob("*-ingest")]
    assert shared.files() == before
    rows = rows_of(settings, "decisions", ran)
    run_end_to_end(settings, ran)
    kept = [
        {k: v for k, v in row.items() if k not in {"run_id", "computed_at"}}
        for row in (*rows, *rows_of(settings, "decisions", ran))
    ]
    assert kept[: len(rows)] == kept[len(rows) :] != []


WRITE = """
import sys
from exp_platform.spark.session import build_spark_session
spark = build_spark_session("writer", sys.argv[1])
print("ready", flush=True)
spark.sql(
    "insert into iceberg.exp.outcomes"
    " (experiment_id, user_id, metric_name, value, outcome_ts)"
    " select '{name}', cast(id as string), 'revenue', 1.0D,"
    " timestamp '2026-01-06 10:00:00' from range(0, 300000000, 1, 64)"
)
"""


def test_killed_write_of_spark_leaves_the_table(shared, ran, trino_rows):
    """kill -9 while files are written: readers see what they saw."""
    settings = shared.settings()
    name = f"{ran}_half"
    before = shared.files()
    config = str(shared.root / "configs" / "stack.yaml")
    words = [sys.executable, "-W", "ignore", "-c", WRITE.format(name=name), config]
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        java = java_of(process)
        time.sleep(5)
        assert process.poll() is None, "the write ended before it was killed"
        os.kill(java, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert shared.files() == before
    assert rows_of(settings, "outcomes", name) == []
    where = f"where experiment_id = '{name}'"
    assert trino_rows(f"select count(*) from outcomes {where}") == [(0,)]
