import numpy as np
import pytest

from exp_platform.stats.lift import restate_lift
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.relative import Baseline, infer_relative
from exp_platform.stats.repeated import relative_error, widen_interval
from exp_platform.stats.welch import Arm, compare_arms, estimate_welch


def _arms(control_mean: float, treatment_mean: float):
    n, variance = np.array([100.0]), np.array([1.0])
    return (
        Arm(n, np.array([control_mean]), variance),
        Arm(n, np.array([treatment_mean]), variance),
    )


def test_delta_is_used_beyond_five_errors_and_fieller_within():
    # The control mean's error is .1.
    assert not compare_arms(*_arms(0.51, 0.6), 0.05).relative.is_fieller[0]
    assert compare_arms(*_arms(0.49, 0.6), 0.05).relative.is_fieller[0]


def test_fieller_inverts_the_test_of_a_scaled_control():
    control, treatment = _arms(0.4, 0.7)
    relative = compare_arms(control, treatment, 0.05).relative
    for limit in (relative.ci_lower[0], relative.ci_upper[0]):
        ratio = 1 + limit
        z = (0.7 - ratio * 0.4) / np.sqrt(0.01 * (1 + ratio**2))
        assert abs(z) == pytest.approx(1.959963984540054, rel=1e-9)


def test_fieller_p_value_is_that_of_the_difference():
    compared = compare_arms(*_arms(0.4, 0.7), 0.05, is_normal=True)
    # Normal tail here, t with infinite df there: equal to the last bits.
    p_value = compared.inference.p_value[0]
    assert compared.relative.p_value[0] == pytest.approx(p_value, rel=1e-13)


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


def test_relative_p_differs_from_the_p_of_the_difference(total, settings):
    control = total(np.tile([0.0, 0.0, 0.0, 4.0], 30))
    estimate = estimate_welch(control, total(np.tile([0.0, 4.0], 60)), settings)
    assert estimate.relative_method == "delta"
    assert estimate.relative_p_value > 2 * estimate.p_value


def test_certain_baseline_makes_delta_and_fieller_agree():
    inference = compare_arms(*_arms(2.0, 2.5), 0.05).inference
    certain = Baseline(np.array([2.0]), np.array([1e-30]), np.zeros(1))
    delta = infer_relative(inference, certain, 0.05, method="delta")
    fieller = infer_relative(inference, certain, 0.05, method="fieller")
    np.testing.assert_allclose(delta.ci_lower, fieller.ci_lower, rtol=1e-12)
    np.testing.assert_allclose(delta.p_value, fieller.p_value, rtol=1e-12)


# 12/200 is Fieller's, 60/200 delta's; the constant treatment mean has no event or all.
@pytest.mark.parametrize("estimate", [estimate_welch, estimate_proportions])
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
    assert row.relative_lift == pytest.approx(treatment_events / control_events - 1)
    assert (row.relative_ci_lower, row.relative_ci_upper) == (None, None)
    assert row.relative_p_value is None
    assert row.details["relative_reason"] == "ARM_WITHOUT_VARIANCE"
    for method in ("delta", "fieller", "log_delta"):
        again = restate_lift(row, method)
        assert (again.relative_ci_lower, again.relative_p_value) == (None, None)
    widened = widen_interval(row, 2.8)
    assert (widened.relative_ci_lower, widened.relative_ci_upper) == (None, None)
    assert relative_error(row) is None
