"""Several arms, and the words."""

import json
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from exp_platform.decision.reasons import MEANINGS
from exp_platform.records import (
    EstimateRole,
    EstimateStatus,
    Outcome,
    SequentialDesign,
    Variant,
)
from exp_platform.stats.guardrail import GuardrailStatus


def outcomes(decisions):
    return {d.treatment: d.outcome.value for d in decisions}


def of_arm(case, treatment, metric_name, **changes):
    return replace(
        case,
        estimates=tuple(
            replace(e, **changes)
            if (e.treatment, e.metric_name) == (treatment, metric_name)
            else e
            for e in case.estimates
        ),
    )


def test_decide_several_shippable_arms_without_tie_break_is_review(two_arms):
    decisions = two_arms.decide()
    assert outcomes(decisions) == {"B": "REVIEW", "C": "REVIEW", "": "REVIEW"}
    assert all(d.reasons[0] == "SEVERAL_SHIPPABLE_ARMS" for d in decisions)


def test_decide_tie_break_ships_one_arm(two_arms):
    case = of_arm(two_arms, "C", "orders", difference=0.03).plan(tie_break="orders")
    decisions = case.decide()
    assert outcomes(decisions) == {"B": "REVIEW", "C": "SHIP", "": "SHIP"}
    assert decisions[0].reasons[0] == "OTHER_ARM_CHOSEN"
    assert decisions[-1].details["arm"] == "C"


def test_decide_tie_break_that_ties_or_is_no_goal_is_review(two_arms):
    for metric in ("orders", "refunds", "nothing"):
        decisions = two_arms.plan(tie_break=metric).decide()
        assert decisions[-1].reasons[0] == "SEVERAL_SHIPPABLE_ARMS"


def test_decide_one_shippable_arm_ships_beside_one_rolled_back(two_arms):
    harmed = {"difference": -0.02, "statistic": -4.0}
    decisions = of_arm(two_arms, "C", "revenue", **harmed).decide()
    assert outcomes(decisions) == {"B": "SHIP", "C": "ROLL_BACK", "": "SHIP"}
    assert decisions[-1].rationale.startswith("B: SHIP; C: ROLL_BACK. On B: Better:")
    assert f" On C: {decisions[1].rationale}" in decisions[-1].rationale
    assert decisions[1].rationale.startswith("Harm: revenue")
    assert [one.details.get("harmed") for one in decisions[:2]] == [[], ["revenue"]]


def test_decide_tells_why_no_method_could_decide(shippable):
    refused = {
        "status": EstimateStatus.NOT_IDENTIFIED,
        "role": EstimateRole.DIAGNOSTIC,
        "reason": "TOO_FEW_CLUSTERS",
        "difference": None,
    }
    decision = of_arm(shippable, "B", "orders", **refused).decide()[-1]
    assert decision.outcome is Outcome.REVIEW
    assert "orders has no estimate (too few clusters in an arm" in decision.rationale
    none_at_all = replace(shippable, estimates=shippable.estimates[1:]).decide()[-1]
    assert "orders has no estimate." in none_at_all.rationale


def test_decide_does_not_ship_while_another_arm_is_open(two_arms):
    errored = {"status": EstimateStatus.METRIC_ERRORED, "reason": "INVALID_MOMENTS"}
    decisions = of_arm(two_arms, "C", "orders", **errored).decide()
    assert outcomes(decisions) == {"B": "SHIP", "C": "REVIEW", "": "REVIEW"}
    assert decisions[-1].reasons[0] == "OTHER_ARM_OPEN"
    assert decisions[-1].would_change == "An answer on C, or a plan without it."


def test_decide_without_a_treatment_is_review(shippable):
    spec = replace(shippable.spec, variants=(Variant("A", 1.0),))
    (overall,) = replace(shippable, spec=spec).decide()
    assert (overall.outcome, overall.reasons) == (Outcome.REVIEW, ("NO_TREATMENT",))


def test_decide_with_nothing_at_all_is_review(shippable):
    empty = replace(shippable, estimates=(), checks=(), guardrails=(), directions={})
    assert outcomes(empty.decide()) == {"B": "REVIEW", "": "REVIEW"}


def test_decide_gives_rows_that_can_be_stored(two_arms):
    for decision in two_arms.decide():
        text = json.dumps(asdict(decision), allow_nan=False)
        assert decision.experiment_id in text


def test_decide_says_why_it_ships(shippable):
    decision = shippable.decide()[0]
    assert decision.rationale == (
        "Better: orders +0.0200 (95 % interval 0.0102 to 0.0298, "
        "adjusted p = 0.00013). Every guardrail is proven inside its "
        "margin: refunds at worst +1.20 % (one-sided; margin 5 %)."
    )
    assert decision.would_change == (
        "It would not ship if the adjusted p of orders rose above 0.05, or the worst "
        "case of refunds passed its margin of 5 %."
    )


def test_decide_says_that_undated_input_has_no_days(shippable):
    spec = replace(shippable.spec, is_dated=False)
    decision = replace(shippable, spec=spec).decide()[0]
    assert decision.details["seven_days"] == "not judged: undated input"
    assert "seven days was not judged" in decision.rationale


def test_decide_names_harm_beside_what_is_missing(shippable):
    errored = of_arm(
        shippable, "B", "orders", status=EstimateStatus.METRIC_ERRORED, reason="X"
    )
    case = of_arm(errored, "B", "revenue", difference=-0.02, statistic=-4.0)
    decision = case.decide()[0]
    assert (decision.outcome, decision.rule) == (Outcome.REVIEW, "b")
    assert "Look at this too: revenue" in decision.rationale


def test_decide_names_an_absolute_margin_where_a_relative_one_cannot_be(shippable):
    unknown = replace(
        shippable.guardrails[0],
        status=GuardrailStatus.UNKNOWN,
        bound=None,
        reason="CONTROL_MEAN_NOT_POSITIVE",
    )
    case = replace(shippable, guardrails=(unknown,))
    decision = case.decide()[0]
    assert (decision.outcome, decision.rule) == (Outcome.REVIEW, "b")
    assert decision.would_change.startswith("A margin of refunds in its own units")
    assert "--guardrail-absolute" in decision.would_change
    assert "run again" not in decision.would_change
    errored = {"status": EstimateStatus.METRIC_ERRORED, "reason": "X"}
    both = of_arm(case, "B", "orders", **errored).decide()[0]
    assert "Bring what else is missing and run again" in both.would_change


def test_decide_says_what_a_guardrail_without_a_bound_needs(shippable):
    unsure = replace(
        shippable.guardrails[0], status=GuardrailStatus.NOT_SHOWN, bound=None
    )
    decision = replace(shippable, guardrails=(unsure,)).decide()[0]
    assert "refunds from no bound to inside 5 %" in decision.would_change


@pytest.mark.parametrize(
    ("planned", "outcome"), [(10_000, Outcome.SHIP), (12_000, Outcome.KEEP_RUNNING)]
)
def test_decide_without_an_end_waits_for_the_planned_units(shippable, planned, outcome):
    """Also on rows that no look followed, as those of whole clusters."""
    design = SequentialDesign(planned_units=planned, clock="units", has_end=False)
    decision = shippable.plan(sequential=design).decide()[0]
    assert decision.outcome is outcome
    if outcome is Outcome.KEEP_RUNNING:
        assert "12,000 units are planned" in decision.rationale
        assert "registered end" not in MEANINGS[decision.reasons[0]]


@pytest.mark.parametrize(("cluster", "more"), [(None, "units"), ("city", "clusters")])
def test_decide_asks_for_more_of_what_was_assigned(shippable, cluster, more):
    case = replace(shippable, spec=replace(shippable.spec, cluster=cluster))
    flat = {"p_value": 0.5, "p_value_adjusted": 0.5, "statistic": 0.7}
    for name in ("orders", "revenue"):
        case = of_arm(case, "B", name, **flat)
    unsure = replace(case.guardrails[0], status=GuardrailStatus.NOT_SHOWN)
    wanted = replace(case, guardrails=(unsure,)).decide()[0].would_change
    assert f"to inside 5 %, which takes more {more};" in wanted
    assert f"which takes more {more} or a larger effect" in wanted


def test_decide_calls_no_loss_the_nearest_to_a_gain(shippable):
    lost = {"difference": -0.01, "statistic": -2.1, "p_value": 0.036}
    worse = of_arm(shippable, "B", "orders", **lost, p_value_adjusted=0.072)
    decision = worse.decide()[0]
    assert decision.reasons == ("GOAL_WORSE", "NO_GOAL_EFFECT")
    assert "(nearest: revenue, p = 0.84)" in decision.would_change
    tied = {"difference": 0.01, "p_value": 0.9, "p_value_adjusted": 0.84}
    decision = of_arm(shippable, "B", "orders", **tied).decide()[0]
    assert "(nearest: revenue, p = 0.84)" in decision.would_change
    both = of_arm(worse, "B", "revenue", difference=-0.001, statistic=-0.2)
    words = "(no goal leans that way), which takes another effect."
    assert both.decide()[0].would_change.endswith(words)


def test_decide_names_the_look_on_which_a_finding_rests(shippable):
    sides = {"p_greater": 1e-4, "p_less": 0.4, "is_final": True}
    place = {"first_crossing": 6, "harm_crossing": None, **sides}
    row = {"look": 14, "harm_p_value": 0.4, "details": {"sequential": place}}
    decision = of_arm(shippable, "B", "orders", **row).decide()[0]
    assert decision.outcome is Outcome.SHIP
    assert "p = 0.00013, bound first crossed at look 6)" in decision.rationale
    words = "or the effect on orders were no gain at the last look, or the worst case"
    assert words in decision.would_change
    harmed = {**place, "first_crossing": None, "harm_crossing": 3}
    row |= {"harm_p_value": 1e-4, "details": {"sequential": harmed}}
    decision = of_arm(shippable, "B", "orders", **row).decide()[0]
    assert decision.outcome is Outcome.ROLL_BACK
    words = "one-sided p = 0.0001, first found at look 3 (harm is called at"
    assert words in decision.rationale


def test_decide_early_says_that_seven_days_are_needed_too(shippable):
    place = {"first_crossing": None, "harm_crossing": None}
    sides = {"p_greater": 0.4, "p_less": 0.4}
    early = shippable.spec.start_ts + timedelta(days=5)
    row = {"look": 5, "look_ts": early, "details": {"sequential": place | sides}}
    case = replace(shippable, spec=replace(shippable.spec, watermark_ts=early))
    for one in shippable.spec.plan.metrics:
        case = of_arm(case, "B", one.metric_name, **row, harm_p_value=0.4)
    decision = case.decide()[0]
    assert decision.outcome is Outcome.KEEP_RUNNING
    assert "fewer than seven whole days were observed: 5" in decision.rationale
    assert decision.would_change.startswith("A look after 7 whole days at which a goal")
