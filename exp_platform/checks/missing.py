"""Units whose value of a metric was lost: are they lost alike in every arm?

A row that was never written leaves no trace, and its unit counts as 0. Only an arm in
which all units do shows it.
"""

import math

from exp_platform.checks.facts import MissingFacts
from exp_platform.checks.homogeneity import compare_shares
from exp_platform.checks.wording import (
    format_count,
    format_p,
    format_share,
    join_words,
)
from exp_platform.records import CheckResult, CheckStatus, MetricTotals

WARN_SHARE = 0.01
FAIL_P = 0.001
PRACTICAL_GAP = 0.002
SILENT_FROM = 20
"""Units with a value that an arm without any should have had: e^-20 by chance."""
_ROUNDING = 1e-6
"""Of units: what moments of doubles lose of a whole number."""


def count_active(totals: MetricTotals) -> int:
    """Units that have another value than 0, or fewer: (sum x)^2 / sum x^2.

    Exact where values are 0 and 1; by Cauchy and Schwarz never more than there are.
    0 only where all values are 0.

    Args:
        totals: moments of one arm with its smallest and largest value.
    """
    if totals.n == 0 or totals.min_value == totals.max_value == 0:
        return 0
    mean, variance = totals.mean or 0.0, totals.variance or 0.0
    squares = mean * mean + variance * (totals.n - 1) / totals.n
    return (
        max(1, math.floor(totals.n * mean * mean / squares + _ROUNDING))
        if squares
        else 1
    )


def check_missing_values(facts: MissingFacts) -> CheckResult:
    """Do units without a value make the arms that are left incomparable?

    A value that is missing is not 0, so the unit leaves the metric's analysis. FAILED
    when the share of such units differs between arms at p < .001 (Bonferroni over the
    experiment's metrics) and by .2 points or more; WARNED from 1 % of all units, and
    when all units of an arm have 0 where 20 with another value were to be expected.

    Args:
        facts: units and units without a value, by arm, of one metric.
    """
    units, lost = sum(facts.units.values()), sum(facts.missing.values())
    p_value = compare_shares(facts.units, facts.missing)
    adjusted = None if p_value is None else min(1.0, p_value * facts.n_metrics)
    shares = {
        arm: facts.missing.get(arm, 0) / n
        for arm, n in sorted(facts.units.items())
        if n > 0
    }
    gap = max(shares.values(), default=0.0) - min(shares.values(), default=0.0)
    share = lost / units if units else 0.0
    silent = _find_silent(facts)
    status, reason = CheckStatus.PASSED, "FEW_MISSING"
    if share >= WARN_SHARE:
        status, reason = CheckStatus.WARNED, "MANY_MISSING"
    if silent:
        status, reason = CheckStatus.WARNED, "SILENT_ARM"
    if adjusted is not None and adjusted < FAIL_P and gap >= PRACTICAL_GAP:
        status, reason = CheckStatus.FAILED, "MISSING_UNEQUALLY"
    is_bounded = facts.is_share and lost > 0
    return CheckResult(
        experiment_id=facts.experiment_id,
        check_name="MISSING_VALUES",
        status=status,
        reason=reason,
        message=" ".join(
            (_describe(facts, shares, share, adjusted=adjusted), *_tell_silent(silent))
        ),
        subject=facts.metric_name,
        value=share,
        threshold=WARN_SHARE,
        p_value=adjusted,
        impact=sum(sorted(shares.values())[-2:]) if is_bounded else None,
        impact_unit=facts.metric_name if is_bounded else "",
        can_fail=True,
        details={
            "units": dict(sorted(facts.units.items())),
            "missing": dict(sorted(facts.missing.items())),
            "silent": silent,
        },
    )


def _find_silent(facts: MissingFacts) -> dict[str, int]:
    """Arms in which all have 0, with the units expected to have something else."""
    others = {arm: facts.units[arm] for arm, n in facts.active.items() if n > 0}
    if not others:
        return {}
    rate = sum(facts.active[arm] for arm in others) / sum(others.values())
    expected = {
        arm: math.floor(rate * (facts.units[arm] - facts.missing.get(arm, 0)))
        for arm in sorted(facts.active)
        if arm not in others
    }
    return {arm: count for arm, count in expected.items() if count >= SILENT_FROM}


def _tell_silent(silent: dict[str, int]) -> list[str]:
    if not silent:
        return []
    counts = "at least " + join_words(f"{count:,}" for count in silent.values())
    told = (
        f"All units of {join_words(silent)} have 0, where {counts} with another value "
        "were to be expected from the other arms: it cannot happen there, or nobody "
        "records it."
    )
    return [told]


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
    kind = "adjusted " if facts.n_metrics > 1 else ""
    equal = (
        "" if adjusted is None else f"; same in all arms: {kind}{format_p(adjusted)}"
    )
    return (
        f"{facts.metric_name}: {format_share(share)} of {units} have no value and are "
        f"left out ({by_arm}{equal})."
    )
