"""Does the effect fade or grow with the days since exposure?"""

from exp_platform.causal.event_study import NoveltyTrend
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_p
from exp_platform.records import CheckResult, CheckStatus

WARN_P = 0.05


def check_novelty(trend: NoveltyTrend) -> CheckResult:
    """Is there a trend of the effect over days since exposure?

    The status is by the unadjusted p at .05; `budget.apply_budget` then corrects it
    for all checks that share the budget.

    Args:
        trend: of one metric and arm.
    """
    subject = f"{trend.metric_name}:{trend.treatment}"
    p_value, slope = trend.p_value, trend.slope
    if p_value is None or slope is None:
        return CheckResult(
            experiment_id=trend.experiment_id,
            check_name="NOVELTY",
            status=CheckStatus.NOT_RUN,
            reason=trend.reason or trend.status.value,
            message=f"{trend.metric_name}: no trend of the effect can be tested.",
            subject=subject,
        )
    is_warned = p_value < WARN_P
    change = trend.change if trend.change is not None else 0.0
    return CheckResult(
        experiment_id=trend.experiment_id,
        check_name="NOVELTY",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="EFFECT_CHANGES" if is_warned else "EFFECT_STEADY",
        message=(
            f"{trend.metric_name}: over {trend.n_days} days since exposure the daily "
            f"effect of {trend.treatment} changes by {format_measure(change)} in all "
            f"(no trend: {format_p(p_value)})."
        ),
        subject=subject,
        value=slope,
        p_value=p_value,
        threshold=WARN_P,
        # On a straight line the last day is half the change away from the average.
        impact=abs(change) / 2,
        impact_unit=f"{trend.metric_name} per day",
        details={
            "n_days": trend.n_days,
            "slope_se": trend.slope_se,
            "change": trend.change,
        },
    )
