"""Gauss-Legendre nodes, quickly for thousands of nodes and remembered."""

from functools import lru_cache

import numpy as np

from exp_platform.stats.inference import Array

BLOCK = 16
"""Numbers of nodes are rounded up to multiples of this, so that few are computed."""

NEWTON_STEPS = 6


def legendre_nodes(least: float) -> tuple[Array, Array]:
    """Nodes and weights on [-1, 1], at least so many; do not write to them."""
    return _solve_nodes(BLOCK * int(np.ceil(least / BLOCK)))


@lru_cache(maxsize=256)
def _solve_nodes(n: int) -> tuple[Array, Array]:
    """Newton on the Legendre polynomial, from Tricomi's approximation of its roots."""
    k = np.arange(n, 0, -1)
    x = (1 - (n - 1) / (8 * n**3)) * np.cos(np.pi * (4 * k - 1) / (4 * n + 2))
    for _ in range(NEWTON_STEPS):
        value, slope = _legendre(n, x)
        step = value / slope
        x = x - step
        if np.max(np.abs(step)) < 1e-14:
            break
    _, slope = _legendre(n, x)
    weights = 2 / ((1 - x**2) * slope**2)
    x.flags.writeable = False
    weights.flags.writeable = False
    return x, weights


def _legendre(n: int, x: Array) -> tuple[Array, Array]:
    """The polynomial of degree n and its derivative, by the three-term recurrence."""
    before, value = np.ones_like(x), x
    for degree in range(2, n + 1):
        following = ((2 * degree - 1) * x * value - (degree - 1) * before) / degree
        before, value = value, following
    return value, n * (before - x * value) / (1 - x**2)
