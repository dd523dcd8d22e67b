"""A unit-day panel of up to a million units, beside pyfixest and diff-diff.

    python bench/panel.py [--units 10000 100000 ...] [--memory-gb 16] [--repeats 3]
                          [--only pyfixest/did ...]

Difference in differences and event study with errors clustered by unit, all from the
same Parquet file of one row per unit and day. Every measurement is a process of its
own, imports and reading included; wall time, time on all cores and peak memory are the
whole process's, its children's time too. Wall times mean little on a busy machine.
Ours is asked for the same estimate, `exp_platform.did(..., methods=NAME)`; every method
at once is a line of its own at the end. A contender climbs the sizes
until it runs out of memory or time; there its ratio is the one of the largest size it
finished. diff-diff lives in a virtual environment of its own, made on first use.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from venvs import prepare_venv

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / "data" / "bench" / "diff-diff-venv"
SIZES = (10_000, 100_000, 300_000, 1_000_000)
DAYS, POLICY = 28, 15
LONGEST_SECONDS = 1200

LAND = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
n, days, policy = (int(word) for word in sys.argv[2:5])
random = np.random.default_rng(7)
treated, level = random.random(n) < 0.5, random.gamma(1, 2, n)
writer = None
for day in range(1, days + 1):
    spent = level * random.gamma(0.5, 2, n) * (random.random(n) < 0.4)
    spent = np.round(spent + 0.1 * (treated & (day >= policy)), 2)
    order = random.permutation(n)
    table = pa.table({
        "unit": order,
        "day": np.full(n, day, np.int32),
        "spent": spent[order],
        "since": np.where(treated[order], policy, 0).astype(np.int32),
    })
    writer = writer or pq.ParquetWriter(sys.argv[1], table.schema, compression="zstd")
    writer.write_table(table)
writer.close()
"""

OURS = """
import json, sys
import exp_platform
found = exp_platform.did(
    sys.argv[1], "spent", unit="unit", time="day", cohort="since",
    methods=sys.argv[2:] or None,
)
print(json.dumps({e.method: [e.difference, e.standard_error] for e in found}))
"""

BOUND = "an experiment's panel with the engine at 200 MB"
OURS_BOUNDED = """
import json, sys, tempfile
from datetime import UTC, datetime
from pathlib import Path
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.panel import build_panel
from exp_platform.metrics.panel_window import PanelWindow
from exp_platform.records import (
    AnalysisPlan, Assignment, Direction, ExperimentSpec, MetricDefinition, MetricType,
    Variant,
)
from exp_platform.stats.settings import EstimateSettings
end = datetime(1970, 2, 1, tzinfo=UTC)
arms = Variant("control", 0.5), Variant("treatment", 0.5)
plan = AnalysisPlan(metrics=())
spec = ExperimentSpec(
    "panel", end, end, end, arms, "control", plan, Assignment.RANDOMISED
)
spent = MetricDefinition("spent", 1, MetricType.MEAN, Direction.INCREASE, "spent")
with tempfile.TemporaryDirectory() as space:
    here = Path(space)
    settings = LakeSettings(here, here / "c", here, here, memory_limit="200MB")
    with Engine(settings) as engine:
        rows, day = f"read_parquet('{sys.argv[1]}')", 86_400_000_000
        engine.create_view("exp_run.int_unit_outcomes", (
            f"select unit as unit_no, 'spent' as metric_name, spent as value,"
            f" day * {day} as outcome_us from {rows}"))
        engine.create_view("exp_run.experiment_assignments", (
            f"select unit as unit_no, 'x' as cluster_id, true as is_in_analysis,"
            f" if(since > 0, 'treatment', 'control') as variant,"
            f" cast(null as bigint) as first_seen_us, 15 * {day} as exposure_us"
            f" from {rows} where day = 1"))
        engine.create_view("exp_run.int_missing_values", (
            "select 0 as unit_no, '' as metric_name, 0 as outcome_us where false"))
        window = PanelWindow(14, 14, is_calendar=False)
        grams = build_panel(engine, spec, window, [spent], fixed_point=["spent"])
settings = EstimateSettings(spent)
found = [
    estimate_did(*(panel_of(gram) for gram in grams), settings),
    estimate_event_study(*grams, settings),
]
print(json.dumps({e.method: [e.difference, e.standard_error] for e in found}))
"""

PYFIXEST = """
import json, sys
import pandas as pd
import pyfixest as pf
rows = pd.read_parquet(sys.argv[1])
rows["treated"] = (rows.since > 0).astype(int)
if sys.argv[2] == "did":
    rows["on"] = rows.treated * (rows.day >= rows.since)
    fit = pf.feols("spent ~ on | unit + day", rows, vcov={"CRV1": "unit"})
else:
    formula = "spent ~ i(day, treated, ref=14) | unit + day"
    fit = pf.feols(formula, rows, vcov={"CRV1": "unit"})
found = fit.coef() if sys.argv[2] == "did" else fit.coef().iloc[-14:]
print(json.dumps([float(found.mean()), float(fit.se().iloc[0])]))
"""

DIFF_DIFF = """
import json, sys, warnings
import diff_diff
import pandas as pd
warnings.simplefilter("ignore")
rows = pd.read_parquet(sys.argv[1])
rows["treated"] = (rows.since > 0).astype(int)
rows["post"] = (rows.day >= 15).astype(int)
columns = {"outcome": "spent", "treatment": "treated"}
if sys.argv[2] == "did":
    fit = diff_diff.TwoWayFixedEffects(cluster="unit")
    fit = fit.fit(rows, **columns, post="post", unit="unit")
    found = [fit.att, fit.se]
elif sys.argv[2] == "event study":
    after = list(range(15, 29))
    fit = diff_diff.MultiPeriodDiD(cluster="unit")
    fit = fit.fit(rows, **columns, time="day", post_periods=after, reference_period=14)
    found = [fit.avg_att, fit.avg_se]
else:
    fit = diff_diff.CallawaySantAnna()
    names = {"unit": "unit", "time": "day", "first_treat": "since"}
    fit = fit.fit(rows, outcome="spent", **names)
    found = [fit.overall_att, fit.overall_se]
print(json.dumps([float(one) for one in found]))
"""


@dataclass(frozen=True)
class Contender:
    """A program, what it is asked for, and our method with the same estimate."""

    name: str
    python: Path
    code: str
    question: str
    ours: str


@dataclass(frozen=True)
class Process:
    """How one process ended: its cost, and its answer or why there is none."""

    seconds: float
    cpu: float
    megabytes: float
    answer: object = None
    failure: str = ""


def measure(command: Sequence[str], *, limit_gb: float) -> Process:
    """Run to the end, or to the limit of memory or time."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        failure, peak = "", 0.0
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            peak = max(peak, resident_gb(process.pid))
            if peak > limit_gb:
                failure = f"out of memory (over {limit_gb:g} GB)"
            elif time.perf_counter() - began > LONGEST_SECONDS:
                failure = f"not done in {LONGEST_SECONDS} s"
            if failure:
                process.kill()
                os.wait4(process.pid, 0)
                return Process(0.0, 0.0, peak * 1e3, None, failure)
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        if status:
            words = err.read().strip().splitlines()[-1:] or ["killed"]
            is_memory = status == 9 or "MemoryError" in words[0]
            failure = "out of memory" if is_memory else words[0][:120]
            return Process(seconds, 0.0, peak * 1e3, None, failure)
        answer = json.loads(out.read().strip().splitlines()[-1])
        cpu = usage.ru_utime + usage.ru_stime
        return Process(seconds, cpu, usage.ru_maxrss * 1.024 / 1e3, answer)


def resident_gb(pid: int) -> float:
    """Memory of a living process that is not shared out to disk."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def land(folder: Path, n_units: int) -> Path:
    file = folder / f"panel_{n_units}.parquet"
    if not file.exists():
        words = (str(file), str(n_units), str(DAYS), str(POLICY))
        subprocess.run([sys.executable, "-c", LAND, *words], check=True)
    return file


def climb(
    one: Contender, folder: Path, sizes: Sequence[int], limit_gb: float
) -> tuple[int, Process | None, str]:
    """The largest size it finishes, its run there, and what happened at the next."""
    last, run = 0, None
    for n_units in sizes:
        found = run_contender(one, land(folder, n_units), limit_gb)
        if found.failure:
            return last, run, f"{n_units:,} units: {found.failure}"
        last, run = n_units, found
    return last, run, ""


def run_contender(one: Contender, file: Path, limit_gb: float) -> Process:
    command = [str(one.python), "-c", one.code, str(file), one.question]
    return measure(command, limit_gb=limit_gb)


def compare(
    one: Contender, file: Path, first: Process, repeats: int, limit_gb: float
) -> str:
    """Both in turn on the same file; their estimates must agree."""
    theirs, ours = [first], []
    for number in range(repeats):
        command = [sys.executable, "-c", OURS, str(file), one.ours]
        ours.append(measure(command, limit_gb=limit_gb))
        if number:
            theirs.append(run_contender(one, file, limit_gb))
    for found in (*theirs, *ours):
        if found.failure:
            return f"failed on repetition: {found.failure}"
    expected, own = theirs[0].answer[0], ours[0].answer[one.ours][0]
    # Two ways of demeaning, and diff-diff solves normal equations: 1e-7 of an effect.
    if abs(own - expected) > 1e-7 * abs(expected):
        raise SystemExit(f"{one.name}, {one.question}: {expected!r}, ours {own!r}")
    (wall, cpu, peak), (slow, busy, large) = (
        [
            statistics.median(values)
            for values in zip(
                *((run.seconds, run.cpu, run.megabytes) for run in runs), strict=True
            )
        ]
        for runs in (ours, theirs)
    )
    return (
        f"{slow:.1f} s, {busy:.1f} s on cores, {large:.0f} MB   "
        f"ours {wall:.1f} s, {cpu:.1f} s, {peak:.0f} MB   "
        f"{slow / wall:.1f}x wall {busy / cpu:.1f}x cores {large / peak:.1f}x memory"
    )


def list_contenders(venv: Path) -> list[Contender]:
    here = Path(sys.executable)
    found = [
        Contender("pyfixest", here, PYFIXEST, "did", "did_2x2"),
        Contender("pyfixest", here, PYFIXEST, "event study", "event_study"),
    ]
    reason = prepare_venv(venv, ["diff-diff", "pyarrow"], "diff_diff")
    if reason:
        print(f"diff-diff skipped: {reason}")
        return found
    python, cohorts = venv / "bin" / "python", "callaway_santanna_simple"
    return [
        *found,
        Contender("diff-diff", python, DIFF_DIFF, "did", "did_2x2"),
        Contender("diff-diff", python, DIFF_DIFF, "event study", "event_study"),
        Contender("diff-diff", python, DIFF_DIFF, "Callaway-Sant'Anna", cohorts),
    ]


def run(
    sizes: Sequence[int],
    *,
    memory_gb: float,
    repeats: int,
    venv: Path = VENV,
    only: Sequence[str] = (),
) -> None:
    print(
        f"unit-day panel, {DAYS} days, median of {repeats} whole processes in turn, "
        f"memory limit {memory_gb:g} GB"
    )
    with tempfile.TemporaryDirectory() as space:
        folder = Path(space)
        for one in list_contenders(venv):
            if only and f"{one.name}/{one.question}" not in only:
                continue
            largest, first, why = climb(one, folder, sizes, memory_gb)
            print(f"{one.name}, {one.question}: {largest:,} units", flush=True)
            if first is not None:
                file = land(folder, largest)
                print(f"  {compare(one, file, first, repeats, memory_gb)}")
            if why:
                print(f"  {why}")
            sys.stdout.flush()
        file = land(folder, max(sizes))
        for name, code in (("every method at once", OURS), (BOUND, OURS_BOUNDED)):
            found = measure([sys.executable, "-c", code, str(file)], limit_gb=memory_gb)
            outcome = found.failure or (
                f"{found.seconds:.1f} s, {found.cpu:.1f} s on cores, "
                f"{found.megabytes:.0f} MB"
            )
            print(f"ours, {name}: {max(sizes):,} units, {outcome}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=SIZES)
    parser.add_argument("--memory-gb", type=float, default=16.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--diff-diff-venv", type=Path, default=VENV)
    parser.add_argument("--only", nargs="+", default=())
    options = parser.parse_args()
    run(
        sorted(options.units),
        memory_gb=options.memory_gb,
        repeats=options.repeats,
        venv=options.diff_diff_venv,
        only=options.only,
    )


if __name__ == "__main__":
    main()
