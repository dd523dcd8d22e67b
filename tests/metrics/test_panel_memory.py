"""A panel larger than the memory that its engine and its matrix may use."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np

UNITS, DAYS, LIMIT_MB = 250_000, 28, 64

LAND = """
copy (
    select u.range as unit_no, 'm' as metric_name,
        round(hash(u.range * 28 + d.range) % 1000003 / 997.0, 2) as value,
        d.range * 86400000000 + u.range as outcome_us
    from range({units}) as u, range(28) as d
) to '{folder}/outcomes.parquet';
copy (
    select range as unit_no, 'c' || range % 700 as cluster_id, true as is_in_analysis,
        if(range % 2 = 0, 'control', 'treatment') as variant,
        cast(null as bigint) as first_seen_us,
        14 * 86400000000 as exposure_us from range({units})
) to '{folder}/units.parquet'
"""

# A process of its own: what others left in memory would hide what a panel takes.
BUILD = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.panel import build_panel
from exp_platform.metrics.panel_window import PanelWindow
from exp_platform.records import (
    AnalysisPlan, Assignment, Direction, ExperimentSpec, MetricDefinition, MetricType,
    Variant,
)

def peak():
    line = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return int(line.split()[0]) * 1024

folder, limit = Path(sys.argv[1]), sys.argv[2]
settings = LakeSettings(folder, folder / "c", folder, folder, limit, threads=2)
end = datetime(1970, 1, 29, 1, tzinfo=UTC)
spec = ExperimentSpec(
    "exp_a", end, end, end, (Variant("control", 0.5), Variant("treatment", 0.5)),
    "control", AnalysisPlan(metrics=()), Assignment.RANDOMISED,
)
metric = MetricDefinition("money", 1, MetricType.MEAN, Direction.INCREASE, "m")
with Engine(settings) as engine:
    for view, file in (
        ("experiment_assignments", "units"), ("int_unit_outcomes", "outcomes")
    ):
        engine.create_view(f"exp_run.{view}", f"from '{folder}/{file}.parquet'")
    engine.execute(
        "create table exp_run.int_missing_values as\\n"
        "select 0 as unit_no, '' as metric_name, 0 as outcome_us where false"
    )
    before = peak()
    window = PanelWindow(14, 14, is_calendar=False)
    grams = build_panel(engine, spec, window, [metric], fixed_point=sys.argv[3:])
found = [[gram.n, gram.means, gram.score_gram] for gram in grams]
print(json.dumps([peak() - before, found]))
"""


def test_build_panel_keeps_to_the_memory_limit(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(LAND.format(folder=tmp_path, units=UNITS))
        expected = connection.execute(
            "select count(*), avg(one), avg(last), regr_sxx(one, last),\n"
            "    regr_sxy(one, last) from (\n"
            "    select unit_no, sum(value) filter (outcome_us < 86400000000) as one,\n"
            "        sum(value) filter (outcome_us >= 2332800000000) as last\n"
            f"    from '{tmp_path}/outcomes.parquet' where unit_no % 2 = 0\n"
            "    group by unit_no)"
        ).fetchall()[0]
    command = [sys.executable, "-c", BUILD, str(tmp_path), f"{LIMIT_MB}MB", "m"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    grown, arms = json.loads(done.stdout)
    n, means, gram = arms[0]
    np.testing.assert_allclose(
        (n, means[0], means[-1], gram[-1][-1], gram[0][-1]), expected, rtol=1e-9
    )
    # The engine's limit, a quarter of it for cells, and what they allocate beside.
    as_rows = UNITS * DAYS * 3 * 8
    assert grown < 2.5 * LIMIT_MB * 1e6 < as_rows
