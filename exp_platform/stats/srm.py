"""Sample ratio mismatch: did the arms get the units that were planned for them?

Two rules, both reported: Pearson's chi-square, valid once, and a Dirichlet-multinomial
e-value, valid at every look.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, gammaln, xlogy

from exp_platform.errors import ContractError
from exp_platform.stats.inference import Array

CONCENTRATION = 1000.0
"""Total of the Dirichlet prior: splits about 1.6 points off a planned 50 % (one sd)."""

EXACT_BELOW = 5.0
"""Expected units of an arm below which chi-square is not trusted."""

MOST_OUTCOMES = 2_000_000
"""Splits that are enumerated; beyond, the exact p-value is simulated."""

SIMULATIONS = 100_000


@dataclass(frozen=True, slots=True)
class SplitTest:
    """Observed units against the planned shares, at one look.

    Attributes:
        expected: units per arm under the plan.
        max_deviation: largest |observed / expected - 1| over arms.
        p_method: `chi_square`, `exact_multinomial`, `simulated_multinomial`.
        p_value: None without any unit.
    """

    observed: tuple[int, ...]
    expected: tuple[float, ...]
    chi_square: float | None
    df: int
    p_value: float | None
    p_method: str
    max_deviation: float | None


@dataclass(frozen=True, slots=True)
class SplitSequence:
    """The same comparison at every look, valid however often one looks.

    Attributes:
        e_values: one per look; cut at 1e300.
        e_value_max: the largest so far, the evidence against the planned split.
        p_value: sequential, min(1, 1 / e_value_max).
    """

    e_values: tuple[float, ...]
    e_value_max: float
    p_value: float


def chi_square_split(observed: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    """Pearson's chi-square and its p-value for many splits at once.

    Args:
        observed: units, shape (n_splits, n_arms); each row has at least one unit.
        weights: planned shares of the arms, any positive scale, shape (n_arms,).

    References:
        Pearson (1900); Fabijan and others (2019).
    """
    counts = np.asarray(observed, dtype=float)
    expected = counts.sum(axis=-1, keepdims=True) * _shares(weights)
    statistic = np.sum((counts - expected) ** 2 / expected, axis=-1)
    return statistic, np.asarray(chdtrc(counts.shape[-1] - 1, statistic))


def log_e_split(
    observed: ArrayLike, weights: ArrayLike, *, concentration: float = CONCENTRATION
) -> Array:
    """Log evidence of "some other split" against the planned one, for many splits.

    Args:
        observed: cumulative units, shape (n_splits, n_arms).
        weights: planned shares, any positive scale, shape (n_arms,).
        concentration: total of the Dirichlet prior around the planned shares.

    References:
        Lindon and Malek (2022).
    """
    counts, shares = np.asarray(observed, dtype=float), _shares(weights)
    prior = concentration * shares
    total = counts.sum(axis=-1)
    mixture = gammaln(prior + counts) - gammaln(prior) - xlogy(counts, shares)
    normaliser = gammaln(concentration) - gammaln(concentration + total)
    return np.asarray(normaliser + mixture.sum(axis=-1))


def assess_split(observed: Sequence[int], weights: Sequence[float]) -> SplitTest:
    """Do the arms' units agree with the planned shares, looking once?

    Args:
        observed: units per arm, as many as weights.
        weights: planned shares, any positive scale.

    Returns:
        Chi-square, or an exact multinomial p-value (the probability of every split that
        is no likelier than the observed one) when an arm expects fewer than 5 units.

    Raises:
        ContractError: lengths differ, a count is negative or a weight not positive.
    """
    _require_split(observed, weights)
    counts, shares = np.array(observed, dtype=float), _shares(weights)
    n = int(sum(observed))
    expected = n * shares
    df = len(shares) - 1
    if n == 0 or df == 0:
        return SplitTest(
            tuple(observed), tuple(expected.tolist()), None, df, None, "none", None
        )
    statistic, p_chi_square = chi_square_split(counts, shares)
    p_value, method = float(p_chi_square), "chi_square"
    if expected.min() < EXACT_BELOW:
        p_value, method = _multinomial_p(counts, shares)
    return SplitTest(
        observed=tuple(observed),
        expected=tuple(expected.tolist()),
        chi_square=float(statistic),
        df=df,
        p_value=p_value,
        p_method=method,
        max_deviation=float(np.max(np.abs(counts / expected - 1))),
    )


def track_split(
    cumulative: Sequence[Sequence[int]],
    weights: Sequence[float],
    *,
    concentration: float = CONCENTRATION,
) -> SplitSequence:
    """Have the arms ever left the planned shares, looking as often as one likes?

    Args:
        cumulative: units per arm so far, one row per look, shape (n_looks, n_arms).
        weights: planned shares, any positive scale.
        concentration: total of the Dirichlet prior; stored with the check.

    Raises:
        ContractError: lengths differ, a count is negative or a weight not positive.

    References:
        Lindon and Malek (2022).
    """
    for row in cumulative:
        _require_split(row, weights)
    if not cumulative:
        return SplitSequence((), 1.0, 1.0)
    logs = log_e_split(cumulative, weights, concentration=concentration)
    e_values = np.exp(np.minimum(logs, math.log(1e300)))
    largest = float(e_values.max())
    return SplitSequence(tuple(e_values.tolist()), largest, min(1.0, 1 / largest))


def _shares(weights: ArrayLike) -> Array:
    values = np.asarray(weights, dtype=float)
    return np.asarray(values / values.sum())


def _require_split(observed: Sequence[int], weights: Sequence[float]) -> None:
    is_whole = len(observed) == len(weights) and min(observed, default=0) >= 0
    if is_whole and all(0 < weight < math.inf for weight in weights):
        return
    raise ContractError(
        "units and planned shares of the arms do not fit together",
        found=f"units {list(observed)}, shares {list(weights)}",
        allowed="one count of 0 or more and one positive share per arm",
        next_step="correct the units, or the shares that were planned",
    )


def _multinomial_p(counts: Array, shares: Array) -> tuple[float, str]:
    n = int(counts.sum())
    if math.comb(n + len(shares) - 1, len(shares) - 1) <= MOST_OUTCOMES:
        outcomes, method = _all_splits(n, len(shares)), "exact_multinomial"
    else:
        random = np.random.default_rng(0)
        outcomes = random.multinomial(n, shares, size=SIMULATIONS).astype(float)
        method = "simulated_multinomial"
    logs = _log_multinomial(outcomes, shares)
    # Equal probabilities must count as equal in spite of rounding.
    is_no_likelier = logs <= _log_multinomial(counts[None], shares)[0] + 1e-7
    if method == "simulated_multinomial":
        return float((1 + is_no_likelier.sum()) / (1 + SIMULATIONS)), method
    return min(1.0, float(np.exp(logs[is_no_likelier]).sum())), method


def _log_multinomial(counts: ArrayLike, shares: Array) -> Array:
    x = np.asarray(counts, dtype=float)
    kernel = (xlogy(x, shares) - gammaln(x + 1)).sum(axis=-1)
    return np.asarray(gammaln(x.sum(axis=-1) + 1) + kernel)


def _all_splits(n: int, n_arms: int) -> Array:
    """Every way to put n units into the arms, shape (n_splits, n_arms)."""
    splits = np.zeros((1, 0))
    for _ in range(n_arms - 1):
        left = (n - splits.sum(axis=1)).astype(int)
        rows = np.repeat(np.arange(len(splits)), left + 1)
        starts = np.repeat(np.cumsum(left + 1) - (left + 1), left + 1)
        splits = np.column_stack([splits[rows], np.arange(len(rows)) - starts])
    return np.column_stack([splits, n - splits.sum(axis=1)])
