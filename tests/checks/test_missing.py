from dataclasses import replace

import pytest

from exp_platform.checks.facts import MissingFacts
from exp_platform.checks.missing import check_missing_values
from exp_platform.records import CheckStatus

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
