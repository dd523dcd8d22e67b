import math

import numpy as np
import pytest

from exp_platform.records import EstimateStatus, MetricType
from exp_platform.stats.proportion import compare_proportions, estimate_proportions
from exp_platform.stats.score import Counts
from exp_platform.stats.settings import EstimateSettings


def _counts(x1, n1, x0, n0):
    return Counts(*(np.array([float(v)]) for v in (x0, n0, x1, n1)))


def _flags(events: int, n: int):
    return np.repeat([1.0, 0.0], [events, n - events])


def test_estimate_proportions_agrees_with_scipy_and_statsmodels(golden, total, define):
    settings = EstimateSettings(define(MetricType.PROPORTION), min_units_per_arm=2)
    for case in golden("proportion")["cases"]:
        x1, n1, x0, n0 = case["counts"]
        estimate = estimate_proportions(
            total(_flags(x0, n0)), total(_flags(x1, n1), "new"), settings
        )
        # x = mean * n is exact to the last bit or two.
        assert estimate.statistic**2 == pytest.approx(case["chi_square"], rel=1e-10)
        assert estimate.p_value == pytest.approx(case["p_value"], rel=1e-10)
        interval = (estimate.ci_lower, estimate.ci_upper)
        assert interval == pytest.approx(case["newcombe"], rel=1e-10)


def test_newcombe_interval_agrees_at_the_edges(golden):
    for case in golden("proportion")["extreme"]:
        found = compare_proportions(_counts(*case["counts"]), 0.05).inference
        limits = [found.ci_lower[0], found.ci_upper[0]]
        assert limits == pytest.approx(case["newcombe"], rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("events", [0, 300])
def test_estimate_proportions_without_variation_keeps_the_difference(
    events, total, settings
):
    arm = total(_flags(events, 300))
    estimate = estimate_proportions(arm, arm, settings)
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "ZERO_VARIANCE",
    )
    assert estimate.difference == 0
    assert estimate.p_value is None


def test_estimate_proportions_with_one_empty_arm_has_numbers(total, settings):
    estimate = estimate_proportions(
        total(_flags(0, 300)), total(_flags(9, 300)), settings
    )
    assert estimate.is_ok
    assert estimate.ci_lower > 0


@pytest.mark.parametrize(("low", "high"), [(0, 300), (300, 0)])
def test_estimate_proportions_of_all_against_none_is_exact(low, high, total, settings):
    """Wald has no variance here; what is certain is that the arms differ."""
    arms = total(_flags(low, 300)), total(_flags(high, 300))
    row = estimate_proportions(*arms, settings)
    assert row.status is EstimateStatus.OK
    assert row.difference == (high - low) / 300
    # The one table of 2 x C(600, 300) that is as extreme, by Lancaster's half.
    assert row.p_value == pytest.approx(1 / math.comb(600, 300), rel=1e-9)
    # Newcombe, from Wilson's limits of 0 of 300: z^2 / (300 + z^2) in each arm.
    z2 = 1.959963984540054**2
    width = math.sqrt(2) * z2 / (300 + z2)
    near, far = sorted((row.ci_lower, row.ci_upper), key=abs)
    assert abs(near) == pytest.approx(1 - width, rel=1e-9)
    assert abs(far) == pytest.approx(1, rel=1e-12)
    # The error of the pooled test: sqrt(1/2 x 1/2 x 2/300).
    assert row.standard_error == pytest.approx(math.sqrt(1 / 600), rel=1e-12)
    assert row.details["standard_error"] == "pooled"
    if low == 0:
        assert (row.relative_ci_lower, row.relative_p_value) == (None, None)
        return
    assert row.relative_p_value == row.p_value
    # Control has its upper limit at 1: what a share of z2 / (300 + z2) is of l at best.
    share = 300 / (300 + z2)
    least = (1 - share) / math.sqrt(share * (2 - share))
    assert (row.relative_ci_lower, row.relative_ci_upper) == pytest.approx(
        (-1, least - 1), rel=1e-9
    )


@pytest.mark.parametrize("wald", [{"test": "wald"}, {"interval": "wald"}])
def test_estimate_proportions_of_all_against_none_has_no_wald(wald, total, settings):
    arms = total(_flags(0, 300)), total(_flags(300, 300))
    row = estimate_proportions(*arms, settings, **wald)
    assert (row.reason, row.difference, row.p_value) == ("ZERO_VARIANCE", 1.0, None)


def test_estimate_proportions_refuses_what_is_no_proportion(total, settings):
    estimate = estimate_proportions(total([0.0, 3.0]), total([0.0, 1.0]), settings)
    assert (estimate.status, estimate.reason) == (
        EstimateStatus.METRIC_ERRORED,
        "NOT_A_PROPORTION",
    )
