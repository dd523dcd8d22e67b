"""Does one unit make the result?"""

from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_p
from exp_platform.records import CheckResult, CheckStatus, MetricTotals
from exp_platform.stats.outlier import OutlierInfluence, assess_outliers

WARN_SHIFT = 0.5


def check_outlier(
    control: MetricTotals, treatment: MetricTotals, *, is_share: bool = False
) -> CheckResult:
    """Would the difference be another one without its most extreme unit?

    Args:
        control: moments of the control arm with its smallest and largest value.
        treatment: moments of the treatment arm.
        is_share: values are yes or no, so that none is extreme; few of them can still
            hang on one unit.
    """
    found = assess_outliers(control, treatment)
    subject = f"{treatment.metric_name}:{treatment.variant}"
    if not found or control.mean is None or treatment.mean is None:
        return CheckResult(
            experiment_id=treatment.experiment_id,
            check_name="OUTLIER",
            status=CheckStatus.NOT_RUN,
            reason="NO_MOMENTS",
            message=f"{treatment.metric_name} has no spread to look for outliers in.",
            subject=subject,
        )
    worst = found[0]
    difference = treatment.mean - control.mean
    is_warned = abs(worst.shift) > WARN_SHIFT
    return CheckResult(
        experiment_id=treatment.experiment_id,
        check_name="OUTLIER",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="ONE_UNIT_DECIDES" if is_warned else "NO_UNIT_DECIDES",
        message=_describe(
            treatment.metric_name,
            difference,
            worst,
            is_share=is_share,
        ),
        subject=subject,
        value=abs(worst.shift),
        threshold=WARN_SHIFT,
        impact=abs(worst.difference - difference),
        impact_unit=treatment.metric_name,
        details={
            "variant": worst.variant,
            "value": worst.value,
            "difference": difference,
            "difference_without": worst.difference,
            "standard_error_without": worst.standard_error,
            "p_value_without": worst.p_value,
        },
    )


def _describe(
    metric_name: str, difference: float, worst: OutlierInfluence, *, is_share: bool
) -> str:
    if is_share:
        return (
            f"{metric_name}: a yes or no has no extreme values; one unit less in "
            f"{worst.variant} moves the difference by "
            f"{format_measure(abs(worst.shift))} standard errors."
        )
    tested = "" if worst.p_value is None else f", {format_p(worst.p_value)}"
    return (
        f"{metric_name}: without the unit with the value "
        f"{format_measure(worst.value)} in {worst.variant} the difference is "
        f"{format_measure(worst.difference)}{tested}, "
        f"with it {format_measure(difference)}: it moves the difference by "
        f"{format_measure(abs(worst.shift))} standard errors."
    )
