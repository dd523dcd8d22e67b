"""Relative lift of two shares of units, with the limits of its absolute interval.

Both intervals exclude 0 together, and need an event in control only.
"""

from typing import Literal

import numpy as np
from scipy.special import ndtri

from exp_platform.stats.inference import Array, Inference
from exp_platform.stats.relative import Baseline, RelativeInference, solve_fieller
from exp_platform.stats.score import Counts, bound_ratio

RateInterval = Literal["newcombe", "miettinen_nurminen"]


def infer_rate_lift(
    counts: Counts, inference: Inference, alpha: float, *, interval: RateInterval
) -> RelativeInference:
    """By what share did the rate change?

    Newcombe's interval of the difference recovers each arm's error from its Wilson
    limits; Fieller's equation with these errors is MOVER-R. Beside Miettinen and
    Nurminen's stands their score interval of the ratio.

    Args:
        counts: events and units of both arms.
        inference: of the absolute differences.
        alpha: two-sided error rate of the interval.
        interval: of the difference.

    References:
        Donner and Zou (2012); Newcombe (2016); Miettinen and Nurminen (1985).
    """
    control, treatment = counts.control_rate, counts.treatment_rate
    if interval == "newcombe":
        method = "fieller_wilson"
        lower, upper = _recover_limits(counts, alpha)
    else:
        method = "miettinen_nurminen"
        lower, upper = (
            bound_ratio(counts, alpha / 2, is_upper=side) - 1 for side in (False, True)
        )
    # Without an event in treatment no lift above a loss of all is excluded from below.
    lower = np.where(treatment > 0, np.maximum(lower, -1.0), -1.0)
    lift = inference.difference / control
    parts = (lift, lower, upper, inference.p_value)
    lift, lower, upper, p_value = (np.where(control > 0, p, np.nan) for p in parts)
    return RelativeInference(lift, lower, upper, p_value, method)


def _recover_limits(counts: Counts, alpha: float) -> tuple[Array, Array]:
    """MOVER-R: where the interval of treatment - (1 + lift) x control ends at 0."""
    control, treatment = counts.control_rate, counts.treatment_rate
    low0, high0 = wilson(control, counts.control_n, alpha)
    low1, high1 = wilson(treatment, counts.treatment_n, alpha)
    _, lower, _ = _solve(counts, treatment - low1, high0 - control)
    _, _, upper = _solve(counts, high1 - treatment, control - low0)
    return lower, upper


def _solve(counts: Counts, error: Array, base_error: Array) -> tuple[Array, ...]:
    control = counts.control_rate
    difference = counts.treatment_rate - control
    own = base_error**2
    return solve_fieller(
        difference, error**2 + own, Baseline(control, own, -own), quantile=1.0
    )


def wilson(rate: Array, n: Array, alpha: float) -> tuple[Array, Array]:
    """Which rates does a score test of one proportion not reject?

    Args:
        rate: observed, shape (n_comparisons,).
        n: units, same shape.
        alpha: two-sided error rate.

    References:
        Wilson (1927).
    """
    z = ndtri(1 - alpha / 2)
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = (
        z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    )
    return centre - half_width, centre + half_width
