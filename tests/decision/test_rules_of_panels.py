"""The rules on a difference-in-differences: trends, sensitivity, checks."""

from dataclasses import replace

import pytest

from exp_platform.decision.trends import describe_power, note_pretrends
from exp_platform.records import (
    Assignment,
    Direction,
    EstimateRole,
    EstimateStatus,
    Outcome,
    PretrendOutcome,
    PretrendTest,
)
from tests.decision.changes import DEGRADED, HARMED


def as_did(case):
    return replace(
        case,
        spec=replace(case.spec, assignment=Assignment.POLICY),
        estimates=tuple(replace(e, method="did_2x2") for e in case.estimates),
        checks=(*case.checks[2:], replace(case.checks[0], check_name="PRETREND")),
    )


def pretrend(metric_name, outcome):
    return PretrendTest(
        "e", metric_name, "A", "B", EstimateStatus.OK, outcome=outcome, p_adjusted=0.3
    )


@pytest.mark.parametrize("outcome", [*PretrendOutcome, None])
def test_did_never_ships_without_a_sensitivity_interval(shippable, outcome):
    case = as_did(shippable)
    tests = (
        pretrend("orders", outcome),
        pretrend("revenue", PretrendOutcome.HOLDS),
    )
    decision = replace(case, pretrends=tests).decide()[0]
    assert (decision.outcome, decision.rule) == (Outcome.REVIEW, "f")
    assert decision.reasons[-1] == "SENSITIVITY_NOT_RUN"
    named = {
        PretrendOutcome.HOLDS: "SENSITIVITY_NOT_RUN",
        PretrendOutcome.UNDERPOWERED: "PRETREND_UNDERPOWERED",
        PretrendOutcome.NEGLIGIBLE: "PRETREND_NEGLIGIBLE",
        PretrendOutcome.FAILED: "PRETREND_FAILED",
        None: "PRETREND_MISSING",
    }
    assert decision.reasons[0] == named[outcome]


def bounds(lower, upper, **changes):
    """Details of a row with its interval at Mbar = 1."""
    interval = {"bound": 1.0, "lower": lower, "upper": upper}
    sensitivity = {
        "status": "OK",
        "reason": "",
        "breakdown_mbar": 1.7,
        "relative_magnitudes": [{**interval, "bound": 0.5}, interval],
        **changes,
    }
    return {"details": {"sensitivity": sensitivity}}


def with_bounds(case, **by_metric):
    return replace(
        case,
        estimates=tuple(
            replace(e, **by_metric.get(e.metric_name, {})) for e in case.estimates
        ),
        pretrends=tuple(
            pretrend(name, PretrendOutcome.HOLDS) for name in ("orders", "revenue")
        ),
    )


def test_did_ships_on_trends_that_hold_and_an_interval_off_zero(shippable):
    case = with_bounds(as_did(shippable), orders=bounds(0.004, 0.036))
    decision = case.decide()[0]
    assert (decision.outcome, decision.reasons) == (Outcome.SHIP, ("GOAL_SUPERIOR",))
    assert (
        "orders 0.0040 to 0.0360, 0 becomes possible at 1.7 times that"
        in decision.rationale
    )


REFUSED = bounds(0.0, 0.0, status="INSUFFICIENT_DATA", relative_magnitudes=[])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (bounds(-0.004, 0.036), "SENSITIVITY_FAILED"),
        (bounds(0.0, 0.036), "SENSITIVITY_FAILED"),
        # off 0, but on the other side of it than the estimate
        (bounds(-0.036, -0.004), "SENSITIVITY_FAILED"),
        (REFUSED, "SENSITIVITY_NOT_RUN"),
        ({}, "SENSITIVITY_NOT_RUN"),
    ],
)
def test_did_does_not_ship_on_an_interval_that_reaches_zero(shippable, found, reason):
    decision = with_bounds(as_did(shippable), orders=found).decide()[0]
    assert (decision.outcome, decision.reasons) == (Outcome.REVIEW, (reason,))
    assert "orders" in decision.rationale


def test_a_robust_goal_that_is_not_better_does_not_ship(shippable):
    # revenue has no effect to speak of; its bounds say nothing about orders
    case = with_bounds(as_did(shippable), revenue=bounds(0.1, 0.2), orders=REFUSED)
    assert case.decide()[0].reasons == ("SENSITIVITY_NOT_RUN",)


def test_did_that_lowers_what_should_fall_needs_an_interval_below_zero(shippable):
    case = as_did(shippable)
    falls = {"difference": -0.02, "statistic": -4.0}
    case = with_bounds(case, orders={**falls, **bounds(-0.036, -0.004)})
    case = replace(case, directions={**case.directions, "orders": Direction.DECREASE})
    assert case.decide()[0].outcome is Outcome.SHIP


def test_did_needs_no_srm_but_a_pretrend_check(shippable):
    case = as_did(shippable)
    without = replace(case, checks=case.checks[:-1]).decide()[0]
    assert (without.outcome, without.rule) == (Outcome.REVIEW, "b")
    assert "“Pre-trend” was not run" in without.rationale
    assert "SRM" not in case.decide()[0].rationale


def test_did_harm_rolls_back(shippable):
    assert DEGRADED(as_did(shippable)).decide()[0].outcome is Outcome.ROLL_BACK


def test_did_harm_of_a_goal_says_what_unequal_trends_leave_of_it(shippable):
    case = HARMED(with_bounds(as_did(shippable), revenue=bounds(-0.036, 0.004)))
    decision = case.decide()[0]
    assert decision.outcome is Outcome.ROLL_BACK
    told = (
        "unequal after the start as before it: revenue \N{MINUS SIGN}0.0360 to 0.0040"
    )
    assert told in decision.rationale


def with_power(case, outcome, **changes):
    """Pre-trend tests of every goal, noted in the rows as a run does."""
    tests = tuple(
        replace(
            pretrend(name, outcome),
            role=EstimateRole.PRIMARY,
            tolerance=0.01,
            **{"detectable_bias": 0.05, **changes},
        )
        for name in ("orders", "revenue")
    )
    rows = note_pretrends(case.estimates, tests)
    return replace(case, estimates=rows, pretrends=tests)


TOO_WEAK = (
    "pre-trend test of {} has too little power to be trusted: the smallest drift that it "
    "finds four times in five moves the estimate by 0.05, and the effect is "
)


def test_did_harm_says_that_the_pretrend_test_was_too_weak(shippable):
    case = with_power(HARMED(as_did(shippable)), PretrendOutcome.UNDERPOWERED)
    decision = case.decide()[0]
    assert decision.outcome is Outcome.ROLL_BACK
    assert f"The {TOO_WEAK.format('revenue')}\N{MINUS SIGN}0.02" in decision.rationale
    assert "orders" not in decision.rationale


def test_did_harm_on_trends_that_hold_says_nothing_of_power(shippable):
    case = with_power(HARMED(as_did(shippable)), PretrendOutcome.HOLDS)
    assert "power" not in case.decide()[0].rationale


def test_did_review_says_which_pretrend_test_was_too_weak(shippable):
    case = with_power(as_did(shippable), PretrendOutcome.UNDERPOWERED)
    decision = case.decide()[0]
    assert decision.reasons[0] == "PRETREND_UNDERPOWERED"
    assert f": the {TOO_WEAK.format('orders')}" in decision.rationale


def test_weak_pretrend_without_sizes_is_told_without_them(shippable):
    case = with_power(
        as_did(shippable), PretrendOutcome.UNDERPOWERED, detectable_bias=None
    )
    assert describe_power(case.estimates[0]) == (
        "the pre-trend test of orders has too little power to be trusted"
    )


def test_only_rows_that_decide_on_trends_are_noted(shippable):
    case = with_power(shippable, PretrendOutcome.UNDERPOWERED)
    assert all("pretrend" not in row.details for row in case.estimates)
