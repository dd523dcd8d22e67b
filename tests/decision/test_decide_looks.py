"""What is decided at a look, from totals alone."""

from dataclasses import replace

import pytest

from exp_platform.decision.sequential import decide_looks
from exp_platform.records import LookMethod, Outcome
from tests.decision.trials import DAYS, primary


def test_decide_looks_ships_early_at_one_look(trial):
    decision = trial.decide(9)
    assert (decision.outcome, decision.rule) == (Outcome.SHIP, "d")
    assert decision.rationale.startswith(
        "At look 9 of 14 (2026-03-10 00:00 UTC), better: "
    )
    assert "repeated interval" in decision.rationale
    assert decision.details["look"]["look"] == 9
    assert trial.decide(DAYS).outcome is Outcome.SHIP


def test_decide_looks_waits_for_seven_whole_days(trial):
    strong = replace(trial, effects={**trial.effects, "orders": 2.0, "refunds": 1.0})
    judged = strong.judge(6)
    assert primary(judged, "orders").p_value_adjusted < 1e-6
    assert strong.decide(6).outcome is Outcome.KEEP_RUNNING
    assert "fewer than seven whole days were observed: 6" in strong.decide(6).rationale
    assert strong.decide(7).outcome is Outcome.SHIP


def test_decide_looks_keeps_running_without_a_crossing(trial):
    flat = replace(trial, effects=dict.fromkeys(trial.effects, 0.0))
    decision = flat.decide(9)
    assert (decision.outcome, decision.rule) == (Outcome.KEEP_RUNNING, "e")
    assert "This is look 9 of 14" in decision.rationale
    assert "no goal is proven better" in decision.rationale
    last = flat.decide(DAYS)
    assert (last.outcome, last.rule) == (Outcome.REVIEW, "f")
    assert last.reasons == ("NO_GOAL_EFFECT",)


def test_decide_looks_waits_for_the_guardrail(trial):
    metrics = tuple(
        replace(m, margin=0.01) if m.margin else m for m in trial.spec.plan.metrics
    )
    strict = replace(trial, case=trial.case.plan(metrics=metrics))
    decision = strict.decide(9)
    assert decision.outcome is Outcome.KEEP_RUNNING
    assert "a guardrail is not proven inside its margin" in decision.rationale


def test_decide_looks_rolls_back_early(trial):
    harmful = replace(trial, effects={**trial.effects, "refunds": -0.8})
    decision = harmful.decide(5)
    assert (decision.outcome, decision.rule) == (Outcome.ROLL_BACK, "c")
    assert decision.reasons == ("GUARDRAIL_DEGRADED",)
    assert decision.rationale.startswith("At look 5 of 14")


def test_decide_looks_does_not_roll_back_before_there_are_units(trial):
    harmful = replace(trial, effects={**trial.effects, "refunds": -5.0}, per_day=60)
    decision = harmful.decide(3)
    assert decision.outcome is Outcome.KEEP_RUNNING
    assert decision.reasons == ("INSUFFICIENT_DATA", "NOT_COMPLETE")


def test_decide_looks_names_proven_harm_beside_what_is_missing(trial):
    harmful = replace(trial, effects={**trial.effects, "refunds": -0.8})
    series = [one for one in harmful.series(9) if one.definition.name != "orders"]
    spec = harmful.spec_at(9)
    decision = decide_looks(spec, series, checks=harmful.case.checks)[-1]
    assert (decision.outcome, decision.rule) == (Outcome.KEEP_RUNNING, "b")
    assert "Look at this too: refunds" in decision.rationale
    assert decision.rationale.endswith("This is look 9 of 14 (2026-03-10 00:00 UTC).")


def test_decide_looks_calls_harm_inside_the_margin_review(trial):
    inside = replace(trial, effects={**trial.effects, "refunds": -0.24})
    inside = replace(inside, per_day=3000)
    decision = inside.decide(DAYS)
    assert decision.outcome is Outcome.REVIEW
    assert "DEGRADED_WITHIN_MARGIN" in decision.reasons


def test_decide_looks_refuses_values_that_still_grow(trial):
    """Day-1 enrolment: everybody is there, nobody's value is final."""
    strong = replace(trial, effects=dict.fromkeys(trial.effects, 2.0))
    for day in range(1, DAYS):
        decision = strong.decide(day, window_days=None)
        assert decision.outcome is Outcome.KEEP_RUNNING
    series = strong.series(DAYS, window_days=None)
    assert [len(one.looks) for one in series] == [1, 1, 1]


def break_last(series, name, **changes):
    """The series with other moments of both arms of a metric at the last look."""
    found = []
    for one in series:
        *before, last = one.looks
        arms = {
            arm: replace(getattr(last, arm), **changes)
            for arm in ("control", "treatment")
        }
        is_own = one.definition.name == name
        found.append(
            replace(one, looks=(*before, replace(last, **arms if is_own else {})))
        )
    return found


@pytest.mark.parametrize("method", [LookMethod.GROUP_SEQUENTIAL, LookMethod.MSPRT])
@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("orders", {"mean": float("nan")}, "METRIC_ERRORED"),
        ("orders", {"variance": 0.0}, "INSUFFICIENT_DATA"),
        ("refunds", {"mean": float("nan")}, "METRIC_ERRORED"),
        ("refunds", {"mean": -1.0}, "GUARDRAIL_UNKNOWN"),
    ],
)
def test_decide_looks_lets_no_earlier_look_stand_in_for_what_broke(
    trial, method, name, changes, reason
):
    strong = replace(trial, effects={**trial.effects, "orders": 2.0, "refunds": 1.0})
    strong = strong.design(method=method)
    for day, outcome in ((9, Outcome.KEEP_RUNNING), (DAYS, Outcome.REVIEW)):
        assert strong.decide(day).outcome is Outcome.SHIP
        series = break_last(strong.series(day), name, **changes)
        checks = strong.case.checks
        decision = decide_looks(strong.spec_at(day), series, checks=checks)[-1]
        assert (decision.outcome, decision.reasons[0]) == (outcome, reason)
