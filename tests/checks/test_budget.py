from dataclasses import replace

import pytest

from exp_platform.checks.budget import (
    ANOMALY,
    FAIL_BUDGET,
    SHARED_LEVEL,
    SRM_RUNNING,
    WARN_BUDGET,
    apply_budget,
)
from exp_platform.checks.catalogue import CATALOGUE, Chance
from exp_platform.records import CheckResult, CheckStatus

BOTS = CheckResult("e", "BOTS_BY_ARM", CheckStatus.WARNED, "X", "Bots.", p_value=0.03)
TREND = CheckResult("e", "NOVELTY", CheckStatus.PASSED, "X", "Trend.", p_value=0.5)
BALANCE = CheckResult(
    "e", "PRE_PERIOD_BALANCE", CheckStatus.WARNED, "X", "Moved.", p_value=0.0006
)


def test_budget_adds_up():
    families = [e.level for e in CATALOGUE.values() if e.chance is Chance.FAMILY]
    own = [
        e.level
        for e in CATALOGUE.values()
        if e.chance is Chance.OWN_RULE and e.can_fail
    ]
    warned = SHARED_LEVEL + SRM_RUNNING + ANOMALY + sum(families)
    assert warned == pytest.approx(WARN_BUDGET)
    assert sum(own) <= FAIL_BUDGET
    assert WARN_BUDGET + sum(own) <= 0.05


def test_apply_budget_spares_a_warning_that_chance_explains():
    bots, trend = apply_budget([BOTS, TREND])
    assert (bots.status, bots.reason) == (CheckStatus.PASSED, "WITHIN_CHANCE")
    # .03 x 2 by Holm.
    assert bots.p_value == pytest.approx(0.06)
    assert bots.details["p_unadjusted"] == 0.03
    assert bots.message == "Bots. After Holm over 2 results: p = 0.06."
    assert trend.status is CheckStatus.PASSED


def test_apply_budget_keeps_a_lone_warning():
    (bots,) = apply_budget([BOTS])
    assert (bots.status, bots.reason, bots.message) == (
        CheckStatus.WARNED,
        "X",
        "Bots.",
    )
    assert bots.threshold == SHARED_LEVEL


def test_apply_budget_corrects_a_family_at_its_own_level():
    one, two, bots = apply_budget([BALANCE, replace(BALANCE, p_value=0.9), BOTS])
    assert (one.status, one.threshold) == (CheckStatus.PASSED, 0.001)
    assert two.status is CheckStatus.PASSED
    assert bots.status is CheckStatus.WARNED


@pytest.mark.parametrize(
    "check",
    [
        replace(BOTS, check_name="SRM", status=CheckStatus.FAILED),
        replace(BOTS, check_name="SRM"),
        replace(BOTS, check_name="PRETREND", status=CheckStatus.WARNED, can_fail=True),
        replace(BOTS, check_name="OUTLIER", p_value=None),
        replace(BOTS, check_name="MINE"),
        replace(BOTS, status=CheckStatus.NOT_RUN, p_value=None),
        replace(BOTS, p_value=float("nan")),
    ],
)
def test_apply_budget_leaves_other_rules_alone(check):
    after = apply_budget([TREND, check, TREND])[1]
    assert (after.status, after.reason, after.message) == (
        check.status,
        check.reason,
        check.message,
    )


def test_apply_budget_of_nothing_is_nothing():
    assert apply_budget([]) == ()
