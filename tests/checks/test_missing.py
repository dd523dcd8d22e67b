from dataclasses import replace

import numpy as np
import pytest

from exp_platform.checks.facts import MissingFacts
from exp_platform.checks.missing import check_missing_values, count_active
from exp_platform.records import CheckStatus, MetricTotals

NONE = MissingFacts("e", "spend", {"A": 10_000, "B": 10_000}, {}, n_metrics=2)


@pytest.mark.parametrize(
    ("missing", "status", "reason"),
    [
        ({}, CheckStatus.PASSED, "FEW_MISSING"),
        ({"A": 40, "B": 45}, CheckStatus.PASSED, "FEW_MISSING"),
        ({"A": 300, "B": 310}, CheckStatus.WARNED, "MANY_MISSING"),
        ({"B": 1200}, CheckStatus.FAILED, "MISSING_UNEQUALLY"),
        ({"A": 1, "B": 40}, CheckStatus.FAILED, "MISSING_UNEQUALLY"),
        ({"A": 2, "B": 20}, CheckStatus.PASSED, "FEW_MISSING"),
    ],
)
def test_check_missing_values_fails_on_unequal_losses(missing, status, reason):
    check = check_missing_values(replace(NONE, missing=missing))
    assert (check.status, check.reason) == (status, reason)
    assert check.can_fail


def test_check_missing_values_bounds_a_proportion():
    facts = replace(NONE, missing={"A": 100, "B": 300}, is_share=True)
    check = check_missing_values(facts)
    # all of A's missing units 1 and all of B's 0, or the other way round
    assert check.impact == pytest.approx(0.01 + 0.03)
    assert check_missing_values(replace(facts, is_share=False)).impact is None


def test_check_missing_values_without_units_says_nothing():
    check = check_missing_values(replace(NONE, units={}, missing={}))
    assert (check.status, check.p_value) == (CheckStatus.PASSED, None)


@pytest.mark.parametrize(
    ("active", "missing", "reason", "silent"),
    [
        ({"A": 400, "B": 0}, {}, "SILENT_ARM", {"B": 400}),
        ({"A": 20, "B": 0}, {}, "SILENT_ARM", {"B": 20}),
        ({"A": 19, "B": 0}, {}, "FEW_MISSING", {}),
        # units without a value could not have shown one
        ({"A": 20, "B": 0}, {"A": 9, "B": 9}, "FEW_MISSING", {}),
        ({"A": 400, "B": 0}, {"A": 300, "B": 310}, "SILENT_ARM", {"B": 387}),
        ({"A": 400, "B": 0}, {"B": 1200}, "MISSING_UNEQUALLY", {"B": 352}),
        ({"A": 400, "B": 1}, {}, "FEW_MISSING", {}),
        ({"A": 0, "B": 0}, {}, "FEW_MISSING", {}),
        ({}, {}, "FEW_MISSING", {}),
    ],
)
def test_check_missing_values_hears_that_an_arm_is_silent(
    active, missing, reason, silent
):
    check = check_missing_values(replace(NONE, active=active, missing=missing))
    assert (check.reason, check.details["silent"]) == (reason, silent)
    assert ("nobody records it" in check.message) == bool(silent)


def test_silent_arms_are_expected_by_the_arms_that_are_heard():
    units = {"A": 10_000, "B": 1000, "C": 30_000, "D": 100}
    facts = replace(NONE, units=units, active={"A": 400, "B": 0, "C": 400, "D": 0})
    check = check_missing_values(facts)
    assert check.details["silent"] == {"B": 20}  # 800 of 40,000, of 1,000 units
    assert "All units of B have 0, where at least 20" in check.message


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 900 + [1.0] * 37,
        [0.0] * 900 + list(range(1, 60)),
        [0.0] * 50 + [-3.0] * 20 + [4.5] * 7,
        [0.1] * 1000,
        [0.0] * 99_999 + [1e-9],
        [-1.0, 1.0],
    ],
)
def test_count_active_never_counts_more_than_there_are(values):
    numbers = np.array(values)
    spread = numbers.var(ddof=1)
    totals = MetricTotals("e", "x", "A", len(values), numbers.mean(), spread)
    totals = replace(totals, min_value=numbers.min(), max_value=numbers.max())
    there = np.count_nonzero(numbers)
    assert 1 <= count_active(totals) <= there
    if len(set(values) - {0.0}) == 1:  # as of a yes or no
        assert count_active(totals) == there


def test_count_active_of_an_arm_without_values():
    silent = MetricTotals("e", "x", "A", 10, 0.0, 0.0, min_value=0.0, max_value=0.0)
    assert count_active(silent) == 0
    assert count_active(MetricTotals("e", "x", "A", 0, None, None)) == 0
    # extremes that nobody took say nothing
    assert count_active(MetricTotals("e", "x", "A", 10, 0.0, 0.0)) == 1


def test_check_missing_values_says_the_same_in_whatever_order_arms_come():
    facts = replace(NONE, missing={"A": 100, "B": 300})
    turned = replace(
        facts, units={"B": 10_000, "A": 10_000}, missing={"B": 300, "A": 100}
    )
    one, other = map(check_missing_values, (facts, turned))
    assert one.message == other.message
    assert str(one.details) == str(other.details)


@pytest.mark.parametrize(
    ("n_metrics", "words"), [(1, "arms: p ="), (2, "adjusted p =")]
)
def test_p_over_several_metrics_is_called_adjusted(n_metrics, words):
    facts = replace(NONE, missing={"A": 20, "B": 30}, n_metrics=n_metrics)
    check = check_missing_values(facts)
    assert words in check.message
