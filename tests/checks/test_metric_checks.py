"""Checks over a metric's moments, trends and statuses."""

from dataclasses import replace

import pytest
from scipy import stats

from exp_platform.causal.event_study import NoveltyTrend
from exp_platform.checks.errors import check_errors
from exp_platform.checks.facts import MeanFacts, PrePeriodFacts
from exp_platform.checks.novelty import check_novelty
from exp_platform.checks.outlier import check_outlier
from exp_platform.checks.pre_period import (
    check_pre_period_balance,
    check_pre_period_present,
)
from exp_platform.checks.pretrend import check_pretrend
from exp_platform.checks.ratio import check_ratio_denominator
from exp_platform.checks.skewness import check_skewness
from exp_platform.checks.wording import format_share
from exp_platform.records import (
    CheckStatus,
    Estimate,
    EstimateRole,
    EstimateStatus,
    MetricTotals,
    PretrendOutcome,
    PretrendTest,
)

MEANS = MeanFacts("e", "orders", "A", "B", 1000, 900, 1.0, 1.2, 1.0, 1.1)
FLAT = replace(MEANS, mean_treatment=1.0)
CONSTANT = replace(MEANS, variance_control=0.0, variance_treatment=0.0)


def test_check_pre_period_balance_is_welchs_test():
    check = check_pre_period_balance(MEANS)
    answer = stats.ttest_ind_from_stats(1.2, 1.1**0.5, 900, 1.0, 1.0, 1000, False)
    # The same formula; the square root of 1.1 is squared again by scipy.
    assert check.p_value == pytest.approx(answer.pvalue, rel=1e-9)
    assert (check.status, check.reason) == (CheckStatus.WARNED, "UNBALANCED")
    assert check.impact == pytest.approx(0.2)


@pytest.mark.parametrize("check", [check_pre_period_balance, check_ratio_denominator])
def test_check_of_equal_means_passes(check):
    assert check(FLAT).status is CheckStatus.PASSED


@pytest.mark.parametrize("check", [check_pre_period_balance, check_ratio_denominator])
@pytest.mark.parametrize("facts", [CONSTANT, replace(MEANS, n_control=1)])
def test_check_of_means_without_variation_is_not_run(check, facts):
    result = check(facts)
    assert (result.status, result.can_fail) == (CheckStatus.NOT_RUN, False)


def test_check_ratio_denominator_says_what_the_move_alone_would_do():
    check = check_ratio_denominator(MEANS)
    assert check.reason == "DENOMINATOR_MOVED"
    # 1.0 / 1.2 - 1.
    assert check.impact == pytest.approx(1 / 6)
    assert check_ratio_denominator(replace(MEANS, mean_control=0.0)).impact is None


@pytest.mark.parametrize(
    ("units", "with_data", "status"),
    [
        (0, 0, CheckStatus.NOT_RUN),
        (10, 0, CheckStatus.WARNED),
        (10, 1, CheckStatus.PASSED),
    ],
)
def test_check_pre_period_present_by_rule(units, with_data, status):
    check = check_pre_period_present(
        PrePeriodFacts("e", "revenue", units, with_data, 14)
    )
    assert check.status is status
    assert check.message


def test_check_pre_period_present_tells_constant_from_absent():
    facts = PrePeriodFacts("e", "revenue", 10, 10, None)
    told = "revenue: 100 % of 10 units have data from before the exposure."
    assert check_pre_period_present(facts).message == told
    facts = PrePeriodFacts("e", "revenue", 10, 10, 14, is_constant=True)
    check = check_pre_period_present(facts)
    assert (check.status, check.reason) == (CheckStatus.WARNED, "CONSTANT_PRE_PERIOD")
    # a unit without a row has 0: nobody counted rows
    assert "the value of 100 % of 10 units in the 14 days before is" in check.message
    absent = check_pre_period_present(replace(facts, units_with_data=0))
    assert absent.reason == "NO_PRE_PERIOD_DATA"
    assert "none of 10 units has data" in absent.message


PRETREND = PretrendTest(
    "e",
    "revenue",
    "A",
    "B",
    EstimateStatus.OK,
    n_pre_days=14,
    p_adjusted=0.01,
    bias=-0.02,
    tolerance=0.03,
    detectable_bias=0.05,
    role=EstimateRole.PRIMARY,
)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (PretrendOutcome.HOLDS, CheckStatus.PASSED),
        (PretrendOutcome.NEGLIGIBLE, CheckStatus.WARNED),
        (PretrendOutcome.UNDERPOWERED, CheckStatus.WARNED),
        (PretrendOutcome.FAILED, CheckStatus.FAILED),
        (None, CheckStatus.NOT_RUN),
    ],
)
def test_check_pretrend_of_a_primary_did_follows_its_outcome(outcome, status):
    check = check_pretrend(replace(PRETREND, outcome=outcome))
    assert (check.status, check.can_fail) == (status, True)
    assert check.impact == (None if outcome is None else 0.02)


@pytest.mark.parametrize(
    ("p_value", "status"), [(0.0011, CheckStatus.PASSED), (0.0009, CheckStatus.WARNED)]
)
def test_check_pretrend_of_a_randomised_experiment_only_warns(p_value, status):
    test = replace(
        PRETREND,
        role=EstimateRole.DIAGNOSTIC,
        outcome=PretrendOutcome.FAILED,
        p_adjusted=p_value,
    )
    check = check_pretrend(test)
    assert (check.status, check.can_fail) == (status, False)


def test_check_pretrend_says_the_sizes():
    test = replace(PRETREND, outcome=PretrendOutcome.NEGLIGIBLE)
    assert check_pretrend(test).message == (
        "revenue, 14 days before the start: a drift, too small to matter (p = 0.01). "
        "The drift seen, continued, moves the estimate by 0.02; it would matter from "
        "0.03; it is found four times in five from 0.05."
    )
    weak = replace(PRETREND, outcome=PretrendOutcome.UNDERPOWERED)
    told = check_pretrend(weak, effect=-0.06).message
    assert "the test has too little power to be trusted" in told
    assert told.endswith("four times in five from 0.05; the effect is of size 0.06.")


TREND = NoveltyTrend(
    "e",
    "orders",
    "B",
    EstimateStatus.OK,
    slope=-0.1,
    p_value=0.01,
    change=-1.2,
    n_days=13,
)


def test_check_novelty_says_how_far_the_last_day_is_off():
    check = check_novelty(TREND)
    assert (check.status, check.impact) == (CheckStatus.WARNED, 0.6)
    assert "changes by \N{MINUS SIGN}1.2 in all" in check.message


def test_check_novelty_of_a_steady_effect_passes():
    assert check_novelty(replace(TREND, p_value=0.06)).status is CheckStatus.PASSED


def test_check_novelty_without_a_trend_is_not_run():
    none = NoveltyTrend(
        "e", "orders", "B", EstimateStatus.INSUFFICIENT_DATA, "TOO_FEW_DAYS"
    )
    check = check_novelty(none)
    assert (check.status, check.reason) == (CheckStatus.NOT_RUN, "TOO_FEW_DAYS")


def totals(variant, **changes):
    moments = MetricTotals(
        "e",
        "revenue",
        variant,
        n=1000,
        mean=1.0,
        variance=4.0,
        third_moment=8.0,
        min_value=0.0,
        max_value=9.0,
    )
    return replace(moments, **changes)


def test_check_outlier_passes_without_one():
    check = check_outlier(totals("A"), totals("B"))
    assert (check.status, check.reason) == (CheckStatus.PASSED, "NO_UNIT_DECIDES")


def test_check_outlier_names_the_unit_and_the_difference_without_it():
    # One unit of 502 among 1,000 with mean 2 moves the mean by 500 / 999.
    check = check_outlier(
        totals("A"),
        totals("B", mean=2.0, max_value=502.0, variance=4.0 + 500**2 / 999),
    )
    assert check.status is CheckStatus.WARNED
    assert "without the unit with the value 502 in B the difference" in check.message
    assert check.details["difference_without"] == pytest.approx(1 - 500 / 999)
    assert check.impact == pytest.approx(500 / 999)


def test_check_outlier_without_moments_is_not_run():
    check = check_outlier(totals("A", mean=None), totals("B"))
    assert check.status is CheckStatus.NOT_RUN


def test_check_skewness_passes_on_equal_arms():
    assert check_skewness(totals("A"), totals("B")).status is CheckStatus.PASSED


def test_check_skewness_warns_on_heavy_tails_in_unequal_arms():
    check = check_skewness(
        totals("A", n=9000, third_moment=200.0), totals("B", third_moment=200.0)
    )
    assert check.status is CheckStatus.WARNED
    assert "not 2.5 % each" in check.message
    # of a metric that should fall, the lower tail is the one of false gains
    assert (
        f"B lower in {format_share(check.details['lower_tail'])} and" in check.message
    )
    assert check.details["lower_tail"] > 0.025 > check.details["upper_tail"]


def test_check_skewness_without_moments_is_not_run():
    check = check_skewness(totals("A", third_moment=None), totals("B"))
    assert check.status is CheckStatus.NOT_RUN


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], CheckStatus.NOT_RUN),
        ([EstimateStatus.OK, EstimateStatus.INSUFFICIENT_DATA], CheckStatus.PASSED),
        ([EstimateStatus.OK, EstimateStatus.METRIC_ERRORED], CheckStatus.WARNED),
    ],
)
def test_check_errors_by_status(statuses, status):
    estimates = [
        Estimate("e", f"m{i}", "x", "A", "B", s) for i, s in enumerate(statuses)
    ]
    check = check_errors("e", estimates)
    assert check.status is status
    if status is CheckStatus.WARNED:
        assert check.message == "Could not be computed: m1."
