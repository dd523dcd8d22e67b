"""The main job, and totals of many rows, on DuckDB, Spark local[2] and Trino.

    TRINO_HEAP_GB=8 make stack-up && eval "$(make -s stack-env)"
    python bench/engines.py [--rows 100000000] [--parts job rows] [--engines duckdb trino]

Part one: one experiment from its raw files to its memo, the metrics computed by each
engine. Part two: the totals of one experiment by the same hand-written query (the floor of
`bench/metrics.py`) over the same Iceberg tables on the same store, nothing materialised;
the answers have to agree.

Every measurement is a process of its own. Start-up is what passes until the engine has
answered a first small question: a session of Spark, the libraries of DuckDB, a connection
to a Trino that runs already. It is told apart; ratios are of the work behind it, to DuckDB,
in wall time, on this machine alone: Spark has two threads, Trino all cores and a heap of
its own. A ratio of a cluster cannot be read off them.
"""

import argparse
import json
import math
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from metrics import (
    DAYS,
    EXPOSURE_DAYS,
    EXPOSURES,
    FLOOR,
    MOMENTS,
    OUTCOMES,
    ROWS_PER_UNIT,
    SPARK,
)

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("duckdb", "spark", "trino")
JOB = "bench_job"
SHAPE = (
    "{days: 14, n_users: 30000, base_conversion: 0.1, pre_period_days: 14,"
    " effect_lift_conversion: 0.03, plan: {segments: [platform]}}"
)
MICROSECONDS = {
    "spark": r"unix_micros(\1)",
    "trino": r"cast(round(to_unixtime(\1) * 1e6) as bigint)",
}


def configuration(folder: Path, engine: str, experiment_id: str) -> Path:
    """A configuration of the stack's lake whose metrics an engine computes."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    if not (folder / "metrics").exists():
        shutil.copytree(ROOT / "metrics", folder / "metrics")
    file = folder / "configs" / f"{engine}.yaml"
    places = "{raw: raw, memos: memos, temp: tmp}"
    trino = "http://{EXP_TRINO_HOST}:{EXP_TRINO_PORT}".format(**os.environ)
    file.write_text(
        f"environment: {engine}\n"
        f"remote: {{catalog: '{os.environ['EXP_CATALOG_URI']}',"
        f" warehouse: s3://warehouse, raw: s3://raw,"
        f" endpoint: '{os.environ['EXP_S3_ENDPOINT']}'}}\n"
        f"paths: {places}\n"
        f"engine: {{memory_limit: 4GB, threads: 2, stages: {{metrics: {engine}}},"
        f" trino: '{trino}'}}\n"
        f"experiments:\n  {experiment_id}: {SHAPE}\n",
        "utf-8",
    )
    return file


@contextmanager
def started(settings: Any, engine: str) -> Iterator[Any]:
    """Something that answers SQL, after it has answered once."""
    if engine == "duckdb":
        from exp_platform.lake import open_lake

        with open_lake(settings) as lake, lake.engine() as opened:
            opened.execute("set preserve_insertion_order = false")
            if settings.remote is not None:
                opened.open_store(lake.area)
            yield opened.rows
        return
    if engine == "spark":
        from exp_platform.spark.session import open_session

        session = open_session("bench", settings)
        yield lambda sql: session.sql(sql).collect()
        session.stop()
        return
    from exp_platform.trino.engine import connect

    with closing(connect(settings.engine.trino, "exp")) as connection:

        def ask(sql: str) -> list[Any]:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

        yield ask


def measure(engine: str, part: str, config: Path, target: str) -> dict[str, Any]:
    """Seconds of start-up and work in this process, and what came out."""
    from exp_platform.config import load_settings

    began = time.perf_counter()
    settings = load_settings(config)
    with started(settings, engine) as ask:
        ask("select 1")
        start = time.perf_counter() - began
        began = time.perf_counter()
        if part == "job":
            from exp_platform.pipelines.run_end_to_end import (
                RunOptions,
                run_end_to_end,
            )

            run_end_to_end(settings, target, RunOptions())
            answer: Any = digest(settings, target)
        else:
            rows = ask(query(engine, target, settings))
            answer = [[row[0], *map(float, row[1:])] for row in rows]
        work = time.perf_counter() - began
    return {"start": start, "work": work, "answer": answer}


def digest(settings: Any, experiment_id: str) -> str:
    """Of the last run's exact numbers."""
    from exp_platform.lake import open_lake

    with open_lake(settings) as lake:
        return str(lake.read("analysis_runs", experiment_id).to_pylist()[-1]["digest"])


def query(engine: str, namespace: str, settings: Any) -> str:
    """The totals, in an engine's words."""
    if engine == "duckdb":
        exposures, outcomes = (
            files(settings, namespace, t) for t in ("exposures", "outcomes")
        )
        return FLOOR.format(exposures=exposures, outcomes=outcomes, moments=MOMENTS)
    text = re.sub(r"epoch_us\((\w+)\)", MICROSECONDS[engine], SPARK)
    if engine == "trino":
        text = text.replace("struct(exposure_ts", "row(exposure_ts")
    names = {t: f"iceberg.{namespace}.{t}" for t in ("exposures", "outcomes")}
    text = text.replace("read_parquet({exposures})", names["exposures"])
    text = text.replace("read_parquet({outcomes})", names["outcomes"])
    return text.replace("{moments}", MOMENTS)


def files(settings: Any, namespace: str, table: str) -> list[str]:
    """A table's data files; DuckDB reads them as the lake's own reader does."""
    from pyiceberg.catalog.sql import SqlCatalog

    from exp_platform.lake import open_lake

    remote = settings.remote
    with open_lake(settings) as lake:
        places = {"uri": remote.catalog, "warehouse": remote.warehouse}
        catalog = SqlCatalog("iceberg", **places, **lake.area.io_properties)
        found = catalog.load_table((namespace, table)).scan().plan_files()
        catalog.close()
    return [task.file.file_path for task in found]


@contextmanager
def filled(settings: Any, rows: int) -> Iterator[str]:
    """Tables of a namespace of their own, dropped with their files afterwards."""
    from exp_platform.lake import open_lake
    from exp_platform.lake.scratch import ScratchWriter

    namespace = f"bench_{secrets.token_hex(4)}"
    own: dict[str, Any] = {
        "id": "exp_00",
        "seed": 0,
        "units": max(rows // ROWS_PER_UNIT, 2),
        "rows": rows,
        "first": 0,
        "last": rows,
    }
    with started(settings, "trino") as ask:
        ask(f"create schema iceberg.{namespace}")
        try:
            with (
                open_lake(settings) as lake,
                lake.engine() as engine,
                closing(ScratchWriter(lake.settings)) as write,
            ):
                engine.execute("set preserve_insertion_order = false")
                for table, select in (("exposures", EXPOSURES), ("outcomes", OUTCOMES)):
                    days = EXPOSURE_DAYS if table == "exposures" else DAYS
                    text = select.format(**own, days=days)
                    schema = engine.arrow(f"select * from ({text}) limit 0").schema
                    write(namespace, table, schema, engine.batches(text))
            yield namespace
        finally:
            ask(f"drop schema iceberg.{namespace} cascade")


def compare(
    part: str, engines: list[str], folder: Path, target: str, turns: int
) -> None:
    """Measure every engine in turn, check the answers, print ratios."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(turns):
        for engine in engines:
            words = ["--only", engine, "--parts", part, "--folder", str(folder)]
            command = [sys.executable, __file__, *words, "--target", target]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                print(f"{part:>4} {engine:>7}: failed, see above")
                continue
            last = done.stdout.strip().splitlines()[-1]
            runs.setdefault(engine, []).append(json.loads(last))
    if engines[0] not in runs:
        return
    agree(part, runs)
    figures = {
        name: [statistics.median(run[k] for run in own) for k in ("start", "work")]
        for name, own in runs.items()
    }
    base = figures[engines[0]]
    for name, (start, work) in figures.items():
        print(
            f"{part:>4} {name:>7}: work {work / base[1]:.2f}x of {engines[0]}'s,"
            f" start-up {start / base[1]:.2f}x"
        )


def agree(part: str, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Engines add doubles in orders of their own; counts and digests are equal."""
    answers = [run["answer"] for own in runs.values() for run in own]
    for other in answers[1:]:
        if part == "job":
            assert other == answers[0], "the digests differ"
            continue
        assert len(other) == len(answers[0]) == 2
        for mine, theirs in zip(answers[0], other, strict=True):
            assert mine[:2] == theirs[:2], (mine, theirs)
            for left, right in zip(mine[2:], theirs[2:], strict=True):
                assert math.isclose(left, right, rel_tol=1e-9), (mine, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "data" / "bench" / "engines"
    )
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--parts", nargs="+", default=["job", "rows"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--only", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--target", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("SPARK_MASTER", "local[2]")
    folder = arguments.folder.resolve()
    if arguments.only:
        config = folder / "configs" / f"{arguments.only}.yaml"
        part = arguments.parts[0]
        print(json.dumps(measure(arguments.only, part, config, arguments.target)))
        return
    from exp_platform.config import load_settings
    from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

    name = f"{JOB}_{secrets.token_hex(4)}"
    configs = {e: configuration(folder, e, name) for e in ENGINES}
    settings = load_settings(configs["duckdb"])
    if "job" in arguments.parts:
        run_end_to_end(settings, name, RunOptions(generate_synth=True))
        compare("job", arguments.engines, folder, name, arguments.repeats)
    if "rows" in arguments.parts:
        with filled(settings, arguments.rows) as namespace:
            compare("rows", arguments.engines, folder, namespace, arguments.repeats)


if __name__ == "__main__":
    main()
