"""A ratio's denominator is itself an outcome: did the treatment move it?"""

from exp_platform.checks.facts import MeanFacts
from exp_platform.checks.means import compare_value
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_p
from exp_platform.records import CheckResult, CheckStatus

WARN_P = 0.001


def check_ratio_denominator(facts: MeanFacts) -> CheckResult:
    """Did the treatment move the denominator (METHODS section 2)?

    The status is by the unadjusted p; `budget.apply_budget` then corrects it for the
    number of ratios and arms.

    Args:
        facts: moments of the denominator per unit, under the ratio's name.
    """
    subject = f"{facts.metric_name}:{facts.treatment}"
    compared = compare_value(facts)
    if compared is None:
        return CheckResult(
            experiment_id=facts.experiment_id,
            check_name="RATIO_DENOMINATOR",
            status=CheckStatus.NOT_RUN,
            reason="NO_VARIATION",
            message=f"The denominator of {facts.metric_name} gives no test.",
            subject=subject,
        )
    difference, standard_error, p_value = compared
    is_warned = p_value < WARN_P
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="RATIO_DENOMINATOR",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="DENOMINATOR_MOVED" if is_warned else "DENOMINATOR_STILL",
        message=(
            f"Per unit the denominator of {facts.metric_name} is "
            f"{format_measure(facts.mean_treatment)} in {facts.treatment} and "
            f"{format_measure(facts.mean_control)} in {facts.control} "
            f"({format_p(p_value)})."
        ),
        subject=subject,
        value=p_value,
        threshold=WARN_P,
        p_value=p_value,
        impact=_impact(facts),
        impact_unit="relative_lift",
        details={"difference": difference, "standard_error": standard_error},
    )


def _impact(facts: MeanFacts) -> float | None:
    """Lift of the ratio that this move alone would make, numerators held still."""
    if facts.mean_control <= 0 or facts.mean_treatment <= 0:
        return None
    return abs(facts.mean_control / facts.mean_treatment - 1)
