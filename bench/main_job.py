"""The main job, whole process, beside its floor: `make bench`.

Prints medians and ratios over interleaved runs, imports and work apart. Two inputs:
the demo's synthetic data, and the dense table of 30,000 users x 28 days x 4 metrics.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
IMPORTS = (
    "import exp_platform.pipelines.run_end_to_end, exp_platform.report.memo,"
    " duckdb, pyarrow, pyiceberg.catalog.sql, jinja2"
)


def timed(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one process."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def land_demo(project: Path) -> str:
    from exp_platform.config import load_settings
    from exp_platform.generate_synth import generate_synth

    generate_synth(
        load_settings(project / "configs/dev.yaml"), "exp_checkout_button_001"
    )
    return "exp_checkout_button_001"


def land_dense(project: Path) -> str:
    """Every user has a row for every metric on every day: 3.36M rows, 20 % unused."""
    import numpy as np
    import pyarrow as pa

    from exp_platform.config import load_settings
    from exp_platform.lake import land_raw
    from exp_platform.schemas import arrow_schema

    settings = load_settings(project / "configs/dev.yaml")
    experiment_id, users, days = "exp_dense", 30_000, 28
    random = np.random.default_rng(7)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    ids = np.array([f"u{i:07d}" for i in range(users)])
    arms = np.where(random.random(users) < 0.5, "treatment", "control")
    micro = np.datetime64(start.replace(tzinfo=None), "us")
    exposed = micro + random.integers(0, 7 * 86_400_000_000, users).astype(
        "timedelta64[us]"
    )
    exposures = {
        "experiment_id": [experiment_id] * users,
        "user_id": ids,
        "variant": arms,
        "exposure_ts": exposed,
        "unit": ["user"] * users,
    }
    level = random.lognormal(0, 0.5, users)
    columns: dict[str, list] = {
        "user_id": [],
        "metric_name": [],
        "value": [],
        "outcome_ts": [],
    }
    for day in range(-14, days - 14):
        at = (
            micro
            + np.timedelta64(day, "D")
            + random.integers(0, 86_400_000_000, users).astype("timedelta64[us]")
        )
        bought = random.random(users) < 0.02
        values = {
            "conversion": bought * 1.0,
            "revenue": np.round(bought * random.lognormal(2.5, 0.5, users), 2),
            "sessions": random.poisson(level) * 1.0,
            "support_contacts": (random.random(users) < 0.01) * 1.0,
        }
        for name, value in values.items():
            columns["user_id"].append(ids)
            columns["metric_name"].append(np.full(users, name))
            columns["value"].append(value)
            columns["outcome_ts"].append(at)
    flat = {name: np.concatenate(parts) for name, parts in columns.items()}
    flat["experiment_id"] = np.full(len(flat["value"]), experiment_id)
    demo = project / "data/raw/exp_platform/exp_checkout_button_001"
    import pyarrow.parquet as pq

    registry = pq.read_table(demo / "experiment_registry.parquet").to_pylist()[0]
    registry |= {
        "experiment_id": experiment_id,
        "start_ts": start,
        "end_ts": start + timedelta(days=14),
        "watermark_ts": start + timedelta(days=14),
    }
    plan = json.loads(registry["plan"]) | {"segments": []}
    registry["plan"] = json.dumps(plan)
    land_raw(
        settings.paths.raw,
        experiment_id,
        {
            "exposures": cast(exposures, arrow_schema("exposures")),
            "outcomes": cast(flat, arrow_schema("outcomes")),
            "experiment_registry": pa.Table.from_pylist(
                [registry], schema=arrow_schema("experiment_registry")
            ),
        },
    )
    return experiment_id


def cast(columns, schema):
    import pyarrow as pa

    n = len(columns["user_id"])
    arrays = []
    for field in schema:
        if field.name not in columns:
            arrays.append(pa.nulls(n, field.type))
            continue
        values = pa.array(columns[field.name])
        if pa.types.is_timestamp(field.type):
            values = values.cast(pa.timestamp("us")).cast(pa.int64()).cast(field.type)
        arrays.append(values.cast(field.type))
    return pa.table(arrays, schema=schema)


def measure(project: Path, experiment_id: str, repeats: int) -> None:
    raw = project / "data/raw/exp_platform" / experiment_id
    ours = [
        sys.executable,
        "-m",
        "exp_platform.pipelines.run_end_to_end",
        "--config",
        str(project / "configs/dev.yaml"),
        "--experiment-id",
        experiment_id,
    ]
    floor = [sys.executable, str(HERE / "floor_main_job.py"), str(raw)]
    commands = {
        "main job": ours,
        "  of it imports": [sys.executable, "-c", IMPORTS],
        "floor": floor,
        "  of it imports ": [sys.executable, "-c", "import duckdb"],
    }
    timed(ours)
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            runs[name].append(timed(command))
    median = {
        name: [statistics.median(run[i] for run in found) for i in range(3)]
        for name, found in runs.items()
    }
    import pyarrow.parquet as pq

    rows = pq.read_metadata(raw / "outcomes.parquet").num_rows
    print(f"\n{experiment_id}: {rows:,} outcome rows, median of {repeats}")
    for name, (wall, cpu, peak) in median.items():
        print(
            f"  {name:<18} wall {wall:6.2f} s   cpu {cpu:6.2f} s   peak {peak:6.0f} MB"
        )
    for place, name in enumerate(("wall", "time on cores")):
        job, floors = median["main job"][place], median["floor"][place]
        work = job - median["  of it imports"][place]
        floor_work = floors - median["  of it imports "][place]
        print(
            f"  {name}: whole process {job / floors:.1f}x the floor, "
            f"work alone {work / floor_work:.1f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--land", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.land:
        land_demo(arguments.land)
        land_dense(arguments.land)
        return
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        for part in ("configs", "metrics"):
            shutil.copytree(ROOT / part, project / part)
        # made in a process of its own: a child's peak memory begins at its parent's
        subprocess.run([sys.executable, __file__, "--land", folder], check=True)
        measure(project, "exp_dense", arguments.repeats)
        measure(project, "exp_checkout_button_001", arguments.repeats)


if __name__ == "__main__":
    main()
