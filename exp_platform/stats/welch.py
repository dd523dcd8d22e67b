"""Difference of two means with unequal variances: Welch's t."""

from dataclasses import dataclass

import numpy as np

from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.comparison import Comparison, compare_means
from exp_platform.stats.draft import (
    ROUNDING,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline
from exp_platform.stats.settings import EstimateSettings


@dataclass(frozen=True, slots=True)
class Arm:
    """Moments of one arm in many comparisons, each field of shape (n_comparisons,).

    Attributes:
        n: units. variance: of one unit's value, divisor n - 1.
    """

    n: Array
    mean: Array
    variance: Array

    @property
    def variance_of_mean(self) -> Array:
        """Variance / n, 0 where the variance is rounding noise of a constant."""
        is_noise = np.sqrt(self.variance) <= ROUNDING * np.abs(self.mean)
        return np.where(is_noise, 0.0, self.variance / self.n)


def arm_of(totals: MetricTotals) -> Arm:
    """One arm's mean and variance as arrays of shape (1,); null becomes NaN."""
    return Arm(
        n=np.array([totals.n], dtype=float),
        mean=np.array([totals.mean], dtype=float),
        variance=np.array([totals.variance], dtype=float),
    )


def welch_df(
    control_variance: Array, treatment_variance: Array, control_n: Array, n: Array
) -> Array:
    """Degrees of freedom of Welch and Satterthwaite, not rounded.

    Args:
        control_variance: sampling variance of the control mean.
        treatment_variance: sampling variance of the treatment mean.
        control_n: units in control.
        n: units in treatment.

    References:
        Welch (1947).
    """
    # Shares of the variance instead of their squares: no under- or overflow.
    share = treatment_variance / (control_variance + treatment_variance)
    return np.asarray(1 / (share**2 / (n - 1) + (1 - share) ** 2 / (control_n - 1)))


def compare_arms(
    control: Arm, treatment: Arm, alpha: float, *, is_normal: bool = False
) -> Comparison:
    """How do two sets of means differ, given their units' variances?

    Args:
        control: baseline arms.
        treatment: compared arms, same shape.
        alpha: two-sided error rate of the intervals.
        is_normal: normal quantiles instead of t with Welch's degrees of freedom.
    """
    with np.errstate(all="ignore"):
        b, a = control.variance_of_mean, treatment.variance_of_mean
        df = (
            np.full_like(a, np.inf)
            if is_normal
            else welch_df(b, a, control.n, treatment.n)
        )
        standard_error = np.sqrt(a + b)
    return compare_means(
        (control.mean, treatment.mean),
        standard_error,
        df,
        baseline=Baseline(control.mean, b, -b),
        alpha=alpha,
    )


def estimate_welch(
    control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
) -> Estimate:
    """By how much does the treatment arm's mean per unit differ from control's?

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        Units were randomised one by one and do not affect each other; the means are
        close to normal (see `skewness`).

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, ZERO_VARIANCE (the difference is
        kept) or PRECISION_LOST; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Welch (1947).
    """
    draft = draft_estimate("welch_t", control, treatment, settings)
    means = (control.mean, treatment.mean)
    variances = (control.variance, treatment.variance)
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        means,
        variances=variances,
        values=map(spread_of, (control, treatment)),
    )
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    comparison = compare_arms(arm_of(control), arm_of(treatment), settings.alpha)
    return complete_estimate(draft, comparison)
