from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.records import EstimateStatus
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.welch import estimate_welch


def _draw(total, seed=1, n=400):
    random = np.random.default_rng(seed)
    d = random.poisson(4, n).astype(float)
    return total(random.binomial(d.astype(int), 0.3), denominator=d)


def test_estimate_ratio_agrees_with_tea_tasting(golden, total, settings):
    answer = golden("ratio")
    control, treatment = (
        total(answer[arm]["numerator"], denominator=answer[arm]["denominator"])
        for arm in ("control", "treatment")
    )
    estimate = estimate_ratio(control, treatment, settings)
    # The same formula in another order of operations.
    assert estimate.control_mean == pytest.approx(answer["control_mean"], rel=1e-11)
    assert estimate.difference == pytest.approx(answer["difference"], rel=1e-11)
    assert estimate.statistic == pytest.approx(answer["statistic"], rel=1e-11)
    assert estimate.df is None


def test_estimate_ratio_shows_the_effect_on_the_denominator(total, settings):
    control, treatment = _draw(total, 1), _draw(total, 2)
    random = np.random.default_rng(1)
    d_control = random.poisson(4, 400)
    d_treatment = np.random.default_rng(2).poisson(4, 400)
    alone = estimate_welch(total(d_control), total(d_treatment), settings)
    found = estimate_ratio(control, treatment, settings).details["denominator"]
    for name in ("control_mean", "treatment_mean", "difference", "p_value"):
        assert found[name] == pytest.approx(getattr(alone, name), rel=1e-12)


def test_estimate_ratio_with_constant_denominator_has_no_test_of_it(total, settings):
    arm = total(np.arange(50.0), denominator=np.full(50, 2.0))
    found = estimate_ratio(arm, arm, settings)
    assert found.is_ok
    assert found.details["denominator"]["p_value"] is None
    assert found.details["denominator"]["reason"] == "ZERO_VARIANCE"


@given(values=st.lists(st.integers(-500, 500), min_size=4, max_size=30))
def test_ratio_over_one_is_welch(values, total, settings):
    control = total(values, denominator=np.ones(len(values)))
    treatment = replace(control, mean=control.mean + 1.0)
    ratio = estimate_ratio(control, treatment, settings)
    welch = estimate_welch(control, treatment, settings)
    assert ratio.status is welch.status
    # Only the p-value may differ: normal here, t there.
    assert ratio.difference == pytest.approx(welch.difference, rel=1e-12)
    if welch.is_ok:
        assert ratio.standard_error == pytest.approx(welch.standard_error, rel=1e-12)


@pytest.mark.parametrize(
    "denominator",
    [
        {"denominator_mean": 0.0},
        {"denominator_mean": -1.0},
        {"denominator_mean": 0.1, "denominator_variance": 1.0},
    ],
)
def test_estimate_ratio_refuses_a_denominator_near_zero(denominator, total, settings):
    control = _draw(total)
    estimate = estimate_ratio(control, replace(control, **denominator), settings)
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "DENOMINATOR_NEAR_ZERO",
    )
    assert estimate.difference is None


def test_estimate_ratio_of_identical_parts_has_zero_variance(total, settings):
    d = np.random.default_rng(3).gamma(2, 3, 300)
    arm = total(d, denominator=d)
    assert estimate_ratio(arm, arm, settings).reason == "ZERO_VARIANCE"


def test_estimate_ratio_without_denominator_moments_is_errored(total, settings):
    estimate = estimate_ratio(total([1.0, 2.0]), total([1.0, 3.0]), settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED


def test_estimate_ratio_that_overflows_is_errored(total, settings):
    arm = replace(_draw(total), denominator_mean=5e-324, denominator_variance=0.0)
    estimate = estimate_ratio(arm, arm, settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED
    assert estimate.p_value is None


@pytest.mark.calibration
def test_delta_method_holds_its_level_where_events_as_units_do_not(
    named_random, total, define
):
    from scipy.special import ndtr

    from exp_platform.records import MetricType
    from exp_platform.stats.settings import EstimateSettings

    settings = EstimateSettings(define(MetricType.RATIO), min_units_per_arm=2)
    runs, delta, naive = 2000, 0, 0
    for _ in range(runs):
        arms, rates = [], []
        for _ in range(2):
            views = 1 + named_random.poisson(8, 500)
            clicks = named_random.binomial(views, named_random.beta(2, 8, 500))
            arms.append(total(clicks, denominator=views))
            rate = clicks.sum() / views.sum()
            rates.append((rate, rate * (1 - rate) / views.sum()))
        delta += estimate_ratio(*arms, settings).p_value < 0.05
        (c, b), (t, a) = rates
        naive += 2 * ndtr(-abs(t - c) / np.sqrt(a + b)) < 0.05
    assert abs(delta / runs - 0.05) < 0.015
    assert naive / runs > 0.1
