"""The test written in SQL beside the estimators in Python, for each metric type."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from exp_platform.checks.twin import check_sql_twin
from exp_platform.lake import Engine
from exp_platform.metrics.models import model_order, model_sql
from exp_platform.metrics.totals import read_totals
from exp_platform.records import (
    AnalysisPlan,
    CheckResult,
    CheckStatus,
    Direction,
    Estimate,
    MarginScale,
    MetricDefinition,
    MetricPlan,
    MetricRole,
    MetricType,
    Variant,
)
from exp_platform.stats.guardrail import assess_guardrail
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.repeated import widen_interval
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

START = datetime(2026, 1, 5, tzinfo=UTC)
ARMS = ("control", "b", "c")


def _metric(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


METRICS = (
    _metric("money", "mean", "m"),
    _metric("bought", "proportion", "k"),
    _metric("visits", "count", "v"),
    _metric("money_per_visit", "ratio", "m", denominator="v"),
    replace(_metric("calls", "count", "r"), direction=Direction.DECREASE),
    replace(_metric("crashes", "count", "c"), direction=Direction.DECREASE),
    _metric("rare", "proportion", "x"),
    _metric("never", "mean", "nothing"),
    _metric("balance", "mean", "w"),
)
GOAL, GUARDRAIL = MetricRole.GOAL, MetricRole.GUARDRAIL
GOALS = ("money", "bought", "never")
PLAN = AnalysisPlan(
    metrics=(
        *(MetricPlan(name, GOAL) for name in GOALS),
        MetricPlan("visits", GUARDRAIL, margin=0.1),
        MetricPlan("calls", GUARDRAIL, 0.2, MarginScale.ABSOLUTE),
        MetricPlan("crashes", GUARDRAIL, margin=0.1),
        MetricPlan("money_per_visit", MetricRole.MONITOR),
    ),
    alpha=0.08,
    min_units_per_arm=30,
    segments=("country",),
)
STILL = {("crashes", "all", "b")}
"""An arm without variance: a share of control's mean is no margin there."""

ESTIMATORS = {MetricType.RATIO: estimate_ratio}
Keyed = dict[tuple[str, str, str], Any]


@pytest.fixture(scope="module")
def built(build: Any, spec: Any) -> Engine:
    """Three arms of some 150 units; in one country they are too few for a test.

    The balance goes up and down: its mean is not distinguished from 0. Nobody in arm b
    has a crash.
    """
    random, other = (np.random.default_rng(seed) for seed in (20261, 20265))
    exposures: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for number in range(450):
        user, arm = f"u{number:03d}", ARMS[int(random.integers(3))]
        country = {"country": "LU" if number % 10 == 0 else "NL"}
        exposures.append(
            {"user": user, "variant": arm, "at": START, "attributes": country}
        )
        values = {
            "v": [1.0] * (1 + int(random.poisson(2))),
            "k": [1.0] * int(random.random() < 0.3 + 0.2 * (arm == "b")),
            "m": np.round(random.lognormal(1, 0.8, random.integers(3)), 2).tolist(),
            "x": [1.0] * int(random.random() < 0.04),
            "r": [1.0] * int(random.poisson(0.4)),
            "w": [round(other.normal(0.1, 1), 3)],
            "c": [1.0] * (number % 3 * (arm != "b")),
        }
        later = START + timedelta(hours=5)
        outcomes += [
            {"user": user, "metric": name, "value": value, "at": later}
            for name, found in values.items()
            for value in found
        ]
    variants = (Variant("control", 0.4), Variant("b", 0.3), Variant("c", 0.3))
    engine: Engine = build(
        exposures, outcomes, METRICS, spec(plan=PLAN, variants=variants)
    )
    return engine


def _estimates(engine: Engine) -> dict[tuple[str, str, str], Estimate]:
    totals = read_totals(engine.records("from exp_run.metric_aggregates_overall"))
    found = {}
    for (metric, segment, variant), arm in totals.items():
        if variant == "control":
            continue
        definition = next(d for d in METRICS if d.name == metric)
        settings = EstimateSettings(
            definition, alpha=PLAN.alpha, min_units_per_arm=PLAN.min_units_per_arm
        )
        estimate = ESTIMATORS.get(definition.type, estimate_welch)
        control = totals[metric, segment, "control"]
        found[metric, segment, variant] = estimate(control, arm, settings)
    return found


def _rows(engine: Engine) -> Keyed:
    rows = engine.records("from exp_run.experiment_results")
    return {(r["metric_name"], r["segment"], r["treatment"]): r for r in rows}


def _check(engine: Engine) -> CheckResult:
    rows = _rows(engine)
    pairs = [(e, rows.get(key)) for key, e in _estimates(engine).items()]
    family = len(GOALS) * (len(ARMS) - 1)
    return check_sql_twin("exp_a", pairs, goals=GOALS, family_size=family)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_experiment_results_agree_with_python(
    built: Engine, metric: MetricDefinition
) -> None:
    estimates, rows = _estimates(built), _rows(built)
    keys = [key for key in estimates if key[0] == metric.name]
    assert len(keys) == 3 * 2  # all, two countries; two treatments
    for key in keys:
        estimate, row = estimates[key], rows[key]
        assert row["reason"] == estimate.reason, key
        assert (row["p_value_z"] is None) == (not estimate.is_ok), key
        goals = GOALS if key[1] == "all" else ()
        alone = check_sql_twin("exp_a", [(estimate, row)], goals=())
        expected = CheckStatus.NOT_RUN
        if estimate.difference is not None:
            expected = CheckStatus.PASSED
        assert alone.status is expected, key
        is_goal = metric.name in goals and estimate.is_ok
        assert (row["p_value_z_adjusted"] is not None) == is_goal, key


def test_experiment_results_as_a_whole_agree_with_python(built: Engine) -> None:
    check = _check(built)
    assert check.status is CheckStatus.PASSED
    # rounding only: a thousandth of what is allowed
    assert check.value is not None
    assert check.value < 1e-3
    statuses = {e.reason for e in _estimates(built).values()}
    assert statuses == {"", "TOO_FEW_UNITS", "ZERO_VARIANCE"}


def test_guardrails_agree_with_python_read_as_normal(built: Engine) -> None:
    totals = read_totals(built.records("from exp_run.metric_aggregates_overall"))
    estimates, rows = _estimates(built), _rows(built)
    for name in PLAN.names(GUARDRAIL):
        definition = next(d for d in METRICS if d.name == name)
        for treatment in ARMS[1:]:
            key = (name, "all", treatment)
            found = assess_guardrail(
                totals[name, "all", "control"],
                totals[key],
                replace(estimates[key], df=None),  # normal
                PLAN.of(name),
                definition,
            )
            assert found.test == ("" if key in STILL else "t")
            # one tail by two implementations, both to the last digits
            expected = None if key in STILL else pytest.approx(found.p_value, rel=1e-10)
            assert rows[key]["noninferiority_p_z"] == expected
    others = [r for k, r in rows.items() if k[0] not in PLAN.names(GUARDRAIL)]
    assert all(row["noninferiority_p_z"] is None for row in others)


BROKEN = {
    "variance_by_n_less_one": (
        "int_arm_values", "unit_variance / nullif(n_independent, 0)",
        "unit_variance / nullif(n_independent - 1, 0)", "standard_error",
    ),
    "covariance_of_the_ratio_forgotten": (
        "int_arm_values", "2 * quotient * denominator_covariance",
        "0 * denominator_covariance", "standard_error",
    ),
    "control_and_treatment_swapped": (
        "int_comparisons", "then treatment_mean - control_mean",
        "then control_mean - treatment_mean", "difference",
    ),
    "one_tail": ("int_normal_tests", "2e0 * case", "1e0 * case", "p_value_z"),
    "family_of_one_less": (
        "int_normal_tests", "family_size + 1 -", "family_size -", "p_value_z_adjusted",
    ),
    "holm_may_fall": (
        "int_normal_tests", "max(p_value_z * n_left)", "min(p_value_z * n_left)",
        "p_value_z_adjusted",
    ),
    "alpha_in_one_tail": (
        "int_normal_quantiles", "alpha * 5e-1", "alpha * 1e0", "relative_ci_",
    ),
    "lift_without_the_baselines_error": (
        "int_interval_ends", "power(1 + relative_lift, 2) * control_error",
        "control_error", "relative_ci_",
    ),
    "lift_unbounded_but_shown": (
        "int_interval_ends",
        "power(quantile, 2) * control_error < power(baseline, 2)", "baseline > 0",
        "relative_ci_",
    ),
    "pooled_degrees_of_freedom": (
        "int_interval_ends",
        "power(1 - treatment_part, 2) / (n_independent_control - 1)",
        "0", "df",
    ),
    "tests_without_enough_units": (
        "int_comparisons", "then 'TOO_FEW_UNITS'", "then ''", "p_value_z",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
def test_broken_sql_fails_the_twin(built: Engine, fault: tuple[str, ...]) -> None:
    model, right, wrong, field = fault
    assert model_sql(model).count(right) >= 1
    try:
        _rebuild(
            built, lambda name, sql: sql.replace(right, wrong) if name == model else sql
        )
        check = _check(built)
    finally:
        _rebuild(built, lambda _, sql: sql)
    assert check.status is CheckStatus.FAILED
    assert f"first in {field}" in check.message
    assert _check(built).status is CheckStatus.PASSED


def _rebuild(engine: Engine, change: Callable[[str, str], str]) -> None:
    """Run the models behind the totals again, with other text."""
    names = {"int_arm_values", "int_comparisons", "int_guardrail_tests"}
    names |= {"int_normal_quantiles", "int_normal_tests", "int_interval_ends"}
    names.add("experiment_results")
    for name, kind in model_order():
        if name in names:
            select = change(name, model_sql(name))
            engine.execute(f"create or replace {kind} exp_run.{name} as\n{select}")


def test_lift_has_an_interval_in_sql_where_it_has_a_normal_one(built: Engine) -> None:
    estimates, rows = _estimates(built), _rows(built)
    quantile = -float(ndtri(PLAN.alpha / 2))
    seen = set()
    for key, estimate in estimates.items():
        row = rows[key]
        if not estimate.is_ok:
            continue
        expected = widen_interval(estimate, quantile, is_normal=True)
        for end in ("relative_ci_lower", "relative_ci_upper"):
            found = row[f"{end}_z"]
            # METHODS section 6 allows 1e-9 of the interval
            ours = getattr(expected, end)
            assert (found is None) == (ours is None), key
            assert ours is None or found == pytest.approx(ours, rel=1e-9)
        has_interval = row["relative_ci_lower_z"] is not None
        seen.add((expected.details.get("relative_reason"), has_interval))
        if has_interval:
            excludes = row["relative_ci_lower_z"] > 0 or row["relative_ci_upper_z"] < 0
            assert excludes == (row["ci_lower_z"] > 0 or row["ci_upper_z"] < 0)
        assert (row["relative_lift"] is None) == (estimate.relative_lift is None)
    assert seen >= {(None, True), ("INTERVAL_UNBOUNDED", False)}
