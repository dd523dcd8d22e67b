"""Before exposure: are the promised data there, and were the arms alike?"""

from exp_platform.checks.facts import MeanFacts, PrePeriodFacts
from exp_platform.checks.means import compare_value
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_count, format_p, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_P = 0.001


def check_pre_period_balance(facts: MeanFacts) -> CheckResult:
    """Did the arms have the same covariate mean before exposure?

    The status is by the unadjusted p; `budget.apply_budget` then corrects it for the
    number of covariates and arms.

    Args:
        facts: moments of one covariate in control and one treatment arm.
    """
    subject = f"{facts.metric_name}:{facts.treatment}"
    compared = compare_value(facts)
    if compared is None:
        return CheckResult(
            experiment_id=facts.experiment_id,
            check_name="PRE_PERIOD_BALANCE",
            status=CheckStatus.NOT_RUN,
            reason="NO_VARIATION",
            message=f"{facts.metric_name} before exposure does not vary, or has no data.",
            subject=subject,
        )
    difference, standard_error, p_value = compared
    is_warned = p_value < WARN_P
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="PRE_PERIOD_BALANCE",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="UNBALANCED" if is_warned else "BALANCED",
        message=(
            f"Before exposure {facts.metric_name} was "
            f"{format_measure(facts.mean_treatment)} in {facts.treatment} and "
            f"{format_measure(facts.mean_control)} in {facts.control} "
            f"({format_p(p_value)})."
        ),
        subject=subject,
        value=p_value,
        threshold=WARN_P,
        p_value=p_value,
        # The worst case: the covariate carries over to the outcome one to one.
        impact=abs(difference),
        impact_unit=f"{facts.metric_name} before exposure",
        details={"difference": difference, "standard_error": standard_error},
    )


def check_pre_period_present(facts: PrePeriodFacts) -> CheckResult:
    """Are there data in the pre-period that the plan relies on, not all the same?

    Args:
        facts: units and units with pre-exposure rows.
    """
    if facts.units <= 0:
        status, reason = CheckStatus.NOT_RUN, "NO_UNITS"
    elif facts.units_with_data <= 0:
        status, reason = CheckStatus.WARNED, "NO_PRE_PERIOD_DATA"
    elif facts.is_constant:
        status, reason = CheckStatus.WARNED, "CONSTANT_PRE_PERIOD"
    else:
        status, reason = CheckStatus.PASSED, "PRE_PERIOD_DATA"
    share = facts.units_with_data / facts.units if facts.units > 0 else None
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="PRE_PERIOD_PRESENT",
        status=status,
        reason=reason,
        message=_describe_presence(facts, share),
        subject=facts.subject,
        value=share,
        threshold=0.0,
        details={"units": facts.units, "units_with_data": facts.units_with_data},
    )


def _describe_presence(facts: PrePeriodFacts, share: float | None) -> str:
    if share is None:
        return "There are no units to look at."
    told = facts.subject.replace(":", ", ")
    units = format_count(facts.units, "unit")
    span = "from before the exposure"
    if facts.days is not None:
        span = f"in the {format_measure(facts.days)} days before"
    if share == 0:
        return f"{told}: none of {units} has data {span}."
    have = f"{told}: {format_share(share)} of {units} have data {span}"
    if facts.days is not None:
        # Moments do not tell a unit that did nothing from one that came to 0.
        have = (
            f"{told}: the value of {format_share(share)} of {units} {span} is known "
            "(0 where there are no rows)"
        )
    if facts.is_constant:
        return f"{have}, the same in all units of an arm: nothing to adjust with."
    return f"{have}."
