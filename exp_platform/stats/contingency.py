"""Counts in a table: are rows and columns independent?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, xlogy

from exp_platform.stats.inference import Array


@dataclass(frozen=True, slots=True)
class TableTest:
    """A test of independence.

    Attributes:
        statistic: chi-square. df: (rows - 1) x (columns - 1), without empty ones.
        p_value: None when no row or column is left to compare.
        cramers_v: strength, 0 to 1.
        least_expected: smallest expected count; below 5 the p-value is rough.
    """

    statistic: float
    df: int
    p_value: float | None
    cramers_v: float | None
    least_expected: float


def assess_table(
    table: ArrayLike, *, yates: bool = False, likelihood: bool = False
) -> TableTest:
    """Do the columns' shares differ between rows?

    Args:
        table: counts, shape (n_rows, n_columns); empty rows and columns are left out.
        yates: continuity correction for a 2 x 2 table.
        likelihood: the G statistic instead of Pearson's.

    References:
        Pearson (1900); Yates (1934); Wilks (1938).
    """
    counts = np.asarray(table, dtype=float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, df = counts.sum(), (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if df < 1 or n == 0:
        return TableTest(0.0, 0, None, None, float(n))
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    gap = counts - expected
    if yates and df == 1:
        gap = np.sign(gap) * np.maximum(np.abs(gap) - 0.5, 0.0)
    statistic = float(np.sum(gap**2 / expected))
    if likelihood:
        statistic = float(2 * np.sum(_log_ratio(expected + gap, expected)))
    return TableTest(
        statistic=statistic,
        df=df,
        p_value=float(chdtrc(df, statistic)),
        cramers_v=float(np.sqrt(statistic / (n * (min(counts.shape) - 1)))),
        least_expected=float(expected.min()),
    )


def _log_ratio(observed: Array, expected: Array) -> Array:
    return np.asarray(xlogy(observed, observed / expected))
