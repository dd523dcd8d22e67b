"""The false-alarm budget: how often clean data may look dirty (METHODS section 6).

On clean data P(verdict not TRUSTED) <= .05 and P(DO_NOT_USE) <= .005 over a run:

- FAIL, .004: SRM .002 (e-value .001, chi-square at the end .001), CROSSOVER .001 and
  MISSING_VALUES .001 have rules of their own.
- WARN, .045: SRM while running .001, METRIC_ANOMALY .001, and Holm families of .001 each for
  PRE_PERIOD_BALANCE, PRETREND (diagnostic) and RATIO_DENOMINATOR; what is left is
  shared by all results of the SHARED checks, by Holm.

Deterministic checks have no p and no part in the budget: they say what is so. The
pre-trend test of a primary difference-in-differences keeps its own level of .05
(METHODS section 5); the budget is a promise for randomised experiments.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from exp_platform.checks.catalogue import CATALOGUE, Chance
from exp_platform.checks.wording import format_p
from exp_platform.records import CheckResult, CheckStatus
from exp_platform.stats.multiplicity import adjust_holm

WARN_BUDGET = 0.045
FAIL_BUDGET = 0.004
SRM_RUNNING = 0.001
ANOMALY = CATALOGUE["METRIC_ANOMALY"].level
SHARED_LEVEL = (
    WARN_BUDGET
    - SRM_RUNNING
    - ANOMALY
    - sum(entry.level for entry in CATALOGUE.values() if entry.chance is Chance.FAMILY)
)


def apply_budget(checks: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Correct the stochastic warnings of one run for their number.

    Args:
        checks: all results of one run, in any order.

    Returns:
        The same results in the same order; those of FAMILY and SHARED checks with
        the p-value after Holm, and the status it gives. Others are untouched.
    """
    corrected = list(checks)
    for members, level in _families(checks):
        p_values = [checks[i].p_value for i in members]
        adjusted = adjust_holm([p for p in p_values if p is not None])
        for i, p_adjusted in zip(members, adjusted, strict=True):
            corrected[i] = _correct(checks[i], p_adjusted, level, len(members))
    return tuple(corrected)


def _families(checks: Sequence[CheckResult]) -> list[tuple[list[int], float]]:
    """Positions of the results that are corrected together, and their level."""
    families: dict[str, list[int]] = {}
    for i, check in enumerate(checks):
        entry = CATALOGUE.get(check.check_name)
        if entry is None or not _is_corrected(check):
            continue
        if entry.chance is Chance.SHARED:
            families.setdefault("", []).append(i)
        elif entry.chance is Chance.FAMILY:
            families.setdefault(entry.name, []).append(i)
    return [
        (members, CATALOGUE[name].level if name else SHARED_LEVEL)
        for name, members in families.items()
    ]


def _is_corrected(check: CheckResult) -> bool:
    """A p of a check that only warns; what can fail follows its own rule."""
    return (
        check.status in (CheckStatus.PASSED, CheckStatus.WARNED)
        and not check.can_fail
        and check.p_value is not None
        and math.isfinite(check.p_value)
    )


def _correct(
    check: CheckResult, p_adjusted: float, level: float, members: int
) -> CheckResult:
    is_warned = p_adjusted < level
    is_spared = check.status is CheckStatus.WARNED and not is_warned
    message = check.message
    if members > 1:
        message = (
            f"{message} After Holm over {members} results: {format_p(p_adjusted)}."
        )
    return replace(
        check,
        status=CheckStatus.WARNED if is_warned else CheckStatus.PASSED,
        reason="WITHIN_CHANCE" if is_spared else check.reason,
        message=message,
        p_value=p_adjusted,
        threshold=level,
        details={**check.details, "p_unadjusted": check.p_value},
    )
