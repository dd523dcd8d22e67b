"""Do SQL and Python agree on the same test (METHODS section 6)?"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from exp_platform.checks.catalogue import checks_not_run
from exp_platform.checks.normal import (
    NormalFigures,
    compute_normal_figures,
    is_without_variance,
)
from exp_platform.checks.numbers import format_measure
from exp_platform.checks.wording import format_count
from exp_platform.records import CheckResult, CheckStatus, Estimate, EstimateStatus
from exp_platform.stats.harm import is_resampled

RELATIVE = 1e-9
ROUNDING = 1e-12

LIFT_LIMITS = ("relative_ci_lower_z", "relative_ci_upper_z")

LEAST_LEADING = 1e-6
"""Below it the ends of Fieller's interval are decided by the last digits of a variance,
and it may have them in one language only."""

TwinPair = tuple[Estimate, Mapping[str, Any] | None]
Expected = dict[str, tuple[float | None, float]]


def check_sql_twin(
    experiment_id: str,
    pairs: Sequence[TwinPair],
    *,
    goals: Collection[str] = (),
    family_size: int = 0,
) -> CheckResult:
    """Are the numbers of `analysis_results` those of `experiment_results`?

    Where Python has a number, SQL must have the same; its p, interval and Holm are
    normal, so they are compared with the normal ones of Python's statistic. Where
    Python has too little data for a test, SQL must have none either.

    Args:
        experiment_id: experiment concerned.
        pairs: each fixed-horizon estimate with its SQL row; None = there is no row.
        goals: metrics whose p on all units are corrected together.
        family_size: planned goals x arms.
    """
    if not any(estimate.difference is not None for estimate, _ in pairs):
        return checks_not_run(
            ["SQL_TWIN"],
            experiment_id,
            reason="NO_ESTIMATES",
            message="No metric has a number, so SQL and Python had nothing to compare.",
        )[0]
    estimates = [estimate for estimate, _ in pairs]
    figures = compute_normal_figures(estimates, goals=goals, family_size=family_size)
    gaps = {
        _label(estimate): _largest_gap(estimate, row, normal)
        for (estimate, row), normal in zip(pairs, figures, strict=True)
    }
    return _conclude(experiment_id, gaps)


def _conclude(experiment_id: str, gaps: Mapping[str, tuple[str, float]]) -> CheckResult:
    worst = max(gaps, key=lambda label: gaps[label][1])
    field, size = gaps[worst]
    disagree = [label for label, (_, gap) in gaps.items() if gap > 1]
    status = CheckStatus.FAILED if disagree else CheckStatus.PASSED
    compared = format_count(len(gaps), "comparison")
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
            f"{format_measure(size)} of what is allowed."
        ),
        value=None if math.isinf(size) else size,
        threshold=1.0,
        can_fail=True,
        details={"disagree": disagree, "compared": len(gaps), "worst": worst},
    )


def _label(estimate: Estimate) -> str:
    parts = [estimate.metric_name, estimate.treatment]
    return ":".join(parts if estimate.segment == "all" else [*parts, estimate.segment])


def _largest_gap(
    estimate: Estimate, row: Mapping[str, Any] | None, normal: NormalFigures | None
) -> tuple[str, float]:
    """The field with the largest gap, as a multiple of what is allowed."""
    if row is None:
        # A metric that errored in Python has no row to be compared with.
        return ("its row", math.inf) if estimate.is_ok else ("", 0.0)
    is_refused = estimate.status is EstimateStatus.INSUFFICIENT_DATA
    if is_refused and row.get("p_value_z") is not None:
        return "p_value_z", math.inf
    expected = _expect(estimate)
    if normal is not None:
        if _has_excess_limit(normal, row):
            return "relative_ci_lower_z", math.inf
        expected |= _expect_normal(estimate, normal) | _expect_lift(estimate, normal)
    gaps = {
        name: _gap(ours, row.get(name), allowed)
        for name, (ours, allowed) in expected.items()
    }
    field = max(gaps, key=lambda name: gaps[name])
    return field, gaps[field]


def _expect(estimate: Estimate) -> Expected:
    """Python's own numbers, and how far SQL's may be from them, absolute."""
    error = abs(estimate.standard_error or 0.0)
    near = _mean_allowance(estimate)
    allowed = {
        "n_control": 0.0,
        "n_treatment": 0.0,
        "control_mean": near,
        "treatment_mean": near,
        "difference": near,
        "standard_error": RELATIVE * error,
        "df": RELATIVE * abs(estimate.df or 0.0),
        "statistic": RELATIVE * (1 + abs(estimate.statistic or 0.0)),
    }
    if is_resampled(estimate):
        # SQL has the difference and its error, but no test.
        del allowed["df"], allowed["statistic"]
    if is_without_variance(estimate):
        del allowed["df"], allowed["statistic"], allowed["standard_error"]
    return {name: (getattr(estimate, name), room) for name, room in allowed.items()}


def _expect_normal(estimate: Estimate, normal: NormalFigures) -> Expected:
    """The normal p and interval; their allowance is what that of z and SE makes it."""
    p, adjusted = normal.p_value, normal.p_value_adjusted
    ends = _mean_allowance(estimate) + RELATIVE * (normal.ci_upper - normal.ci_lower)
    expected: Expected = {
        "p_value_z": (p, ROUNDING + _tail_allowance(normal.z) * p),
        "ci_lower_z": (normal.ci_lower, ends),
        "ci_upper_z": (normal.ci_upper, ends),
    }
    if adjusted is not None:
        room = normal.family_size * ROUNDING
        room += _tail_allowance(normal.largest_z) * adjusted
        expected["p_value_z_adjusted"] = (adjusted, room)
    return expected


def _expect_lift(estimate: Estimate, normal: NormalFigures) -> Expected:
    """The lift, and the ends of Fieller's interval where the quadratic is sound."""
    lift, base = estimate.relative_lift, abs(estimate.control_mean or 0.0)
    if lift is None or base == 0:
        return {}
    near = _mean_allowance(estimate) / base
    expected: Expected = {"relative_lift": (lift, near * (1 + abs(lift)))}
    limits, leading = normal.lift_limits, normal.lift_leading
    if limits is None or leading < LEAST_LEADING:
        return expected
    width = RELATIVE * (limits[1] - limits[0])
    for name, end in zip(LIFT_LIMITS, limits, strict=True):
        # What means and variances may move moves an end by so much, to first order.
        expected[name] = (end, (2 * near * (1 + abs(end)) + width) / leading)
    return expected


def _has_excess_limit(normal: NormalFigures, row: Mapping[str, Any]) -> bool:
    """Has SQL an interval of the lift where Fieller's set has no ends?"""
    if normal.lift_limits is not None or 0 < normal.lift_leading < LEAST_LEADING:
        return False
    return any(row.get(name) is not None for name in LIFT_LIMITS)


def _mean_allowance(estimate: Estimate) -> float:
    means = (estimate.control_mean or 0.0, estimate.treatment_mean or 0.0)
    largest = max(abs(mean) for mean in means)
    return RELATIVE * abs(estimate.standard_error or 0.0) + ROUNDING * largest


def _tail_allowance(z: float) -> float:
    """Relative change of a normal tail when z moves by its own allowance.

    A tail falls by at most (1 + |z|) of itself per unit of z.
    """
    return RELATIVE * (1 + abs(z)) ** 2


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
