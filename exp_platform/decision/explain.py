"""Why a decision came out as it did, and what would change it, for people."""

from collections.abc import Callable, Sequence

from exp_platform.checks.catalogue import CATALOGUE, title_check
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_p, join_words
from exp_platform.decision.evidence import SHIP_DAYS, Evidence
from exp_platform.decision.family import rests_on_trends
from exp_platform.decision.look_words import (
    find_look,
    say_end,
    say_looks,
    say_reach,
    say_when,
)
from exp_platform.decision.phrases import (
    describe_effect,
    describe_guardrail,
    describe_move,
    format_margin,
    say_crossing,
)
from exp_platform.decision.reasons import MEANINGS, Reason
from exp_platform.decision.rules import Match, find_obstacles
from exp_platform.decision.trends import describe_power, describe_robustness
from exp_platform.records import CheckStatus, Estimate, MetricRole, Outcome
from exp_platform.stats.guardrail import GuardrailAssessment, GuardrailStatus

_Explanation = tuple[str, str]


def explain(letter: str, match: Match, evidence: Evidence) -> _Explanation:
    """The rationale of a decision on one arm, and what would change it.

    Args:
        letter: rule that matched.
        match: its answer.
        evidence: what it looked at.
    """
    explainers: dict[str, Callable[[Match, Evidence], _Explanation]] = {
        "a": _explain_untrusted,
        "b": _explain_missing,
        "c": _explain_harm,
        "d": _explain_ship,
        "e": _explain_incomplete,
    }
    return explainers.get(letter, _explain_review)(match, evidence)


def _explain_untrusted(match: Match, evidence: Evidence) -> _Explanation:
    failed = [
        check
        for check in evidence.verdict.findings
        if check.status is CheckStatus.FAILED
    ]
    told = " ".join(
        f"{title_check(check.check_name)}: {check.message}" for check in failed
    )
    steps = [
        CATALOGUE[name].next_step
        for name in dict.fromkeys(check.check_name for check in failed)
        if name in CATALOGUE
    ]
    meant = _sentence(join_words(MEANINGS[reason] for reason in match.reasons))
    would_change = " ".join(steps) or "Repair what failed and run again."
    return f"Do not use: {meant} {told}", would_change


_CHOSEN = (
    "Units chose their arm: this is not an experiment, and nothing ships on it. The "
    "adjusted comparison holds only if all that drives both the choice and the outcome "
    "is known."
)


def _explain_missing(match: Match, evidence: Evidence) -> _Explanation:
    if Reason.NOT_AN_EXPERIMENT in match.reasons:
        return _CHOSEN, "An experiment that assigns the arms at random."
    items = "; ".join(dict.fromkeys(gap.item for gap in evidence.gaps))
    rationale = f"Something required is missing: {items}."
    harmed = _say_harm(evidence)
    if harmed:
        rationale += f" Look at this too: {harmed}."
    if match.outcome is Outcome.KEEP_RUNNING:
        rationale += f" {say_looks(evidence)}"
        return rationale, f"{say_end(evidence)} and all of these in place."
    remedies = [*dict.fromkeys(gap.remedy for gap in evidence.gaps if gap.remedy)]
    if not all(gap.remedy for gap in evidence.gaps):
        other = " else" if remedies else ""
        words = f"Bring what{other} is missing and run again; nothing ships without it."
        remedies.append(words)
    return rationale, " ".join(remedies)


def _explain_harm(_: Match, evidence: Evidence) -> _Explanation:
    limit = format_measure(evidence.harm_level)
    return (
        f"{say_when(evidence, 'harm')}: {_say_harm(evidence)}."
        + _say_trends([goal.estimate for goal in evidence.harmed_goals])
        + _say_power(evidence),
        f"A new experiment in which no metric has a one-sided p of harm up to {limit}.",
    )


def _explain_ship(_: Match, evidence: Evidence) -> _Explanation:
    tests = _count_tests(evidence)
    better = [goal for goal in evidence.goals if goal.is_superior]
    told = "; ".join(describe_effect(goal.estimate, tests=tests) for goal in better)
    rationale = f"{say_when(evidence, 'better')}: {told}."
    if evidence.guardrails:
        inside = "; ".join(map(describe_guardrail, evidence.guardrails))
        rationale += f" Every guardrail is proven inside its margin: {inside}."
    rationale += _say_trends([goal.estimate for goal in better])
    if evidence.whole_days is None:
        rationale += " The input has no dates: the rule of seven days was not judged."
    alpha = format_measure(evidence.spec.plan.alpha)
    changes = [
        "the adjusted p of "
        + join_words(goal.estimate.metric_name for goal in better)
        + f" rose above {alpha}",
        *(
            f"the effect on {goal.estimate.metric_name} were no gain at the last look"
            for goal in better
            if say_crossing(goal.estimate)
        ),
        *(
            f"the worst case of {g.metric_name} passed its margin of {format_margin(g)}"
            for g in evidence.guardrails
        ),
    ]
    return rationale, f"It would not ship if {', or '.join(changes)}."


def _say_trends(estimates: Sequence[Estimate]) -> str:
    """How far a finding on parallel trends bears that they are not."""
    told = [describe_robustness(e) for e in estimates if rests_on_trends(e)]
    if not told:
        return ""
    return f" With trends as unequal after the start as before it: {'; '.join(told)}."


def _say_power(evidence: Evidence) -> str:
    """Which harm rests on trends that nobody could have seen differ."""
    rows = [
        *(
            evidence.guardrail_estimates.get(guardrail.metric_name)
            for guardrail in evidence.harmed_guardrails
        ),
        *(goal.estimate for goal in evidence.harmed_goals),
    ]
    told = [describe_power(row) for row in rows if row is not None]
    words = "; ".join(filter(None, told))
    return f" {_sentence(words)}" if words else ""


def _explain_incomplete(_: Match, evidence: Evidence) -> _Explanation:
    rationale = f"{say_reach(evidence)} {say_looks(evidence)}"
    if find_look(evidence) is None:
        return rationale, f"{say_end(evidence)}."
    obstacles = find_obstacles(evidence)
    open_points = _list_reasons(obstacles, evidence)
    end = say_end(evidence)
    days = f" after {SHIP_DAYS} whole days" if Reason.TOO_FEW_DAYS in obstacles else ""
    return f"{rationale} So far: {'; '.join(open_points)}.", (
        f"A look{days} at which a goal and every guardrail have crossed their bounds; "
        f"or {end[0].lower()}{end[1:]}."
    )


def _explain_review(match: Match, evidence: Evidence) -> _Explanation:
    tests = _count_tests(evidence)
    told = _list_reasons(match.reasons, evidence)
    rationale = " ".join(_sentence(words) for words in told)
    better = [goal.estimate for goal in evidence.goals if goal.is_superior]
    if better:
        named = "; ".join(describe_effect(e, tests=tests) for e in better)
        rationale += f" In its favour: {named}."
    needed = [_say_needed(reason, evidence) for reason in match.reasons]
    return rationale, f"To ship: {'; '.join(filter(None, needed))}."


def _list_reasons(reasons: Sequence[Reason], evidence: Evidence) -> list[str]:
    """Each reason in words, with the metrics or the number it is about."""
    told = []
    for reason in reasons:
        subjects = _list_subjects(reason, evidence)
        told.append(MEANINGS[reason] + (f": {'; '.join(subjects)}" if subjects else ""))
    return told


def _list_subjects(reason: Reason, evidence: Evidence) -> list[str]:
    """The metrics, or the number, that an obstacle is about."""
    tests = _count_tests(evidence)
    if reason is Reason.GOAL_WORSE:
        worse = [goal.estimate for goal in evidence.goals if goal.is_worse]
        return [_join(describe_effect(e), say_crossing(e)) for e in worse]
    if reason is Reason.NO_GOAL_EFFECT:
        return [describe_effect(g.estimate, tests=tests) for g in evidence.goals]
    if reason is Reason.GUARDRAIL_INCONCLUSIVE:
        return [describe_guardrail(g) for g in _unproven(evidence)]
    if reason is Reason.DEGRADED_WITHIN_MARGIN:
        return [describe_guardrail(g) for g in evidence.guardrails if g.is_degraded]
    if reason is Reason.TOO_FEW_DAYS:
        return [f"{evidence.whole_days}"]
    return _list_trends(reason, evidence)


def _list_trends(reason: Reason, evidence: Evidence) -> list[str]:
    """The goals whose parallel trends an obstacle is about."""
    goals = [goal.estimate for goal in evidence.goals]
    if reason is Reason.PRETREND_UNDERPOWERED:
        return [words for e in goals if (words := describe_power(e))]
    if reason in {Reason.SENSITIVITY_NOT_RUN, Reason.SENSITIVITY_FAILED}:
        better = [goal.estimate for goal in evidence.goals if goal.is_superior]
        return [describe_robustness(e) for e in better or goals if rests_on_trends(e)]
    return []


_NEEDED = {
    Reason.NO_PLAN: "a plan with a goal, written before the data come in",
    Reason.DEGRADED_WITHIN_MARGIN: "a plan that accepts harm inside the margin "
    "(accept_within_margin)",
    Reason.TOO_FEW_DAYS: f"{SHIP_DAYS} whole days of exposure",
    Reason.PRETREND_FAILED: "arms that moved in parallel before the start",
    Reason.PRETREND_MISSING: "a pre-trend test of every goal",
    Reason.PRETREND_UNDERPOWERED: "a pre-period long enough to see a drift that matters",
    Reason.PRETREND_NEGLIGIBLE: "pre-trends that hold",
    Reason.SENSITIVITY_NOT_RUN: "bounds on the effect under unequal trends",
    Reason.SENSITIVITY_FAILED: "an interval that stays off 0 when trends differ as much "
    "after the start as before it",
}


def _say_needed(reason: Reason, evidence: Evidence) -> str:
    """What would have to move, and where to."""
    if reason is Reason.GUARDRAIL_INCONCLUSIVE:
        moves = join_words(map(describe_move, _unproven(evidence)))
        return f"the worst case of {moves}, which takes more {_name_units(evidence)}"
    if reason is Reason.NO_GOAL_EFFECT:
        return _say_needed_gain(evidence)
    if reason is Reason.GOAL_WORSE:
        worse = join_words(g.estimate.metric_name for g in evidence.goals if g.is_worse)
        return f"an interval of {worse} that reaches 0"
    return _NEEDED.get(reason, "")


def _say_needed_gain(evidence: Evidence) -> str:
    """The goal that is nearest to a gain: a small p of a loss is none."""
    limit = evidence.spec.plan.alpha
    alpha = format_measure(limit)
    needed = f"a gain with p after Holm of at most {alpha}"
    known = [
        (p_value, _single_p(goal.estimate), goal.estimate.metric_name)
        for goal in evidence.goals
        if goal.leans_better and (p_value := goal.estimate.p_value_adjusted) is not None
    ]
    if not known:
        return f"{needed} (no goal leans that way), which takes another effect"
    # Many are 1 after Holm: then the p before it tells which is nearest.
    p_value, _, name = min(known)
    return (
        f"{needed} (nearest: {name}, {format_p(p_value, limit)}), which takes more "
        f"{_name_units(evidence)} or a larger effect"
    )


def _name_units(evidence: Evidence) -> str:
    """What one more of is one more observation."""
    return "clusters" if evidence.spec.cluster else "units"


def _single_p(estimate: Estimate) -> float:
    known = (estimate.sequential_p_value, estimate.p_value)
    return next((p for p in known if p is not None), 1.0)


def _unproven(evidence: Evidence) -> list[GuardrailAssessment]:
    return [
        g for g in evidence.guardrails if g.status is not GuardrailStatus.NON_INFERIOR
    ]


def _say_harm(evidence: Evidence) -> str:
    level = evidence.harm_level
    found = [
        (evidence.guardrail_estimates.get(g.metric_name), describe_guardrail(g), p)
        for g in evidence.harmed_guardrails
        if (p := g.harm_p_value) is not None
    ]
    found += [(g.estimate, "", g.harm_p) for g in evidence.harmed_goals]
    told = [
        _join(
            describe_effect(estimate) if estimate else words,
            f"one-sided {format_p(p, level)}",
            say_crossing(estimate, is_harm=True) if estimate else "",
        )
        for estimate, words, p in found
    ]
    limit = format_measure(level)
    return f"{'; '.join(told)} (harm is called at {limit} or less)" if told else ""


def _join(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _count_tests(evidence: Evidence) -> int:
    plan = evidence.spec.plan
    return len(plan.names(MetricRole.GOAL)) * len(evidence.spec.treatments)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
