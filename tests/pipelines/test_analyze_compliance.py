"""The effect on compliers while an experiment is looked at before its end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from exp_platform.causal.instrument import compliance_of_units, estimate_cace
from exp_platform.pipelines.analyze_compliance import (
    is_looked_at_early,
    withhold_test,
)
from exp_platform.records import (
    AnalysisPlan,
    Direction,
    ExperimentSpec,
    LookMethod,
    MetricDefinition,
    MetricType,
    SequentialDesign,
    Variant,
)
from exp_platform.stats.settings import EstimateSettings

SPEND = MetricDefinition(
    "spend", 1, MetricType.MEAN, Direction.INCREASE, "spend", window_days=1
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "method", "window", "is_early"),
    [
        (10, None, 1, True),
        (30, None, 1, False),
        (10, LookMethod.FIXED, 1, False),
        (10, None, None, False),
    ],
)
def test_is_looked_at_early_is_a_look_before_the_last(day, method, window, is_early):
    spec = ExperimentSpec(
        "e",
        START,
        START + timedelta(days=28),
        START + timedelta(days=day),
        (Variant("control", 0.5), Variant("treatment", 0.5)),
        "control",
        AnalysisPlan((), sequential=SequentialDesign(method=method)),
    )
    metric = replace(SPEND, window_days=window)
    assert is_looked_at_early(spec, metric) is is_early


@pytest.fixture
def row():
    random = np.random.default_rng(1)
    arms = []
    for name, share in (("control", 0.0), ("treatment", 0.6)):
        taken = (random.random(500) < share).astype(float)
        outcome = random.normal(0, 1, 500) + taken
        arms.append(
            compliance_of_units(outcome, taken, metric_name="spend", variant=name)
        )
    return estimate_cace(*arms, EstimateSettings(SPEND))


def test_withhold_test_keeps_the_effect_alone(row):
    held = withhold_test(row)
    assert (held.difference, held.standard_error) == (
        row.difference,
        row.standard_error,
    )
    tests = (held.p_value, held.statistic, held.ci_lower, held.ci_upper)
    assert tests == (None,) * 4
    assert held.details["test_withheld"] == "NOT_ADJUSTED_FOR_LOOKS"
    assert not any(name.startswith("wald") for name in held.details)
    assert held.details["first_stage_f"] == row.details["first_stage_f"]
