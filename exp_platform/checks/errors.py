"""Metrics that could not be computed."""

from collections.abc import Sequence

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.wording import join_words
from exp_platform.records import CheckResult, CheckStatus, Estimate, EstimateStatus


def check_errors(experiment_id: str, estimates: Sequence[Estimate]) -> CheckResult:
    """Could every metric be computed?

    Args:
        experiment_id: experiment concerned.
        estimates: all estimates of the run.
    """
    if not estimates:
        return checks_not_run(
            ["ERRORS"],
            experiment_id,
            reason="NO_ESTIMATES",
            message="There are no estimates.",
        )[0]
    errored = [e for e in estimates if e.status is EstimateStatus.METRIC_ERRORED]
    metrics = sorted({e.metric_name for e in errored})
    return CheckResult(
        experiment_id=experiment_id,
        check_name="ERRORS",
        status=CheckStatus.WARNED if errored else CheckStatus.PASSED,
        reason="METRIC_ERRORED" if errored else "NO_ERRORS",
        message=(
            f"Could not be computed: {join_words(metrics)}."
            if errored
            else "Every metric could be computed."
        ),
        value=float(len(metrics)),
        threshold=1.0,
        details={
            "errored": [
                {
                    "metric_name": e.metric_name,
                    "treatment": e.treatment,
                    "method": e.method,
                    "reason": e.reason,
                }
                for e in errored
            ]
        },
    )
