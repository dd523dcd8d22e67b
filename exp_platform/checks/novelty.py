"""Does the effect fade or grow with the days since exposure?"""

import math

from exp_platform.checks.facts import NoveltyFacts
from exp_platform.checks.wording import format_number, format_p
from exp_platform.records import CheckResult, CheckStatus

WARN_P = 0.05


def check_novelty(facts: NoveltyFacts) -> CheckResult:
    """Is there a trend of the effect over days since exposure?

    The status is by the unadjusted p at .05; `budget.apply_budget` then corrects it
    for all checks that share the budget.

    Args:
        facts: trend of one metric and arm.
    """
    subject = f"{facts.metric_name}:{facts.treatment}"
    p_value, slope = facts.p_value, facts.slope
    if p_value is None or slope is None or not math.isfinite(p_value):
        return CheckResult(
            experiment_id=facts.experiment_id,
            check_name="NOVELTY",
            status=CheckStatus.NOT_RUN,
            reason="TOO_FEW_DAYS",
            message=f"{facts.metric_name}: {facts.n_days} days are too few for a trend.",
            subject=subject,
        )
    is_warned = p_value < WARN_P
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="NOVELTY",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="EFFECT_CHANGES" if is_warned else "EFFECT_STEADY",
        message=_describe(facts, slope, p_value=p_value),
        subject=subject,
        value=slope,
        threshold=WARN_P,
        p_value=p_value,
        impact=_impact(facts),
        impact_unit=f"{facts.metric_name} per day",
        details={
            "n_days": facts.n_days,
            "slope_se": facts.slope_se,
            "first_days": facts.first_days,
            "last_days": facts.last_days,
        },
    )


def _describe(facts: NoveltyFacts, slope: float, *, p_value: float) -> str:
    halves = ""
    if facts.first_days is not None and facts.last_days is not None:
        halves = (
            f", from {format_number(facts.first_days)} in the first half of the days "
            f"to {format_number(facts.last_days)} in the second"
        )
    return (
        f"{facts.metric_name}: over {facts.n_days} days since exposure the daily effect "
        f"of {facts.treatment} changes by {format_number(slope)} a day{halves} "
        f"(no trend: {format_p(p_value)})."
    )


def _impact(facts: NoveltyFacts) -> float | None:
    """How far the last days are from the average that is reported."""
    if facts.first_days is None or facts.last_days is None:
        return None
    return abs(facts.last_days - facts.first_days) / 2
