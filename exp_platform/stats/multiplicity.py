"""Corrections of p-values for looking at many of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from exp_platform.records import Estimate
from exp_platform.stats.inference import Array

Correction = Literal["bonferroni", "holm", "hochberg", "bh", "by"]

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


def adjust_by(p_values: PValues, *, family_size: int | None = None) -> Array:
    """The same as `adjust_bh`, whatever the dependence between the tests?

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        family_size: planned tests, when more than those that have a p-value.

    Returns:
        Adjusted p-values in the same order, NaN where there was none, shape (m,).

    References:
        Benjamini and Yekutieli (2001).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    scaled = p[order] * m * _harmonic(m) / np.arange(1, order.size + 1)
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    return _put_back(p, order, lowest)


def adjust_bonferroni(p_values: PValues, *, family_size: int | None = None) -> Array:
    """Which p-values stand on their own at alpha / m?

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        family_size: planned tests, when more than those that have a p-value.

    Returns:
        Adjusted p-values in the same order, NaN where there was none, shape (m,).

    References:
        Dunn (1961).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    return _put_back(p, order, p[order] * m)


def adjust_hochberg(p_values: PValues, *, family_size: int | None = None) -> Array:
    """Which p-values stand, stepping up from the largest?

    Rejects all that Holm rejects; needs independent or positively dependent tests.

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        family_size: planned tests, when more than those that have a p-value; the
            missing ones count as p = 1.

    Returns:
        Adjusted p-values in the same order, NaN where there was none, shape (m,).

    References:
        Hochberg (1988).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    scaled = p[order] * (m - np.arange(order.size))
    lowest = np.minimum.accumulate(scaled[::-1])[::-1]
    return _put_back(p, order, lowest)


def interval_alphas(
    p_values: PValues,
    alpha: float,
    method: Correction,
    *,
    family_size: int | None = None,
) -> Array:
    """At which error rate does each two-sided interval agree with the correction?

    Bonferroni intervals hold all together. So do they beside Holm and Hochberg, whose
    own two-sided intervals do not exist or say nothing about rejected tests; a rejected
    test's interval may then contain 0. For BH and BY the intervals are those of the
    selected tests, which miss their effect in a share alpha on average (false coverage
    rate); the others get none.

    Args:
        p_values: of one family, shape (m,); None or NaN has no test.
        alpha: of the family, 0 to 1.
        method: the correction that decides.
        family_size: planned tests, when more than those that have a p-value.

    Returns:
        Error rates for the marginal intervals, shape (m,); NaN where there is none.

    References:
        Dunn (1961); Benjamini and Yekutieli (2005).
    """
    p, order = _sort(p_values)
    m = max(order.size, family_size or 0)
    known = ~np.isnan(p)
    if method not in ("bh", "by"):
        return np.where(known, alpha / max(m, 1), np.nan)
    adjust = adjust_bh if method == "bh" else adjust_by
    with np.errstate(invalid="ignore"):
        is_selected = adjust(p, family_size=m) <= alpha
    share = int(np.count_nonzero(is_selected)) / max(m, 1)
    penalty = _harmonic(m) if method == "by" else 1.0
    return np.where(is_selected, alpha * share / penalty, np.nan)


def bound_holm(
    difference: Array, standard_error: Array, df: Array, alpha: float
) -> Array:
    """Which lower bounds hold all together and agree with Holm's one-sided tests?

    A rejected test's bound is 0 while others are not rejected: that is all Holm leaves.

    Args:
        difference: shape (m,); turn the sign where a decrease is good.
        standard_error: same shape, above 0.
        df: degrees of freedom, infinite = normal.
        alpha: one-sided error rate of the family.

    References:
        Strassburger and Bretz (2008); Guilbaud (2008).
    """
    p_values = stdtr(df, -difference / standard_error)
    is_rejected = adjust_holm(p_values) <= alpha
    n_left = p_values.size - int(np.count_nonzero(is_rejected))
    share = n_left or max(p_values.size, 1)
    bound = difference + stdtrit(df, alpha / share) * standard_error
    rejected = np.maximum(bound, 0.0) if n_left == 0 else np.zeros_like(bound)
    return np.asarray(np.where(is_rejected, rejected, bound))


def adjust_estimates(
    estimates: Sequence[Estimate],
    *,
    family_size: int | None = None,
    method: Correction = "holm",
) -> tuple[Estimate, ...]:
    """The same rows with adjusted p-values; rows without a p-value stay null.

    Args:
        estimates: one family, such as the primary estimates of goals x arms.
        family_size: planned comparisons, when more than the rows given.
        method: the correction.
    """
    size = max(len(estimates), family_size or 0)
    adjust = CORRECTIONS[method]
    adjusted = adjust([e.p_value for e in estimates], family_size=size)
    return tuple(
        replace(e, p_value_adjusted=None if np.isnan(p) else float(p))
        for e, p in zip(estimates, adjusted, strict=True)
    )


class _Adjust(Protocol):
    def __call__(
        self, p_values: PValues, *, family_size: int | None = None
    ) -> Array: ...


CORRECTIONS: dict[str, _Adjust] = {
    "bonferroni": adjust_bonferroni,
    "holm": adjust_holm,
    "hochberg": adjust_hochberg,
    "bh": adjust_bh,
    "by": adjust_by,
}
"""Every correction by its name."""


def _harmonic(m: int) -> float:
    return float(np.sum(1 / np.arange(1, m + 1)))


def _sort(p_values: PValues) -> tuple[Array, NDArray[np.intp]]:
    """P-values as floats and the order of the known ones, smallest first."""
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    return p, order[: np.count_nonzero(~np.isnan(p))]


def _put_back(p: Array, order: NDArray[np.intp], adjusted: Array) -> Array:
    result = np.full_like(p, np.nan)
    result[order] = np.minimum(adjusted, 1.0)
    return result
