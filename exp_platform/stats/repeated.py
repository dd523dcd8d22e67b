"""Intervals that are wider than a single look's, and the z behind an estimate."""

import math
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.lift import (
    SCORE_METHODS,
    is_withheld,
    lift_method,
    read_baseline,
    widen_lift,
)
from exp_platform.stats.relative import both_vary

LARGEST_Z = 37.0
"""z beyond which a normal p-value is 0 in double precision."""


def normal_statistic(estimate: Estimate) -> float | None:
    """Which normal z is as improbable as the estimate's t?

    Returns:
        None where the row has no statistic.

    References:
        Jennison and Turnbull (2000), section 3.3, the significance level approach.
    """
    if not estimate.is_ok or estimate.statistic is None:
        return None
    df = math.inf if estimate.df is None else estimate.df
    tail = float(stdtr(df, -abs(estimate.statistic)))
    z = -float(ndtri(tail)) if tail > 0 else LARGEST_Z
    return math.copysign(min(z, LARGEST_Z), estimate.statistic)


def relative_statistic(estimate: Estimate) -> float | None:
    """Which normal z is as improbable as the p-value of the relative lift?

    By Fieller's method that of the difference, which is the same test.
    """
    if estimate.relative_p_value is None or estimate.relative_lift is None:
        return None
    if lift_method(estimate) == "fieller":
        return normal_statistic(estimate)
    tail = estimate.relative_p_value / 2
    z = -float(ndtri(tail)) if tail > 0 else LARGEST_Z
    return math.copysign(min(z, LARGEST_Z), estimate.relative_lift)


def widen_interval(
    estimate: Estimate, critical: float, *, is_normal: bool = False
) -> Estimate:
    """The same row with intervals that reach as far as a critical value says.

    Args:
        estimate: row of any method of means, status OK.
        critical: normal standard errors; infinite = no interval.
        is_normal: do not stretch it to the t distribution of the row.

    Returns:
        Row whose relative interval (of shares Fieller's, with Wald's error) reaches
        as many standard errors, by the row's `relative_method` and from the baseline's
        moments in `details`.
    """
    error, difference = estimate.standard_error, estimate.difference
    if error is None or difference is None or not math.isfinite(critical):
        return _without_interval(estimate)
    is_t = estimate.df is not None and math.isfinite(estimate.df) and not is_normal
    quantile = critical
    if is_t and critical < LARGEST_Z:
        quantile = -float(stdtrit(estimate.df, ndtr(-critical)))
    if not math.isfinite(quantile):
        return _without_interval(estimate)
    row = replace(
        estimate,
        ci_lower=difference - quantile * error,
        ci_upper=difference + quantile * error,
    )
    if row.relative_method in SCORE_METHODS:
        row = replace(row, details={**row.details, "interval": "wald"})
    return widen_lift(row, quantile)


def refuse_look(estimate: Estimate, method: str) -> Estimate:
    """The row of a look that came before there were enough matured units."""
    return replace(
        _without_interval(estimate),
        method=method,
        status=EstimateStatus.INSUFFICIENT_DATA,
        reason="TOO_FEW_UNITS",
        difference=None,
        standard_error=None,
        relative_lift=None,
        relative_method=None,
        p_value=None,
        relative_p_value=None,
        statistic=None,
        df=None,
    )


def _without_interval(estimate: Estimate) -> Estimate:
    return replace(
        estimate,
        ci_lower=None,
        ci_upper=None,
        relative_ci_lower=None,
        relative_ci_upper=None,
    )


def relative_error(estimate: Estimate) -> float | None:
    """Standard error of the relative lift by the delta method."""
    baseline = read_baseline(estimate)
    lift, error = estimate.relative_lift, estimate.standard_error
    if baseline is None or lift is None or error is None or not baseline.mean[0] > 0:
        return None
    if is_withheld(estimate) or not both_vary(np.array([error * error]), baseline)[0]:
        return None
    mean, variance, covariance = (
        float(part[0])
        for part in (baseline.mean, baseline.variance, baseline.covariance)
    )
    # products, not powers: these overflow to infinity instead of raising
    spread = error * error - 2 * lift * covariance + lift * lift * variance
    return math.sqrt(spread) / mean if 0 < spread < math.inf else None
