"""All totals in one SELECT are those that the models make step by step."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from exp_platform.errors import UsageError
from exp_platform.lake import Engine
from exp_platform.metrics.models import find_needed
from exp_platform.metrics.one_statement import totals_statement
from exp_platform.metrics.totals import compare_totals, read_totals
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    ExperimentSpec,
    FunnelStep,
    MetricDefinition,
    MetricType,
    RowRule,
    SourceKind,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def _metric(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


METRICS = (
    _metric("total", "mean", "m", covariate=Covariate("m", 2), cap=9.0),
    _metric("early", "mean", "m", window_days=1.5, rows=RowRule(filter="value >= 1")),
    _metric("inexact", "mean", "third", window_days=2.0),
    _metric("vast", "mean", "vast", window_days=3.0),
    _metric("rows", "count", "k", aggregation="count"),
    _metric("best", "mean", "m", aggregation="max", window_days=4.0),
    _metric("kinds", "count", "m", aggregation="distinct"),
    _metric("back", "retention", "m", delay_days=1.0, window_days=1.0),
    _metric("per_row", "ratio", "m", denominator="k", window_days=2.0,
            covariate=Covariate("k", 3)),
    _metric("by_date", "count", "m", is_day_grained=True, window_days=2.0,
            covariate=Covariate("m", 1)),
)  # fmt: skip


def _rows(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Exposures with ties, repeats and late first sights; rows in and out of windows."""
    random = np.random.default_rng(seed)
    exposures = [
        {
            "user": f"u{random.integers(40)}",
            "variant": str(random.choice(["control", "treatment"])),
            "at": START + int(random.integers(-4, 18)) * DAY / 4,
            "first_seen": [None, START - DAY, START - 9 * DAY][random.integers(3)],
        }
        for _ in range(70)
    ]
    outcomes = []
    for _ in range(500):
        name = str(random.choice(["m", "k", "third", "vast", "other"]))
        value = float(random.integers(-2, 12)) / (3 if name == "third" else 4)
        value = value * 1e11 if name == "vast" else value
        at = START + int(random.integers(-20, 26)) * DAY / 4
        outcomes.append(
            {
                "user": f"u{random.integers(50)}",
                "metric": name,
                "value": None if random.random() < 0.05 else value,
                "at": at + int(random.integers(-1, 2)) * TICK,
            }
        )
    return exposures, outcomes


@pytest.mark.parametrize("seed", range(3))
def test_totals_statement_has_the_totals_of_the_models(
    build: Callable[..., Engine], spec: Callable[..., ExperimentSpec], seed: int
) -> None:
    design = spec()
    needed = find_needed("metric_aggregates_overall")
    engine = build(*_rows(seed), METRICS, design, only=needed)
    statement = totals_statement(
        design, {d.name: d for d in METRICS}, fixed_point={"m", "k"}
    )
    ours = read_totals(engine.records(statement))
    models = engine.records(
        "from exp_run.metric_aggregates_overall where segment = 'all'"
    )
    assert len(ours) == 2 * len(METRICS)
    assert compare_totals(ours, read_totals(models)) == []
    assert any(arm.n_missing for arm in ours.values())
    assert any(arm.n_immature for arm in ours.values())


def test_totals_statement_makes_nothing(spec: Callable[..., ExperimentSpec]) -> None:
    statement = totals_statement(spec(), {"total": METRICS[0]}, fixed_point=())
    assert not re.search(r"\b(create|insert|temp|attach)\b", statement)


def test_totals_statement_refuses_what_does_not_fit(
    spec: Callable[..., ExperimentSpec],
) -> None:
    events = RowRule(SourceKind.EVENT)
    steps = (FunnelStep("m"), FunnelStep("k"))
    for metric, why in (
        (_metric("walk", "funnel", "k", steps=steps), "several passes"),
        (_metric("bought", "proportion", "buy", rows=events), "made of events"),
        (_metric("share", "mean", "m", rows=RowRule(value="1 / value")), "may lack"),
    ):
        with pytest.raises(UsageError, match=why):
            totals_statement(spec(), {metric.name: metric}, fixed_point=())
    design = replace(spec(), plan=AnalysisPlan(metrics=(), exclude_bots=True))
    with pytest.raises(UsageError, match="leaves bots out"):
        totals_statement(design, {"total": METRICS[0]}, fixed_point=())
