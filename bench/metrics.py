"""Totals of a whole warehouse beside their floor, Polars and Spark; daily refreshes.

    python bench/metrics.py [--rows 100000000] [--experiments 20] [--peers polars spark]

Part one: every total of every experiment, nothing materialised. Ours is the statement of
`metrics/one_statement.py`; the floor is one hand-written DuckDB query over the same data
files: first exposure per unit, join, windows as literals, sums per unit filled with
zeros, mean and variance per arm and metric, plain sums of doubles, nothing checked. Every
contender takes the experiments one after another, in a process of its own with the same
two threads and, for DuckDB, the same memory limit. Contenders take turns.

Part two: one experiment arrives day by day, with a refresh after each day, beside a full
pass over the same files at the end: by a refresh in full, which leaves partials for the
next, and by the statement of part one, which leaves nothing.

Ratios are of CPU time, which other work on the machine moves less than wall time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from venvs import prepare_venv

ROOT = Path(__file__).resolve().parents[1]
START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS, EXPOSURE_DAYS, ROWS_PER_UNIT = 28, 14, 17
NAMES = ("revenue", "sessions", "conversion", "support")
THREADS, MEMORY = 2, "4GB"
EXPOSURES = """\
select '{id}' as experiment_id, 'u' || lpad(range::varchar, 9, '0') as user_id,
    case when hash(range * 5 + {seed}) % 2 = 0 then 'control' else 'treatment' end as variant,
    timestamptz '2026-01-05 00:00:00+00' + to_microseconds(
        (hash(range * 7 + {seed}) % ({days} * 86400000000))::bigint) as exposure_ts,
    'user' as unit
from range({units})"""
OUTCOMES = """\
select '{id}' as experiment_id,
    'u' || lpad((hash(range * 3 + {seed}) % {units})::varchar, 9, '0') as user_id,
    ['revenue', 'sessions', 'conversion', 'support'][
        1 + (hash(range * 11 + {seed}) % 4)::int] as metric_name,
    (1 + (hash(range * 13 + {seed}) % 1000)) / 100.0 as value,
    timestamptz '2026-01-05 00:00:00+00' + to_microseconds(
        (range * ({days} * 86400000000 // {rows}))::bigint) as outcome_ts
from range({first}, {last})"""
FLOOR = """\
with units as materialized (
    select row_number() over () as unit_no, * from (
        select user_id, arg_min(variant, (exposure_ts, variant)) as variant,
            min(epoch_us(exposure_ts)) as exposed
        from read_parquet({exposures}) group by user_id)
), numbers as (
    select unit_no,
        sum(case when metric_name = 'revenue' and us < exposed + 604800000000
            then value end) as revenue,
        count(case when metric_name = 'sessions' and us < exposed + 604800000000
            then 1 end) as sessions,
        max(case when metric_name = 'conversion' and us < exposed + 259200000000
            then 1 end) as conversion,
        sum(case when metric_name = 'support' then value end) as support
    from (select user_id, metric_name, value, epoch_us(outcome_ts) as us
        from read_parquet({outcomes})) as o
    inner join units using (user_id)
    where us >= exposed and us < exposed + 1209600000000
    group by unit_no
)
select variant, count(*), {moments}
from units left join numbers using (unit_no) group by variant order by variant"""
SPARK = (
    FLOOR.replace("as materialized", "as")
    .replace("row_number() over () as unit_no", "user_id as unit_no")
    .replace(
        "arg_min(variant, (exposure_ts, variant))",
        "min_by(variant, struct(exposure_ts, variant))",
    )
)
MOMENTS = ", ".join(
    f"avg(coalesce({name}, 0)), var_samp(coalesce({name}, 0))" for name in NAMES
)
POLARS = """
import json, sys
import polars as pl
day = 86_400_000_000
found = []
for exposures, outcomes in json.loads(sys.stdin.read()):
    units = (pl.scan_parquet(exposures).select("user_id", "variant", "exposure_ts")
        .sort("exposure_ts", "variant").group_by("user_id", maintain_order=False)
        .agg(pl.first("variant"), pl.first("exposure_ts")))
    rows = pl.scan_parquet(outcomes).select("user_id", "metric_name", "value", "outcome_ts")
    age = pl.col("outcome_ts").dt.epoch("us") - pl.col("exposure_ts").dt.epoch("us")
    name, value = pl.col("metric_name"), pl.col("value")
    inside = lambda metric, days: (name == metric) & (pl.col("age") < days * day)
    numbers = (rows.join(units, on="user_id").with_columns(age=age)
        .filter((pl.col("age") >= 0) & (pl.col("age") < 14 * day))
        .group_by("user_id").agg(
            revenue=value.filter(inside("revenue", 7)).sum(),
            sessions=inside("sessions", 7).sum().cast(pl.Float64),
            conversion=inside("conversion", 3).any().cast(pl.Float64),
            support=value.filter(name == "support").sum()))
    names = ["revenue", "sessions", "conversion", "support"]
    filled = units.join(numbers, on="user_id", how="left").with_columns(
        pl.col(names).fill_null(0.0))
    table = (filled.group_by("variant").agg(pl.len(),
        *[f for n in names for f in (pl.col(n).mean().alias(n), pl.col(n).var().alias(n + "_v"))])
        .sort("variant").collect(engine="streaming"))
    found += [list(row) for row in table.rows()]
print(json.dumps(found))
"""
SPARK_JOB = """
import json, os, sys
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "4g").config("spark.sql.shuffle.partitions", "8")
    .config("spark.ui.showConsoleProgress", "false")
    .config("spark.sql.session.timeZone", "UTC").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
found = []
for exposures, outcomes in json.loads(sys.stdin.read()):
    spark.read.parquet(*exposures).createOrReplaceTempView("exposures")
    spark.read.parquet(*outcomes).createOrReplaceTempView("outcomes")
    sql = sys.argv[1].replace("epoch_us(", "unix_micros(")
    found += [[float(x) if i > 1 else x for i, x in enumerate(row)]
        for row in spark.sql(sql).collect()]
beans = spark._jvm.java.lang.management.ManagementFactory
process = beans.getRuntimeMXBean().getName().split("@")[0]
ticks = open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()[11:13]
seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
print(json.dumps({"cpu": seconds, "rows": found}))
"""


def design(experiment_id: str, watermark: datetime | None = None) -> tuple[Any, Any]:
    """The experiment and its four metrics, as the floor has them in words."""
    from exp_platform.records import (
        AnalysisPlan,
        Direction,
        ExperimentSpec,
        MetricDefinition,
        MetricType,
        Variant,
    )

    def metric(name: str, kind: str, days: float, **rest: Any) -> Any:
        return MetricDefinition(
            name,
            1,
            MetricType(kind),
            Direction.INCREASE,
            name,
            window_days=days,
            **rest,
        )

    metrics = (
        metric("revenue", "mean", 7.0),
        metric("sessions", "count", 7.0, aggregation="count"),
        metric("conversion", "proportion", 3.0),
        metric("support", "mean", 14.0),
    )
    spec = ExperimentSpec(
        experiment_id=experiment_id,
        start_ts=START,
        end_ts=START + timedelta(days=EXPOSURE_DAYS),
        watermark_ts=watermark or START + timedelta(days=DAYS),
        variants=(Variant("control", 0.5), Variant("treatment", 0.5)),
        control="control",
        plan=AnalysisPlan(metrics=()),
    )
    return spec, {one.name: one for one in metrics}


def settings(folder: Path) -> Any:
    from exp_platform.config import EngineSettings, Paths, Settings

    paths = {name: folder / path for name, path in Paths().model_dump().items()}
    return Settings(
        environment="bench",
        paths=Paths(**paths),
        root=folder,
        engine=EngineSettings(memory_limit=MEMORY, threads=THREADS),
    )


def fill(folder: Path, n_experiments: int, rows: int) -> None:
    """A warehouse of its own, made and published experiment by experiment."""
    from exp_platform.lake import open_lake

    lake = open_lake(settings(folder))
    with lake.engine() as engine:
        engine.execute("set preserve_insertion_order = false")
        for number in range(n_experiments):
            own: dict[str, Any] = {
                "id": f"exp_{number:02d}",
                "seed": number * 1_000_003,
                "units": max(rows // ROWS_PER_UNIT, 2),
                "rows": rows,
                "first": 0,
                "last": rows,
            }
            for table, select in (("exposures", EXPOSURES), ("outcomes", OUTCOMES)):
                days = EXPOSURE_DAYS if table == "exposures" else DAYS
                text = select.format(**own, days=days)
                lake.replace_experiment(table, own["id"], text, engine=engine)
    lake.close()


def data_files(folder: Path) -> list[tuple[list[str], list[str]]]:
    """Data files of exposures and outcomes, by experiment, as every contender reads them."""
    root = settings(folder).paths.warehouse
    found = []
    for place in sorted(root.glob("exp/outcomes/data/*")):
        pair = [
            sorted(
                map(str, (root / f"exp/{table}/data" / place.name).glob("*.parquet"))
            )
            for table in ("exposures", "outcomes")
        ]
        found.append((pair[0], pair[1]))
    return found


def run_ours(folder: Path) -> list[Any]:
    """Plan the files, run the statement, experiment by experiment."""
    from exp_platform.lake import open_lake
    from exp_platform.lake.reading import open_empty
    from exp_platform.metrics.one_statement import totals_statement
    from exp_platform.metrics.scope import write_scope

    lake, found = open_lake(settings(folder)), []
    for place in sorted(settings(folder).paths.warehouse.glob("exp/outcomes/data/*")):
        experiment_id = place.name.removeprefix("experiment_id=")
        with lake.engine() as engine:
            spec, metrics = design(experiment_id)
            for table in ("exposures", "outcomes"):
                lake.attach(engine, table, experiment_id=experiment_id)
            open_empty(engine, "quarantine")
            write_scope(engine, spec, metrics)
            statement = totals_statement(spec, metrics, fixed_point=set(NAMES))
            rows = {
                (r["variant"], r["metric_name"]): r for r in engine.records(statement)
            }
            for variant in ("control", "treatment"):
                own = [rows[variant, name] for name in NAMES]
                moments = [x for r in own for x in (r["mean"], r["variance"])]
                found.append([variant, own[0]["n"], *moments])
    lake.close()
    return found


def run_floor(folder: Path) -> list[Any]:
    import duckdb

    found = []
    for exposures, outcomes in data_files(folder):
        config = {"memory_limit": MEMORY, "threads": THREADS}
        with duckdb.connect(config=config) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("set perfect_ht_threshold = 20")
            connection.execute(f"set temp_directory = '{folder}/spill'")
            sql = FLOOR.format(exposures=exposures, outcomes=outcomes, moments=MOMENTS)
            found += [list(row) for row in connection.execute(sql).fetchall()]
    return found


def run_daily(folder: Path) -> dict[str, Any]:
    """28 refreshes, a full one, and the statement; CPU seconds of each."""
    from exp_platform.pipelines.refresh import refresh_tables
    from exp_platform.pipelines.run import open_run

    rows = int((folder / "rows").read_text())
    found: dict[str, Any] = {"refreshes": [], "wall": []}
    digests = []
    for day in [*range(1, DAYS + 1), "full"]:
        is_full = day == "full"
        if not is_full:
            _append_day(folder, day, rows)
        number = DAYS if is_full else day
        began, wall = _cpu(), time.perf_counter()
        with open_run(settings(folder), "exp_00", "refresh") as run:
            spec, metrics = design("exp_00", START + timedelta(days=number))
            run.lake.attach(run.engine, "quarantine", experiment_id="exp_00")
            outcome = refresh_tables(run, spec, metrics, is_full=is_full)
            run.publish()
            digests.append(run.digest)
        seconds = _cpu() - began
        if is_full:
            found["full"], found["full_wall"] = seconds, time.perf_counter() - wall
        else:
            found["refreshes"].append(seconds)
            found["wall"].append(time.perf_counter() - wall)
            assert (outcome.report.full_reason is None) == (day > 1), outcome.report
    began = _cpu()
    run_ours(folder)
    found["statement"] = _cpu() - began
    assert digests[-1] == digests[-2], "the refreshes and the full pass differ"
    return found


def _append_day(folder: Path, day: int, rows: int) -> None:
    """What a writer of the warehouse adds: a day's exposures and outcomes."""
    from exp_platform.lake import open_lake

    lake = open_lake(settings(folder))
    first, last = (rows * d // DAYS for d in (day - 1, day))
    own = {"id": "exp_00", "seed": 1, "units": rows // ROWS_PER_UNIT, "rows": rows}
    outcomes = OUTCOMES.format(**own, days=DAYS, first=first, last=last)
    exposures = (
        f"select * from ({EXPOSURES.format(**own, days=EXPOSURE_DAYS)})"
        f" where exposure_ts >= timestamptz '{START + timedelta(days=day - 1)}'"
        f" and exposure_ts < timestamptz '{START + timedelta(days=day)}'"
    )
    with lake.engine() as engine:
        for table, select in (("outcomes", outcomes), ("exposures", exposures)):
            if day == 1:
                lake.replace_experiment(table, "exp_00", select, engine=engine)
            elif table == "outcomes" or day <= EXPOSURE_DAYS:
                _append(folder, table, engine.arrow(select))
    lake.close()


def _append(folder: Path, table: str, rows: Any) -> None:
    """A data file beside the others, by PyIceberg alone."""
    from pyiceberg.catalog.sql import SqlCatalog

    from exp_platform.lake.types import arrow_file_schema
    from exp_platform.schemas import load_schema

    schema = arrow_file_schema(load_schema(table))
    for place, field in enumerate(schema):
        if field.name not in rows.column_names:
            nulls = __import__("pyarrow").nulls(rows.num_rows, field.type)
            rows = rows.add_column(place, field.name, nulls)
    catalog = SqlCatalog(
        "iceberg", uri=f"sqlite:///{settings(folder).paths.warehouse / 'catalog.db'}"
    )
    catalog.load_table(("exp", table)).append(rows.select(schema.names).cast(schema))
    catalog.close()


def _cpu() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(command: Sequence[str], text: str = "") -> tuple[dict[str, float], Any]:
    """Wall and CPU seconds and peak MB of a process, and the JSON it printed last."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(text)
    process.stdin.close()
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)[:200]}")
    figures = {
        "wall": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    answer = json.loads(printed.strip().splitlines()[-1])
    if isinstance(answer, dict) and "cpu" in answer:
        # Spark's work is another process's, which nobody waits for
        figures["cpu"] += answer["cpu"]
        answer, figures["peak_mb"] = answer["rows"], float("nan")
    return figures, answer


def contenders(
    folder: Path, peers: Sequence[str]
) -> dict[str, Callable[[], tuple[dict[str, float], Any]]]:
    """Each as a process of its own."""
    own = [sys.executable, __file__, "--folder", str(folder), "--only"]
    found = {
        "ours": lambda: timed([*own, "ours"]),
        "floor": lambda: timed([*own, "floor"]),
    }
    files = json.dumps(data_files(folder))
    for name, package, script in (
        ("polars", "polars==2.1.0", POLARS),
        ("spark", "pyspark==4.1.4", SPARK_JOB),
    ):
        venv = ROOT / "data" / "bench" / f"{name}-venv"
        if name not in peers:
            continue
        why = prepare_venv(venv, [package], package.split("==")[0])
        if why:
            print(f"{name}: left out, {why}")
            continue
        sql = SPARK.format(exposures="", outcomes="", moments=MOMENTS)
        sql = sql.replace("read_parquet()", "{}").format("exposures", "outcomes")
        command = [str(venv / "bin" / "python"), "-c", script, sql]
        found[name] = partial(timed, command, files)
    return found


def compare(folder: Path, peers: Sequence[str], repeats: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {}
    answers: dict[str, Any] = {}
    all_of_them = contenders(folder, peers)
    for turn in range(repeats):
        for name, run in all_of_them.items():
            if turn and name in peers:
                continue
            figures, answers[name] = run()
            runs.setdefault(name, []).append(figures)
            print(f"  {name}: {figures}", file=sys.stderr, flush=True)
    ours = answers["ours"]
    for name, found in answers.items():
        for one, other in zip(ours, found, strict=True):
            gaps = [
                abs(a - b) / abs(a) for a, b in zip(one[2:], other[2:], strict=True)
            ]
            assert one[:2] == other[:2], (name, one, other)
            assert max(gaps) < 1e-9, (name, one, other)
    floor = statistics.median(run["cpu"] for run in runs["floor"])
    for name, own in runs.items():
        median = {k: statistics.median(run[k] for run in own) for k in own[0]}
        print(
            f"  {name:<8} cpu {median['cpu']:8.1f} s  wall {median['wall']:8.1f} s"
            f"  peak {median['peak_mb']:6.0f} MB  {median['cpu'] / floor:5.2f}x the floor"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000, help="in all")
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=["polars", "spark"])
    parser.add_argument("--parts", nargs="*", default=["totals", "daily"])
    parser.add_argument("--folder", type=Path, default=ROOT / "data/bench/metrics")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    jobs = {"ours": run_ours, "floor": run_floor, "daily": run_daily}
    if arguments.only:
        print(json.dumps(jobs[arguments.only](arguments.folder)))
        return
    rows = arguments.rows // arguments.experiments
    if "totals" in arguments.parts:
        folder = arguments.folder / f"{arguments.experiments}x{rows}"
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            fill(folder, arguments.experiments, rows)
            (folder / "done").touch()
        print(f"{arguments.experiments} experiments, {rows:,} outcome rows each")
        compare(folder, arguments.peers, arguments.repeats)
    if "daily" in arguments.parts:
        folder = arguments.folder / "daily"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "rows").write_text(str(rows))
        own = [sys.executable, __file__, "--folder", str(folder), "--only", "daily"]
        _, found = timed(own)
        together = sum(found["refreshes"])
        print(f"one experiment, {rows:,} rows in {DAYS} days, CPU seconds")
        print(
            f"  28 refreshes {together:.1f} (wall {sum(found['wall']):.1f}), last "
            f"{found['refreshes'][-1]:.2f}; full pass that leaves partials "
            f"{found['full']:.1f} (wall {found['full_wall']:.1f}), statement "
            f"{found['statement']:.1f}"
        )
        print(
            f"  together {together / found['full']:.2f}x a full pass, "
            f"{together / found['statement']:.2f}x the statement"
        )


if __name__ == "__main__":
    main()
