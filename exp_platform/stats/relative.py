"""Relative lift: a difference divided by its baseline, both of them uncertain.

The baseline is the control mean (for CUPED the adjusted one, for DiD the counterfactual
mean). Quantiles are normal. The p-value belongs to the named method and is in general
not the p-value of the difference.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from exp_platform.stats.inference import Array, Inference

RelativeMethod = Literal["auto", "delta", "fieller", "log_delta"]

NEAR_ZERO_ERRORS = 5.0
"""Fieller replaces delta when the baseline is within so many of its standard errors of
0. With two equal arms and no effect the delta interval's lower-side error there is
above .05 where .025 is due; Fieller's stays at .025."""

NO_SPREAD = 1e-12
"""Share of the difference's variance below which an arm's own is rounding."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a difference is divided by, each field of shape (n_comparisons,).

    Attributes:
        variance: sampling variance of the mean.
        covariance: of the mean with the difference; -variance for two plain arms.
    """

    mean: Array
    variance: Array
    covariance: Array


@dataclass(frozen=True, slots=True)
class RelativeInference:
    """Relative lifts with their intervals, each field of shape (n_comparisons,).

    A baseline that is not positive has no lift. An unbounded Fieller set has a lift
    and a p-value but no interval. An arm whose mean has no sampling variance (no unit
    with an event, or all) leaves a lift alone: the interval would be that of the other
    arm, or a point.
    """

    lift: Array
    ci_lower: Array
    ci_upper: Array
    p_value: Array
    is_fieller: NDArray[np.bool_]


def infer_relative(
    inference: Inference,
    baseline: Baseline,
    alpha: float,
    *,
    method: RelativeMethod = "auto",
) -> RelativeInference:
    """By what share did the baseline change?

    Args:
        inference: of the absolute differences.
        baseline: what they are divided by.
        alpha: two-sided error rate of the interval.
        method: `delta`, `fieller`, `auto` by the rule of `NEAR_ZERO_ERRORS`, or
            `log_delta`: the delta method on log(treatment / baseline), turned back;
            its interval never goes below -1 and needs a positive treatment mean.

    References:
        Fieller (1954); Franz (2007); Deng, Knoblich and Lu (2018).
    """
    mean = np.where(baseline.mean > 0, baseline.mean, np.nan)
    lift = inference.difference / mean
    delta = _delta_interval(inference, baseline, lift, alpha)
    fieller = _fieller_interval(inference, baseline, lift, alpha)
    near_zero = mean < NEAR_ZERO_ERRORS * np.sqrt(baseline.variance)
    has_spread = both_vary(inference.standard_error**2, baseline)
    if method == "log_delta":
        lower, upper, p_value = (
            np.where(has_spread, values, np.nan)
            for values in _log_delta_interval(inference, baseline, mean, alpha)
        )
        return RelativeInference(lift, lower, upper, p_value, np.zeros_like(near_zero))
    chosen = {
        "auto": near_zero,
        "delta": np.zeros_like(near_zero),
        "fieller": np.ones_like(near_zero),
    }[method]
    lower, upper, p_value = (
        np.where(has_spread, np.where(chosen, f, d), np.nan)
        for f, d in zip(fieller, delta, strict=True)
    )
    return RelativeInference(lift, lower, upper, p_value, chosen)


def both_vary(variance: Array, baseline: Baseline) -> NDArray[np.bool_]:
    """Has each arm's mean a sampling variance of its own?

    Args:
        variance: sampling variance of the difference.
        baseline: of the control arm; the treatment arm's follows from both.
    """
    with np.errstate(all="ignore"):
        own = variance + 2 * baseline.covariance + baseline.variance
        least = NO_SPREAD * variance
    # NaN is "not known", which the interval shows by itself.
    return np.asarray(~((own <= least) | (baseline.variance == 0)))


def fieller_limits(
    difference: Array, variance: Array, baseline: Baseline, quantile: float | Array
) -> tuple[Array, Array]:
    """Which lifts does a test of difference - lift x baseline = 0 not reject?

    Args:
        difference: shape (n_comparisons,).
        variance: its sampling variance.
        baseline: denominators with their variances.
        quantile: of the test statistic, so many standard errors.

    Returns:
        Lower and upper limits; NaN where the set is unbounded.

    References:
        Fieller (1954).
    """
    weight = (quantile / baseline.mean) ** 2
    denominator = 1 - weight * baseline.variance
    denominator = np.where(denominator > 0, denominator, np.nan)
    lift = difference / baseline.mean
    spread = (
        _spread(variance, baseline, lift)
        - weight * variance * baseline.variance
        + weight * baseline.covariance**2
    )
    centre = (lift - weight * baseline.covariance) / denominator
    half_width = np.sqrt(weight * np.maximum(spread, 0)) / denominator
    return np.asarray(centre - half_width), np.asarray(centre + half_width)


def _spread(variance: Array, baseline: Baseline, lift: Array) -> Array:
    """Variance of difference - lift x baseline: the numerator of the delta method."""
    return np.asarray(
        variance - 2 * lift * baseline.covariance + lift**2 * baseline.variance
    )


def _delta_interval(
    inference: Inference, baseline: Baseline, lift: Array, alpha: float
) -> tuple[Array, Array, Array]:
    spread = np.sqrt(_spread(inference.standard_error**2, baseline, lift))
    error = np.where(spread > 0, spread, np.nan) / baseline.mean
    half_width = ndtri(1 - alpha / 2) * error
    return lift - half_width, lift + half_width, 2 * ndtr(-np.abs(lift / error))


def _log_delta_interval(
    inference: Inference, baseline: Baseline, mean: Array, alpha: float
) -> tuple[Array, Array, Array]:
    other = mean + inference.difference
    other = np.where(other > 0, other, np.nan)
    by_difference, by_baseline = 1 / other, 1 / other - 1 / mean
    spread = (
        by_difference**2 * inference.standard_error**2
        + 2 * by_difference * by_baseline * baseline.covariance
        + by_baseline**2 * baseline.variance
    )
    error = np.sqrt(np.where(spread > 0, spread, np.nan))
    log = np.log(other / mean)
    half_width = ndtri(1 - alpha / 2) * error
    return (
        np.expm1(log - half_width),
        np.expm1(log + half_width),
        2 * ndtr(-np.abs(log / error)),
    )


def _fieller_interval(
    inference: Inference, baseline: Baseline, lift: Array, alpha: float
) -> tuple[Array, Array, Array]:
    lower, upper = fieller_limits(
        inference.difference,
        inference.standard_error**2,
        baseline,
        ndtri(1 - alpha / 2),
    )
    # Inverting the interval at lift 0 is the test of the difference.
    p_value = np.where(np.isnan(lift), np.nan, 2 * ndtr(-np.abs(inference.statistic)))
    has_lift = ~np.isnan(lift)
    return (
        np.where(has_lift, lower, np.nan),
        np.where(has_lift, upper, np.nan),
        p_value,
    )
