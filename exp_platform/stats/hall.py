"""Hall's transformed t: unequal arms of skewed values, with both tails put right.

Welch's statistic of skewed values in arms of unequal size has one heavy and one light
tail. A cubic of it takes the first-order skewness out and is turned round for the
interval.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    keep_finite,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, arm_of, compare_arms

METHOD = "hall_t"

LEAST_UNITS = 1000
"""Units per arm below which a third moment is too noisy to correct with."""

BALANCED = 2.0
"""Ratio of the arms' sizes up to which their skewness cancels by itself."""


@dataclass(frozen=True, slots=True)
class SkewedArm:
    """One arm in many comparisons, each field of shape (n_comparisons,).

    Attributes:
        third: third central moment of one unit's value, divisor n.
    """

    arm: Arm
    third: Array


def compare_hall(control: SkewedArm, treatment: SkewedArm, alpha: float) -> Comparison:
    """How do two sets of means differ when the values are skewed?

    With a the skewness of the difference in units of its error, the statistic is
    h(t) = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6, compared with t at Welch's degrees of
    freedom. Without skewness it is Welch's. The relative lift has no interval.

    Args:
        control: baseline arms.
        treatment: compared arms, same shape.
        alpha: two-sided error rate of the interval.

    References:
        Hall (1992), Journal of the Royal Statistical Society B 54; Zhou and Dinh
        (2005), two samples.
    """
    welch = compare_arms(control.arm, treatment.arm, alpha)
    found, nothing = welch.inference, np.full_like(control.third, np.nan)
    with np.errstate(all="ignore"):
        skewness = skewness_of_difference(control, treatment)
        statistic = transform_statistic(found.statistic, skewness)
        quantile = stdtrit(found.df, 1 - alpha / 2)
        lower, upper = (
            found.difference - found.standard_error * restore_statistic(end, skewness)
            for end in (quantile, -quantile)
        )
        inference = replace(
            found,
            statistic=statistic,
            p_value=2 * stdtr(found.df, -np.abs(statistic)),
            ci_lower=lower,
            ci_upper=upper,
        )
    relative = replace(
        welch.relative, ci_lower=nothing, ci_upper=nothing, p_value=nothing
    )
    return replace(welch, inference=inference, relative=relative)


def skewness_of_difference(control: SkewedArm, treatment: SkewedArm) -> Array:
    """Third cumulant of the difference of means over the cube of its error.

    Args:
        control: baseline arms.
        treatment: compared arms, same shape.
    """
    below, above = (one.third / one.arm.n**2 for one in (control, treatment))
    variance = control.arm.variance_of_mean + treatment.arm.variance_of_mean
    with np.errstate(all="ignore"):
        return np.asarray((above - below) / variance**1.5)


def transform_statistic(statistic: Array, skewness: Array) -> Array:
    """Hall's cubic: the statistic with its first-order skewness taken out.

    Args:
        statistic: Welch's t.
        skewness: of the difference, same shape.
    """
    bent = statistic + skewness * statistic**2 / 3 + skewness**2 * statistic**3 / 27
    return np.asarray(bent + skewness / 6)


def restore_statistic(transformed: Array, skewness: Array) -> Array:
    """Which t has this transformed value? The cubic is (1 + a t / 3)^3, moved.

    Args:
        transformed: from `transform_statistic`.
        skewness: of the difference, same shape.
    """
    moved = transformed - skewness / 6
    root = np.cbrt(1 + skewness * moved)
    # 3 (root - 1) / a without its cancellation, and without dividing by 0.
    return np.asarray(3 * moved / (root**2 + root + 1))


def estimate_hall_t(
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
    *,
    is_capped: bool,
) -> Estimate:
    """By how much do means of skewed values differ, when the arms are of unequal size?

    `details` holds the skewness of the difference and Welch's own p-value.

    Args:
        control: moments of the control arm, the third one included.
        treatment: moments of the treatment arm.
        settings: metric, role, alpha, least units.
        is_capped: the most extreme values are on a cap.

    Estimand:
        Average effect of being assigned to the treatment, over exposed units (of the
        capped value where there is a cap).

    Assumptions:
        Units were randomised one by one; the third moments are known well: a cap, and
        a thousand units in each arm.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS (below 1,000 in an arm), NEEDS_CAP
        (values without a cap in arms of similar size, where Welch's tails are even and
        the correction's are not), ZERO_VARIANCE or PRECISION_LOST; METRIC_ERRORED with
        INVALID_MOMENTS.

    References:
        Hall (1992); Zhou and Dinh (2005).
    """
    draft = draft_estimate(METHOD, control, treatment, settings)
    arms = (control, treatment)
    reason = _refuse(draft, arms, settings.min_units_per_arm, is_capped=is_capped)
    if reason is not None:
        return refuse_estimate(draft, reason, means=(control.mean, treatment.mean))
    base, other = (SkewedArm(arm_of(one), _third(one)) for one in arms)
    plain = compare_arms(base.arm, other.arm, settings.alpha).inference
    details = {
        "skewness": float(skewness_of_difference(base, other)[0]),
        "welch_p_value": float(plain.p_value[0]),
        "is_capped": is_capped,
    }
    row = complete_estimate(draft, compare_hall(base, other, settings.alpha))
    has_lift = row.relative_lift is not None
    return replace(
        row, relative_method="point" if has_lift else None, details=keep_finite(details)
    )


def _refuse(
    draft: Estimate,
    arms: tuple[MetricTotals, MetricTotals],
    min_units: int,
    *,
    is_capped: bool,
) -> Refusal | None:
    reason = find_refusal(
        draft,
        max(LEAST_UNITS, min_units),
        [moment for arm in arms for moment in (arm.mean, arm.third_moment)],
        variances=[arm.variance for arm in arms],
        values=map(spread_of, arms),
    )
    smaller, larger = sorted(arm.n for arm in arms)
    is_even = larger <= BALANCED * smaller
    return reason or (Refusal.NEEDS_CAP if is_even and not is_capped else None)


def _third(totals: MetricTotals) -> Array:
    return np.array([totals.third_moment], dtype=float)
