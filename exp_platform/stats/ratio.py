"""Ratio metrics: sum of numerators over sum of denominators, by the delta method."""

import math
from typing import Any

import numpy as np

from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.draft import (
    ROUNDING,
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms

DENOMINATOR_ERRORS = 3.0
"""A mean denominator within so many of its standard errors of 0 is no denominator."""


def linearise_ratio(numerator: Arm, denominator: Arm, covariance: Array) -> Arm:
    """Ratios as if they were means of one value per unit.

    Args:
        numerator: moments of each unit's numerator.
        denominator: moments of each unit's denominator, same shape; must be positive.
        covariance: of the two, divisor n - 1, same shape.

    Returns:
        Arms whose mean is R = sum N / sum D and whose variance is that of
        (N - R D) / mean D.

    References:
        Deng, Knoblich and Lu (2018).
    """
    ratio = numerator.mean / denominator.mean
    scale = numerator.variance + ratio**2 * denominator.variance
    variance = scale - 2 * ratio * covariance
    variance = np.where(variance <= ROUNDING * scale, 0.0, variance)
    return Arm(numerator.n, ratio, variance / denominator.mean**2)


def estimate_ratio(
    control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
) -> Estimate:
    """By how much does the treatment arm's ratio differ from control's?

    Units without a denominator stay in. The test is normal (df null). The denominator
    is itself an outcome: the effect on it stands in `details["denominator"]`.

    Estimand:
        Difference of the arms' sum N / sum D under assignment.

    Assumptions:
        Units were randomised one by one; the mean denominator is well away from 0.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, DENOMINATOR_NEAR_ZERO, ZERO_VARIANCE
        or PRECISION_LOST; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Deng, Knoblich and Lu (2018).
    """
    draft = draft_estimate("ratio_delta", control, treatment, settings)
    arms = (control, treatment)
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [
            m
            for a in arms
            for m in (a.mean, a.denominator_mean, a.denominator_covariance)
        ],
        variances=[v for a in arms for v in (a.variance, a.denominator_variance)],
        values=[
            pair
            for a in arms
            for pair in (
                spread_of(a),
                (a.denominator_mean, a.denominator_variance, None),
            )
        ],
    )
    if reason is None and not all(map(has_denominator, arms)):
        reason = Refusal.DENOMINATOR_NEAR_ZERO
    if reason is not None:
        return refuse_estimate(draft, reason)
    comparison = compare_arms(
        ratio_arm(control), ratio_arm(treatment), settings.alpha, is_normal=True
    )
    details = {"denominator": _denominator_effect(control, treatment, settings)}
    return complete_estimate(draft, comparison, details=details)


def has_denominator(totals: MetricTotals) -> bool:
    """The mean denominator is well above 0."""
    mean, variance = totals.denominator_mean or 0.0, totals.denominator_variance or 0.0
    return mean > DENOMINATOR_ERRORS * math.sqrt(variance / totals.n)


def ratio_arm(totals: MetricTotals) -> Arm:
    """One arm's ratio with the variance of its linearised values, shape (1,)."""
    with np.errstate(all="ignore"):
        return linearise_ratio(
            _arm(totals.n, totals.mean, totals.variance),
            _arm(totals.n, totals.denominator_mean, totals.denominator_variance),
            np.array([totals.denominator_covariance], dtype=float),
        )


def _arm(n: int, mean: float | None, variance: float | None) -> Arm:
    columns = ([n], [mean], [variance])
    return Arm(*(np.array(column, dtype=float) for column in columns))


def _denominator_effect(
    control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
) -> dict[str, Any]:
    """Welch on the denominators; null p and interval when they do not vary."""
    control_arm, treatment_arm = (
        _arm(a.n, a.denominator_mean, a.denominator_variance)
        for a in (control, treatment)
    )
    comparison = compare_arms(control_arm, treatment_arm, settings.alpha)
    blank = draft_estimate("welch_t", control, treatment, settings)
    effect = complete_estimate(blank, comparison)
    names = ("difference", "standard_error", "ci_lower", "ci_upper", "p_value")
    return {
        "control_mean": effect.control_mean,
        "treatment_mean": effect.treatment_mean,
        "relative_lift": effect.relative_lift,
        "reason": effect.reason,
        **{name: getattr(effect, name) for name in names},
    }
