"""Are both tails of a Welch test what they claim to be?"""

from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_share
from exp_platform.records import CheckResult, CheckStatus, MetricTotals
from exp_platform.stats.skewness import WARNING_SKEWNESS, assess_skewness


def check_skewness(control: MetricTotals, treatment: MetricTotals) -> CheckResult:
    """Is the difference of means so skewed that false alarms sit on one side?

    Args:
        control: moments of the control arm, the third one included.
        treatment: moments of the treatment arm.
    """
    found = assess_skewness(control, treatment)
    subject = f"{treatment.metric_name}:{treatment.variant}"
    if found is None:
        return CheckResult(
            experiment_id=treatment.experiment_id,
            check_name="SKEWNESS",
            status=CheckStatus.NOT_RUN,
            reason="NO_MOMENTS",
            message=f"{treatment.metric_name} has no spread to judge skewness by.",
            subject=subject,
        )
    return CheckResult(
        experiment_id=treatment.experiment_id,
        check_name="SKEWNESS",
        status=CheckStatus.WARNED if found.is_warned else CheckStatus.PASSED,
        reason="UNEQUAL_TAILS" if found.is_warned else "EQUAL_TAILS",
        message=(
            f"{treatment.metric_name}: without an effect a 5 % test would call "
            f"{treatment.variant} lower in {format_share(found.lower_tail)} and higher "
            f"in {format_share(found.upper_tail)} of experiments, not 2.5 % each "
            f"(skewness of the difference {format_measure(found.g)})."
            if found.is_warned
            else f"{treatment.metric_name}: both tails of the test for "
            f"{treatment.variant} are close to 2.5 % (skewness of the difference "
            f"{format_measure(found.g)})."
        ),
        subject=subject,
        value=abs(found.g),
        threshold=WARNING_SKEWNESS,
        details={
            "g": found.g,
            "lower_tail": found.lower_tail,
            "upper_tail": found.upper_tail,
            "units_needed": found.units_needed,
        },
    )
