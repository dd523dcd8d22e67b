import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.records import EstimateRole, EstimateStatus
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms, estimate_welch

# scipy and this code use the same formulas in another order of operations.
ROUNDING = 1e-11

VALUES = st.lists(st.integers(-1000, 1000), min_size=4, max_size=40)


@pytest.mark.parametrize("case", ["normal", "unequal", "skewed", "far_apart"])
def test_estimate_welch_agrees_with_scipy(case, golden, total, settings):
    answer = golden("welch")["cases"][case]
    estimate = estimate_welch(
        total(answer["control"]), total(answer["treatment"], "new"), settings
    )
    assert estimate.status is EstimateStatus.OK
    for name in ("statistic", "df", "p_value", "ci_lower", "ci_upper"):
        assert getattr(estimate, name) == pytest.approx(answer[name], rel=ROUNDING)


def test_estimate_welch_names_the_comparison(total, define):
    settings = EstimateSettings(define(), role=EstimateRole.SECONDARY, alpha=0.1)
    control = replace(total(np.arange(100.0)), segment="country=DE")
    treatment = replace(total(np.arange(200.0), "new"), segment="country=DE")
    estimate = estimate_welch(control, treatment, settings)
    assert (estimate.method, estimate.control, estimate.treatment) == (
        "welch_t",
        "control",
        "new",
    )
    assert (estimate.n_control, estimate.n_treatment) == (100, 200)
    assert (estimate.role, estimate.alpha) == (EstimateRole.SECONDARY, 0.1)
    assert estimate.segment == "country=DE"
    assert estimate.metric_version == f"3:{define().definition_hash}"


def test_estimate_welch_keeps_the_difference_of_constants(total, settings):
    estimate = estimate_welch(total([2.0] * 9), total([2.5] * 9, "new"), settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.reason == "ZERO_VARIANCE"
    assert estimate.difference == 0.5
    assert estimate.p_value is None
    assert estimate.ci_lower is None


def test_estimate_welch_takes_merged_rounding_noise_for_zero_variance(total, settings):
    noisy = replace(total([0.1] * 9), variance=(0.1 * 1e-16) ** 2)
    assert estimate_welch(noisy, noisy, settings).reason == "ZERO_VARIANCE"


def test_estimate_welch_works_when_only_one_arm_varies(total, settings):
    estimate = estimate_welch(total([2.0] * 9), total([1.0, 2.0, 4.0]), settings)
    assert estimate.is_ok
    assert estimate.df == pytest.approx(2)


@pytest.mark.parametrize("n", [0, 1, 99])
def test_estimate_welch_refuses_too_few_units(n, total, define):
    few = replace(total([1.0, 2.0, 3.0]), n=n, mean=1.0 if n else None)
    estimate = estimate_welch(few, total(np.arange(500.0)), EstimateSettings(define()))
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "TOO_FEW_UNITS",
    )
    assert estimate.n_control == n
    assert estimate.difference is None
    assert estimate.standard_error is None


def test_estimate_welch_never_accepts_a_single_unit(total, define):
    one = replace(total([1.0, 2.0]), n=1, variance=None)
    settings = EstimateSettings(define(), min_units_per_arm=0)
    assert estimate_welch(one, one, settings).reason == "TOO_FEW_UNITS"


@pytest.mark.parametrize(
    "broken",
    [
        {"mean": math.nan},
        {"mean": math.inf},
        {"mean": None},
        {"variance": None},
        {"variance": math.inf},
        {"variance": -1.0},
    ],
)
def test_estimate_welch_marks_broken_moments(broken, total, settings):
    control = replace(total(np.arange(9.0)), **broken)
    estimate = estimate_welch(control, total(np.arange(9.0)), settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED
    assert estimate.reason == "INVALID_MOMENTS"
    assert estimate.p_value is None


def test_estimate_welch_never_shows_an_infinite_difference(total, settings):
    control = replace(total(np.arange(9.0)), mean=1e308, variance=1.0)
    treatment = replace(control, mean=-1e308)
    estimate = estimate_welch(control, treatment, settings)
    assert not estimate.is_ok
    assert estimate.difference is None


@pytest.mark.parametrize(
    "foreign", [{"experiment_id": "exp_2"}, {"metric_name": "x"}, {"segment": "a=b"}]
)
def test_estimate_welch_refuses_foreign_totals(foreign, total, settings):
    control = total(np.arange(9.0))
    with pytest.raises(ContractError, match="do not belong together"):
        estimate_welch(control, replace(control, **foreign), settings)


def test_compare_arms_takes_many_comparisons_at_once():
    n = np.array([50.0, 80.0, 20.0])
    control = Arm(n, np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 0.0]))
    treatment = Arm(n + 5, np.array([1.5, 2.0, 3.0]), np.array([2.0, 4.0, 0.0]))
    together = compare_arms(control, treatment, 0.05).inference
    for index in range(3):
        alone = compare_arms(
            Arm(*(np.array([v[index]]) for v in (n, control.mean, control.variance))),
            Arm(
                *(
                    np.array([v[index]])
                    for v in (treatment.n, treatment.mean, treatment.variance)
                )
            ),
            0.05,
        ).inference
        for name in ("difference", "standard_error", "df", "p_value", "ci_upper"):
            np.testing.assert_array_equal(
                getattr(together, name)[index : index + 1], getattr(alone, name)
            )


def test_p_value_does_not_underflow_to_zero_early(total, settings):
    control, treatment = total(np.arange(1000.0)), total(np.arange(1000.0) + 300)
    estimate = estimate_welch(control, treatment, settings)
    assert 0 < estimate.p_value < 1e-90


@given(control=VALUES, treatment=VALUES)
def test_swapped_arms_flip_the_sign(control, treatment, total, settings):
    there = estimate_welch(total(control), total(treatment, "new"), settings)
    back = estimate_welch(total(treatment), total(control, "new"), settings)
    assert there.status is back.status
    assert there.p_value == (back.p_value and pytest.approx(back.p_value, rel=ROUNDING))
    assert there.difference == (None if back.difference is None else -back.difference)
    if there.is_ok:
        assert there.ci_lower == pytest.approx(-back.ci_upper, rel=ROUNDING, abs=1e-9)


@given(control=VALUES, treatment=VALUES, scale=st.floats(1e-3, 1e3))
def test_scale_leaves_p_and_relative_lift(control, treatment, scale, total, settings):
    c, t = np.array(control), np.array(treatment)
    plain = estimate_welch(total(c), total(t), settings)
    scaled = estimate_welch(total(c * scale), total(t * scale), settings)
    assert plain.status is scaled.status
    names = ("p_value", "relative_lift", "relative_ci_lower", "relative_p_value")
    if plain.is_ok and abs(plain.control_mean) > 1e-6:
        for name in names:
            expected = getattr(plain, name)
            # Means of scaled integers carry the scale's rounding, lifts may cancel.
            if expected is not None:
                found = getattr(scaled, name)
                assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(control=VALUES, treatment=VALUES, shift=st.integers(-10_000, 10_000))
def test_shift_leaves_difference_and_error(control, treatment, shift, total, settings):
    c, t = np.array(control), np.array(treatment)
    plain = estimate_welch(total(c), total(t), settings)
    moved = estimate_welch(total(c + shift), total(t + shift), settings)
    assert plain.status is moved.status
    if plain.is_ok:
        # Absolute rounding of means near 10,000.
        assert moved.difference == pytest.approx(plain.difference, abs=1e-10)
        assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


MOMENTS = st.floats(allow_nan=True, allow_infinity=True)


@given(means=st.tuples(MOMENTS, MOMENTS), variances=st.tuples(MOMENTS, MOMENTS))
def test_no_number_of_an_ok_row_is_nan(means, variances, total, settings):
    base = total([1.0, 2.0, 3.0])
    control, treatment = (
        replace(base, mean=m, variance=v) for m, v in zip(means, variances, strict=True)
    )
    estimate = estimate_welch(control, treatment, settings)
    numbers = [
        getattr(estimate, name)
        for name in estimate.__slots__
        if isinstance(getattr(estimate, name), float)
    ]
    assert all(math.isfinite(number) for number in numbers)
    if estimate.is_ok:
        assert estimate.p_value is not None
        assert estimate.ci_lower <= estimate.difference <= estimate.ci_upper
