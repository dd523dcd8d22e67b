"""Is the share of marked units the same in every arm?"""

from collections.abc import Mapping
from typing import cast

import numpy as np
from scipy.special import chdtrc, gammaln

EXACT_BELOW = 5.0


def compare_shares(units: Mapping[str, int], marked: Mapping[str, int]) -> float | None:
    """Two-sided p-value that all arms have the same share of marked units.

    Pearson's chi-square with arms - 1 degrees of freedom. Where an expected count is
    below 5: Fisher's exact test of each arm against the others, the smallest p times
    the number of comparisons (Bonferroni).

    Args:
        units: units by arm.
        marked: those of them that carry the mark; an arm left out has none.

    Returns:
        None with fewer than two arms of units, or marks on more units than there are.

    References:
        Pearson (1900); Fisher (1935), with the two-sided p as the sum over tables no
        more probable than the one observed.
    """
    arms = [arm for arm, n in units.items() if n > 0]
    n = np.array([units[arm] for arm in arms], dtype=np.float64)
    k = np.array([marked.get(arm, 0) for arm in arms], dtype=np.float64)
    if len(arms) < 2 or (k > n).any() or (k < 0).any():
        return None
    total, marks = float(n.sum()), float(k.sum())
    if marks in (0.0, total):
        return 1.0
    expected = np.stack([n * marks / total, n * (total - marks) / total])
    if expected.min() >= EXACT_BELOW:
        observed = np.stack([k, n - k])
        chi_square = float(((observed - expected) ** 2 / expected).sum())
        return float(chdtrc(len(arms) - 1, chi_square))
    smallest = min(
        _fisher(int(k_arm), int(n_arm), int(marks), int(total))
        for k_arm, n_arm in zip(k, n, strict=True)
    )
    comparisons = 1 if len(arms) == 2 else len(arms)
    return min(1.0, comparisons * smallest)


def _fisher(k: int, n: int, marks: int, total: int) -> float:
    """P that an arm of n has a count no more probable than k, of `marks` in all."""
    support = np.arange(max(0, marks - (total - n)), min(marks, n) + 1)
    log_p = (
        _log_choose(n, support)
        + _log_choose(total - n, marks - support)
        - _log_choose(total, np.array(marks))
    )
    here = log_p[k - support[0]]
    # Ties must count whatever their last digits: 1e-7 is far above the error of
    # gammaln and far below the gap between different tables.
    return min(1.0, float(np.exp(log_p[log_p <= here + 1e-7]).sum()))


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
