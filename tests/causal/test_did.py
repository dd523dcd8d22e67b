import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.records import (
    EstimateStatus,
    MarginScale,
    MetricPlan,
    MetricRole,
)
from exp_platform.stats.guardrail import GuardrailStatus, assess_guardrail
from exp_platform.stats.settings import EstimateSettings

NJMIN = Path(__file__).parents[3] / "shared" / "data" / "njmin.csv"

# Regression by QR against sums of scores.
ROUNDING = 1e-10


def _units(answer):
    units = {name: np.array(values) for name, values in answer["units"].items()}
    treated = units.pop("treated") == 1
    return [{k: v[side] for k, v in units.items()} for side in (~treated, treated)]


def _draw(panel, seed=1, n=200, gap=0.0):
    random = np.random.default_rng(seed)
    pre = random.normal(10, 2, n)
    return panel(pre, 0.6 * pre + 4 + gap + random.normal(0, 1, n))


@pytest.mark.parametrize("case", ["by_unit", "by_cluster"])
def test_estimate_did_agrees_with_statsmodels_and_pyfixest(
    case, golden, panel, settings
):
    answer = golden("did")[case]
    control, treatment = (panel(**units) for units in _units(answer))
    estimate = estimate_did(control, treatment, settings)
    for name in ("difference", "standard_error", "p_value", "ci_lower", "ci_upper"):
        assert getattr(estimate, name) == pytest.approx(answer[name], rel=ROUNDING)
    assert estimate.n_clusters == answer["n_clusters"]
    assert estimate.df == answer["n_clusters"] - 1
    assert estimate.standard_error == pytest.approx(
        answer["pyfixest_standard_error"], rel=ROUNDING
    )
    assert estimate.p_value == pytest.approx(answer["pyfixest_p_value"], rel=1e-8)


def test_estimate_did_names_its_estimand(panel, settings):
    estimate = estimate_did(_draw(panel), _draw(panel, 2), settings)
    assert (estimate.method, estimate.estimand, estimate.period) == (
        "did_2x2",
        "ATT",
        "post",
    )
    assert "CR1" in estimate.details["small_sample"]


def test_lift_is_relative_to_the_counterfactual(panel, settings):
    control, treatment = _draw(panel, 1), _draw(panel, 2, gap=1.0)
    estimate = estimate_did(control, treatment, settings)
    counterfactual = treatment.mean_post - estimate.difference
    assert estimate.control_mean == pytest.approx(counterfactual)
    assert estimate.relative_lift == pytest.approx(estimate.difference / counterfactual)
    assert estimate.relative_method == "fieller_counterfactual"
    assert estimate.relative_ci_lower < estimate.relative_lift


def test_baseline_variance_is_that_of_the_counterfactual_mean(settings, panel):
    random = np.random.default_rng(3)
    pre = {"c": random.normal(10, 2, 150), "t": random.normal(11, 2, 90)}
    post = {k: 0.5 * v + random.normal(5, 1, len(v)) for k, v in pre.items()}
    estimate = estimate_did(
        panel(pre["c"], post["c"]), panel(pre["t"], post["t"]), settings
    )
    change = {k: post[k] - pre[k] for k in pre}
    factor = 240 / 239 * 239 / 238
    over_control = np.var(change["c"]) / 150
    over_treatment = np.var(pre["t"]) / 90
    shared = np.cov(pre["t"], change["t"], ddof=0)[0, 1] / 90
    details = estimate.details
    assert details["baseline_variance"] == pytest.approx(
        factor * (over_treatment + over_control), rel=ROUNDING
    )
    assert details["baseline_covariance"] == pytest.approx(
        factor * (shared - over_control), rel=ROUNDING
    )


def test_lift_without_scores_of_the_pre_period_is_a_point(panel, settings):
    control, treatment = (
        replace(arm, pre_score_sum_of_squares=None)
        for arm in (_draw(panel, 1), _draw(panel, 2, gap=1.0))
    )
    estimate = estimate_did(control, treatment, settings)
    assert estimate.is_ok
    assert estimate.relative_method == "point_counterfactual"
    assert estimate.relative_lift is not None
    assert estimate.relative_ci_lower is None
    assert estimate.details["relative_reason"] == "BASELINE_VARIANCE_MISSING"


def test_guardrail_with_a_relative_margin_works_for_did(panel, settings):
    control, treatment = _draw(panel, 1, n=2000), _draw(panel, 2, n=2000)
    estimate = estimate_did(control, treatment, settings)
    plan = MetricPlan(
        "spend", MetricRole.GUARDRAIL, margin=0.05, margin_scale=MarginScale.RELATIVE
    )
    found = assess_guardrail(control, treatment, estimate, plan, settings.definition)
    assert found.status is GuardrailStatus.NON_INFERIOR
    bare = replace(treatment, pre_score_sum_of_squares=None)
    estimate = estimate_did(control, bare, settings)
    found = assess_guardrail(control, bare, estimate, plan, settings.definition)
    assert found.reason == "BASELINE_VARIANCE_MISSING"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": 1}, "TOO_FEW_UNITS"),
        ({"pre_days": 0}, "NO_PRE_PERIOD"),
        ({"post_days": 0}, "NO_POST_PERIOD"),
        ({"n_clusters": 4}, "TOO_FEW_CLUSTERS"),
        ({"n_clusters": 19}, "NEEDS_WILD_BOOTSTRAP"),
    ],
)
@pytest.mark.parametrize("is_treatment", [False, True])
def test_estimate_did_refuses(change, reason, is_treatment, panel, settings):
    arms = [_draw(panel, 1), _draw(panel, 2)]
    arms[is_treatment] = replace(arms[is_treatment], **change)
    estimate = estimate_did(*arms, settings)
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        reason,
    )
    assert estimate.difference is None
    assert estimate.p_value is None


def test_estimate_did_marks_broken_moments(panel, settings):
    broken = replace(_draw(panel), mean_pre=float("nan"))
    estimate = estimate_did(broken, _draw(panel), settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED


def test_constant_changes_have_zero_variance(panel, settings):
    pre = np.random.default_rng(1).normal(5, 1, 60)
    estimate = estimate_did(panel(pre, pre + 0.1), panel(pre, pre + 0.3), settings)
    assert estimate.reason == "ZERO_VARIANCE"
    assert estimate.difference == pytest.approx(0.2)


def test_min_units_are_the_plans(panel, settings):
    few = EstimateSettings(settings.definition)
    estimate = estimate_did(_draw(panel, n=99), _draw(panel), few)
    assert estimate.reason == "TOO_FEW_UNITS"


@given(seed=st.integers(0, 1000))
def test_swapped_arms_flip_the_sign(seed, panel, settings):
    control, treatment = _draw(panel, seed), _draw(panel, seed + 1, gap=0.3)
    there = estimate_did(control, treatment, settings)
    back = estimate_did(treatment, control, settings)
    assert there.difference == pytest.approx(-back.difference, rel=1e-9, abs=1e-12)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-9)


@given(shift=st.floats(-100, 100), level=st.floats(-100, 100))
def test_levels_and_common_changes_do_not_matter(shift, level, panel, settings):
    random = np.random.default_rng(1)
    pre, post = random.normal(5, 1, (2, 80)), random.normal(5, 1, (2, 80))
    plain = estimate_did(panel(pre[0], post[0]), panel(pre[1], post[1]), settings)
    moved = estimate_did(
        panel(pre[0], post[0] + shift),
        panel(pre[1] + level, post[1] + level + shift),
        settings,
    )
    assert moved.difference == pytest.approx(plain.difference, abs=1e-10)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def test_panel_of_daily_totals_is_the_panel_of_units(gram, panel, settings):
    random = np.random.default_rng(5)
    days = list(range(-3, 4))
    cluster = np.arange(120) % 30
    values = random.normal(4, 1, (120, 7))
    before, after = values[:, :3].mean(axis=1), values[:, 3:].mean(axis=1)
    found = panel_of(gram(values, days, cluster=cluster))
    expected = panel(before, after, cluster=cluster)
    assert (found.pre_days, found.post_days) == (3, 4)
    for name in ("mean_pre", "mean_post", "score_sum_of_squares", "pre_score_product"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert estimate_did(found, found, settings).difference == 0


def test_panel_of_totals_without_a_period_says_so(gram):
    values = np.random.default_rng(1).normal(4, 1, (30, 2))
    assert panel_of(gram(values, [0, 1])).pre_days == 0
    assert panel_of(gram(values, [-2, -1])).post_days == 0


def test_card_and_krueger(panel, settings):
    if not NJMIN.exists():
        pytest.skip(f"{NJMIN} is not here: public data are not part of the project")
    with NJMIN.open(newline="") as file:
        rows = list(csv.DictReader(file))
    employed = {}
    for row in rows:
        if row["fte"] not in {"", "NA"}:
            key = (row["state"], int(row["year"]) > 1991)
            employed.setdefault(key, []).append(float(row["fte"]))
    means = {key: float(np.mean(values)) for key, values in employed.items()}
    # Stores are not matched over waves here, so only the four means are used.
    blank = _draw(panel)
    control, treatment = (
        replace(blank, mean_pre=means[state, False], mean_post=means[state, True])
        for state in ("Pennsylvania", "New Jersey")
    )
    estimate = estimate_did(control, treatment, settings)
    assert estimate.difference == pytest.approx(2.7536, abs=5e-5)
