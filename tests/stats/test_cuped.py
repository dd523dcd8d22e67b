from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.records import EstimateStatus
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.moments import summarise_units
from exp_platform.stats.regression import (
    estimate_adjusted,
    estimate_lin,
    summarise_adjustment,
)
from exp_platform.stats.welch import estimate_welch

# Least squares by QR against ours on moments; n is a few hundred.
ROUNDING = 1e-10


def _golden_totals(answer, total, with_new):
    return [
        total(
            answer[arm]["y"],
            covariate=answer[arm]["x"],
            is_new=answer[arm]["is_new"] if with_new else None,
        )
        for arm in ("control", "treatment")
    ]


def _draw(seed, n, slope=0.8, effect=0.0):
    random = np.random.default_rng(seed)
    x = random.gamma(2, 2, n)
    return {"values": slope * x + effect + random.normal(0, 1, n), "covariate": x}


def test_total_theta_agrees_with_tea_tasting(golden, total, settings):
    answer = golden("cuped")
    arms = _golden_totals(answer, total, with_new=False)
    estimate = estimate_cuped(*arms, settings, theta="total")
    for name, value in answer["total"].items():
        assert getattr(estimate, name) == pytest.approx(value, rel=ROUNDING)


@pytest.mark.parametrize(("case", "with_new"), [("x_only", False), ("x_and_new", True)])
def test_within_theta_is_least_squares_for_equal_arms(
    case, with_new, golden, total, settings
):
    answer = golden("cuped")
    estimate = estimate_cuped(*_golden_totals(answer, total, with_new), settings)
    theta = [estimate.details["theta"], estimate.details["theta_new_unit"]]
    assert estimate.difference == pytest.approx(
        answer[case]["difference"], rel=ROUNDING
    )
    assert theta[: 1 + with_new] == pytest.approx(answer[case]["theta"], rel=ROUNDING)


def test_error_and_baseline_are_those_of_adjusted_units(total, settings):
    control, treatment = _draw(1, 300), _draw(2, 150, effect=0.5)
    estimate = estimate_cuped(total(**control), total(**treatment), settings)
    theta = estimate.details["theta"]
    share = 150 / 450
    left = {
        name: arm["values"] - theta * arm["covariate"]
        for name, arm in (("c", control), ("t", treatment))
    }
    parts = {name: v.var(ddof=1) / len(v) for name, v in left.items()}
    assert estimate.standard_error**2 == pytest.approx(
        sum(parts.values()), rel=ROUNDING
    )
    # The adjusted control mean is a mean over control plus one over treatment.
    over_control = control["values"] - share * theta * control["covariate"]
    over_treatment = share * theta * treatment["covariate"]
    variance = over_control.var(ddof=1) / 300 + over_treatment.var(ddof=1) / 150
    covariance = (
        np.cov(left["t"], over_treatment)[0, 1] / 150
        - np.cov(left["c"], over_control)[0, 1] / 300
    )
    details = estimate.details
    assert details["baseline_mean"] == estimate.control_mean
    assert details["baseline_variance"] == pytest.approx(variance, rel=ROUNDING)
    assert details["baseline_covariance"] == pytest.approx(covariance, rel=ROUNDING)


def test_adjusted_means_differ_by_the_estimate_and_keep_the_pooled_mean(
    total, settings
):
    control, treatment = total(**_draw(1, 300)), total(**_draw(2, 150))
    estimate = estimate_cuped(control, treatment, settings)
    gap = estimate.treatment_mean - estimate.control_mean
    assert gap == pytest.approx(estimate.difference, rel=1e-12)
    pooled = 300 * estimate.control_mean + 150 * estimate.treatment_mean
    raw = 300 * control.mean + 150 * treatment.mean
    assert pooled == pytest.approx(raw, rel=1e-12)


def test_df_is_welch_on_residuals_less_the_covariates(total, settings):
    control, treatment = _draw(1, 300), _draw(2, 150)
    estimate = estimate_cuped(total(**control), total(**treatment), settings)
    theta = estimate.details["theta"]
    residuals = [
        total(arm["values"] - theta * arm["covariate"]) for arm in (control, treatment)
    ]
    welch = estimate_welch(*residuals, settings)
    assert estimate.df == pytest.approx(welch.df - 1, rel=ROUNDING)


@pytest.mark.parametrize("value", [0.0, 7.3, 5e12])
def test_constant_covariate_is_told_as_that(value, total, settings):
    control, treatment = _draw(1, 300), _draw(2, 150)
    for arm in (control, treatment):
        arm["covariate"] = np.full(len(arm["values"]), value)
    row = estimate_cuped(total(**control), total(**treatment), settings)
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "NO_COVARIATE_DATA")
    assert (row.difference, row.p_value) == (None, None)


def test_covariate_whose_spread_is_lost_is_told_as_that(total, settings):
    """Its slope would be 0, and the row Welch's, as if it explained nothing."""
    arms = [_draw(1, 300), _draw(2, 150)]
    for arm in arms:
        arm["covariate"] = arm["covariate"] + 1e15
    row = estimate_cuped(*(total(**arm) for arm in arms), settings)
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "PRECISION_LOST")


def test_constant_indicator_is_dropped(total, settings):
    control, treatment = _draw(1, 300), _draw(2, 150)
    plain = estimate_cuped(total(**control), total(**treatment), settings)
    none_new = estimate_cuped(
        total(**control, is_new=np.zeros(300)),
        total(**treatment, is_new=np.zeros(150)),
        settings,
    )
    assert none_new.df == plain.df
    assert none_new.standard_error == pytest.approx(plain.standard_error, rel=1e-12)


def test_covariate_that_is_the_indicator_turned_round_is_used_once(total, settings):
    arms = []
    for seed in (1, 2):
        random = np.random.default_rng(seed)
        is_new = random.random(400) < 0.5
        x = np.where(is_new, 0.0, 3.0)
        arms.append(total(x + random.normal(0, 1, 400), covariate=x, is_new=is_new))
    both = estimate_cuped(*arms, settings)
    single = estimate_cuped(
        *(replace(arm, new_share=None, new_covariance=None) for arm in arms), settings
    )
    assert both.df == pytest.approx(single.df, rel=1e-9)
    assert both.standard_error == pytest.approx(single.standard_error, rel=1e-9)


def test_useless_covariate_says_that_it_does_not_help(total, settings):
    arms = [total(**_draw(seed, 500, slope=0.0)) for seed in (1, 2)]
    estimate = estimate_cuped(*arms, settings)
    assert estimate.details["variance_ratio"] > 0.99
    assert estimate.details["note"] == "COVARIATE_DOES_NOT_HELP"


def test_perfect_covariate_has_no_variance_left(total, settings):
    arms = []
    for seed in (1, 2):
        x = np.random.default_rng(seed).gamma(2, 2, 200)
        arms.append(total(3 * x + 1, covariate=x))
    estimate = estimate_cuped(*arms, settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert (estimate.reason, estimate.difference) == ("NO_RESIDUAL_VARIANCE", None)
    means = (estimate.control_mean, estimate.treatment_mean)
    assert means == (arms[0].mean, arms[1].mean)


@pytest.mark.parametrize("slope", [1.0, 0.1, -7e5])
def test_any_regression_on_the_outcome_itself_is_refused(slope, settings):
    arms = []
    for arm, seed in zip(("A", "B"), (1, 2), strict=True):
        x, z = np.random.default_rng(seed).normal(5, 2, (2, 200))
        arms.append(summarise_adjustment(("e", "m", arm), slope * x, {"x": x, "z": z}))
    rows = [
        estimate_adjusted(*arms, settings),
        *estimate_lin(arms[0], arms[1:], settings),
    ]
    assert [row.reason for row in rows] == ["NO_RESIDUAL_VARIANCE"] * 2
    assert {row.p_value for row in rows} == {None}


def test_values_that_do_not_vary_are_not_put_down_to_the_covariate(total, settings):
    x = np.random.default_rng(1).gamma(2, 2, 200)
    arms = [total(np.full(200, 3.0), covariate=x) for _ in range(2)]
    assert estimate_cuped(*arms, settings).reason == "ZERO_VARIANCE"


def test_missing_covariate_is_refused(total, settings):
    control = total(**_draw(1, 300))
    bare = replace(control, covariate_mean=None)
    estimate = estimate_cuped(control, bare, settings)
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "NO_COVARIATE_DATA",
    )
    assert estimate.control_mean == control.mean
    assert estimate.standard_error is None


@pytest.mark.parametrize(
    "broken",
    [
        {"covariate_covariance": float("nan")},
        {"covariate_variance": -1.0},
        {"new_share": float("inf"), "new_covariance": 0.0},
    ],
)
def test_broken_covariate_is_errored(broken, total, settings):
    control = total(**_draw(1, 300))
    arm = replace(control, **broken)
    estimate = estimate_cuped(arm, arm, settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED


def test_too_few_units_are_refused(total, define):
    from exp_platform.stats.settings import EstimateSettings

    arm = total(**_draw(1, 99))
    assert (
        estimate_cuped(arm, arm, EstimateSettings(define())).reason == "TOO_FEW_UNITS"
    )


def test_total_theta_can_raise_the_variance_where_the_within_one_cannot(
    total, settings
):
    # Slopes .3 / .9 in arms of 10 % and 90 %: METHODS section 2.
    random = np.random.default_rng(4)
    arms = []
    for n, slope in ((9000, 0.3), (1000, 0.9)):
        x = random.normal(0, 1, n)
        y = slope * x + random.normal(0, np.sqrt(1 - slope**2), n)
        arms.append(total(y, covariate=x))
    within = estimate_cuped(*arms, settings).details["variance_ratio"]
    pooled = estimate_cuped(*arms, settings, theta="total").details["variance_ratio"]
    assert within < pooled


@given(seed=st.integers(0, 10_000), slope=st.floats(-2, 2), n=st.integers(5, 200))
def test_within_theta_never_raises_the_estimated_variance(
    seed, slope, n, total, settings
):
    random = np.random.default_rng(seed)
    arms = []
    for size in (n, 2 * n):
        x = random.gamma(0.5, 2, size)
        is_new = random.random(size) < 0.3
        x = np.where(is_new, 0.0, x)
        y = slope * x + random.normal(0, 1, size)
        arms.append(total(y, covariate=x, is_new=is_new))
    estimate = estimate_cuped(*arms, settings)
    # theta minimises this very estimate; only rounding can lift it above 1.
    assert estimate.details["variance_ratio"] <= 1 + 1e-9


@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100))
def test_shifted_covariate_changes_nothing(seed, shift, total, settings):
    control, treatment = _draw(seed, 60), _draw(seed + 1, 80)
    plain = estimate_cuped(total(**control), total(**treatment), settings)
    for arm in (control, treatment):
        arm["covariate"] = arm["covariate"] + shift
    moved = estimate_cuped(total(**control), total(**treatment), settings)
    assert moved.difference == pytest.approx(plain.difference, rel=1e-7, abs=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-7)


def _ratio_arms(total, seeds=(1, 2), **changes):
    arms = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        x = random.normal(5, 1, 400)
        d = 1.0 + random.poisson(3, 400)
        y = d * (1 + x) + random.normal(0, 1, 400)
        shared = float(np.cov(x, d)[0, 1])
        arm = total(y, covariate=x, denominator=d, is_new=x < 4)
        arms.append(replace(arm, covariate_denominator_covariance=shared, **changes))
    return arms


def _ratio_settings(define):
    from exp_platform.records import MetricType
    from exp_platform.stats.settings import EstimateSettings

    return EstimateSettings(define(MetricType.RATIO), min_units_per_arm=2)


def test_ratio_is_adjusted_by_its_linearised_values(total, define):
    from exp_platform.stats.ratio import estimate_ratio

    arms, settings = _ratio_arms(total), _ratio_settings(define)
    found, plain = (f(*arms, settings) for f in (estimate_cuped, estimate_ratio))
    assert found.df == np.inf or found.df is None
    assert found.details["variance_ratio"] == pytest.approx(
        (found.standard_error / plain.standard_error) ** 2, rel=1e-12
    )
    assert found.details["variance_ratio"] < 0.5
    assert found.details["control_mean_raw"] == plain.control_mean
    assert found.details["theta_new_unit"] == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"denominator_mean": 0.0}, "DENOMINATOR_NEAR_ZERO"),
        ({"covariate_denominator_covariance": None}, "NO_COVARIATE_DATA"),
        ({"denominator_covariance": float("nan")}, "INVALID_MOMENTS"),
    ],
)
def test_ratio_without_its_moments_is_refused(changes, reason, total, define):
    control, treatment = _ratio_arms(total)
    broken = replace(treatment, **changes)
    found = estimate_cuped(control, broken, _ratio_settings(define))
    assert (found.reason, found.standard_error) == (reason, None)


@pytest.mark.calibration
def test_correlation_of_point_six_leaves_sixty_four_percent(
    named_random, total, settings
):
    runs, hits, ratios = 2000, 0, []
    for _ in range(runs):
        arms = []
        for _ in range(2):
            x = named_random.normal(0, 1, 200)
            y = 0.6 * x + named_random.normal(0, 0.8, 200)
            arms.append(total(y, covariate=x))
        found = estimate_cuped(*arms, settings)
        hits += found.p_value < 0.05
        ratios.append(found.details["variance_ratio"])
    assert abs(hits / runs - 0.05) < 0.015
    assert abs(np.mean(ratios) - 0.64) < 0.06


def test_covariate_known_in_one_arm_only_is_refused(settings):
    """The other arm's x is 0 throughout: its gap would be adjusted for as if known."""
    (y_c, x_c), (y_t, _) = (_draw(seed, 300).values() for seed in (1, 2))
    unknown = np.full(300, np.nan)
    arms = [
        summarise_units(("exp_1", "spend", name), y, covariate=x)
        for name, y, x in (("control", y_c, x_c), ("treatment", y_t, unknown))
    ]
    row = estimate_cuped(*arms, settings)
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "NO_COVARIATE_DATA")
    with_many = [
        summarise_adjustment(("exp_1", "spend", name), y, {"x": x}, may_miss=["x"])
        for name, y, x in (("control", y_c, x_c), ("treatment", y_t, unknown))
    ]
    assert estimate_adjusted(*with_many, settings).reason == "NO_COVARIATE_DATA"
    (row,) = estimate_lin(with_many[0], with_many[1:], settings)
    assert row.reason == "NO_COVARIATE_DATA"


@pytest.mark.parametrize("far", [0.0, 1e8])
def test_covariate_lost_beside_its_indicator_is_told(far, total, settings):
    """Known values about 1e8, unknown ones 0: x is the indicator, to ten digits."""
    random = np.random.default_rng(3)
    arms = []
    for variant in ("control", "treatment"):
        x, is_new = random.normal(0, 1, 900), random.random(900) < 0.2
        y = 2 * x + random.normal(0, 1, 900)
        x = np.where(is_new, 0.0, far + x)
        arms.append(total(y, variant, covariate=x, is_new=is_new.astype(float)))
    row = estimate_cuped(*arms, settings)
    assert row.is_ok
    assert (row.details["note"] == "COVARIATES_COLLINEAR") == (far > 0)
    if far:
        assert row.details["covariates_used"].startswith("1 of 2 columns")
    else:
        assert row.details["variance_ratio"] < 0.5


@pytest.mark.parametrize("is_lin", [False, True])
def test_a_covariate_given_twice_is_told(is_lin, settings):
    random = np.random.default_rng(4)
    arms = []
    for variant in ("control", "treatment"):
        x = random.normal(0, 1, 300)
        columns = {"x": x, "again": 3 * x, "other": random.normal(0, 1, 300)}
        y = x + random.normal(0, 1, 300)
        arms.append(summarise_adjustment(("exp_1", "spend", variant), y, columns))
    control, treatment = arms
    row = (
        estimate_lin(control, [treatment], settings)[0]
        if is_lin
        else estimate_adjusted(control, treatment, settings)
    )
    assert row.details["note"] == "COVARIATES_COLLINEAR"
    assert row.details["covariates_used"].startswith("2 of 3 columns")
