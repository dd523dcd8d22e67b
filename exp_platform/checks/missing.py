"""Units whose value of a metric was lost: are they lost alike in every arm?"""

from exp_platform.checks.facts import MissingFacts
from exp_platform.checks.homogeneity import compare_shares
from exp_platform.checks.wording import format_count, format_p, format_share
from exp_platform.records import CheckResult, CheckStatus

WARN_SHARE = 0.01
FAIL_P = 0.001
PRACTICAL_GAP = 0.002


def check_missing_values(facts: MissingFacts) -> CheckResult:
    """Do units without a value make the arms that are left incomparable?

    A value that is missing is not 0, so the unit leaves the metric's analysis. FAILED
    when the share of such units differs between arms at p < .001 (Bonferroni over the
    experiment's metrics) and by .2 points or more; WARNED from 1 % of all units.

    Args:
        facts: units and units without a value, by arm, of one metric.
    """
    units, lost = sum(facts.units.values()), sum(facts.missing.values())
    p_value = compare_shares(facts.units, facts.missing)
    adjusted = None if p_value is None else min(1.0, p_value * facts.n_metrics)
    shares = {
        arm: facts.missing.get(arm, 0) / n for arm, n in facts.units.items() if n > 0
    }
    gap = max(shares.values(), default=0.0) - min(shares.values(), default=0.0)
    share = lost / units if units else 0.0
    status, reason = CheckStatus.PASSED, "FEW_MISSING"
    if share >= WARN_SHARE:
        status, reason = CheckStatus.WARNED, "MANY_MISSING"
    if adjusted is not None and adjusted < FAIL_P and gap >= PRACTICAL_GAP:
        status, reason = CheckStatus.FAILED, "MISSING_UNEQUALLY"
    is_bounded = facts.is_share and lost > 0
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="MISSING_VALUES",
        status=status,
        reason=reason,
        message=_describe(facts, shares, share, adjusted=adjusted),
        subject=facts.metric_name,
        value=share,
        threshold=WARN_SHARE,
        p_value=adjusted,
        impact=sum(sorted(shares.values())[-2:]) if is_bounded else None,
        impact_unit=facts.metric_name if is_bounded else "",
        can_fail=True,
        details={"units": dict(facts.units), "missing": dict(facts.missing)},
    )


def _describe(
    facts: MissingFacts,
    shares: dict[str, float],
    share: float,
    *,
    adjusted: float | None,
) -> str:
    units = format_count(sum(facts.units.values()), "unit")
    if share == 0:
        return f"{facts.metric_name}: all of {units} have a value."
    by_arm = ", ".join(f"{format_share(s)} of {arm}" for arm, s in shares.items())
    equal = "" if adjusted is None else f"; same in all arms: {format_p(adjusted)}"
    return (
        f"{facts.metric_name}: {format_share(share)} of {units} have no value and are "
        f"left out ({by_arm}{equal})."
    )
