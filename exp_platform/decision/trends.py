"""What stands against shipping on parallel trends, and how robust a goal is to them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exp_platform.causal.sensitivity import DECISIVE_MBAR
from exp_platform.checks import numbers
from exp_platform.checks.refusals import explain_refusal
from exp_platform.decision.family import rests_on_trends
from exp_platform.decision.reasons import Reason
from exp_platform.records import (
    Estimate,
    EstimateRole,
    PretrendOutcome,
    PretrendTest,
)


def find_trend_obstacles(
    goals: Sequence[Estimate], better: Sequence[Estimate], tests: Sequence[PretrendTest]
) -> tuple[Reason, ...]:
    """Trends must hold for every goal, and bear a violation for one that got better.

    Args:
        goals: the goals' primary rows of an arm.
        better: those among them that are superior.
        tests: pre-trend tests of the arm.
    """
    tested = {test.metric_name: test.outcome for test in tests}
    outcomes = {tested.get(e.metric_name) for e in goals if rests_on_trends(e)}
    stands = {
        Reason.PRETREND_FAILED: PretrendOutcome.FAILED in outcomes,
        Reason.PRETREND_MISSING: None in outcomes,
        Reason.PRETREND_UNDERPOWERED: PretrendOutcome.UNDERPOWERED in outcomes,
        Reason.PRETREND_NEGLIGIBLE: PretrendOutcome.NEGLIGIBLE in outcomes,
    }
    robust = _judge_robustness(better or goals)
    found = [reason for reason, is_standing in stands.items() if is_standing]
    return tuple(found if robust is None else [*found, robust])


def _judge_robustness(goals: Sequence[Estimate]) -> Reason | None:
    """One goal that is better and robust is enough; a goal without trends needs none."""
    if not goals:
        return None
    answers = [is_robust(e) if rests_on_trends(e) else True for e in goals]
    if any(answers):
        return None
    is_known = False in answers
    return Reason.SENSITIVITY_FAILED if is_known else Reason.SENSITIVITY_NOT_RUN


def is_robust(estimate: Estimate) -> bool | None:
    """Does the effect keep its sign when trends differ as much after as before?

    METHODS section 5: the interval over relative magnitudes at Mbar = 1 has no 0.

    Args:
        estimate: a row that rests on parallel trends.

    Returns:
        None when the bounds were refused or not computed.
    """
    interval = _find_interval(estimate)
    if interval is None or estimate.difference is None:
        return None
    lower, upper = interval
    return lower > 0 if estimate.difference > 0 else upper < 0


def describe_robustness(estimate: Estimate) -> str:
    """A goal's interval under unequal trends, or why there is none.

    Args:
        estimate: a row that rests on parallel trends.
    """
    name, found = estimate.metric_name, _sensitivity(estimate)
    interval = _find_interval(estimate)
    if interval is None:
        why = explain_refusal(str(found.get("reason") or "NOT_COMPUTED"))
        return f"{name} ({why})"
    told = numbers.format_difference_interval(None, estimate.difference, *interval)
    breakdown = found.get("breakdown_mbar")
    if breakdown is None:
        return f"{name} {told}"
    limit = "0 is possible even with equal trends"
    if breakdown:
        limit = f"0 becomes possible at {numbers.format_measure(breakdown)} times that"
    return f"{name} {told}, {limit}"


def note_pretrends(
    estimates: Sequence[Estimate], tests: Sequence[PretrendTest]
) -> tuple[Estimate, ...]:
    """The same rows; what decides and rests on trends says how they were tested.

    Args:
        estimates: of a run.
        tests: its pre-trend tests; the outcome and the sizes go into
            `details["pretrend"]`.
    """
    found = {
        (test.metric_name, test.treatment): test
        for test in tests
        if test.role is EstimateRole.PRIMARY and test.outcome is not None
    }
    return tuple(
        _note_pretrend(e, found.get((e.metric_name, e.treatment)))
        if e.role is EstimateRole.PRIMARY and rests_on_trends(e)
        else e
        for e in estimates
    )


def _note_pretrend(estimate: Estimate, test: PretrendTest | None) -> Estimate:
    if test is None or test.outcome is None:
        return estimate
    noted = {
        "outcome": test.outcome.value,
        "bias": test.bias,
        "tolerance": test.tolerance,
        "detectable_bias": test.detectable_bias,
    }
    return replace(estimate, details={**estimate.details, "pretrend": noted})


def describe_power(estimate: Estimate) -> str:
    """Why a pre-trend test cannot vouch for an effect; "" where it can, or was clear.

    Args:
        estimate: a row after `note_pretrends`.
    """
    noted = estimate.details.get("pretrend")
    if not noted or noted["outcome"] != PretrendOutcome.UNDERPOWERED:
        return ""
    name = estimate.metric_name
    told = f"the pre-trend test of {name} has too little power to be trusted"
    seen, effect = noted["detectable_bias"], estimate.difference
    if seen is None or effect is None:
        return told
    return (
        f"{told}: the smallest drift that it finds four times in five moves the "
        f"estimate by {numbers.format_measure(abs(seen))}, and the effect is "
        f"{numbers.format_difference(None, effect)}"
    )


def _find_interval(estimate: Estimate) -> tuple[float, float] | None:
    for one in _sensitivity(estimate).get("relative_magnitudes") or ():
        if one["bound"] == DECISIVE_MBAR:
            return float(one["lower"]), float(one["upper"])
    return None


def _sensitivity(estimate: Estimate) -> Mapping[str, Any]:
    found = estimate.details.get("sensitivity")
    return found if isinstance(found, Mapping) else {}
