"""Enough units to say anything."""

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.facts import MinimumFacts
from exp_platform.checks.wording import format_count
from exp_platform.records import CheckResult, CheckStatus


def check_minimum_data(facts: MinimumFacts) -> CheckResult:
    """Has every arm at least the units that the plan asks for?

    Args:
        facts: units by arm and the plan's minimum.
    """
    if not facts.units:
        return checks_not_run(
            ["MINIMUM_DATA"],
            facts.experiment_id,
            reason="NO_ARMS",
            message="No arm has been counted.",
        )[0]
    arm = min(facts.units, key=lambda variant: facts.units[variant])
    fewest = facts.units[arm]
    is_warned = fewest < facts.min_units_per_arm
    of_metric = f" with a value of {facts.metric_name}" if facts.metric_name else ""
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="MINIMUM_DATA",
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="TOO_FEW_UNITS" if is_warned else "ENOUGH_UNITS",
        message=(
            f"The smallest arm, {arm}, has {format_count(fewest, 'unit')}{of_metric}; "
            f"the plan asks for {facts.min_units_per_arm:,}."
        ),
        subject=facts.metric_name,
        value=float(fewest),
        threshold=float(facts.min_units_per_arm),
        details={"units": dict(facts.units)},
    )
