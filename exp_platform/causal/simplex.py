"""Non-negative weights that add to 1: the nearest point of a convex hull."""

import numpy as np

from exp_platform.stats.inference import Array

ROUNDING = 1e-13
"""Relative gain below which no other donor brings the hull's point nearer."""


def fit_weights(target: Array, donors: Array) -> Array:
    """Which mixture of the donors lies nearest to the target?

    Wolfe's algorithm for the point of a polytope nearest to the origin, here the hull
    of (donor - target). It ends after finitely many steps, at the optimum up to
    rounding and not at a tolerance of a descent.

    Args:
        target: shape (n_features,), scaled as distances are to be measured.
        donors: shape (n_donors, n_features), at least one donor.

    Returns:
        Weights, shape (n_donors,), of which only the few that are needed are not 0.

    References:
        Wolfe (1976).
    """
    points = donors - target
    norms = np.einsum("ij,ij->i", points, points)
    size = float(norms.max())
    if size == 0:
        return np.full(len(points), 1 / len(points))
    chosen = [int(np.argmin(norms))]
    weights = np.ones(1)
    # Each round leaves a face for a nearer one; the limit only guards rounding.
    for _ in range(10 * len(points) + 100):
        nearest = weights @ points[chosen]
        products = points @ nearest
        best = int(np.argmin(products))
        if best in chosen or nearest @ nearest - products[best] <= ROUNDING * size:
            break
        chosen, weights = _reduce(points, [*chosen, best], np.append(weights, 0.0))
    found = np.zeros(len(points))
    found[chosen] = weights
    return found


def _reduce(
    points: Array, chosen: list[int], weights: Array
) -> tuple[list[int], Array]:
    """The nearest point of the chosen ones' hull, dropping those not needed."""
    while len(chosen) > 1:
        free = _nearest_affine(points[chosen])
        if np.all(free > 0):
            return chosen, free
        leaving = free <= 0
        steps = weights[leaving] / np.maximum(weights[leaving] - free[leaving], 1e-300)
        weights = weights + float(steps.min()) * (free - weights)
        # The one that reached 0 first goes, whatever rounding left of it.
        first = np.flatnonzero(leaving)[int(np.argmin(steps))]
        keep = weights > 0
        keep[first] = False
        chosen = [index for index, is_kept in zip(chosen, keep, strict=True) if is_kept]
        weights = weights[keep] / weights[keep].sum()
    return chosen, np.ones(1)


def _nearest_affine(points: Array) -> Array:
    """Weights, of any sign and adding to 1, of the points' nearest mixture to 0."""
    base = points[0]
    spans = (points[1:] - base).T
    rest = np.linalg.lstsq(spans, -base, rcond=None)[0]
    return np.concatenate([[1 - rest.sum()], rest])
