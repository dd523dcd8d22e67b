from dataclasses import replace

import pytest
from scipy import stats

from exp_platform.checks.damage import bound_damage
from exp_platform.checks.facts import ArmRate, SplitFacts
from exp_platform.checks.srm import check_srm, check_srm_by_segment
from exp_platform.records import CheckStatus

HALF = {"A": 0.5, "B": 0.5}


def split(a, b, *, is_complete=True, **changes):
    facts = SplitFacts("e", HALF, {"A": a, "B": b}, is_complete, "A")
    return replace(facts, **changes)


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        (split(5000, 5000), CheckStatus.PASSED, "SPLIT_AS_PLANNED"),
        # z = 3.5, p = .0005, but the e-value is 40.
        (split(49447, 50553), CheckStatus.FAILED, "SPLIT_OFF_PLAN"),
        (
            split(49447, 50553, is_complete=False),
            CheckStatus.WARNED,
            "SPLIT_MAY_BE_OFF_PLAN",
        ),
        # e-value far above 1,000: fails at any look.
        (split(45000, 55000, is_complete=False), CheckStatus.FAILED, "SPLIT_OFF_PLAN"),
        # p < .0001 but only .15 % off.
        (
            split(9_985_000, 10_015_000),
            CheckStatus.WARNED,
            "SPLIT_SLIGHTLY_OFF_PLAN",
        ),
        # An early look was far off; the last one is within .2 %: only a warning.
        (
            split(50_000, 50_100, looks=({"A": 100, "B": 900}, {"A": 5000, "B": 5010})),
            CheckStatus.WARNED,
            "SPLIT_SLIGHTLY_OFF_PLAN",
        ),
        # An early look was far off and some of it is left.
        (
            split(5000, 5100, looks=({"A": 100, "B": 900}, {"A": 5000, "B": 5100})),
            CheckStatus.FAILED,
            "SPLIT_OFF_PLAN",
        ),
        (split(9, 0, is_complete=False), CheckStatus.PASSED, "SPLIT_AS_PLANNED"),
        (
            split(500, 500, observed={"A": 500, "B": 500, "X": 1}),
            CheckStatus.FAILED,
            "UNPLANNED_ARM",
        ),
        (split(0, 0), CheckStatus.NOT_RUN, "NO_SPLIT"),
        (split(9, 9, planned={"A": 1.0}), CheckStatus.NOT_RUN, "NO_SPLIT"),
        (split(9, 9, planned={"A": 1.0, "B": 0.0}), CheckStatus.NOT_RUN, "NO_SPLIT"),
    ],
)
def test_check_srm_by_rule(facts, status, reason):
    check = check_srm(facts)
    assert (check.status, check.reason, check.can_fail) == (status, reason, True)


def test_check_srm_of_cookie_cats_names_both_rules():
    check = check_srm(split(44_700, 45_489))
    # The chi-square of scipy, the same sum in another order.
    answer = stats.chisquare([44_700, 45_489])
    assert check.status is CheckStatus.PASSED
    assert check.p_value == pytest.approx(answer.pvalue, rel=1e-9)
    assert "Chi-square p = 0.0086 (fails below 0.001" in check.message
    assert "e-value 3.18 over 1 look (fails from 1,000)" in check.message
    assert check.details["concentration"] == 1000.0


def test_check_srm_uses_the_exact_test_for_small_counts():
    check = check_srm(split(9, 0, is_complete=False))
    assert check.details["p_method"] == "exact_multinomial"
    # Twice .5 ** 9.
    assert check.p_value == pytest.approx(2 * 0.5**9, rel=1e-9)


def test_check_srm_bounds_the_damage_by_all_or_none_converting():
    rates = (ArmRate("orders", "A", 0.1), ArmRate("orders", "B", 0.1))
    check = check_srm(split(9000, 10_000, rates=rates))
    # Arm A lacks 1,000: its rate lies between 900 / 10,000 and 1,900 / 10,000.
    assert check.details["damage"]["missing"] == 1000
    assert check.details["damage"]["upper"] == pytest.approx(0.1 - 0.09)
    assert check.details["damage"]["lower"] == pytest.approx(0.1 - 0.19)
    assert check.impact == pytest.approx(0.09)
    assert check.impact_unit == "orders"


def test_check_srm_says_no_impact_when_it_passes():
    rates = (ArmRate("orders", "A", 0.1), ArmRate("orders", "B", 0.1))
    check = check_srm(split(4990, 5000, rates=rates))
    assert (check.impact, check.details["damage"]) == (None, None)


def test_bound_damage_takes_the_widest_comparison_of_three_arms():
    facts = SplitFacts(
        "e",
        {"A": 0.5, "B": 0.25, "C": 0.25},
        {"A": 1000, "B": 500, "C": 400},
        True,
        "A",
        rates=tuple(ArmRate("orders", arm, 0.5) for arm in "ABC"),
    )
    damage = bound_damage(facts)
    assert damage is not None
    assert (damage.treatment, damage.missing) == ("C", 100)
    assert (damage.lower, damage.upper) == pytest.approx((-0.1, 0.1))


def test_bound_damage_without_control_rate_or_units():
    only_b = (ArmRate("orders", "B", 0.1),)
    assert bound_damage(split(9000, 10_000, rates=only_b)) is None
    both = (ArmRate("orders", "A", 0.0), ArmRate("orders", "B", 0.1))
    empty = bound_damage(split(0, 0, rates=both))
    assert empty is not None
    assert (empty.lower, empty.upper) == (-1.0, 1.0)


def test_check_srm_by_segment_only_warns():
    check = check_srm_by_segment(split(4000, 6000, subject="device=mobile"))
    assert (check.status, check.can_fail) == (CheckStatus.WARNED, False)
    assert check.message.startswith("device=mobile: A 4,000, B 6,000 for a plan of")


def test_check_srm_by_segment_without_units_is_not_run():
    check = check_srm_by_segment(split(0, 0, subject="device=tv"))
    assert (check.status, check.subject) == (CheckStatus.NOT_RUN, "device=tv")
