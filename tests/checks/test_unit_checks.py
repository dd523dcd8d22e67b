"""Checks over units: crossover and bots."""

from dataclasses import replace

import pytest

from exp_platform.checks.bots import check_bots, check_bots_by_arm
from exp_platform.checks.crossover import check_crossover
from exp_platform.checks.facts import BotFacts, CrossoverFacts
from exp_platform.records import CheckStatus

UNITS = {"control": 10_000, "B": 10_000}


@pytest.mark.parametrize(
    ("crossed", "status", "reason"),
    [
        ({}, CheckStatus.PASSED, "FEW_CROSSED"),
        ({"control": 99, "B": 100}, CheckStatus.PASSED, "FEW_CROSSED"),
        ({"control": 100, "B": 100}, CheckStatus.WARNED, "SOME_CROSSED"),
        ({"control": 999, "B": 1000}, CheckStatus.WARNED, "SOME_CROSSED"),
        ({"control": 1000, "B": 1000}, CheckStatus.FAILED, "MANY_CROSSED"),
        ({"control": 20, "B": 60}, CheckStatus.FAILED, "CROSSED_UNEQUALLY"),
    ],
)
def test_check_crossover_by_rule(crossed, status, reason):
    check = check_crossover(CrossoverFacts("e", UNITS, crossed))
    assert (check.status, check.reason) == (status, reason)


def test_check_crossover_says_the_share_of_every_arm():
    check = check_crossover(CrossoverFacts("e", UNITS, {"control": 100, "B": 120}))
    assert check.message == (
        "1.1 % of units met more than one arm (1 % of control, 1.2 % of B; same in all "
        "arms: p = 0.18)."
    )


def test_check_crossover_of_units_that_met_two_arms_first_blames_neither_arm():
    tied = {"control": 9}
    facts = CrossoverFacts("e", UNITS, tied, tied)
    check = check_crossover(facts)
    assert check.status is CheckStatus.PASSED
    assert check.value == 9 / sum(UNITS.values())
    assert check.message.endswith("(for 9 it is not known which one first).")
    crossed = {"control": 9 + 1, "B": 1}
    both = check_crossover(CrossoverFacts("e", UNITS, crossed, tied))
    alone = check_crossover(CrossoverFacts("e", UNITS, {"control": 1, "B": 1}))
    assert both.p_value == pytest.approx(alone.p_value, rel=0.01)
    assert both.value == 11 / sum(UNITS.values())
    assert both.message.endswith("; for 9 it is not known which one first).")


def test_check_crossover_without_units_is_not_run_and_blocks():
    check = check_crossover(CrossoverFacts("e", {}, {}))
    assert (check.status, check.can_fail) == (CheckStatus.NOT_RUN, True)


BOTS = BotFacts("e", UNITS, {"control": 10, "B": 10}, 100)


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        (BOTS, CheckStatus.WARNED, "BOTS_INCLUDED"),
        (replace(BOTS, bots={"B": 19}), CheckStatus.PASSED, "FEW_BOTS"),
        (replace(BOTS, is_excluded=True), CheckStatus.PASSED, "FEW_BOTS"),
        (
            replace(BOTS, is_excluded=True, bots={"control": 100, "B": 100}),
            CheckStatus.WARNED,
            "MANY_BOTS",
        ),
        (replace(BOTS, units={}, bots={}), CheckStatus.NOT_RUN, "NO_UNITS"),
    ],
)
def test_check_bots_by_rule(facts, status, reason):
    check = check_bots(facts)
    assert (check.status, check.reason) == (status, reason)


def test_check_bots_without_any_says_so():
    message = check_bots(replace(BOTS, bots={})).message
    assert message == "No unit made more than 100 rows on one day."


def test_check_bots_by_arm_warns_on_unequal_shares():
    check = check_bots_by_arm(replace(BOTS, bots={"control": 10, "B": 40}))
    assert (check.status, check.reason) == (CheckStatus.WARNED, "BOTS_DIFFER")


def test_check_bots_by_arm_passes_on_equal_shares():
    assert check_bots_by_arm(BOTS).status is CheckStatus.PASSED


def test_check_bots_by_arm_with_one_arm_is_not_run():
    check = check_bots_by_arm(replace(BOTS, units={"B": 9}))
    assert check.status is CheckStatus.NOT_RUN
