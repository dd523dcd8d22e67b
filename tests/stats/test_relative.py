from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import stdtrit

from exp_platform.errors import ContractError
from exp_platform.stats.inference import infer_difference
from exp_platform.stats.lift import restate_lift
from exp_platform.stats.proportion import compare_proportions, estimate_proportions
from exp_platform.stats.relative import (
    Baseline,
    both_vary,
    fieller_limits,
    infer_relative,
)
from exp_platform.stats.repeated import relative_error, widen_interval
from exp_platform.stats.score import Counts
from exp_platform.stats.welch import Arm, compare_arms, estimate_welch


def _arms(control_mean: float, treatment_mean: float):
    n, variance = np.array([100.0]), np.array([1.0])
    return (
        Arm(n, np.array([control_mean]), variance),
        Arm(n, np.array([treatment_mean]), variance),
    )


@pytest.mark.parametrize("mean", [0.2, 0.4, 0.51, 3.0, 1000.0])
def test_fieller_is_the_default_at_every_distance_from_zero(mean):
    relative = compare_arms(*_arms(mean, 1.2 * mean), 0.05).relative
    # The control mean's error is .1.
    assert relative.method == "fieller"
    assert bool(np.isfinite(relative.ci_lower[0])) == (mean > 0.1972)


def test_fieller_inverts_the_test_of_a_scaled_control():
    control, treatment = _arms(0.4, 0.7)
    relative = compare_arms(control, treatment, 0.05).relative
    for limit in (relative.ci_lower[0], relative.ci_upper[0]):
        ratio = 1 + limit
        t = (0.7 - ratio * 0.4) / np.sqrt(0.01 * (1 + ratio**2))
        # 97.5 % point of t with 198 degrees of freedom, from tables.
        assert abs(t) == pytest.approx(1.9720174778338955, rel=1e-9)


def test_fieller_limits_are_those_found_with_forty_digits(golden):
    cases = golden("lift")["general"]
    difference, error, mean, variance, covariance, quantile = np.array(
        [case["case"] for case in cases]
    ).T
    lower, upper = fieller_limits(
        difference, error**2, Baseline(mean, variance, covariance), quantile
    )
    ends = np.array([case["ends"] for case in cases]).T
    # The answers are rounded once; a quadratic within 2 % of having no end loses two
    # digits more.
    np.testing.assert_allclose(lower, ends[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(upper, ends[1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("is_normal", [True, False])
def test_fieller_p_value_is_that_of_the_difference(is_normal):
    compared = compare_arms(*_arms(0.4, 0.7), 0.05, is_normal=is_normal)
    assert compared.relative.p_value[0] == compared.inference.p_value[0]


@given(
    case=st.tuples(
        st.floats(-8, 8), st.floats(0.01, 3), st.floats(0.001, 0.999), st.floats(-1, 1)
    ),
    df=st.sampled_from([1.0, 4.0, 30.0, 1e6, np.inf]),
    alpha=st.sampled_from([0.2, 0.1, 0.05, 0.01, 0.05 / 12, 1e-4]),
    size=st.sampled_from([1e-6, 1.0, 1e9]),
    is_at_edge=st.booleans(),
)
def test_lift_and_difference_exclude_zero_together(case, df, alpha, size, is_at_edge):
    t, error, part, correlation = case
    quantile = stdtrit(df, 1 - alpha / 2)
    # On the edge to the last bits, where rounding would show.
    t = np.copysign(quantile, t) if is_at_edge else t
    error, difference = error * size, np.array([t * error * size])
    base_error = size / quantile * part
    baseline = Baseline(
        np.array([size]),
        np.array([base_error**2]),
        np.array([correlation * error * base_error]),
    )
    inference = infer_difference(difference, np.array([error]), np.array([df]), alpha)
    found = infer_relative(inference, baseline)
    if np.isnan(found.ci_lower[0]):
        assert not both_vary(inference.standard_error**2, baseline)[0]
        return
    assert found.ci_lower[0] <= found.ci_upper[0]
    assert (found.ci_lower[0] > 0) == (inference.ci_lower[0] > 0)
    assert (found.ci_upper[0] < 0) == (inference.ci_upper[0] < 0)
    assert found.p_value[0] == inference.p_value[0]


@given(
    events=st.tuples(st.integers(0, 40), st.integers(1, 40)),
    more=st.tuples(st.integers(0, 60), st.integers(0, 300)),
    alpha=st.sampled_from([0.2, 0.05, 0.01, 1e-3]),
    interval=st.sampled_from(["newcombe", "wald", "miettinen_nurminen"]),
)
def test_lift_and_difference_of_shares_exclude_zero_together(
    events, more, alpha, interval
):
    treatment, control = events
    counts = Counts(
        *(np.array([float(x)]) for x in (control, control + more[0])),
        *(np.array([float(x)]) for x in (treatment, treatment + more[1] + 1)),
    )
    compared = compare_proportions(counts, alpha, interval=interval)
    found, lift = compared.inference, compared.relative
    if np.isnan(lift.ci_lower[0]):
        # Wald's error of an arm without events is 0, or control is not above 0 for it.
        assert interval == "wald"
        return
    # Score limits are searched for; at the edge itself either may be rounded over it.
    assume(min(abs(found.ci_lower[0]), abs(found.ci_upper[0])) > 1e-12)
    assert -1 <= lift.ci_lower[0] <= lift.ci_upper[0] or interval == "wald"
    assert (lift.ci_lower[0] > 0) == (found.ci_lower[0] > 0)
    assert (lift.ci_upper[0] < 0) == (found.ci_upper[0] < 0)


@given(
    seed=st.integers(0, 10_000),
    critical=st.floats(0.5, 6),
    is_normal=st.booleans(),
)
def test_widened_lift_and_difference_exclude_zero_together(
    seed, critical, is_normal, total, settings
):
    random = np.random.default_rng(seed)
    arms = [
        total(random.gamma(1, 1, size) * shift)
        for size, shift in ((12, 1.0), (9, random.uniform(0.2, 4)))
    ]
    row = widen_interval(estimate_welch(*arms, settings), critical, is_normal=is_normal)
    if row.relative_ci_lower is None:
        assert row.details["relative_reason"] == "INTERVAL_UNBOUNDED"
        assert row.relative_ci_upper is None
        return
    assert "relative_reason" not in row.details
    assert (row.relative_ci_lower > 0) == (row.ci_lower > 0)
    assert (row.relative_ci_upper < 0) == (row.ci_upper < 0)


def test_method_that_is_none_is_refused():
    compared = compare_arms(*_arms(0.4, 0.7), 0.05)
    with pytest.raises(ContractError, match="'auto'"):
        infer_relative(compared.inference, compared.baseline, method="auto")


def test_unbounded_fieller_has_a_lift_and_no_interval(total, settings):
    control = total(np.tile([-1.0, 1.2], 50))
    treatment = total(np.tile([-1.0, 1.4], 50))
    estimate = estimate_welch(control, treatment, settings)
    assert estimate.is_ok
    assert estimate.relative_method == "fieller"
    assert estimate.relative_lift == pytest.approx(1.0)
    assert estimate.relative_ci_lower is None
    assert estimate.relative_ci_upper is None
    assert estimate.details["relative_reason"] == "INTERVAL_UNBOUNDED"


@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_baseline_that_is_not_positive_has_no_lift(shift, total, settings):
    control = total(np.tile([-1.0, 1.0], 50) + shift)
    treatment = total(np.tile([-1.0, 1.4], 50))
    estimate = estimate_welch(control, treatment, settings)
    assert estimate.is_ok
    assert estimate.relative_method is None
    assert estimate.relative_lift is None
    assert estimate.relative_p_value is None
    assert estimate.details["relative_reason"] == "BASELINE_NOT_POSITIVE"


def test_delta_p_differs_from_the_p_of_the_difference(total, settings):
    control = total(np.tile([0.0, 0.0, 0.0, 4.0], 30))
    estimate = estimate_welch(control, total(np.tile([0.0, 4.0], 60)), settings)
    assert estimate.relative_method == "fieller"
    assert estimate.relative_p_value == estimate.p_value
    delta = restate_lift(estimate, "delta")
    assert delta.relative_method == "delta"
    assert delta.relative_p_value > 2 * estimate.p_value == 2 * delta.p_value
    # Both stand in the row, under their own names.
    stored = estimate.details["delta_p_value"]
    assert stored == pytest.approx(delta.relative_p_value, rel=1e-12)


def test_certain_baseline_makes_delta_and_fieller_agree():
    inference = compare_arms(*_arms(2.0, 2.5), 0.05).inference
    certain = Baseline(np.array([2.0]), np.array([1e-30]), np.zeros(1))
    delta = infer_relative(inference, certain, method="delta")
    fieller = infer_relative(inference, certain, method="fieller")
    np.testing.assert_allclose(delta.ci_lower, fieller.ci_lower, rtol=1e-12)
    np.testing.assert_allclose(delta.p_value, fieller.p_value, rtol=1e-12)


# The constant mean is that of an arm with no event, or with all.
@pytest.mark.parametrize(
    "estimate",
    [estimate_welch, partial(estimate_proportions, interval="wald")],
)
@pytest.mark.parametrize(
    ("control_events", "treatment_events"),
    [(5, 0), (12, 0), (60, 0), (100, 200), (200, 150)],
)
def test_arm_without_variance_has_a_lift_and_no_interval(
    estimate, control_events, treatment_events, total, settings
):
    control, treatment = (
        total(np.repeat([1.0, 0.0], [events, 200 - events]))
        for events in (control_events, treatment_events)
    )
    row = estimate(control, treatment, settings)
    assert row.is_ok
    assert "delta_p_value" not in row.details
    assert row.relative_lift == pytest.approx(treatment_events / control_events - 1)
    assert (row.relative_ci_lower, row.relative_ci_upper) == (None, None)
    # No lift and no difference are one hypothesis, which the other arm's error tests.
    assert row.relative_p_value == row.p_value > 0
    assert row.details["relative_reason"] == "ARM_WITHOUT_VARIANCE"
    for method, p_value in (
        ("delta", None),
        ("fieller", row.p_value),
        ("log_delta", None),
    ):
        again = restate_lift(row, method)
        assert (again.relative_ci_lower, again.relative_p_value) == (None, p_value)
    widened = widen_interval(row, 2.8)
    assert (widened.relative_ci_lower, widened.relative_ci_upper) == (None, None)
    assert relative_error(row) is None


@pytest.mark.parametrize("interval", ["newcombe", "miettinen_nurminen"])
@pytest.mark.parametrize(
    ("control_events", "treatment_events"), [(5, 0), (60, 0), (100, 200), (200, 150)]
)
def test_share_without_variance_has_the_interval_of_its_scores(
    interval, control_events, treatment_events, total, settings
):
    control, treatment = (
        total(np.repeat([1.0, 0.0], [events, 200 - events]))
        for events in (control_events, treatment_events)
    )
    row = estimate_proportions(control, treatment, settings, interval=interval)
    assert not {"relative_reason", "delta_p_value"} & set(row.details)
    assert row.relative_p_value == row.p_value
    assert row.relative_ci_lower <= row.relative_lift <= row.relative_ci_upper
    assert (row.relative_ci_lower == -1) == (treatment_events == 0)
    # At the level of a look it is Fieller's with Wald's errors, and there is none.
    widened = widen_interval(row, 2.8)
    assert widened.relative_method == "fieller"
    assert widened.details["interval"] == "wald"
    assert widened.details["relative_reason"] == "ARM_WITHOUT_VARIANCE"
    assert widened.relative_ci_lower is None
