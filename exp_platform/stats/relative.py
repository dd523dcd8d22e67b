"""Relative lift: a difference divided by its baseline, both of them uncertain.

The baseline is the control mean (for CUPED the adjusted one, for DiD the counterfactual
mean). Every interval reaches as many standard errors as that of the difference does, and
the p-value belongs to the named method. Fieller's interval is the test of the
difference, so the two exclude 0 together; delta's and log-delta's need not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from exp_platform.errors import ContractError
from exp_platform.stats.inference import Array, Inference

RelativeMethod = Literal["fieller", "delta", "log_delta"]

NO_SPREAD = 1e-12
"""Share of the difference's variance below which an arm's own is rounding."""

NO_ARM_VARIANCE = "ARM_WITHOUT_VARIANCE"
"""Why a lift has no interval although its difference has one."""


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
    """Relative lifts with their intervals, arrays of shape (n_comparisons,).

    A baseline that is not positive has no lift. An unbounded Fieller set has a lift
    and a p-value but no interval. So has an arm whose mean has no sampling variance (no
    unit with an event, or all): the interval would be that of the other arm, or a
    point. By Fieller the p-value stays, for no lift and no difference are one
    hypothesis; by the other methods there is none.

    Attributes:
        method: of the interval and the p-value, the same for all.
    """

    lift: Array
    ci_lower: Array
    ci_upper: Array
    p_value: Array
    method: str


def infer_relative(
    inference: Inference, baseline: Baseline, *, method: RelativeMethod = "fieller"
) -> RelativeInference:
    """By what share did the baseline change?

    Args:
        inference: of the absolute differences; its quantile is taken over.
        baseline: what they are divided by.
        method: `fieller`; `delta`; or `log_delta`, the delta method on
            log(treatment / baseline), turned back: its interval never goes below -1 and
            needs a positive treatment mean.

    Raises:
        ContractError: a method that is none of these.

    References:
        Fieller (1954); Franz (2007); Deng, Knoblich and Lu (2018).
    """
    mean = np.where(baseline.mean > 0, baseline.mean, np.nan)
    lift = inference.difference / mean
    found = _find_interval(method)(inference, baseline, mean)
    has_spread = both_vary(inference.standard_error**2, baseline)
    lower, upper, p_value = (np.where(has_spread, part, np.nan) for part in found)
    if method == "fieller":
        p_value = found[2]
    return RelativeInference(lift, lower, upper, p_value, method)


def explain_no_interval(
    relative: RelativeInference, inference: Inference, baseline: Baseline
) -> str:
    """Why has the first lift no interval? "" where it has one.

    Args:
        relative: the lifts.
        inference: of the absolute differences.
        baseline: what they were divided by.

    Returns:
        BASELINE_NOT_POSITIVE, BASELINE_VARIANCE_MISSING, ARM_WITHOUT_VARIANCE,
        INTERVAL_UNBOUNDED (Fieller's set: the baseline is not distinguished from 0) or
        NO_LOGARITHM (log-delta of a treatment mean that is not positive).
    """
    if np.isnan(relative.lift[0]):
        return "BASELINE_NOT_POSITIVE"
    if np.isfinite(relative.ci_lower[0]):
        return ""
    if np.isnan(baseline.variance[0]):
        return "BASELINE_VARIANCE_MISSING"
    if not both_vary(inference.standard_error**2, baseline)[0]:
        return NO_ARM_VARIANCE
    is_log = relative.method == "log_delta"
    return "NO_LOGARITHM" if is_log else "INTERVAL_UNBOUNDED"


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
    leading, lower, upper = solve_fieller(difference, variance, baseline, quantile)
    is_bounded = leading > 0
    return (
        np.asarray(np.where(is_bounded, lower, np.nan)),
        np.asarray(np.where(is_bounded, upper, np.nan)),
    )


def solve_fieller(
    difference: Array, variance: Array, baseline: Baseline, quantile: float | Array
) -> tuple[Array, Array, Array]:
    """Where does the squared statistic of difference - lift x baseline meet its bound?

    Args:
        difference: as `fieller_limits`, as are the others.
        variance: of the difference.
        baseline: denominators with their variances.
        quantile: of the test statistic.

    Returns:
        1 - (quantile x error / mean of the baseline)^2, which must be positive for the
        set to be bounded, and both roots. The lower one is that end of the set in any
        case where difference x mean >= quantile^2 x covariance.
    """
    with np.errstate(all="ignore"):
        weight, lift = (quantile / baseline.mean) ** 2, difference / baseline.mean
        leading = 1 - weight * baseline.variance
        middle = lift - weight * baseline.covariance
        # The product of the ends of the difference's interval: 0 is in both, or in neither.
        half_width = quantile * np.sqrt(variance)
        constant = (difference - half_width) / baseline.mean
        constant = constant * ((difference + half_width) / baseline.mean)
        spread = (
            _spread(variance, baseline, lift)
            - weight * variance * baseline.variance
            + weight * baseline.covariance**2
        )
        root = np.sqrt(weight * np.maximum(spread, 0))
        # The root without cancellation, and the other one from the product of the two.
        far = middle + np.copysign(root, middle)
        near, far = constant / far, far / leading
        is_up = middle >= 0
    return leading, np.where(is_up, near, far), np.where(is_up, far, near)


def _spread(variance: Array, baseline: Baseline, lift: Array) -> Array:
    """Variance of difference - lift x baseline: the numerator of the delta method."""
    return np.asarray(
        variance - 2 * lift * baseline.covariance + lift**2 * baseline.variance
    )


def _delta_interval(
    inference: Inference, baseline: Baseline, mean: Array
) -> tuple[Array, Array, Array]:
    lift = inference.difference / mean
    spread = np.sqrt(_spread(inference.standard_error**2, baseline, lift))
    error = np.where(spread > 0, spread, np.nan) / mean
    half_width = inference.quantile * error
    return lift - half_width, lift + half_width, _p_value(lift / error, inference)


def _log_delta_interval(
    inference: Inference, baseline: Baseline, mean: Array
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
    half_width = inference.quantile * error
    return (
        np.expm1(log - half_width),
        np.expm1(log + half_width),
        _p_value(log / error, inference),
    )


def _p_value(statistic: Array, inference: Inference) -> Array:
    return np.asarray(2 * stdtr(inference.df, -np.abs(statistic)))


def _fieller_interval(
    inference: Inference, baseline: Baseline, mean: Array
) -> tuple[Array, Array, Array]:
    lower, upper = fieller_limits(
        inference.difference,
        inference.standard_error**2,
        Baseline(mean, baseline.variance, baseline.covariance),
        inference.quantile,
    )
    # The interval inverts the test of difference - lift x baseline; at 0 that is the
    # test of the difference.
    is_known = ~np.isnan(mean + baseline.variance)
    return lower, upper, np.where(is_known, inference.p_value, np.nan)


_Interval = Callable[[Inference, Baseline, Array], tuple[Array, Array, Array]]

_INTERVALS: dict[str, _Interval] = {
    "fieller": _fieller_interval,
    "delta": _delta_interval,
    "log_delta": _log_delta_interval,
}


def _find_interval(method: str) -> _Interval:
    if method in _INTERVALS:
        return _INTERVALS[method]
    raise ContractError(
        "there is no such interval of a relative lift",
        found=repr(method),
        allowed=", ".join(get_args(RelativeMethod)),
        next_step="name one of these, or leave the default",
    )
