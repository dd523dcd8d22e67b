from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from exp_platform.errors import ContractError
from exp_platform.records import MarginScale
from exp_platform.stats.equivalence import (
    EquivalenceStatus,
    Margins,
    assess_equivalence,
)
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.welch import estimate_welch

ABSOLUTE = MarginScale.ABSOLUTE


@pytest.fixture(scope="module")
def answer(golden):
    return golden("equivalence")


@pytest.fixture(scope="module")
def estimate(answer, total, settings):
    arms = (total(answer["control"]), total(answer["treatment"], "treatment"))
    return estimate_welch(*arms, settings)


def test_absolute_margins_agree_with_statsmodels(answer, estimate):
    found = assess_equivalence(estimate, Margins(*answer["margins"], ABSOLUTE))
    # The same sums in another order.
    for name in ("p_lower", "p_upper", "p_value", "ci_lower", "ci_upper"):
        assert getattr(found, name) == pytest.approx(answer[name], rel=1e-9)


def test_relative_margins_test_the_scaled_control(answer, estimate):
    share = answer["share"]
    found = assess_equivalence(estimate, Margins(-share, share))
    # The statistic is scipy's on the scaled control; the degrees of freedom are the
    # estimate's, scipy's own differ a little because scaling changes the variances.
    expected = [
        stdtr(estimate.df, -answer["relative_statistics"][0]),
        stdtr(estimate.df, answer["relative_statistics"][1]),
    ]
    assert [found.p_lower, found.p_upper] == pytest.approx(expected, rel=1e-9)


@given(
    lower=st.floats(-3, -0.01),
    upper=st.floats(0.01, 3),
    scale=st.sampled_from(list(MarginScale)),
)
def test_interval_and_tests_agree(estimate, lower, upper, scale):
    if scale is MarginScale.RELATIVE:
        lower, upper = lower / 4, upper / 4
    found = assess_equivalence(estimate, Margins(lower, upper, scale))
    is_inside = lower < found.ci_lower and found.ci_upper < upper
    is_shown = found.status is EquivalenceStatus.EQUIVALENT
    assert is_shown == is_inside
    assert found.p_value == max(found.p_lower, found.p_upper)


def test_swapping_the_arms_mirrors_the_margins(answer, total, settings, estimate):
    turned = estimate_welch(
        total(answer["treatment"]), total(answer["control"], "treatment"), settings
    )
    ours = assess_equivalence(estimate, Margins(-1.5, 1.8, ABSOLUTE))
    theirs = assess_equivalence(turned, Margins(-1.8, 1.5, ABSOLUTE))
    assert ours.p_lower == pytest.approx(theirs.p_upper)
    assert ours.ci_lower == pytest.approx(-theirs.ci_upper)


def test_what_cannot_be_judged_is_unknown(total, settings, estimate):
    flat = estimate_welch(total(np.ones(9)), total(np.ones(9), "b"), settings)
    found = assess_equivalence(flat, Margins(-1, 1, ABSOLUTE))
    assert (found.status, found.reason) == (
        EquivalenceStatus.UNKNOWN,
        "ZERO_VARIANCE",
    )
    assert found.p_value is None
    bare = replace(estimate, details={})
    found = assess_equivalence(bare, Margins(-0.1, 0.1))
    assert found.reason == "BASELINE_VARIANCE_MISSING"
    below = replace(estimate, details={**estimate.details, "baseline_mean": -1.0})
    found = assess_equivalence(below, Margins(-0.1, 0.1))
    assert found.reason == "CONTROL_MEAN_NOT_POSITIVE"


def test_unbounded_relative_interval_is_null(estimate):
    noisy = replace(
        estimate,
        details={
            "baseline_mean": 0.1,
            "baseline_variance": 1.0,
            "baseline_covariance": 0.0,
        },
    )
    found = assess_equivalence(noisy, Margins(-0.1, 0.1))
    assert (found.ci_lower, found.ci_upper) == (None, None)
    assert found.status is EquivalenceStatus.NOT_SHOWN
    assert found.reason == "INTERVAL_UNBOUNDED"
    assert found.p_value > 0.05


def _rates(total, settings, control, treatment, interval="newcombe"):
    arms = [
        total(np.repeat([1.0, 0.0], [events, units - events]))
        for events, units in (control, treatment)
    ]
    return estimate_proportions(*arms, settings, interval=interval)


def test_shares_without_events_are_tested_by_their_scores(answer, total, settings):
    for case in answer["rare"]:
        row = _rates(total, settings, *case["counts"])
        scale = MarginScale.RELATIVE if case["is_ratio"] else ABSOLUTE
        found = assess_equivalence(row, Margins(*case["margins"], scale))
        assert found.test == "miettinen_nurminen"
        # The restricted rates are a cubic's root here and a searched root there.
        expected = pytest.approx([case["p_lower"], case["p_upper"]], rel=1e-6)
        assert [found.p_lower, found.p_upper] == expected
        ends = [found.ci_lower, found.ci_upper]
        assert ends == pytest.approx(case["ends"], rel=1e-6, abs=1e-9)
        is_inside = found.status is EquivalenceStatus.EQUIVALENT
        assert is_inside == (found.p_value <= 0.05)


def test_one_event_of_a_hundred_is_not_equivalent_to_none(total, settings):
    """By Wald's error, which is that of control alone, it would be."""
    row = _rates(total, settings, (1, 100), (0, 100), "wald")
    assert -0.03 < row.ci_lower < row.ci_upper < 0.03
    found = assess_equivalence(row, Margins(-0.03, 0.03, ABSOLUTE))
    assert found.status is EquivalenceStatus.NOT_SHOWN


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        ((0, 100), (0, 100), "CONTROL_MEAN_NOT_POSITIVE"),
        ((0, 100), (7, 100), "CONTROL_MEAN_NOT_POSITIVE"),
        ((7, 100), (0, 100), "ARM_WITHOUT_VARIANCE"),
        ((93, 100), (100, 100), "ARM_WITHOUT_VARIANCE"),
        ((100, 100), (93, 100), "ARM_WITHOUT_VARIANCE"),
    ],
)
def test_relative_margin_of_a_constant_arm_is_unknown_unless_a_share(
    control, treatment, reason, total, settings
):
    arms = [
        total(np.repeat([1.0, 0.0], [events, units - events]))
        for events, units in (control, treatment)
    ]
    found = assess_equivalence(estimate_welch(*arms, settings), Margins(-0.1, 0.1))
    is_constant = control == treatment
    assert found.reason == ("ZERO_VARIANCE" if is_constant else reason)
    assert found.status is EquivalenceStatus.UNKNOWN
    numbers = (found.p_lower, found.p_upper, found.p_value, found.ci_lower)
    assert numbers == (None,) * 4
    share = assess_equivalence(
        _rates(total, settings, control, treatment), Margins(-0.1, 0.1)
    )
    is_known = control[0] > 0
    assert share.reason == ("" if is_known else reason)
    assert (share.status is EquivalenceStatus.UNKNOWN) == (not is_known)
    assert (share.p_value is None) == (share.ci_lower is None) == (not is_known)


@pytest.mark.parametrize(
    ("lower", "upper", "scale"),
    [
        (1, 1, ABSOLUTE),
        (2, 1, ABSOLUTE),
        (-float("inf"), 1, ABSOLUTE),
        (-1, 1, MarginScale.RELATIVE),
    ],
)
def test_margins_that_are_no_range_are_a_broken_contract(lower, upper, scale):
    with pytest.raises(ContractError, match="not a range"):
        Margins(lower, upper, scale)
