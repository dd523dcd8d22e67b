"""Exact tests and intervals of proportions, for small counts."""

import numpy as np
from scipy.special import betaincinv, gammaln

from exp_platform.stats.inference import Array
from exp_platform.stats.score import Counts

TIES = 1e-7
"""Relative slack within which two tables count as equally likely (as R and scipy)."""


def fisher_p_value(counts: Counts) -> Array:
    """How likely is a table no likelier than this one, given its margins?

    Args:
        counts: whole numbers of events and units, fields of shape (n_comparisons,).

    Returns:
        Two-sided p-values.

    References:
        Fisher (1935).
    """
    found = [
        min(1.0, float(chances[chances <= at * (1 + TIES)].sum()))
        for _, at, _, chances in map(_split, *_columns(counts))
    ]
    return np.array(found)


def mid_p_value(counts: Counts) -> Array:
    """Fisher's test with half the weight on the table itself: less conservative.

    Two-sided p = twice the smaller one-sided mid-p.

    Args:
        counts: whole numbers of events and units, fields of shape (n_comparisons,).

    References:
        Lancaster (1961); Hirji, Tan and Elashoff (1991).
    """
    found = [
        min(1.0, 2 * min(below + at / 2, above + at / 2))
        for below, at, above, _ in map(_split, *_columns(counts))
    ]
    return np.array(found)


def clopper_pearson(events: Array, n: Array, alpha: float) -> tuple[Array, Array]:
    """Which rates do two one-sided exact tests not reject?

    Args:
        events: shape (n_comparisons,).
        n: units, same shape.
        alpha: two-sided error rate.

    References:
        Clopper and Pearson (1934).
    """
    inner = np.maximum(n - events, 1e-300)
    lower = betaincinv(np.maximum(events, 1e-300), inner + 1, alpha / 2)
    upper = betaincinv(events + 1, inner, 1 - alpha / 2)
    return np.where(events <= 0, 0.0, lower), np.where(events >= n, 1.0, upper)


def _columns(counts: Counts) -> tuple[Array, Array, Array, Array]:
    return (
        np.rint(counts.control_events),
        np.rint(counts.control_n),
        np.rint(counts.treatment_events),
        np.rint(counts.treatment_n),
    )


def _split(
    control_events: float, control_n: float, events: float, n: float
) -> tuple[float, float, float, Array]:
    """Probability of fewer, as many and more treatment events, and of each table."""
    total = control_events + events
    lowest, highest = max(0.0, total - control_n), min(total, n)
    support = np.arange(lowest, highest + 1)
    logs = (
        _log_choose(n, support)
        + _log_choose(control_n, total - support)
        - _log_choose(control_n + n, np.array([total]))
    )
    chances = np.exp(logs)
    chances = chances / chances.sum()
    index = int(events - lowest)
    return (
        float(chances[:index].sum()),
        float(chances[index]),
        float(chances[index + 1 :].sum()),
        chances,
    )


def _log_choose(n: float, k: Array) -> Array:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
