"""Robust intervals when trends may diverge Mbar times as fast as before the event.

Between two periods after the event the gap may change by at most Mbar times its largest
change between two periods before it. For each candidate of that largest change (a pair
of periods and a sign) the restrictions are linear moment inequalities; the test is the
conditional one with a least-favourable first stage (C-LF). Its linear programme has a
closed form here, so no solver is needed: the periods' effects are free but for one
weighted sum, and the dual has one vertex per post period and two for that sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, gammaln, log_ndtr, ndtri_exp

from exp_platform.causal.event_path import EventPath
from exp_platform.stats.inference import Array

KAPPA = 0.1
"""Share of alpha spent on the least-favourable first stage, as in the paper."""

RAYS = 2_000
"""Random directions (and their opposites) for the first stage's critical value."""

FIRST_GRID = 401
REFINEMENTS = 6
NEWTON_STEPS = 50
CONVERGED = 1e-9
REACH = 20.0
"""Half-width of the first grid, in standard errors beyond the plausible bias."""

NO_VARIANCE = 1e-14


@dataclass(frozen=True, slots=True)
class RobustInterval:
    """Effects that are not rejected although trends may differ within a bound.

    Attributes:
        bound: Mbar (relative magnitudes) or M (smoothness).
        lower, upper: ends of the interval.
    """

    bound: float
    lower: float
    upper: float

    @property
    def excludes_zero(self) -> bool:
        """The effect has a sign whatever the violation within the bound."""
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True, slots=True)
class _Inequalities:
    """One candidate: statistics `slopes @ beta + shifts * theta` must not exceed 0.

    Attributes:
        values: slopes @ beta, shape (n_vertices,).
        shifts: what one unit of theta adds. covariance: of the values.
        first_stage: least-favourable critical value of their maximum.
    """

    values: Array
    shifts: Array
    covariance: Array
    first_stage: float


def bound_relative_magnitudes(
    path: EventPath, mbar: float, *, alpha: float = 0.05, seed: int = 0
) -> RobustInterval:
    """Which effects remain possible if trends diverge up to Mbar times as fast?

    Args:
        path: event-study coefficients with at least one before the reference period.
        mbar: largest change of the gap per period after the event, in units of the
            largest change between two periods before it.
        alpha: error rate, two-sided.
        seed: of the directions for the first stage.

    Estimand:
        The weighted sum of the effects after the event that `path.weights` says.

    Assumptions:
        The coefficients are jointly normal with known covariance; violations of
        parallel trends obey the bound.

    References:
        Rambachan and Roth (2023), sections 2.4.1 and 3; Andrews, Roth and Pakes (2023).
    """
    candidates = tuple(_list_candidates(path, mbar, alpha, seed))
    reach = REACH * path.standard_error + mbar * _largest_bias(path)
    grid = path.estimate + np.linspace(-reach, reach, FIRST_GRID)
    is_kept = _accept(candidates, grid, alpha)
    inside = np.flatnonzero(is_kept)
    lower = _refine(candidates, grid, int(inside[0]) - 1, alpha)
    upper = _refine(candidates, grid, int(inside[-1]), alpha)
    return RobustInterval(mbar, lower, upper)


def excludes_zero(
    path: EventPath, mbar: float, *, alpha: float = 0.05, seed: int = 0
) -> bool:
    """Is no effect rejected at this bound? As the interval, without computing it."""
    # The first candidate under which 0 is possible settles it.
    return all(
        bool(_reject(candidate, np.zeros(1), alpha)[0])
        for candidate in _list_candidates(path, mbar, alpha, seed)
    )


def _largest_bias(path: EventPath) -> float:
    changes = np.diff(np.append(path.coefficients[: path.n_pre], 0.0))
    noise = np.sqrt(np.max(np.diag(path.covariance)))
    worst = float(np.max(np.abs(changes)) + REACH / 2 * noise)
    return worst * float(np.sum(np.abs(_cumulate(path.weights))))


def _cumulate(weights: Array) -> Array:
    """Weight of each change between periods in the weighted sum of levels."""
    return np.asarray(np.cumsum(weights[::-1])[::-1])


def _list_candidates(
    path: EventPath, mbar: float, alpha: float, seed: int
) -> Iterator[_Inequalities]:
    """The largest change before the event may be any of them, up or down."""
    n, size = path.n_pre, path.coefficients.size
    # The reference period's level is 0: its place among the levels is after n others.
    levels = np.insert(np.eye(size), n, 0.0, axis=0)
    changes = np.diff(levels, axis=0)
    root = np.linalg.cholesky(_nearly(path.covariance))
    rays = np.random.default_rng(seed).standard_normal((RAYS, size))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    rays = np.vstack([rays, -rays]) @ root.T
    drifts = changes[:n] @ path.coefficients
    # The likeliest first: one under which 0 is possible ends the search.
    for place in np.argsort(-np.abs(drifts)):
        change = changes[place] * (1.0 if drifts[place] > 0 else -1.0)
        for sign in (1.0, -1.0):
            slopes, shifts = _find_vertices(
                changes[n:], mbar * sign * change, path.covariance, path.weights
            )
            yield _Inequalities(
                values=slopes @ path.coefficients,
                shifts=shifts,
                covariance=slopes @ path.covariance @ slopes.T,
                first_stage=_find_first_stage(rays, slopes, KAPPA * alpha),
            )


def _find_first_stage(rays: Array, slopes: Array, tail: float) -> float:
    """Value that the largest statistic exceeds with this probability, all means 0.

    Along each direction the normal vector's length is chi, so that only directions are
    random: far less noise in the tail than drawing whole vectors.
    """
    largest = np.max(rays @ slopes.T, axis=1)
    size = rays.shape[1]
    reached = largest[largest > 0]
    wanted = tail * largest.size
    if reached.size <= wanted:
        return 0.0
    # Newton's steps on the logarithm come down to the root from the right of it.
    point = float(np.sqrt(chdtri(size, tail)) * np.max(reached))
    constant = (1 - size / 2) * np.log(2.0) - gammaln(size / 2)
    for _ in range(NEWTON_STEPS):
        lengths = point / reached
        beyond = float(np.sum(chdtrc(size, lengths**2)))
        density = np.exp(constant + (size - 1) * np.log(lengths) - lengths**2 / 2)
        step = np.log(beyond / wanted) * beyond / float(np.sum(density / reached))
        point += step
        if abs(step) <= CONVERGED * point:
            break
    return float(point)


def _nearly(covariance: Array) -> Array:
    """The covariance with a diagonal that rounding cannot make negative."""
    return np.asarray(covariance + np.diag(np.diag(covariance) * 1e-12))


def _find_vertices(
    post: Array, allowed: Array, covariance: Array, weights: Array
) -> tuple[Array, Array]:
    """Vertices of the dual of: least eta such that all inequalities hold up to eta sd.

    The change after the event, less its effect, lies within +-allowed. The effects are
    free but for their weighted sum theta; eliminating them leaves: the room of each
    period is not negative, and theta is between the sums of the ends of the rooms.
    """
    above, below = post - allowed, -post - allowed
    sd_above, sd_below = (_deviations(rows, covariance) for rows in (above, below))
    room = (above + below) / (sd_above + sd_below)[:, None]
    totals = _cumulate(weights)
    size = np.abs(totals)
    upper = size @ np.where(totals > 0, sd_below, sd_above)
    lower = size @ np.where(totals > 0, sd_above, sd_below)
    middle, spread = totals @ post, size.sum() * allowed
    slopes = np.vstack([room, -(middle + spread) / upper, (middle - spread) / lower])
    shifts = np.concatenate([np.zeros(len(post)), [1 / upper, -1 / lower]])
    return slopes, shifts


def _deviations(rows: Array, covariance: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows)))


def _accept(
    candidates: tuple[_Inequalities, ...], thetas: Array, alpha: float
) -> NDArray[np.bool_]:
    """Is theta possible under at least one candidate?"""
    is_kept = np.zeros(thetas.shape, dtype=bool)
    for candidate in candidates:
        is_kept |= ~_reject(candidate, thetas, alpha)
    return is_kept


def _reject(
    inequalities: _Inequalities, thetas: Array, alpha: float
) -> NDArray[np.bool_]:
    """Largest statistic against its law given that it is the largest."""
    values = inequalities.values + np.outer(thetas, inequalities.shifts)
    winner = np.argmax(values, axis=1)
    largest = values[np.arange(thetas.size), winner]
    variance = np.diag(inequalities.covariance)[winner]
    is_fixed = variance <= NO_VARIANCE
    variance = np.where(is_fixed, 1.0, variance)
    follows = inequalities.covariance[winner] / variance[:, None]
    rest = values - follows * largest[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = rest / (1 - follows)
    floor = np.max(np.where(follows < 1 - 1e-10, ends, -np.inf), axis=1)
    ceiling = np.min(np.where(follows > 1 + 1e-10, ends, np.inf), axis=1)
    ceiling = np.minimum(ceiling, inequalities.first_stage)
    sd = np.sqrt(variance)
    level = alpha * (1 - KAPPA) / (1 - KAPPA * alpha)
    critical = np.maximum(_truncated_quantile(level, floor / sd, ceiling / sd), 0.0)
    is_rejected = np.where(is_fixed, largest > 0, largest / sd > critical)
    return np.asarray(is_rejected | (largest > inequalities.first_stage))


def _truncated_quantile(tail: float, lower: Array, upper: Array) -> Array:
    """Point that a standard normal between two ends exceeds with this probability."""
    beyond = np.logaddexp(
        np.log(tail) + log_ndtr(-lower), np.log1p(-tail) + log_ndtr(-upper)
    )
    return np.asarray(-ndtri_exp(beyond))


def _refine(
    candidates: tuple[_Inequalities, ...], grid: Array, left: int, alpha: float
) -> float:
    """The end of the accepted set between two neighbours of the grid."""
    left = min(max(left, 0), grid.size - 2)
    low, high = float(grid[left]), float(grid[left + 1])
    for _ in range(REFINEMENTS):
        points = np.linspace(low, high, 33)
        is_kept = _accept(candidates, points, alpha)
        flips = np.flatnonzero(is_kept[1:] != is_kept[:-1])
        if not flips.size:
            break
        low, high = float(points[flips[0]]), float(points[flips[0] + 1])
    return (low + high) / 2
