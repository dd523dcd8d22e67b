"""Corrections of p-values for looking at many of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exp_platform.records import Estimate
from exp_platform.stats.inference import Array

PValues = Sequence[float | None] | NDArray[np.float64]


def adjust_holm(p_values: PValues, *, family_size: int | None = None) -> Array:
    """Which p-values stand when no false rejection is wanted in the whole family?

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        family_size: planned tests, when more than those that have a p-value; tests that
            could not be done still count. Default: the p-values there are.

    Returns:
        Adjusted p-values in the same order, NaN where there was none, shape (m,).

    References:
        Holm (1979).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    scaled = p[order] * (m - np.arange(order.size))
    return _put_back(p, order, np.maximum.accumulate(scaled))


def adjust_bh(p_values: PValues, *, family_size: int | None = None) -> Array:
    """Which p-values stand when a share alpha of false discoveries is accepted?

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        family_size: planned tests, when more than those that have a p-value.

    Returns:
        Adjusted p-values in the same order, NaN where there was none, shape (m,).

    References:
        Benjamini and Hochberg (1995).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    scaled = p[order] * m / np.arange(1, order.size + 1)
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    return _put_back(p, order, lowest)


def adjust_estimates(
    estimates: Sequence[Estimate], *, family_size: int | None = None
) -> tuple[Estimate, ...]:
    """The same rows with Holm-adjusted p-values; rows without a p-value stay null.

    Args:
        estimates: one family, such as the primary estimates of goals x arms.
        family_size: planned comparisons, when more than the rows given.
    """
    size = max(len(estimates), family_size or 0)
    adjusted = adjust_holm([e.p_value for e in estimates], family_size=size)
    return tuple(
        replace(e, p_value_adjusted=None if np.isnan(p) else float(p))
        for e, p in zip(estimates, adjusted, strict=True)
    )


def _sort(p_values: PValues) -> tuple[Array, NDArray[np.intp]]:
    """P-values as floats and the order of the known ones, smallest first."""
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    return p, order[: np.count_nonzero(~np.isnan(p))]


def _put_back(p: Array, order: NDArray[np.intp], adjusted: Array) -> Array:
    result = np.full_like(p, np.nan)
    result[order] = np.minimum(adjusted, 1.0)
    return result
