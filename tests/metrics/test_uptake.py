"""Outcome and uptake of an arm together, as SQL takes their moments."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.causal.instrument import compliance_of_units
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.uptake import measure_uptake
from exp_platform.records import AnalysisPlan, MetricType


@pytest.mark.parametrize("cluster", [None, "town"])
def test_moments_with_the_uptake_are_those_of_the_units(cluster, spec, tmp_path):
    random = np.random.default_rng(4)
    unit, town = np.arange(90), np.repeat(np.arange(9), [50, *[5] * 8])
    values = {"spend": random.normal(3, 1, 90), "took": (unit % 3 > 0) * 1.0}
    rows = {
        "unit_no": np.tile(unit, 2),
        "metric_name": np.repeat(list(values), 90),
        "variant": ["treatment"] * 180,
        "value": np.concatenate(list(values.values())),
    }
    settings = LakeSettings(tmp_path, tmp_path / "c.db", tmp_path, tmp_path)
    with Engine(settings) as engine:
        engine.register("exp_run.metric_calculations", pa.table(rows))
        assigned = pa.table({"unit_no": unit, "cluster_id": town})
        engine.register("exp_run.experiment_assignments", assigned)
        plan = AnalysisPlan(metrics=(), received="took")
        listed = [SimpleNamespace(name=one, type=MetricType.MEAN) for one in values]
        found = measure_uptake(engine, spec(plan=plan, cluster=cluster), listed)
    assert list(found) == [("spend", "treatment")]
    expected = compliance_of_units(
        values["spend"],
        values["took"],
        cluster=None if cluster is None else town,
        metric_name="spend",
        variant="treatment",
        experiment_id="exp_a",
    )
    told = asdict(found["spend", "treatment"])
    for name, value in asdict(expected).items():
        if name != "outcome_range":
            assert told[name] == pytest.approx(value, rel=1e-12)
