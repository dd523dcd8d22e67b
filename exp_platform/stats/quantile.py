"""Quantiles from order statistics: no density is estimated.

A quantile's interval holds the order statistics at the ends of the interval of the
share of values below it (Woodruff). When a unit has several values, that share is a
ratio over units, and its variance that of the delta method.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from exp_platform.records import Estimate, QuantileTotals
from exp_platform.stats.comparison import compare_means
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    judge_spread,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.ratio import linearise_ratio
from exp_platform.stats.relative import Baseline
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm

Z = float(ndtri(0.975))
"""Default width of the search: the standard error is the 95 % interval's."""

METHOD = "quantile_woodruff"
RANK_SLACK = 1e-9
"""A rank this close above a whole number is that number: .9 x 2000 is 1800."""


def rank_of(share: float, n: int) -> int:
    """Number of the order statistic at a share: ceil(share x n), from 1.

    Args:
        share: 0 to 1.
        n: values.
    """
    return math.ceil(share * n - RANK_SLACK)


def summarise_quantile(
    names: tuple[str, str, str],
    values: Array,
    quantile: float,
    *,
    units: NDArray[np.int64] | None = None,
    n_units: int | None = None,
    z: float = Z,
) -> QuantileTotals:
    """Order statistics of one arm around a quantile.

    Args:
        names: experiment, metric and variant.
        values: finite, shape (n_values,).
        quantile: strictly between 0 and 1.
        units: number of the unit of each value, from 0, same shape; None = each unit
            has one value.
        n_units: units of the arm when some have no value.
        z: width of the search in standard errors of the share.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n_values = ordered.size
    n = n_values if units is None else max(n_units or 0, int(units.max(initial=-1)) + 1)
    blank = QuantileTotals(*names, n, n_values, quantile, None, None, z, None, None)
    if n < 2 or n_values == 0:
        return blank
    value = float(ordered[rank_of(quantile, n_values) - 1])
    error = math.sqrt(quantile * (1 - quantile) / n)
    if units is not None:
        error = _clustered_error(values <= value, units, n)
    ends = [rank_of(quantile + s * z * error, n_values) for s in (-1, 1)]
    inside = [float(ordered[r - 1]) if 1 <= r <= n_values else None for r in ends]
    return QuantileTotals(
        *names, n, n_values, quantile, value, error, z, inside[0], inside[1]
    )


def estimate_quantile(
    control: QuantileTotals, treatment: QuantileTotals, settings: EstimateSettings
) -> Estimate:
    """By how much does a quantile of the values differ?

    Estimand:
        Difference of the arms' quantiles under assignment (not the quantile of the
        units' effects).

    Assumptions:
        Units were randomised one by one; values vary smoothly around the quantile.
        Values of one unit may depend on each other when the totals are clustered.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS (also when the interval would reach
        beyond the data), TIED_QUANTILE (an arm's interval is one value: a lump of
        equal values has no standard error) or PRECISION_LOST (values so large that
        they have no digits left for the interval); METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Woodruff (1952); Liu, Sun, Varshney and Xu (2019); Deng, Knoblich and Lu (2018).
    """
    draft = draft_estimate(METHOD, control, treatment, settings)
    means = (control.value, treatment.value)
    reason = _find_reason(draft, control, treatment, settings)
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    with np.errstate(over="ignore"):
        b, a = (_error_of(totals) ** 2 for totals in (control, treatment))
    mean = np.array([control.value], dtype=float)
    comparison = compare_means(
        (mean, np.array([treatment.value], dtype=float)),
        np.sqrt(a + b),
        np.array([np.inf]),
        baseline=Baseline(mean, b, -b),
        alpha=settings.alpha,
    )
    details = {
        "quantile": control.quantile,
        "control_interval": [control.lower, control.upper],
        "treatment_interval": [treatment.lower, treatment.upper],
        "n_values": [control.n_values, treatment.n_values],
    }
    return complete_estimate(draft, comparison, details=details)


def _clustered_error(
    is_below: NDArray[np.bool_], units: NDArray[np.int64], n: int
) -> float:
    """Standard error of the share of values below, units as the independent draws."""
    below = np.bincount(units, weights=is_below, minlength=n)
    sizes = np.bincount(units, minlength=n).astype(float)
    spread = np.cov(np.vstack([below, sizes]))
    count = np.array([float(n)])
    arm = linearise_ratio(
        Arm(count, below.mean(keepdims=True), spread[:1, 0]),
        Arm(count, sizes.mean(keepdims=True), spread[1:, 1]),
        spread[:1, 1],
    )
    return math.sqrt(float(arm.variance_of_mean[0]))


def _find_reason(
    draft: Estimate,
    control: QuantileTotals,
    treatment: QuantileTotals,
    settings: EstimateSettings,
) -> Refusal | None:
    arms = (control, treatment)
    if any(None in (arm.value, arm.lower, arm.upper) for arm in arms):
        return Refusal(draft.reason) if draft.reason else Refusal.TOO_FEW_UNITS
    moments = [m for arm in arms for m in (arm.value, arm.lower, arm.upper)]
    reason = find_refusal(draft, settings.min_units_per_arm, moments, variances=())
    if reason is not None:
        return reason
    if any(map(_is_rounded, arms)):
        return Refusal.PRECISION_LOST
    is_tied = any(arm.lower == arm.upper for arm in arms)
    return Refusal.TIED_QUANTILE if is_tied else None


def _is_rounded(totals: QuantileTotals) -> bool:
    """Do units differ by little more than the rounding of values of this size?

    One value on both ends of the interval is a lump, and told as that.
    """
    low, high = totals.lower or 0.0, totals.upper or 0.0
    spread = float(_error_of(totals)[0]) * math.sqrt(totals.n)
    lost = judge_spread(spread, max(abs(low), abs(high)), extent=high - low)
    return lost is Refusal.PRECISION_LOST


def _error_of(totals: QuantileTotals) -> Array:
    width = (totals.upper or 0.0) - (totals.lower or 0.0)
    return np.array([width / (2 * totals.z)])
