from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exp_platform.causal.contrasts import contrast_days
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.causal.trend import assess_trend
from exp_platform.records import EstimateRole, EstimateStatus, PretrendOutcome

DAYS = list(range(-7, 7))


def _values(seed, n, drift=0.0, noise=1.0):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (n, 1)) + random.normal(5, noise, (n, len(DAYS)))
    return values + drift * np.array(DAYS)


def _assess(gram, *, drift=0.0, n=500, planned_effect=0.5, **options):
    options.setdefault("role", EstimateRole.PRIMARY)
    return assess_pretrends(
        gram(_values(1, n), DAYS),
        gram(_values(2, n, drift), DAYS, "new"),
        planned_effect=planned_effect,
        estimate=options.pop("estimate", None),
        **options,
    )


def test_statistics_agree_with_statsmodels(golden, gram):
    answer = golden("pretrends")
    control, treatment = (
        gram(answer[a], answer["days"]) for a in ("control", "treatment")
    )
    found = assess_pretrends(control, treatment, planned_effect=1.0, estimate=None)
    rank, left = found.df_numerator, found.df_denominator
    hotelling = found.f_statistic * (left + rank - 1) * rank / left
    assert rank == 5
    # The mean of sums of squares in another order.
    assert hotelling == pytest.approx(answer["hotelling"], rel=1e-9)
    # Between the df of the smaller arm and those of the pooled test.
    assert 69 - 5 + 1 <= left <= 138 - 5 + 1
    assert found.p_joint == pytest.approx(answer["p_joint_pooled"], rel=0.02)
    assert found.slope == pytest.approx(answer["slope"], rel=1e-9)
    # Rao's factor: what the slope leaves over, and the covariance's own noise.
    df = left + rank - 1
    known = answer["slope_se_known_covariance"]
    misfit = hotelling - (found.slope / known) ** 2
    expected = known * np.sqrt((1 + misfit / df) * df / left)
    assert found.slope_se == pytest.approx(expected, rel=1e-9)


def test_one_lead_is_welch_on_the_change(gram):
    random = np.random.default_rng(1)
    control, treatment = random.normal(0, 1, (40, 3)), random.normal(0, 2, (40, 3))
    days = [-2, -1, 0]
    found = assess_pretrends(
        gram(control, days), gram(treatment, days), planned_effect=1.0, estimate=None
    )
    test = stats.ttest_ind(
        treatment[:, 0] - treatment[:, 1],
        control[:, 0] - control[:, 1],
        equal_var=False,
    )
    # With equal arms CR1 is the n - 1 variance; F = t squared.
    assert found.f_statistic == pytest.approx(test.statistic**2, rel=1e-9)
    assert found.df_denominator == pytest.approx(test.df, rel=1e-9)
    assert found.p_joint == pytest.approx(test.pvalue, rel=1e-9)
    assert found.p_slope == pytest.approx(test.pvalue, rel=1e-9)
    assert found.p_adjusted == pytest.approx(test.pvalue, rel=1e-9)


def test_parallel_trends_with_much_data_hold(gram):
    found = _assess(gram, n=5000, planned_effect=1.0)
    assert found.outcome is PretrendOutcome.HOLDS
    assert found.detectable_bias <= found.tolerance
    assert found.n_pre_days == 7


def test_parallel_trends_with_little_data_are_underpowered(gram):
    found = _assess(gram, n=60, planned_effect=0.05)
    assert found.outcome is PretrendOutcome.UNDERPOWERED
    assert found.reason == ""


def test_strong_drift_fails(gram):
    found = _assess(gram, drift=0.2)
    assert found.outcome is PretrendOutcome.FAILED
    assert found.slope == pytest.approx(0.2, abs=4 * found.slope_se)
    # Centres of -7..-1 and 0..6 are seven days apart.
    assert found.bias == pytest.approx(7 * found.slope)


def test_drift_that_cannot_matter_is_negligible(gram):
    found = _assess(gram, drift=0.2, planned_effect=100.0)
    assert found.outcome is PretrendOutcome.NEGLIGIBLE


def test_tolerance_is_half_the_smaller_of_plan_and_estimate(gram, settings):
    arms = gram(_values(1, 300), DAYS), gram(_values(2, 300), DAYS, "new")
    estimate = estimate_did(*(panel_of(arm) for arm in arms), settings)
    small = assess_pretrends(*arms, planned_effect=9.0, estimate=estimate)
    assert small.tolerance == pytest.approx(abs(estimate.difference) / 2)
    planned = assess_pretrends(*arms, planned_effect=1e-6, estimate=estimate)
    assert planned.tolerance == pytest.approx(5e-7)


@pytest.mark.parametrize(
    ("drift", "outcome"),
    [(0.0, PretrendOutcome.UNDERPOWERED), (0.2, PretrendOutcome.FAILED)],
)
def test_without_tolerance_nothing_holds(drift, outcome, gram):
    found = _assess(gram, drift=drift, n=5000, planned_effect=None)
    assert (found.outcome, found.reason) == (outcome, "NO_TOLERANCE")
    assert found.tolerance is None


def test_without_post_period_nothing_holds(gram):
    values = _values(1, 300)[:, :7]
    arm = gram(values, DAYS[:7])
    found = assess_pretrends(arm, arm, planned_effect=5.0, estimate=None)
    assert (found.outcome, found.reason) == (
        PretrendOutcome.UNDERPOWERED,
        "NO_POST_PERIOD",
    )
    assert found.bias is None


def test_diagnostic_only_fails_at_one_in_a_thousand(gram):
    options = {"drift": 0.035, "n": 400}
    primary = _assess(gram, **options)
    diagnostic = _assess(gram, **options, role=EstimateRole.DIAGNOSTIC)
    assert 0.001 < primary.p_adjusted < 0.05
    assert primary.outcome is PretrendOutcome.FAILED
    assert diagnostic.outcome is not PretrendOutcome.FAILED
    assert diagnostic.p_adjusted == primary.p_adjusted


@pytest.mark.parametrize(
    ("days", "reason"), [([0, 1, 2], "NO_PRE_PERIOD"), ([-1, 0, 1], "NO_PRE_PERIOD")]
)
def test_fewer_than_two_days_before_are_no_pre_period(days, reason, gram):
    arm = gram(np.random.default_rng(1).normal(0, 1, (50, 3)), days)
    found = assess_pretrends(arm, arm, planned_effect=1.0, estimate=None)
    assert (found.status, found.reason) == (EstimateStatus.INSUFFICIENT_DATA, reason)
    assert found.outcome is None
    assert found.p_joint is None


@pytest.mark.parametrize("n_clusters", [4, 6])
def test_too_few_clusters_for_the_leads_are_refused(n_clusters, gram):
    cluster = np.arange(60) % n_clusters
    arms = [gram(_values(seed, 60), DAYS, cluster=cluster) for seed in (1, 2)]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.reason == "TOO_FEW_CLUSTERS"


def test_days_without_any_value_are_left_out(gram):
    values = [_values(seed, 300) for seed in (1, 2)]
    for arm in values:
        arm[:, [0, 6]] = 0.0
    arms = [gram(arm, DAYS) for arm in values]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.status is EstimateStatus.OK
    # Day -7 equals the reference day -1, both constant.
    assert found.df_numerator == 5


def test_constant_pre_period_is_refused(gram):
    values = _values(1, 300)
    values[:, :7] = 0.0
    arm = gram(values, DAYS)
    found = assess_pretrends(arm, arm, planned_effect=1.0, estimate=None)
    assert found.reason == "ZERO_VARIANCE"


def test_constant_gap_that_jumps_is_refused(gram):
    values = [_values(seed, 300) for seed in (1, 2)]
    for arm in values:
        arm[:, [0, 6]] = 0.0
    values[1][:, 0] = 2.0
    arms = [gram(arm, DAYS) for arm in values]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.reason == "ZERO_VARIANCE"


def test_repeated_day_counts_once(gram):
    values = [_values(seed, 300) for seed in (1, 2)]
    for arm in values:
        arm[:, 1] = arm[:, 0]
    arms = [gram(arm, DAYS) for arm in values]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.status is EstimateStatus.OK
    assert found.df_numerator == 5


def test_repeated_day_with_a_jump_is_singular(gram):
    values = [_values(seed, 300) for seed in (1, 2)]
    for arm in values:
        arm[:, 1] = arm[:, 0]
    values[1][:, 1] += 3.0
    arms = [gram(arm, DAYS) for arm in values]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.reason == "SINGULAR_COVARIANCE"


def test_slope_without_any_variance_is_singular(gram):
    # Units move on the two leads in opposite directions, so no unit ever drifts.
    moves = [np.random.default_rng(seed).normal(0, 1, 60) for seed in (1, 2)]
    arms = [
        gram(np.column_stack([2 * m, -m, np.zeros(60), m]), [-3, -2, -1, 0])
        for m in moves
    ]
    found = assess_pretrends(*arms, planned_effect=1.0, estimate=None)
    assert found.reason == "SINGULAR_COVARIANCE"


def test_broken_totals_are_errored(gram):
    arm = gram(_values(1, 300), DAYS)
    broken = replace(arm, means=(float("nan"), *arm.means[1:]))
    found = assess_pretrends(arm, broken, planned_effect=1.0, estimate=None)
    assert (found.status, found.reason) == (
        EstimateStatus.METRIC_ERRORED,
        "INVALID_MOMENTS",
    )


@given(reference=st.sampled_from(DAYS[:7]))
def test_reference_day_does_not_matter(reference, gram):
    arms = gram(_values(1, 120), DAYS), gram(_values(2, 90), DAYS)

    def test(day):
        leads = [d for d in DAYS[:7] if d != day]
        return assess_trend(contrast_days(*arms, leads, reference_day=day))

    plain, moved = test(-1), test(reference)
    for name in ("p_joint", "df_denominator", "slope", "slope_se", "p_slope"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-7)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_scale_leaves_the_outcome(scale, seed, gram):
    values = _values(seed, 80), _values(seed + 1, 80, drift=0.05)
    plain, scaled = (
        assess_pretrends(
            *(gram(arm * s, DAYS) for arm in values),
            planned_effect=0.4 * s,
            estimate=None,
            role=EstimateRole.PRIMARY,
        )
        for s in (1.0, scale)
    )
    assert plain.p_adjusted == pytest.approx(scaled.p_adjusted, rel=1e-6)
    assert plain.outcome is scaled.outcome
