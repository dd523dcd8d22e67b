"""Did the arms move in parallel before the start (METHODS section 5)?"""

from exp_platform.checks.numbers import format_measure
from exp_platform.checks.refusals import explain_refusal
from exp_platform.checks.wording import format_count, format_p
from exp_platform.records import (
    CheckResult,
    CheckStatus,
    EstimateRole,
    PretrendOutcome,
    PretrendTest,
)

DIAGNOSTIC_P = 0.001
PRIMARY_P = 0.05

_PRIMARY = {
    PretrendOutcome.HOLDS: CheckStatus.PASSED,
    PretrendOutcome.NEGLIGIBLE: CheckStatus.WARNED,
    PretrendOutcome.UNDERPOWERED: CheckStatus.WARNED,
    PretrendOutcome.FAILED: CheckStatus.FAILED,
}
_CLAUSES = {
    PretrendOutcome.HOLDS: "no drift, and one that matters would have been seen",
    PretrendOutcome.NEGLIGIBLE: "a drift, too small to matter",
    PretrendOutcome.UNDERPOWERED: "no clear drift, but the test has too little power to "
    "be trusted",
    PretrendOutcome.FAILED: "a drift that matters",
}


def check_pretrend(
    test: PretrendTest, *, period: str = "day", effect: float | None = None
) -> CheckResult:
    """Do the pre-trends allow a difference-in-differences to be believed?

    Where the test's role is primary its outcome decides, and it can fail. Otherwise
    (a randomised experiment) it is a check of balance that warns at p < .001.

    Args:
        test: one metric and arm.
        period: what one step of time is called.
        effect: that the trends are to carry, to be told beside their sizes.
    """
    is_primary = test.role is EstimateRole.PRIMARY
    subject = f"{test.metric_name}:{test.treatment}"
    if test.outcome is None or test.p_adjusted is None:
        return CheckResult(
            experiment_id=test.experiment_id,
            check_name="PRETREND",
            status=CheckStatus.NOT_RUN,
            reason=test.reason or test.status.value,
            message=f"The pre-trend of {test.metric_name} could not be tested: "
            f"{explain_refusal(test.reason) or 'it has no result'}.",
            subject=subject,
            can_fail=is_primary,
        )
    status = (
        _PRIMARY[test.outcome]
        if is_primary
        else CheckStatus.WARNED
        if test.p_adjusted < DIAGNOSTIC_P
        else CheckStatus.PASSED
    )
    return CheckResult(
        experiment_id=test.experiment_id,
        check_name="PRETREND",
        status=status,
        reason=_reason(test, status),
        message=_describe(test, period, effect),
        subject=subject,
        value=test.p_adjusted,
        threshold=PRIMARY_P if is_primary else DIAGNOSTIC_P,
        p_value=test.p_adjusted,
        impact=None if test.bias is None else abs(test.bias),
        impact_unit=test.metric_name,
        can_fail=is_primary,
        details={
            "outcome": test.outcome.value,
            "bias": test.bias,
            "tolerance": test.tolerance,
            "detectable_bias": test.detectable_bias,
        },
    )


def _reason(test: PretrendTest, status: CheckStatus) -> str:
    if test.role is EstimateRole.PRIMARY and test.outcome is not None:
        return f"PRETREND_{test.outcome.value}"
    return "PRE_PERIOD_DRIFT" if status is CheckStatus.WARNED else "NO_DRIFT"


def _describe(test: PretrendTest, period: str, effect: float | None) -> str:
    p_value = format_p(test.p_adjusted if test.p_adjusted is not None else 1.0)
    head = (
        f"{test.metric_name}, {format_count(test.n_pre_days, period)} before the start"
    )
    if test.outcome is None or test.role is not EstimateRole.PRIMARY:
        return f"{head}: equal trends {p_value}."
    told = f"{head}: {_CLAUSES[test.outcome]} ({p_value})."
    sizes = [
        f"{words} {format_measure(abs(number))}"
        for words, number in (
            ("the drift seen, continued, moves the estimate by", test.bias),
            ("it would matter from", test.tolerance),
            ("it is found four times in five from", test.detectable_bias),
            ("the effect is of size", effect),
        )
        if number is not None
    ]
    listed = "; ".join(sizes)
    return f"{told} {listed[:1].upper()}{listed[1:]}." if sizes else told
