"""The decision on every arm, and the one on the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exp_platform.checks.wording import join_words
from exp_platform.decision.evidence import Evidence, Inputs, gather_evidence
from exp_platform.decision.explain import explain
from exp_platform.decision.look_words import find_look
from exp_platform.decision.reasons import MEANINGS, Reason
from exp_platform.decision.rules import apply_rules
from exp_platform.records import (
    CheckResult,
    Decision,
    Direction,
    Estimate,
    ExperimentSpec,
    Outcome,
    PretrendTest,
)
from exp_platform.stats.guardrail import GuardrailAssessment


def decide(
    spec: ExperimentSpec,
    estimates: Sequence[Estimate],
    *,
    checks: Sequence[CheckResult],
    guardrails: Sequence[GuardrailAssessment],
    directions: Mapping[str, Direction],
    pretrends: Sequence[PretrendTest] = (),
) -> tuple[Decision, ...]:
    """What to do about every arm, and about the experiment as a whole.

    Fails closed: what is missing, errored or not run never ends in SHIP. At most one
    arm has SHIP.

    Args:
        spec: registry row with the plan.
        estimates: all estimates; the goals' corrected by `family.adjust_goals`.
        checks: all check results, after `budget.apply_budget`.
        guardrails: one assessment per guardrail and arm.
        directions: which way is good, by metric name.
        pretrends: tests of a difference-in-differences.

    Returns:
        One decision per treatment in registry order, then the one for all
        (`treatment` "").
    """
    inputs = Inputs(spec, estimates, checks, guardrails, directions, pretrends)
    arms = [_decide_arm(gather_evidence(inputs, t)) for t in spec.treatments]
    arms = _keep_one(arms, inputs)
    return (*arms, _decide_overall(arms, gather_evidence(inputs, "")))


def _decide_arm(evidence: Evidence) -> Decision:
    rule, match = apply_rules(evidence)
    rationale, would_change = explain(rule.letter, match, evidence)
    return Decision(
        experiment_id=evidence.spec.experiment_id,
        treatment=evidence.treatment,
        outcome=match.outcome,
        rule=rule.letter,
        verdict=evidence.verdict.verdict,
        reasons=tuple(reason.value for reason in match.reasons),
        rationale=rationale,
        would_change=would_change,
        details=_as_details(evidence, rule.words),
    )


def _as_details(evidence: Evidence, rule_words: str) -> dict[str, Any]:
    return {
        "rule_words": rule_words,
        "is_complete": evidence.is_complete,
        "whole_days": evidence.whole_days,
        "seven_days": "not judged: undated input"
        if evidence.whole_days is None
        else "judged",
        "look": _describe_look(evidence),
        "harm_level": evidence.harm_level,
        "harmed": list(evidence.harmed_metrics),
        "goals": [
            {
                "metric_name": goal.estimate.metric_name,
                "is_superior": goal.is_superior,
                "is_worse": goal.is_worse,
                "harm_p_value": goal.harm_p,
            }
            for goal in evidence.goals
        ],
        "guardrails": [
            {
                "metric_name": g.metric_name,
                "status": g.status.value,
                "margin": g.margin,
                "margin_scale": g.margin_scale.value,
                "bound": g.bound,
                "harm_p_value": g.harm_p_value,
                "is_degraded": g.is_degraded,
            }
            for g in evidence.guardrails
        ],
        "gaps": [{"reason": g.reason.value, "item": g.item} for g in evidence.gaps],
    }


def _describe_look(evidence: Evidence) -> dict[str, Any] | None:
    """The look that the decision rests on, None before the first."""
    row = find_look(evidence)
    if row is None:
        return None
    place = row.details.get("sequential", {})
    return {
        "look": row.look,
        "look_ts": None if row.look_ts is None else row.look_ts.isoformat(),
        "looks_planned": place.get("looks_planned"),
        "method": place.get("method"),
        "share": _first(place, "information_share", "spending_time"),
    }


def _first(place: Mapping[str, Any], *names: str) -> float | None:
    """The share of planned units, else of the schedule; a single look is all."""
    known = (place[name] for name in names if place.get(name) is not None)
    return next(known, 1.0 if place.get("is_final") else None)


def _keep_one(arms: list[Decision], inputs: Inputs) -> list[Decision]:
    """Leave SHIP to one arm at most: the tie-break's, or nobody's."""
    shippable = [arm.treatment for arm in arms if arm.outcome is Outcome.SHIP]
    if len(shippable) < 2:
        return arms
    chosen = _break_tie(shippable, inputs)
    reason = Reason.OTHER_ARM_CHOSEN if chosen else Reason.SEVERAL_SHIPPABLE_ARMS
    named = join_words(shippable)
    note = (
        f"{named} may ship; {inputs.spec.plan.tie_break} is best in {chosen}."
        if chosen
        else f"{named} may ship, and {_say_no_tie_break(inputs)}."
    )
    return [
        _demote(arm, reason, note)
        if arm.treatment in shippable and arm.treatment != chosen
        else arm
        for arm in arms
    ]


def _break_tie(shippable: Sequence[str], inputs: Inputs) -> str | None:
    """The arm with the best difference in the tie-break metric, None without one."""
    metric = inputs.spec.plan.tie_break
    direction = inputs.directions.get(metric or "")
    if metric is None or direction is None:
        return None
    good = 1.0 if direction is Direction.INCREASE else -1.0
    gains: dict[str, float] = {}
    for treatment in shippable:
        for goal in gather_evidence(inputs, treatment).goals:
            if goal.estimate.metric_name == metric:
                gains[treatment] = good * (goal.estimate.difference or 0.0)
    best = max(gains.values(), default=0.0)
    leaders = [treatment for treatment, gain in gains.items() if gain == best]
    return leaders[0] if len(gains) == len(shippable) and len(leaders) == 1 else None


def _say_no_tie_break(inputs: Inputs) -> str:
    metric = inputs.spec.plan.tie_break
    if metric is None:
        return "the plan names no tie-break"
    return f"the tie-break {metric} does not pick one: it must be a goal and differ"


def _demote(arm: Decision, reason: Reason, note: str) -> Decision:
    would_change = "A tie-break in the plan, or a comparison of these arms alone."
    if reason is Reason.OTHER_ARM_CHOSEN:
        would_change = "Another order of the arms in the tie-break metric."
    return replace(
        arm,
        outcome=Outcome.REVIEW,
        rule="f",
        reasons=(reason.value, *arm.reasons),
        rationale=f"{note} {arm.rationale}",
        would_change=would_change,
    )


def _decide_overall(arms: Sequence[Decision], evidence: Evidence) -> Decision:
    """The experiment's decision: the only arm's, or what all arms together allow."""
    if len(arms) == 1:
        details = {"arm": arms[0].treatment, "look": arms[0].details["look"]}
        return replace(arms[0], treatment="", details=details)
    if not arms:
        return Decision(
            experiment_id=evidence.spec.experiment_id,
            treatment="",
            outcome=Outcome.REVIEW,
            rule="b",
            verdict=evidence.verdict.verdict,
            reasons=(Reason.NO_TREATMENT.value,),
            rationale=f"{MEANINGS[Reason.NO_TREATMENT].capitalize()}.",
            would_change="A registry with control and at least one other arm.",
        )
    lead = _pick_lead(arms)
    outcome, reasons = lead.outcome, lead.reasons
    open_arms = [arm.treatment for arm in arms if arm.rule in "ab"]
    told = "; ".join(f"{arm.treatment}: {arm.outcome.value}" for arm in arms)
    harm = _tell_harm(arms, lead)
    rationale = f"{told}. On {lead.treatment}: {lead.rationale}{harm}"
    would_change = lead.would_change
    if outcome is Outcome.SHIP and open_arms:
        outcome = Outcome.REVIEW
        reasons = (Reason.OTHER_ARM_OPEN.value, *reasons)
        named = join_words(open_arms)
        rationale = (
            f"{told}. {lead.treatment} may ship, but nothing ships while {named} is "
            f"not trusted or has something missing.{harm}"
        )
        would_change = f"An answer on {named}, or a plan without it."
    return replace(
        lead,
        treatment="",
        outcome=outcome,
        rule=lead.rule if outcome is lead.outcome else "f",
        reasons=reasons,
        rationale=rationale,
        would_change=would_change,
        details={
            "arm": lead.treatment,
            "look": lead.details["look"],
            "arms": {a.treatment: a.outcome.value for a in arms},
        },
    )


def _tell_harm(arms: Sequence[Decision], lead: Decision) -> str:
    """Why each other arm is rolled back: the lead's words say nothing of it."""
    return "".join(
        f" On {arm.treatment}: {arm.rationale}"
        for arm in arms
        if arm.outcome is Outcome.ROLL_BACK and arm is not lead
    )


def _pick_lead(arms: Sequence[Decision]) -> Decision:
    """The arm whose decision speaks for all: one that ships, else the most open one."""
    order = (Outcome.SHIP, Outcome.REVIEW, Outcome.KEEP_RUNNING, Outcome.ROLL_BACK)
    return min(arms, key=lambda arm: order.index(arm.outcome))
