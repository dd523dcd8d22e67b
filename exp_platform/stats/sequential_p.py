"""Sequential p-values: the smallest error rate whose boundary has been crossed so far.

One table of boundaries over error rates serves every comparison with the same looks: a
table takes a fraction of a second, a comparison microseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from exp_platform.stats.boundary import SMALLEST, Sides
from exp_platform.stats.inference import Array
from exp_platform.stats.looks import (
    LookStatus,
    Schedule,
    critical_values,
)
from exp_platform.stats.spending import Spending, spend_alpha

SMALLEST_P = 1e-12
"""Sequential p-values below this are given as this."""

LARGEST_P = 0.9
"""Sequential p-values above this are given as 1."""

PANEL_EDGES = {2: (0.125, 0.6, 1.5, 3.0, 5.0, 7.15), 1: (-1.29, 0, 1.5, 3, 5, 7.05)}
"""The error rate is sides x Phi(-x); x is cut into panels, each with a polynomial."""

PANEL_NODES = 13

CELLS_PER_PANEL = 64

REFINEMENTS = 5


@dataclass(frozen=True, slots=True)
class BoundaryTable:
    """Boundaries of one schedule as functions of the error rate.

    Attributes:
        increments_at: spending times of each tested look and of the one before it.
        coefficients: Chebyshev coefficients of (bound that ignores earlier stops) -
            (bound), shape (n_panels, n_nodes, n_tested).
        levels: x at the cells' edges, shape (n_cells,).
        lowest: smallest bound from this level on, shape (n_cells, n_tested).
    """

    spending: Spending
    sides: Sides
    increments_at: tuple[tuple[float, float], ...]
    coefficients: Array
    levels: Array
    lowest: Array


def track_sequential_p(
    statistics: ArrayLike,
    schedule: Schedule,
    spending: Spending,
    *,
    sides: Sides = 2,
) -> Array:
    """What is the sequential p-value of many comparisons at each of their looks?

    Args:
        statistics: normal z, shape (n_comparisons, n_looks); NaN at a look without a
            number. One-sided tests reject for large z.
        schedule: looks of all these comparisons.
        spending: how the error rate is spent.
        sides: 1 or 2.

    Returns:
        Shape (n_comparisons, n_looks), never rising from look to look; 1 before the
        first test. Between 1e-12 and .9, otherwise 1e-12 or 1.

    References:
        Posch, Wassmer and Brannath (2008); Jennison and Turnbull (2000), chapter 9.
    """
    z = np.atleast_2d(np.asarray(statistics, dtype=float))
    p_values = np.ones_like(z)
    tested = schedule.tested
    if tested.size:
        table = _tabulate(_freeze(schedule), spending, sides)
        so_far = np.ones(len(z))
        for position, look in enumerate(tested):
            values = np.abs(z[:, look]) if sides == 2 else z[:, look]
            so_far = _lower(table, position, values, so_far)
            p_values[:, look] = so_far
    return np.minimum.accumulate(p_values, axis=1)


def read_boundary(
    schedule: Schedule, spending: Spending, alpha: float, *, sides: Sides = 2
) -> Array:
    """How large must z be at each look? From the table that the p-values use.

    Args:
        schedule: looks so far.
        spending: how the error rate is spent.
        alpha: error rate of the whole plan.
        sides: 1 or 2.

    Returns:
        As one row of `critical_values`, to 1e-9; infinite at looks without a test.
    """
    level, edges = -float(ndtri(alpha / sides)), PANEL_EDGES[sides]
    if not edges[0] <= level <= edges[-1]:
        solved = critical_values(schedule, spending, np.array([alpha]), sides=sides)
        return np.asarray(solved[0])
    critical = np.full(schedule.times.size, np.inf)
    tested = schedule.tested
    if tested.size:
        table = _tabulate(_freeze(schedule), spending, sides)
        levels = np.array([level])
        found = [_evaluate(table, k, levels)[0] for k in range(tested.size)]
        critical[tested] = found
    return critical


def _freeze(schedule: Schedule) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """What the boundaries depend on, as a key; information in units of the last."""
    tested = schedule.tested
    information = schedule.information[tested] / schedule.information[tested][-1]
    times = schedule.times[tested]
    return tuple(times.tolist()), tuple(information.tolist()), schedule.is_repeated


@lru_cache(maxsize=256)
def _tabulate(
    key: tuple[tuple[float, ...], tuple[float, ...], bool],
    spending: Spending,
    sides: Sides,
) -> BoundaryTable:
    times, information, is_repeated = key
    statuses = (LookStatus.TESTED,) * len(times)
    schedule = Schedule(
        np.array(times), np.array(information), statuses, is_repeated, is_repeated
    )
    before = [0.0, *times[:-1]]
    if is_repeated:
        before[-1] = before[-2]
    increments_at = tuple(zip(before, times, strict=True))
    edges = PANEL_EDGES[sides]
    points = -np.cos(np.pi * np.arange(PANEL_NODES) / (PANEL_NODES - 1))
    levels = np.concatenate([_stretch(points, i, edges) for i in range(len(edges) - 1)])
    bounds = critical_values(schedule, spending, sides * ndtr(-levels), sides=sides)
    marginal = _marginal(spending, levels, increments_at, sides)
    has_bound = np.isfinite(bounds) & np.isfinite(marginal)
    gaps = np.subtract(marginal, bounds, out=np.zeros_like(bounds), where=has_bound)
    basis = np.asarray(chebyshev.chebvander(points, PANEL_NODES - 1), dtype=float)
    fits = np.asarray(
        np.linalg.solve(basis, gaps.reshape(len(edges) - 1, PANEL_NODES, -1)),
        dtype=np.float64,
    )
    return _refine_cells(
        BoundaryTable(spending, sides, increments_at, fits, levels, bounds)
    )


def _refine_cells(table: BoundaryTable) -> BoundaryTable:
    edges = PANEL_EDGES[table.sides]
    inner = np.linspace(-1, 1, CELLS_PER_PANEL, endpoint=False)
    levels = np.concatenate([_stretch(inner, i, edges) for i in range(len(edges) - 1)])
    levels = np.append(levels, edges[-1])
    looks = range(len(table.increments_at))
    bounds = np.column_stack([_evaluate(table, look, levels) for look in looks])
    lowest = np.minimum.accumulate(bounds[::-1], axis=0)[::-1]
    return BoundaryTable(
        table.spending,
        table.sides,
        table.increments_at,
        table.coefficients,
        levels,
        lowest,
    )


def _stretch(points: Array, panel: int, edges: Sequence[float]) -> Array:
    low, high = edges[panel], edges[panel + 1]
    return np.asarray(low + (high - low) * (points + 1) / 2)


def _marginal(
    spending: Spending,
    levels: Array,
    increments_at: Sequence[tuple[float, float]],
    sides: Sides,
) -> Array:
    """Bounds that ignore earlier stops, shape (n_levels, n_looks)."""
    times = np.array(increments_at)
    alphas = sides * ndtr(-levels)
    spent = [spend_alpha(spending, alphas, column, sides=sides) for column in times.T]
    increments = spent[1] - spent[0]
    return np.where(increments > SMALLEST, -ndtri(increments), np.inf)


def _evaluate(table: BoundaryTable, look: int, levels: Array) -> Array:
    """Bounds of one look at many error rates, shape (n_levels,)."""
    edges = np.array(PANEL_EDGES[table.sides])
    panels = np.clip(np.searchsorted(edges, levels, "right") - 1, 0, edges.size - 2)
    low, high = edges[panels], edges[panels + 1]
    u = 2 * (levels - low) / (high - low) - 1
    fits = table.coefficients[panels, :, look].T
    gaps = chebyshev.chebval(u, fits, tensor=False)
    times = (table.increments_at[look],)
    return np.asarray(
        _marginal(table.spending, levels, times, table.sides)[:, 0] - gaps
    )


def _lower(table: BoundaryTable, look: int, values: Array, so_far: Array) -> Array:
    """The p-values so far, lowered where a look proves more.

    A look's own is the smallest error rate whose bound is at or below the value.
    """
    levels, lowest = table.levels, table.lowest[:, look]
    known = np.nan_to_num(values, nan=-np.inf)
    cell = np.searchsorted(lowest, known, "right") - 1
    at_best = table.sides * ndtr(-levels[np.minimum(cell + 1, levels.size - 1)])
    is_open = (cell >= 0) & (at_best < so_far)
    p_values = np.where(is_open, SMALLEST_P, so_far)
    is_inside = is_open & (cell < levels.size - 1)
    if np.any(is_inside):
        x = _solve_cell(table, look, known[is_inside], cell[is_inside])
        p_values[is_inside] = table.sides * ndtr(-x)
    return np.minimum(so_far, np.where(p_values > LARGEST_P, 1.0, p_values))


def _solve_cell(
    table: BoundaryTable, look: int, values: Array, cell: NDArray[np.intp]
) -> Array:
    low, high = table.levels[cell], table.levels[cell + 1]
    below, above = table.lowest[cell, look], table.lowest[cell + 1, look]
    with np.errstate(all="ignore"):
        slope = np.where(np.isfinite(above), (above - below) / (high - low), np.inf)
    x = low
    for _ in range(REFINEMENTS):
        gap = values - _evaluate(table, look, x)
        x = np.clip(x + gap / slope, low, high)
    return np.asarray(x)
