"""METHODS section 4 as a table: what is changed, and what must come out."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.decision.reasons import MEANINGS, Reason
from exp_platform.decision.rules import RULES
from exp_platform.records import (
    Assignment,
    CheckStatus,
    Direction,
    EstimateRole,
    EstimateStatus,
    Outcome,
    Verdict,
)
from exp_platform.stats.guardrail import GuardrailStatus
from tests.decision.changes import (
    DEGRADED,
    HARMED,
    chain,
    check,
    drop,
    goal,
    guardrail,
    registry,
    running,
    swap,
)

NO_EFFECT = goal(p_value=0.2, p_value_adjusted=0.4, statistic=1.28)
WORSE = goal(1, difference=-0.02, statistic=-2.0, p_value=0.046, p_value_adjusted=0.09)
WITHIN = guardrail(harm_p_value=1e-4, is_degraded=True)
UNSURE = guardrail(status=GuardrailStatus.NOT_SHOWN, bound=0.07)


def shorten(case):
    end = case.spec.start_ts + timedelta(days=7) - timedelta(seconds=1)
    return registry(end_ts=end, watermark_ts=end)(case)


def no_goals(case):
    return case.plan(metrics=case.spec.plan.metrics[2:])


def accept(case):
    return case.plan(accept_within_margin=True)


FAIL_SRM = check(0, status=CheckStatus.FAILED)
NOT_RUN = check(1, status=CheckStatus.NOT_RUN)
ERRORED = goal(status=EstimateStatus.METRIC_ERRORED, reason="INVALID_MOMENTS")
TOO_FEW = goal(status=EstimateStatus.INSUFFICIENT_DATA, reason="TOO_FEW_UNITS")
UNKNOWN = guardrail(status=GuardrailStatus.UNKNOWN, reason="NO_MARGIN")

TABLE = [
    ("nothing", lambda c: c, "d", Outcome.SHIP, ["GOAL_SUPERIOR"]),
    ("SRM failed", FAIL_SRM, "a", Outcome.REVIEW, ["SRM_FAILED"]),
    (
        "SRM failed while running",
        chain(FAIL_SRM, running),
        "a",
        Outcome.REVIEW,
        ["SRM_FAILED"],
    ),
    (
        "an unknown check failed",
        check(0, check_name="MINE", status=CheckStatus.FAILED),
        "a",
        Outcome.REVIEW,
        ["CHECK_FAILED"],
    ),
    ("untrusted before harm", chain(FAIL_SRM, DEGRADED), "a", Outcome.REVIEW, None),
    ("check not run", NOT_RUN, "b", Outcome.REVIEW, ["CHECK_NOT_RUN"]),
    (
        "check not run while running",
        chain(NOT_RUN, running),
        "b",
        Outcome.KEEP_RUNNING,
        ["CHECK_NOT_RUN", "NOT_COMPLETE"],
    ),
    ("goal errored", ERRORED, "b", Outcome.REVIEW, ["METRIC_ERRORED"]),
    ("too few units", TOO_FEW, "b", Outcome.REVIEW, ["INSUFFICIENT_DATA"]),
    (
        "too few units while running",
        chain(TOO_FEW, running),
        "b",
        Outcome.KEEP_RUNNING,
        ["INSUFFICIENT_DATA", "NOT_COMPLETE"],
    ),
    (
        "not identified",
        goal(status=EstimateStatus.NOT_IDENTIFIED),
        "b",
        Outcome.REVIEW,
        ["NOT_IDENTIFIED"],
    ),
    ("guardrail unknown", UNKNOWN, "b", Outcome.REVIEW, ["GUARDRAIL_UNKNOWN"]),
    (
        "goal not corrected",
        goal(p_value_adjusted=None),
        "b",
        Outcome.REVIEW,
        ["P_NOT_ADJUSTED"],
    ),
    (
        "two primaries",
        lambda c: replace(c, estimates=(*c.estimates, c.estimates[0])),
        "b",
        Outcome.REVIEW,
        ["AMBIGUOUS_PRIMARY"],
    ),
    ("missing before harm", chain(ERRORED, DEGRADED), "b", Outcome.REVIEW, None),
    ("guardrail harmed", DEGRADED, "c", Outcome.ROLL_BACK, ["GUARDRAIL_DEGRADED"]),
    ("goal harmed", HARMED, "c", Outcome.ROLL_BACK, ["GOAL_DEGRADED"]),
    (
        "both harmed",
        chain(HARMED, DEGRADED),
        "c",
        Outcome.ROLL_BACK,
        ["GUARDRAIL_DEGRADED", "GOAL_DEGRADED"],
    ),
    (
        "harm before the end",
        chain(DEGRADED, running),
        "e",
        Outcome.KEEP_RUNNING,
        ["NOT_COMPLETE"],
    ),
    (
        "success before the end",
        running,
        "e",
        Outcome.KEEP_RUNNING,
        ["NOT_COMPLETE"],
    ),
    ("worse within", WITHIN, "f", Outcome.REVIEW, ["DEGRADED_WITHIN_MARGIN"]),
    (
        "worse within, accepted",
        chain(WITHIN, accept),
        "d",
        Outcome.SHIP,
        ["GOAL_SUPERIOR"],
    ),
    ("margin not shown", UNSURE, "f", Outcome.REVIEW, ["GUARDRAIL_INCONCLUSIVE"]),
    (
        "margin not shown, accepted inside",
        chain(UNSURE, accept),
        "f",
        Outcome.REVIEW,
        ["GUARDRAIL_INCONCLUSIVE"],
    ),
    ("no effect", NO_EFFECT, "f", Outcome.REVIEW, ["NO_GOAL_EFFECT"]),
    ("other goal worse", WORSE, "f", Outcome.REVIEW, ["GOAL_WORSE"]),
    ("six days", shorten, "f", Outcome.REVIEW, ["TOO_FEW_DAYS"]),
    (
        "six days, undated",
        chain(shorten, registry(is_dated=False)),
        "d",
        Outcome.SHIP,
        ["GOAL_SUPERIOR"],
    ),
    (
        "undated before its end",
        chain(running, registry(is_dated=False)),
        "d",
        Outcome.SHIP,
        ["GOAL_SUPERIOR"],
    ),
    ("no goals", no_goals, "f", Outcome.REVIEW, ["NO_PLAN"]),
    (
        "no goals, running",
        chain(no_goals, running),
        "f",
        Outcome.REVIEW,
        ["NO_PLAN", "NOT_COMPLETE"],
    ),
    (
        "no goals, harm",
        chain(no_goals, DEGRADED),
        "c",
        Outcome.ROLL_BACK,
        ["GUARDRAIL_DEGRADED"],
    ),
    (
        "no goals, running, check not run",
        chain(no_goals, running, NOT_RUN),
        "b",
        Outcome.REVIEW,
        None,
    ),
]


@pytest.mark.parametrize(
    ("change", "rule", "outcome", "reasons"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_decide_by_the_table(shippable, change, rule, outcome, reasons):
    decisions = change(shippable).decide()
    assert [d.treatment for d in decisions] == ["B", ""]
    for decision in decisions:
        assert (decision.rule, decision.outcome) == (rule, outcome)
        assert reasons is None or list(decision.reasons) == reasons
        assert decision.rationale
        assert decision.would_change


def test_decide_reaches_every_rule():
    assert {row[2] for row in TABLE} == {rule.letter for rule in RULES}


def test_every_reason_has_a_meaning():
    assert set(MEANINGS) == set(Reason)


def test_harm_level_splits_over_metrics_and_arms(shippable):
    # Two goals and a guardrail in one arm: .05 / 3 = .0167.
    spared = guardrail(
        status=GuardrailStatus.NOT_SHOWN, bound=0.09, harm_p_value=0.017
    )(shippable)
    called = guardrail(
        status=GuardrailStatus.NOT_SHOWN, bound=0.09, harm_p_value=0.0166
    )(shippable)
    assert spared.decide()[0].outcome is Outcome.REVIEW
    assert called.decide()[0].outcome is Outcome.ROLL_BACK


def test_a_decrease_of_a_cost_goal_ships(shippable):
    lower = {"difference": -0.02, "statistic": -4.0, "relative_lift": -0.2}
    case = goal(0, **lower)(shippable)
    case = replace(case, directions={**case.directions, "orders": Direction.DECREASE})
    assert case.decide()[0].outcome is Outcome.SHIP


def test_a_guardrail_without_events_is_judged_by_its_score_bound(shippable):
    case = goal(2, status=EstimateStatus.INSUFFICIENT_DATA, reason="ZERO_VARIANCE")
    assert case(shippable).decide()[0].outcome is Outcome.SHIP


# --- Fails closed ---------------------------------------------------------------


def knock_outs(case):
    """Every single way to take one required item from a case that may ship."""
    yield from knock_out_estimates(case)
    yield from knock_out_checks(case)
    yield from knock_out_guardrails(case)
    for name in ("orders", "revenue"):
        left = {k: v for k, v in case.directions.items() if k != name}
        yield replace(case, directions=left)


ELSEWHERE = (
    {"role": EstimateRole.SECONDARY},
    {"segment": "device=mobile"},
    {"treatment": "other"},
    {"control": "other"},
    {"metric_name": "other"},
    {"status": EstimateStatus.INSUFFICIENT_DATA},
    {"status": EstimateStatus.NOT_IDENTIFIED},
    {"status": EstimateStatus.METRIC_ERRORED},
)
BROKEN = (
    {"p_value": float("nan")},
    {"statistic": None},
    {"difference": float("inf")},
    {"p_value_adjusted": None},
    {"p_value_adjusted": float("nan")},
    {"p_value_adjusted": -0.1},
    {"p_value_adjusted": 1.1},
)


def knock_out_estimates(case):
    for i, estimate in enumerate(case.estimates):
        yield replace(case, estimates=drop(case.estimates, i))
        # A guardrail decides by its assessment, so only a goal needs these numbers.
        needed = () if estimate.metric_name == "refunds" else BROKEN
        for change in (*ELSEWHERE, *needed):
            yield replace(case, estimates=swap(case.estimates, i, **change))


def knock_out_checks(case):
    for i in range(len(case.checks)):
        yield replace(case, checks=drop(case.checks, i))
        for status in (CheckStatus.NOT_RUN, CheckStatus.FAILED):
            yield replace(case, checks=swap(case.checks, i, status=status))


def knock_out_guardrails(case):
    for i in range(len(case.guardrails)):
        yield replace(case, guardrails=drop(case.guardrails, i))
        yield replace(case, guardrails=(*case.guardrails, case.guardrails[i]))
        for change in (
            {"harm_p_value": None},
            {"harm_p_value": float("nan")},
            {"status": GuardrailStatus.UNKNOWN},
            {"status": GuardrailStatus.NOT_SHOWN},
        ):
            yield replace(case, guardrails=swap(case.guardrails, i, **change))


def test_no_single_missing_item_ships(shippable):
    broken = list(knock_outs(shippable))
    assert len(broken) > 50
    for case in broken:
        assert all(d.outcome is not Outcome.SHIP for d in case.decide())


def test_no_missing_item_of_either_arm_ships_the_experiment(two_arms):
    tied = goal(0, difference=0.03)(two_arms).plan(tie_break="orders")
    assert tied.decide()[-1].outcome is Outcome.SHIP
    for case in knock_outs(tied):
        overall = case.decide()[-1]
        lost_arm = overall.outcome is Outcome.SHIP
        # An arm whose guardrail is judged and not shown is out; the other may ship.
        assert not lost_arm or any(
            d.reasons[0] == "GUARDRAIL_INCONCLUSIVE" for d in case.decide()
        )


FLOATS = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1e-9, 1.0]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_no_input_crashes_and_nothing_broken_ships(shippable, data):
    def draw(strategy):
        return data.draw(strategy)

    def spoil_estimate(estimate):
        return replace(
            estimate,
            metric_name=draw(st.sampled_from(["orders", "revenue", "refunds", "x"])),
            status=draw(st.sampled_from(list(EstimateStatus))),
            method=draw(st.sampled_from(["welch_t", "did_2x2"])),
            difference=draw(FLOATS),
            p_value=draw(FLOATS),
            p_value_adjusted=draw(FLOATS),
            statistic=draw(FLOATS),
            relative_lift=draw(FLOATS),
            ci_lower=draw(FLOATS),
            df=draw(st.sampled_from([None, 5.0, 0.0, float("nan")])),
        )

    def spoil_guardrail(one):
        return replace(
            one,
            status=draw(st.sampled_from(list(GuardrailStatus))),
            bound=draw(FLOATS),
            margin=draw(FLOATS),
            harm_p_value=draw(FLOATS),
            is_degraded=draw(st.booleans()),
        )

    case = replace(
        shippable,
        estimates=tuple(
            spoil_estimate(e) if draw(st.booleans()) else e for e in shippable.estimates
        ),
        guardrails=tuple(
            spoil_guardrail(g) if draw(st.booleans()) else g
            for g in shippable.guardrails
        ),
        checks=tuple(
            replace(c, status=draw(st.sampled_from(list(CheckStatus))))
            for c in shippable.checks
        ),
    )
    if draw(st.booleans()):
        case = running(case)
    if draw(st.booleans()):
        case = case.plan(
            metrics=draw(st.sampled_from([(), case.spec.plan.metrics[:1]]))
        )
    decision, overall = case.decide()
    assert decision.outcome is overall.outcome
    if decision.outcome is Outcome.SHIP:
        assert decision.verdict is not Verdict.DO_NOT_USE
        assert all(
            c.status in (CheckStatus.PASSED, CheckStatus.WARNED) for c in case.checks
        )
        assert case.spec.is_complete
    if not case.spec.is_complete:
        assert decision.outcome in (Outcome.KEEP_RUNNING, Outcome.REVIEW)


def test_rules_are_in_the_order_of_the_methods():
    letters = [rule.letter for rule in RULES]
    assert letters == sorted(letters)
    assert all(a < b for a, b in itertools.pairwise(letters))


@pytest.mark.parametrize("change", [lambda c: c, running, goal(p_value=0.9)])
def test_nothing_ships_on_units_that_chose_their_arm(change, shippable):
    # A primary row that would ship: whoever made it, units were not assigned.
    case = change(registry(assignment=Assignment.SELF_SELECTED)(shippable))
    decision = case.decide()[-1]
    assert decision.outcome is Outcome.REVIEW
    assert decision.reasons[0] == Reason.NOT_AN_EXPERIMENT
    assert "not an experiment" in decision.rationale
    assert "at random" in decision.would_change
