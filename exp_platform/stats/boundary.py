"""Boundaries of group sequential tests by recursive numerical integration.

The statistic at look k is a normal z; with information I_k the correlation of two looks
is sqrt(I_j / I_k). The density of z among the paths that have not stopped is carried
from look to look on Gauss-Legendre nodes. Many error rates are solved at once, for one
schedule of looks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from exp_platform.stats.inference import Array
from exp_platform.stats.quadrature import legendre_nodes

Sides = Literal[1, 2]

FARTHEST = 12.5
"""Paths beyond so many standard errors are cut off: their probability is 1e-35."""

MARGINAL = 11.5
"""Critical values beyond this ignore that the paths must be alive, which could lower
them by 1e-6 at most; an error rate of 1e-30 stands behind them."""


LOWEST = 7.5
"""The same on the open side of a one-sided test: 3e-14, and no way back up."""

NODES_PER_WIDTH = 1.6
"""Nodes per standard deviation of the narrower step, from the look before or to the
next; makes 1e-10."""

SMALLEST = 1e-290
"""Error rates below this have no boundary: they are spent as if they were 0."""

REACH = 30.0
"""No boundary lies farther than so many standard deviations of the step beyond the
paths still alive: such a step has probability 1e-197."""

MOST_CELLS = 100_000
"""Kernel cells that are held in memory at once: they stay in a processor's cache."""

NEWTON_STEPS = 60


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths that have not stopped, for many plans with the same looks.

    Attributes:
        nodes: values of z, shape (n_plans, n_nodes); two-sided plans keep the upper
            half, the lower one mirrors it.
        mass: probability at the nodes, same shape.
        information: at this look; 0 before the first.
        is_mirrored: the plans are two-sided.
    """

    nodes: Array
    mass: Array
    information: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Critical values at every look of many plans.

    Attributes:
        critical: shape (n_plans, n_looks); infinite where nothing is spent.
        paths: before each look, and so one entry per look.
    """

    critical: Array
    paths: tuple[Paths, ...]


def solve_boundaries(
    spent: ArrayLike,
    information: ArrayLike,
    *,
    sides: Sides = 2,
    lowest: float = LOWEST,
) -> Boundaries:
    """How large must z be at each look so that no more than `spent` is used up?

    Args:
        spent: cumulative error rate of one side, not falling, shape (n_plans, n_looks).
        information: growing, any unit, shape (n_looks,).
        sides: 2 stops on either side, at the same distance; 1 only above.
        lowest: standard errors below 0 at which one-sided paths are cut off.

    References:
        Armitage, McPherson and Rowe (1969); Jennison and Turnbull (2000), chapter 19.
    """
    rates = np.asarray(spent, dtype=float)
    looks = np.asarray(information, dtype=float)
    increments = np.diff(rates, axis=1, prepend=0.0)
    paths = start_paths(len(rates), sides)
    before, critical = [], np.empty_like(rates)
    for k, now in enumerate(looks):
        critical[:, k] = _solve_look(paths, increments[:, k], now)
        before.append(paths)
        if k + 1 < len(looks):
            paths = _advance(paths, critical[:, k], now, looks[k + 1], lowest)
    return Boundaries(critical, tuple(before))


def start_paths(n_plans: int, sides: Sides) -> Paths:
    """All paths at 0, before any information."""
    weight = 0.5 if sides == 2 else 1.0
    return Paths(np.zeros((n_plans, 1)), np.full((n_plans, 1), weight), 0.0, sides == 2)


def repeat_paths(paths: Paths, times: int) -> Paths:
    """The paths of one plan, once for each of many effects."""
    shape = (times, paths.nodes.shape[1])
    nodes, mass = (np.broadcast_to(a, shape) for a in (paths.nodes, paths.mass))
    return Paths(nodes, mass, paths.information, paths.is_mirrored)


def exceed(
    paths: Paths, critical: Array, information: float, drift: Array | float = 0.0
) -> Array:
    """How probable is it to be alive at the look before and above `critical` at this?

    Args:
        paths: before the look, under no effect.
        critical: shape (n_plans,).
        information: at the look.
        drift: effect per unit of sqrt(information), shape (n_plans,); the paths are
            reweighted by their likelihood ratio.
    """
    before = paths.information
    step = information - before
    spread = np.sqrt(step / information)
    slope = np.sqrt(before / information)
    effect = np.broadcast_to(np.asarray(drift, dtype=float), critical.shape)[:, None]
    shift = effect * step / np.sqrt(information)
    edge = critical[:, None] - shift
    tilt = effect * np.sqrt(before) * paths.nodes
    damping = effect**2 * before / 2
    total = np.exp(tilt - damping) * ndtr((slope * paths.nodes - edge) / spread)
    if paths.is_mirrored:
        lower = ndtr((-slope * paths.nodes - edge) / spread)
        total = total + np.exp(-tilt - damping) * lower
    return np.asarray(np.sum(paths.mass * total, axis=1))


def exit_probabilities(
    critical: ArrayLike,
    information: ArrayLike,
    drift: ArrayLike = 0.0,
    *,
    sides: Sides = 2,
) -> tuple[Array, Array]:
    """How probable is it to stop at each look, above and below?

    Args:
        critical: one plan's critical values, shape (n_looks,).
        information: growing, shape (n_looks,).
        drift: effects as multiples of the last look's standard error, shape
            (n_effects,): the expected z at full information.
        sides: 2 or 1; one-sided plans never stop below.

    Returns:
        Probabilities of stopping above and below, each (n_effects, n_looks).
    """
    effects = np.atleast_1d(np.asarray(drift, dtype=float))
    looks = np.asarray(information, dtype=float) / np.asarray(information)[-1]
    bounds = np.asarray(critical, dtype=float)[None, :]
    lowest = LOWEST + max(0.0, -float(effects.min()))
    paths = start_paths(1, sides)
    above = np.zeros((effects.size, looks.size))
    below = np.zeros_like(above)
    for k, now in enumerate(looks):
        many = repeat_paths(paths, effects.size)
        edge = np.full(effects.size, bounds[0, k])
        above[:, k] = exceed(many, edge, now, effects)
        if sides == 2:
            below[:, k] = exceed(many, edge, now, -effects)
        if k + 1 < looks.size:
            paths = _advance(paths, bounds[:, k], now, looks[k + 1], lowest)
    return above, below


def _solve_look(paths: Paths, increment: Array, information: float) -> Array:
    """Newton on the log probability.

    It is concave in the critical value, so from the bound that ignores earlier stops,
    which lies above the root, the steps fall to it without overshooting.
    """
    has_bound = increment > SMALLEST
    target = np.where(has_bound, increment, 0.5)
    farthest = _farthest(paths, information)
    marginal = -ndtri(np.minimum(target, 1 - 1e-16))
    critical = np.minimum(marginal, farthest)
    for _ in range(NEWTON_STEPS):
        reached = exceed(paths, critical, information)
        slope = _density(paths, critical[:, None], information)[:, 0] / reached
        step = np.log(reached / target) / slope
        critical = np.minimum(critical + step, farthest)
        # Convergence is quadratic: the next step would be below 1e-17.
        if np.all(np.abs(step[has_bound]) < 1e-9):
            break
    critical = np.where(marginal > MARGINAL, marginal, critical)
    return np.where(has_bound, critical, np.inf)


def _farthest(paths: Paths, information: float) -> Array:
    """Critical values that the paths cannot reach, shape (n_plans,)."""
    if paths.information == 0:
        return np.full(len(paths.nodes), np.inf)
    slope = np.sqrt(paths.information / information)
    spread = np.sqrt(1 - paths.information / information)
    return np.asarray(slope * paths.nodes.max(axis=1) + REACH * spread)


def _advance(
    paths: Paths, critical: Array, information: float, following: float, lowest: float
) -> Paths:
    """Paths that stay below `critical` at this look, ready for the following one."""
    low = 0.0 if paths.is_mirrored else -lowest
    high = np.clip(critical, low, FARTHEST)
    ahead = np.sqrt(following / information - 1)
    behind = np.sqrt(1 - paths.information / information)
    longest = float(np.max(high - low))
    n_nodes = 24 + NODES_PER_WIDTH * longest / min(1.0, ahead, behind)
    points, weights = legendre_nodes(n_nodes)
    half = (high - low)[:, None] / 2
    nodes = low + half * (points[None, :] + 1)
    density = _density(paths, nodes, information)
    return Paths(nodes, half * weights * density, information, paths.is_mirrored)


def _density(paths: Paths, values: Array, information: float) -> Array:
    """Density of z at the look, shape (n_plans, n_values), in chunks of plans."""
    cells = values.shape[1] * paths.nodes.shape[1]
    rows = max(1, MOST_CELLS // cells)
    found = np.empty_like(values)
    slope = np.sqrt(paths.information / information)
    spread = np.sqrt(1 - paths.information / information)
    for first in range(0, len(values), rows):
        part = slice(first, first + rows)
        points = values[part, :, None] / spread
        centre = slope / spread * paths.nodes[part, None, :]
        kernel = _bell(points - centre)
        if paths.is_mirrored:
            kernel += _bell(points + centre)
        found[part] = np.einsum("rvn,rn->rv", kernel, paths.mass[part])
    return np.asarray(found / (spread * np.sqrt(2 * np.pi)))


def _bell(distance: Array) -> Array:
    """exp(-distance^2 / 2), in the array's own memory."""
    np.multiply(distance, distance, out=distance)
    distance *= -0.5
    return np.exp(distance, out=distance)
