"""Score tests of two proportions: they still work where no event happened.

Both compare the arms' x / n with a hypothetical difference or ratio, with the variance
at the maximum-likelihood proportions under that hypothesis.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from exp_platform.stats.inference import Array

BISECTIONS = 60
"""Halvings of an interval of length 2: the last is below the spacing of doubles at 1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events among units in both arms, each field of shape (n_comparisons,)."""

    control_events: Array
    control_n: Array
    treatment_events: Array
    treatment_n: Array

    @property
    def n(self) -> Array:
        """Units of both arms."""
        return self.control_n + self.treatment_n

    @property
    def control_rate(self) -> Array:
        """Observed proportion in control."""
        return self.control_events / self.control_n

    @property
    def treatment_rate(self) -> Array:
        """Observed proportion in treatment."""
        return self.treatment_events / self.treatment_n


def score_difference(counts: Counts, difference: Array) -> Array:
    """Score z of "treatment rate - control rate = difference".

    Args:
        counts: events and units.
        difference: hypothetical, strictly between -1 and 1, same shape.

    Returns:
        z, positive when the data lie above the hypothesis; 0 / 0 gives 0.

    References:
        Miettinen and Nurminen (1985).
    """
    control_events, control_n = counts.control_events, counts.control_n
    events = control_events + counts.treatment_events
    quadratic = (counts.n + control_n) * difference - counts.n - events
    linear = (control_n * difference - counts.n - 2 * control_events) * difference
    control = _middle_root(
        counts.n,
        quadratic,
        linear + events,
        control_events * difference * (1 - difference),
    )
    treatment = np.clip(control + difference, 0, 1)
    variance = (
        treatment * (1 - treatment) / counts.treatment_n
        + control * (1 - control) / control_n
    )
    excess = counts.treatment_rate - counts.control_rate - difference
    return _score(excess, variance, counts.n)


def score_ratio(counts: Counts, ratio: Array) -> Array:
    """Score z of "treatment rate / control rate = ratio".

    Args:
        counts: events and units.
        ratio: hypothetical, positive, same shape.

    Returns:
        z, positive when the data lie above the hypothesis; 0 / 0 gives 0.

    References:
        Miettinen and Nurminen (1985).
    """
    events = counts.control_events + counts.treatment_events
    half = 0.5 * (
        counts.treatment_n * ratio
        + counts.treatment_events
        + counts.control_n
        + counts.control_events * ratio
    )
    root = np.sqrt(np.maximum(half**2 - counts.n * ratio * events, 0))
    # The smaller root of the quadratic, written without cancellation.
    control = np.clip(events / (half + root), 0, 1)
    treatment = np.clip(control * ratio, 0, 1)
    variance = (
        treatment * (1 - treatment) / counts.treatment_n
        + ratio**2 * control * (1 - control) / counts.control_n
    )
    excess = counts.treatment_rate - ratio * counts.control_rate
    return _score(excess, variance, counts.n)


def bound_difference(counts: Counts, alpha: float, *, is_upper: bool) -> Array:
    """Largest (or smallest) difference that a one-sided score test does not reject.

    Args:
        counts: events and units.
        alpha: one-sided error rate.
        is_upper: the upper bound, else the lower one.

    References:
        Miettinen and Nurminen (1985).
    """
    observed = counts.treatment_rate - counts.control_rate
    edge = np.full_like(observed, 1.0 if is_upper else -1.0)
    return _bisect(lambda d: score_difference(counts, d), observed, edge, alpha)


def bound_ratio(counts: Counts, alpha: float, *, is_upper: bool) -> Array:
    """Largest (or smallest) ratio of rates that a one-sided score test keeps.

    Args:
        counts: events and units; at least one event in control.
        alpha: one-sided error rate.
        is_upper: the upper bound, else the lower one.

    References:
        Miettinen and Nurminen (1985).
    """
    # Searched as treatment / (treatment + control), which is bounded.
    control, treatment = counts.control_rate, counts.treatment_rate
    observed = treatment / (treatment + control)
    edge = np.full_like(observed, 1.0 if is_upper else 0.0)
    share = _bisect(lambda s: score_ratio(counts, s / (1 - s)), observed, edge, alpha)
    return np.asarray(share / (1 - share))


def _middle_root(
    cubic: Array, quadratic: Array, linear: Array, constant: Array
) -> Array:
    """The root in [0, 1] of the likelihood's cubic, by the trigonometric formula."""
    centre = quadratic / (3 * cubic)
    shift = centre**3 - quadratic * linear / (6 * cubic**2) + constant / (2 * cubic)
    radius = np.sqrt(np.maximum(centre**2 - linear / (3 * cubic), 0))
    radius = np.where(shift >= 0, radius, -radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(radius == 0, 0.0, shift / radius**3)
    angle = (np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3
    return np.asarray(np.clip(2 * radius * np.cos(angle) - centre, 0, 1))


def _score(excess: Array, variance: Array, n: Array) -> Array:
    """Excess over its error, with Miettinen and Nurminen's factor n / (n - 1)."""
    error = np.sqrt(variance * n / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(excess == 0, 0.0, excess / error))


def _bisect(
    score: Callable[[Array], Array], inside: Array, edge: Array, alpha: float
) -> Array:
    limit = ndtri(1 - alpha)
    for _ in range(BISECTIONS):
        middle = (inside + edge) / 2
        is_kept = np.abs(score(middle)) < limit
        inside = np.where(is_kept, middle, inside)
        edge = np.where(is_kept, edge, middle)
    return np.asarray(inside)
