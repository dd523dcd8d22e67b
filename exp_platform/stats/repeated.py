"""Intervals that are wider than a single look's, and the z behind an estimate."""

import math
from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline, both_vary, fieller_limits

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
    """Which normal z is as improbable as the p-value of the relative lift?"""
    if estimate.relative_p_value is None or estimate.relative_lift is None:
        return None
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
        Row whose relative interval is by the row's `relative_method`, from the
        baseline's moments in `details`.
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
    relative = _relative_limits(estimate, critical)
    return replace(
        estimate,
        ci_lower=difference - quantile * error,
        ci_upper=difference + quantile * error,
        relative_ci_lower=relative[0],
        relative_ci_upper=relative[1],
    )


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
    moments = _baseline_of(estimate)
    lift, error = estimate.relative_lift, estimate.standard_error
    if moments is None or lift is None or error is None:
        return None
    mean, variance, covariance = moments
    if not _both_vary(error, moments):
        return None
    # products, not powers: these overflow to infinity instead of raising
    spread = error * error - 2 * lift * covariance + lift * lift * variance
    return math.sqrt(spread) / mean if 0 < spread < math.inf else None


def _baseline_of(estimate: Estimate) -> tuple[float, float, float] | None:
    names = ("baseline_mean", "baseline_variance", "baseline_covariance")
    moments = [estimate.details.get(name) for name in names]
    if any(moment is None for moment in moments) or not moments[0] > 0:  # type: ignore[operator]
        return None
    return float(moments[0]), float(moments[1]), float(moments[2])  # type: ignore[arg-type]


def _both_vary(error: float, moments: tuple[float, float, float]) -> bool:
    baseline = Baseline(*(np.array([moment]) for moment in moments))
    return bool(both_vary(np.array([error * error]), baseline)[0])


def _relative_limits(
    estimate: Estimate, critical: float
) -> tuple[float | None, float | None]:
    moments = _baseline_of(estimate)
    method = estimate.relative_method or ""
    if moments is None or estimate.relative_lift is None:
        return None, None
    if not _both_vary(estimate.standard_error or 0.0, moments):
        return None, None
    if method.startswith("fieller"):
        return _fieller_limits(estimate, moments, critical)
    error = relative_error(estimate)
    if error is None or not method.startswith("delta"):
        return None, None
    lift, reach = estimate.relative_lift, critical * error
    limits = (lift - reach, lift + reach)
    return limits if all(map(math.isfinite, limits)) else (None, None)


def _fieller_limits(
    estimate: Estimate, moments: tuple[float, float, float], critical: float
) -> tuple[float | None, float | None]:
    baseline = Baseline(*(np.array([moment]) for moment in moments))
    difference, error = estimate.difference or 0.0, estimate.standard_error or 0.0
    with np.errstate(all="ignore"):
        limits = fieller_limits(
            np.array([difference]), np.array([error * error]), baseline, critical
        )
    lower, upper = (_known(limit) for limit in limits)
    return lower, upper


def _known(values: Array) -> float | None:
    value = float(values[0])
    return value if math.isfinite(value) else None
