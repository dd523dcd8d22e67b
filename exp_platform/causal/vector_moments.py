"""Means and cross-products of vectors, taken in blocks that merge.

The blocks and their order are fixed by the data, and no routine splits a sum between
threads: the same vectors give the same bits on any number of cores.
"""

from dataclasses import dataclass

import numpy as np

from exp_platform.stats.inference import Array

BLOCK = 4096
"""Vectors centred and multiplied at once: few enough to stay in a core's cache."""

_TILE = 32


@dataclass(frozen=True, slots=True)
class VectorMoments:
    """Moments of n vectors of one length.

    Attributes:
        mean: shape (length,).
        products: sum over the vectors of (v - mean)(v - mean)', shape
            (length, length).
    """

    n: int
    mean: Array
    products: Array


def measure_vectors(vectors: Array) -> VectorMoments:
    """Moments of the rows of a matrix.

    Args:
        vectors: shape (n, length).
    """
    found = no_moments(vectors.shape[1])
    for first in range(0, len(vectors), BLOCK):
        found = merge_moments(found, _measure_block(vectors[first : first + BLOCK]))
    return found


def no_moments(length: int) -> VectorMoments:
    """Of no vectors: what merging begins with."""
    return VectorMoments(0, np.zeros(length), np.zeros((length, length)))


def merge_moments(one: VectorMoments, other: VectorMoments) -> VectorMoments:
    """Moments of both sets of vectors together.

    Args:
        one: of the vectors that come first.
        other: of the vectors that follow.

    References:
        Chan, Golub and LeVeque (1983), equation 2.1.
    """
    if not one.n or not other.n:
        return one if one.n else other
    n = one.n + other.n
    # Products of huge values are infinite, which the estimators refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        gap = other.mean - one.mean
        between = np.outer(gap, gap) * (one.n * other.n / n)
        mean = one.mean + gap * (other.n / n)
        return VectorMoments(n, mean, one.products + other.products + between)


def _measure_block(vectors: Array) -> VectorMoments:
    n = len(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        # What rounding left in the mean is taken out of the products.
        left = centred.mean(axis=0)
        products = _multiply(centred) - n * np.outer(left, left)
        return VectorMoments(n, mean + left, products)


def _multiply(rows: Array) -> Array:
    """Sum of the rows' outer products without BLAS, whose sums depend on the number of its threads."""
    length = rows.shape[1]
    products = np.empty((length, length))
    for first in range(0, length, _TILE):
        tile = slice(first, first + _TILE)
        part = np.einsum("ni,nj->ij", rows[:, tile], rows[:, first:], optimize=False)
        products[tile, first:] = part
        products[first:, tile] = part.T
    return products
