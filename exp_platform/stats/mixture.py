"""Evidence that may be looked at for ever: normal mixtures of likelihood ratios.

`ratio` is the variance of the mixture over effects divided by the sampling variance of
the estimate; it grows with the data. z = difference / its standard error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr

from exp_platform.records import Estimate
from exp_platform.stats.boundary import Sides
from exp_platform.stats.inference import Array
from exp_platform.stats.lift import lift_method
from exp_platform.stats.looks import LEAST_UNITS
from exp_platform.stats.repeated import refuse_look, relative_error, widen_interval

Alternative = Literal["two_sided", "greater", "less"]

NEWTON_STEPS = 60

LARGEST_LOG = 690.0


def log_e_value(statistics: ArrayLike, ratio: ArrayLike, *, sides: Sides = 2) -> Array:
    """Log evidence against "no effect"; under it the evidence has mean 1 at most.

    Args:
        statistics: z, shape (..., n_looks); one-sided evidence is for large z.
        ratio: same shape or (n_looks,).
        sides: 2 mixes over both directions, 1 over positive effects.

    References:
        Robbins (1970); Howard, Ramdas, McAuliffe and Sekhon (2021), section 3.2.
    """
    z, v = np.asarray(statistics, dtype=float), np.asarray(ratio, dtype=float)
    with np.errstate(over="ignore"):
        log_e = z**2 * v / (2 * (v + 1)) - np.log1p(v) / 2
    if sides == 1:
        log_e = log_e + math.log(2) + log_ndtr(z * np.sqrt(v / (v + 1)))
    return np.asarray(log_e)


def critical_mixture(ratio: ArrayLike, alpha: float, *, sides: Sides = 2) -> Array:
    """At how many standard errors is the evidence 1 / alpha?

    Args:
        ratio: shape (n_looks,).
        alpha: error rate over all looks.
        sides: 2, or 1 for a bound on one side.

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024); one-sided: Howard,
        Ramdas, McAuliffe and Sekhon (2021).
    """
    v = np.asarray(ratio, dtype=float)
    bound = (v + 1) / v * (np.log1p(v) - 2 * math.log(alpha))
    if sides == 2:
        return np.asarray(np.sqrt(bound))
    return _solve_one_sided(v, alpha, np.sqrt(bound))


def always_valid_p(
    statistics: ArrayLike, ratio: ArrayLike, *, sides: Sides = 2
) -> Array:
    """What is the p-value at each look that holds at all of them?

    Args:
        statistics: z, shape (n_comparisons, n_looks); NaN where there is no look.
        ratio: same shape or (n_looks,).
        sides: 1 or 2.

    Returns:
        1 / (largest evidence so far), never rising, at most 1.

    References:
        Johari, Koomen, Pekelis and Walsh (2022).
    """
    log_e = log_e_value(statistics, ratio, sides=sides)
    known = np.nan_to_num(np.maximum(log_e, 0.0), nan=0.0)
    return np.asarray(np.exp(-np.maximum.accumulate(known, axis=-1)))


def track_mixture(
    estimates: Sequence[Estimate],
    ratio: Array,
    method: str,
    *,
    alternative: Alternative = "two_sided",
    min_units: int = LEAST_UNITS,
    details: Mapping[str, Any] | None = None,
) -> tuple[Estimate, ...]:
    """Rows of one comparison at each look, made valid for looking for ever.

    Args:
        estimates: cumulative, oldest first, by one method at one alpha.
        ratio: shape (n_looks,).
        method: name in the rows.
        alternative: `greater` proves that treatment is above a value, `less` below;
            the interval is then open on the other side.
        min_units: matured units an arm needs before the first look.
        details: extras of the method.
    """
    if not estimates:
        return ()
    sides: Sides = 2 if alternative == "two_sided" else 1
    turn = -1.0 if alternative == "less" else 1.0
    ready = [_is_ready(estimate, min_units) for estimate in estimates]
    pairs = [
        _statistics(e) if is_ready else (math.nan, math.nan)
        for e, is_ready in zip(estimates, ready, strict=True)
    ]
    z = turn * np.array(pairs).T
    log_e = log_e_value(z[0], ratio, sides=sides)
    p_values = always_valid_p(z, ratio, sides=sides)
    critical = critical_mixture(ratio, estimates[0].alpha, sides=sides)
    rows = []
    for k, estimate in enumerate(estimates):
        if not ready[k]:
            refused = replace(estimate, method=method)
            row = refuse_look(estimate, method) if estimate.is_ok else refused
            rows.append(replace(row, look=k + 1))
            continue
        extras = {
            "critical_value": float(critical[k]),
            "mixture_ratio": float(ratio[k]),
            "e_value": math.exp(min(float(log_e[k]), LARGEST_LOG)),
            "alternative": alternative,
            **(details or {}),
        }
        row = _look_row(estimate, p_values[:, k], float(critical[k]), extras)
        rows.append(replace(_open_side(row, alternative), method=method, look=k + 1))
    return tuple(rows)


def _solve_one_sided(v: Array, alpha: float, start: Array) -> Array:
    """Newton; the evidence of one side is convex in z from the start on."""
    scale = np.sqrt(v / (v + 1))
    z = start
    for _ in range(NEWTON_STEPS):
        x = z * scale
        gap = log_e_value(z, v, sides=1) + math.log(alpha)
        hazard = np.exp(-(x**2) / 2 - log_ndtr(x)) / math.sqrt(2 * math.pi)
        step = gap / (scale * (x + hazard))
        z = z - step
        if np.all(np.abs(step) < 1e-12 * (1 + np.abs(z))):
            break
    return np.asarray(z)


def _is_ready(estimate: Estimate, min_units: int) -> bool:
    smallest = min(estimate.n_control or 0, estimate.n_treatment or 0)
    return estimate.is_ok and smallest >= min_units


def _statistics(estimate: Estimate) -> tuple[float, float]:
    """Z of the difference and of the relative lift; NaN where there is no lift."""
    error, relative = estimate.standard_error, relative_error(estimate)
    z = (estimate.difference or 0.0) / error if error else math.nan
    if lift_method(estimate) == "fieller":
        return z, z
    lift = estimate.relative_lift
    return z, lift / relative if relative and lift is not None else math.nan


def _look_row(
    estimate: Estimate, p_values: Array, critical: float, details: Mapping[str, Any]
) -> Estimate:
    has_lift = estimate.relative_p_value is not None
    row = widen_interval(estimate, critical, is_normal=True)
    return replace(
        row,
        p_value=float(p_values[0]),
        relative_p_value=float(p_values[1]) if has_lift else None,
        df=None,
        details={**row.details, **details},
    )


def _open_side(row: Estimate, alternative: Alternative) -> Estimate:
    if alternative == "greater":
        return replace(row, ci_upper=None, relative_ci_upper=None)
    if alternative == "less":
        return replace(row, ci_lower=None, relative_ci_lower=None)
    return row
