"""The ordered rules of METHODS section 4; the first that matches decides.

Every p-value here holds at all looks so far, so an arm may be shipped or rolled back
before the end. A metric that is tested at the end alone (no window) proves nothing
before it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exp_platform.decision.evidence import SHIP_DAYS, Evidence
from exp_platform.decision.reasons import Reason
from exp_platform.decision.trends import find_trend_obstacles
from exp_platform.records import CheckStatus, Outcome, Verdict
from exp_platform.stats.guardrail import GuardrailStatus


@dataclass(frozen=True, slots=True)
class Match:
    """What a rule answers when it matches."""

    outcome: Outcome
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        letter: (a) to (f) of METHODS section 4.
        words: the rule for people.
        match: None = the rule does not apply.
    """

    letter: str
    words: str
    match: Callable[[Evidence], Match | None]


def match_untrusted(evidence: Evidence) -> Match | None:
    """(a) What is not trusted is reviewed, whatever it says."""
    if evidence.verdict.verdict is not Verdict.DO_NOT_USE:
        return None
    codes = [
        f"{check.check_name}_FAILED"
        for check in evidence.verdict.findings
        if check.status is CheckStatus.FAILED
    ]
    known = set(Reason)
    reasons = [Reason(c) if c in known else Reason.CHECK_FAILED for c in codes]
    return Match(Outcome.REVIEW, tuple(dict.fromkeys(reasons)))


def match_missing(evidence: Evidence) -> Match | None:
    """(b) Something required is not OK: wait for it, or ask people when time is up."""
    if not evidence.gaps:
        return None
    reasons = tuple(dict.fromkeys(gap.reason for gap in evidence.gaps))
    is_hopeless = Reason.NOT_AN_EXPERIMENT in reasons
    if evidence.is_complete or not evidence.has_goals or is_hopeless:
        return Match(Outcome.REVIEW, reasons)
    return Match(Outcome.KEEP_RUNNING, (*reasons, Reason.NOT_COMPLETE))


def match_harm(evidence: Evidence) -> Match | None:
    """(c) Harm beyond its error rate is rolled back."""
    reasons = []
    if evidence.harmed_guardrails:
        reasons.append(Reason.GUARDRAIL_DEGRADED)
    if evidence.harmed_goals:
        reasons.append(Reason.GOAL_DEGRADED)
    return Match(Outcome.ROLL_BACK, tuple(reasons)) if reasons else None


def match_ship(evidence: Evidence) -> Match | None:
    """(d) Nothing stands against shipping."""
    if find_obstacles(evidence):
        return None
    return Match(Outcome.SHIP, (Reason.GOAL_SUPERIOR,))


def match_incomplete(evidence: Evidence) -> Match | None:
    """(e) The plan is not complete."""
    if evidence.is_complete or not evidence.has_goals:
        return None
    return Match(Outcome.KEEP_RUNNING, (Reason.NOT_COMPLETE,))


def match_rest(evidence: Evidence) -> Match:
    """(f) People decide; the reasons are what stood against shipping."""
    return Match(Outcome.REVIEW, find_obstacles(evidence))


RULES = (
    Rule("a", "Not trusted (DO_NOT_USE): review.", match_untrusted),
    Rule(
        "b",
        "Something required is missing, errored or not run: keep running before the "
        "registered end, review after it.",
        match_missing,
    ),
    Rule("c", "Harm beyond its error rate, at any look: roll back.", match_harm),
    Rule(
        "d",
        "At one look: a goal is superior, every guardrail is non-inferior, no goal is "
        "worse, seven whole days: ship.",
        match_ship,
    ),
    Rule("e", "The plan is not complete: keep running.", match_incomplete),
    Rule("f", "Everything else: review.", match_rest),
)


def apply_rules(evidence: Evidence) -> tuple[Rule, Match]:
    """The first rule that matches, and its answer.

    Args:
        evidence: one arm.
    """
    answers = ((rule, rule.match(evidence)) for rule in RULES)
    return next((rule, match) for rule, match in answers if match is not None)


def find_obstacles(evidence: Evidence) -> tuple[Reason, ...]:
    """Everything that stands against shipping, the gravest first.

    Args:
        evidence: one arm.
    """
    stands = {
        Reason.NO_PLAN: not evidence.has_goals,
        Reason.NOT_COMPLETE: evidence.is_early,
        Reason.GOAL_WORSE: any(goal.is_worse for goal in evidence.goals),
        Reason.GUARDRAIL_INCONCLUSIVE: any(
            g.status is not GuardrailStatus.NON_INFERIOR for g in evidence.guardrails
        ),
        Reason.NO_GOAL_EFFECT: evidence.has_goals
        and not any(goal.is_superior for goal in evidence.goals),
        Reason.DEGRADED_WITHIN_MARGIN: _is_degraded_within(evidence),
        Reason.TOO_FEW_DAYS: evidence.whole_days is not None
        and evidence.whole_days < SHIP_DAYS,
    }
    found = [reason for reason, is_standing in stands.items() if is_standing]
    if not evidence.is_did:
        return tuple(found)
    goals = [goal.estimate for goal in evidence.goals]
    better = [goal.estimate for goal in evidence.goals if goal.is_superior]
    return (*found, *find_trend_obstacles(goals, better, evidence.pretrends))


def _is_degraded_within(evidence: Evidence) -> bool:
    if evidence.spec.plan.accept_within_margin:
        return False
    return any(
        g.is_degraded and g.status is GuardrailStatus.NON_INFERIOR
        for g in evidence.guardrails
    )
