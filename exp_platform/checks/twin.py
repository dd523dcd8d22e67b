"""Do SQL and Python agree on the same test (METHODS section 6)?"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.wording import format_count, format_number
from exp_platform.records import CheckResult, CheckStatus, Estimate

RELATIVE = 1e-9
ROUNDING = 1e-12

TwinPair = tuple[Estimate, Mapping[str, Any] | None]


def check_sql_twin(experiment_id: str, pairs: Sequence[TwinPair]) -> CheckResult:
    """Are the numbers of `analysis_results` those of `experiment_results`?

    Where Python has no number its status says why, and SQL is not asked; where
    Python has one, SQL must have the same.

    Args:
        experiment_id: experiment concerned.
        pairs: each fixed-horizon estimate with its SQL row; None = there is no row.
    """
    if not pairs:
        return checks_not_run(
            ["SQL_TWIN"],
            experiment_id,
            reason="NO_ESTIMATES",
            message="There are no estimates to compare with SQL.",
        )[0]
    gaps = {_label(estimate): _largest_gap(estimate, row) for estimate, row in pairs}
    worst = max(gaps, key=lambda label: gaps[label][1])
    field, size = gaps[worst]
    disagree = [label for label, (_, gap) in gaps.items() if gap > 1]
    status = CheckStatus.FAILED if disagree else CheckStatus.PASSED
    compared = format_count(len(pairs), "comparison")
    return CheckResult(
        experiment_id=experiment_id,
        check_name="SQL_TWIN",
        status=status,
        reason="TWINS_DISAGREE" if disagree else "TWINS_AGREE",
        message=(
            f"SQL and Python differ in {len(disagree)} of {compared}, first in "
            f"{field} of {worst}."
            if disagree
            else f"SQL and Python agree on all of {compared}; the largest gap is "
            f"{format_number(size)} of what is allowed."
        ),
        value=None if math.isinf(size) else size,
        threshold=1.0,
        can_fail=True,
        details={"disagree": disagree, "compared": len(pairs), "worst": worst},
    )


def _label(estimate: Estimate) -> str:
    parts = [estimate.metric_name, estimate.treatment]
    return ":".join(parts if estimate.segment == "all" else [*parts, estimate.segment])


def _largest_gap(
    estimate: Estimate, row: Mapping[str, Any] | None
) -> tuple[str, float]:
    """The field with the largest gap, as a multiple of what is allowed."""
    if row is None:
        # A metric that errored in Python has no row to be compared with.
        return ("its row", math.inf) if estimate.is_ok else ("", 0.0)
    gaps = {
        name: _gap(getattr(estimate, name), row.get(name), allowed)
        for name, allowed in _allowances(estimate).items()
    }
    field = max(gaps, key=lambda name: gaps[name])
    return field, gaps[field]


def _allowances(estimate: Estimate) -> dict[str, float]:
    """How far each field may differ, absolute."""
    error = abs(estimate.standard_error or 0.0)
    means = (estimate.control_mean or 0.0, estimate.treatment_mean or 0.0)
    mean_allowed = RELATIVE * error + ROUNDING * max(abs(mean) for mean in means)
    return {
        "n_control": 0.0,
        "n_treatment": 0.0,
        "control_mean": mean_allowed,
        "treatment_mean": mean_allowed,
        "difference": mean_allowed,
        "standard_error": RELATIVE * error,
        "df": RELATIVE * abs(estimate.df or 0.0),
        "statistic": RELATIVE * (1 + abs(estimate.statistic or 0.0)),
    }


def _gap(ours: float | None, sql: float | None, allowed: float) -> float:
    if ours is None:
        return 0.0
    if sql is None:
        return math.inf
    gap = abs(float(ours) - float(sql))
    if not math.isfinite(gap):
        return math.inf
    if gap <= allowed:
        return gap / allowed if allowed else 0.0
    return gap / allowed if allowed else math.inf
