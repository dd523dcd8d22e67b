"""Robust intervals when the difference in trends may bend by at most M per period.

The shortest interval of fixed length: an affine estimator whose worst-case bias and
variance are traded off. Its weights before the event solve a lasso problem, whose whole
path is piecewise linear; the best point on the path is the estimator.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from exp_platform.causal.event_path import EventPath
from exp_platform.causal.relative_magnitudes import RobustInterval
from exp_platform.stats.inference import Array

GOLDEN = (np.sqrt(5.0) - 1) / 2
SEARCH_STEPS = 60
NEWTON_STEPS = 10
CONVERGED = 1e-15
ROOT_HALF, ROOT_TWO_PI = math.sqrt(0.5), math.sqrt(2 * math.pi)
FAR = 10.0
"""Bias in standard errors beyond which the other tail of the normal is nothing."""


@dataclass(frozen=True, slots=True)
class _Tradeoff:
    """Variance w'Qw + 2q'w + c and bias M (b + |w|), by the weights' second sums w.

    Attributes:
        origin, directions: weights before the event are origin + directions @ w.
    """

    quadratic: Array
    linear: Array
    constant: float
    bias: float
    origin: Array
    directions: Array


def bound_smoothness(
    path: EventPath, bend: float, *, alpha: float = 0.05
) -> RobustInterval:
    """Which effects remain possible if the trend's slope may change by M per period?

    Args:
        path: event-study coefficients with at least one before the reference period.
        bend: M, largest change of the slope of the difference in trends between
            neighbouring periods, in units of the metric per period; 0 = a straight
            line.
        alpha: error rate, two-sided.

    Estimand:
        The weighted sum of the effects after the event that `path.weights` says.

    Assumptions:
        The coefficients are jointly normal with known covariance; violations of
        parallel trends obey the bound.

    References:
        Rambachan and Roth (2023), sections 2.4.2 and 4; Armstrong and Kolesar (2018).
    """
    tradeoff = _trade_off(path)
    best, shortest = np.zeros(tradeoff.linear.size), np.inf
    for start, end in _walk_path(tradeoff):
        point, length = _search(tradeoff, start, end, bend=bend, alpha=alpha)
        if length < shortest:
            best, shortest = point, length
    before = tradeoff.origin + tradeoff.directions @ best
    centre = path.estimate + float(before @ path.coefficients[: path.n_pre])
    return RobustInterval(bend, centre - shortest, centre + shortest)


def _trade_off(path: EventPath) -> _Tradeoff:
    n, weights = path.n_pre, path.weights
    times = np.arange(1, path.n_post + 1)
    # Column j: what the j-th second sum adds to the weight k periods before the event.
    # The 0-th is fixed: the estimator must not feel a straight line.
    bends = -2 * np.eye(n, n + 1, 1) + np.eye(n, n + 1) + np.eye(n, n + 1, 2)
    newest_first = bends[:, :n]
    oldest_first = newest_first[::-1]
    line = float(weights @ times)
    after = [abs(float(weights[t:] @ (times[t:] - t))) for t in range(1, path.n_post)]
    origin, directions = line * oldest_first[:, 0], oldest_first[:, 1:]
    full = np.concatenate([origin, weights])
    lift = np.vstack([directions, np.zeros((path.n_post, n - 1))])
    return _Tradeoff(
        quadratic=lift.T @ path.covariance @ lift,
        linear=lift.T @ path.covariance @ full,
        constant=float(full @ path.covariance @ full),
        bias=abs(line) + sum(after),
        origin=origin,
        directions=directions,
    )


def _walk_path(tradeoff: _Tradeoff) -> Iterator[tuple[Array, Array]]:
    """Segments of the lasso path, from no weights at all to the least variance.

    References:
        Osborne, Presnell and Turlach (2000); Efron et al. (2004).
    """
    size = tradeoff.linear.size
    point = np.zeros(size)
    signs = np.zeros(size)
    if size == 0:
        yield point, point
        return
    penalty = float(np.max(np.abs(tradeoff.linear)))
    first = int(np.argmax(np.abs(tradeoff.linear)))
    signs[first] = -np.sign(tradeoff.linear[first])
    while penalty > 0:
        following, changed = _find_event(tradeoff, signs, penalty)
        end = _solve(tradeoff, signs, following)
        yield point, end
        point, penalty = end, following
        if changed is not None:
            index, sign = changed
            signs[index] = sign


def _solve(tradeoff: _Tradeoff, signs: Array, penalty: float) -> Array:
    """Weights at a penalty, given which are not 0 and their signs."""
    fixed, slope = _line(tradeoff, signs)
    return np.asarray(fixed + penalty * slope)


def _line(tradeoff: _Tradeoff, signs: Array) -> tuple[Array, Array]:
    is_active = signs != 0
    inside = tradeoff.quadratic[np.ix_(is_active, is_active)]
    sides = np.column_stack([tradeoff.linear[is_active], signs[is_active]])
    solved = -np.linalg.solve(inside, sides)
    fixed, slope = np.zeros(signs.size), np.zeros(signs.size)
    fixed[is_active], slope[is_active] = solved[:, 0], solved[:, 1]
    return fixed, slope


def _find_event(
    tradeoff: _Tradeoff, signs: Array, penalty: float
) -> tuple[float, tuple[int, float] | None]:
    """Next penalty at which a weight leaves 0 or returns to it; 0 = none."""
    fixed, slope = _line(tradeoff, signs)
    pull = -(tradeoff.linear + tradeoff.quadratic @ fixed)
    drift = -tradeoff.quadratic @ slope
    best, changed = 0.0, None
    below = penalty * (1 - 1e-10)
    for index, sign in enumerate(signs):
        events = (
            [(_ratio(-fixed[index], slope[index]), 0.0)]
            if sign
            else [(_ratio(pull[index], s - drift[index]), s) for s in (1.0, -1.0)]
        )
        for place, becomes in events:
            if best < place < below:
                best, changed = place, (index, becomes)
    return best, changed


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


def _search(
    tradeoff: _Tradeoff, start: Array, end: Array, *, bend: float, alpha: float
) -> tuple[Array, float]:
    """Shortest interval between two points of the path, by golden section."""
    step = end - start
    pull = tradeoff.quadratic @ start + tradeoff.linear
    at_start = float(start @ (pull + tradeoff.linear)) + tradeoff.constant
    slope, curve = 2 * float(step @ pull), float(step @ tradeoff.quadratic @ step)
    # No weight changes its sign within a segment of the path.
    size = float(np.sum(np.abs(start)))
    growth = float(np.sum(np.abs(end))) - size

    def length(share: float) -> float:
        """Half the interval's length at a share of the way along the tradeoff."""
        sd = math.sqrt(max(at_start + share * (slope + share * curve), 0.0))
        bias = bend * (tradeoff.bias + size + share * growth)
        return bias if sd == 0 else sd * folded_quantile(bias / sd, alpha)

    low, high = 0.0, 1.0
    for _ in range(SEARCH_STEPS):
        gap = GOLDEN * (high - low)
        if length(high - gap) <= length(low + gap):
            high = low + gap
        else:
            low = high - gap
    # The ends too: golden section only comes near them.
    found, share = min((length(one), one) for one in (0.0, (low + high) / 2, 1.0))
    return start + share * (end - start), found


def folded_quantile(mean: float, alpha: float) -> float:
    """Value that |N(mean, 1)| exceeds with probability alpha.

    Args:
        mean: bias in standard errors, not negative.
        alpha: 0 to 1.
    """
    if mean > FAR:
        return mean - float(ndtri(alpha))
    point = mean - float(ndtri(alpha / 2 if mean == 0 else alpha))
    for _ in range(NEWTON_STEPS):
        near, far = point - mean, point + mean
        beyond = (math.erfc(near * ROOT_HALF) + math.erfc(far * ROOT_HALF)) / 2
        density = math.exp(-near * near / 2) + math.exp(-far * far / 2)
        step = (beyond - alpha) * ROOT_TWO_PI / density
        point += step
        if abs(step) <= CONVERGED * point:
            break
    return point
