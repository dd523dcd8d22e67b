"""Randomisation inference: would another choice of treated clusters look as extreme?

Valid with very few treated clusters, where no standard error is. It tests the sharp
hypothesis that treatment moved every cluster's mean by the same amount, and takes all
choices of so many treated clusters for equally likely.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.inversion import invert_test
from exp_platform.stats.inference import Array

MOST_ENUMERATED = 20_000
"""Up to so many choices of treated clusters all are used."""

EQUAL = 1e-9
"""Differences closer than this, relatively, are ties; a tie counts as extreme."""


@dataclass(frozen=True, slots=True)
class RandomisationTest:
    """The observed difference among those of other choices of treated clusters.

    Attributes:
        difference: treated clusters' change less the others', weighted by units.
        spread: standard deviation of the differences over all choices.
        p_value: share of choices at least as far from 0, the observed one included.
        interval: constant effects with p > alpha; None when it has no end.
        n_assignments: choices compared. is_exact: they are all there are.
    """

    difference: float
    spread: float
    p_value: float
    interval: tuple[float, float] | None
    n_assignments: int
    is_exact: bool


def permute_clusters(
    control: ClusterSums,
    treatment: ClusterSums,
    *,
    alpha: float = 0.05,
    draws: int = 9999,
    seed: int = 0,
) -> RandomisationTest:
    """How unusual is the difference among all choices of so many treated clusters?

    Args:
        control: cluster sums of the untreated arm.
        treatment: cluster sums of the treated arm.
        alpha: two-sided error rate of the interval.
        draws: choices at random when there are more than 20,000.
        seed: of the draws.

    Estimand:
        A constant effect on the treated clusters' units.

    Assumptions:
        Any set of so many clusters could have been treated. Clusters of very unequal
        size or noise break this when treated ones are not typical.

    References:
        Fisher (1935); Conley and Taber (2011); MacKinnon and Webb (2020).
    """
    units = np.concatenate([control.units, treatment.units])
    changes = np.concatenate([control.changes, treatment.changes])
    treated_units = np.concatenate([np.zeros(control.n_clusters), treatment.units])
    chosen = _choose(units.size, treatment.n_clusters, draws, seed)
    is_exact = comb(units.size, treatment.n_clusters) <= MOST_ENUMERATED
    means = [_compare(values, units, chosen) for values in (changes, treated_units)]
    observed = float(means[0][0])

    def p_of(effect: float) -> float:
        """Share of choices that are as far from this effect as the actual one."""
        found = np.abs(means[0] - effect * means[1])
        return float(np.mean(found >= abs(observed - effect) * (1 - EQUAL)))

    spread = float(np.std(means[0]))
    return RandomisationTest(
        difference=observed,
        spread=spread,
        p_value=p_of(0.0),
        interval=invert_test(p_of, observed, step=2 * spread or 1.0, alpha=alpha),
        n_assignments=len(chosen),
        is_exact=is_exact,
    )


def _choose(
    n_clusters: int, n_treated: int, draws: int, seed: int
) -> NDArray[np.bool_]:
    """Rows of treated clusters, the observed choice (the last clusters) first."""
    observed = np.arange(n_clusters) >= n_clusters - n_treated
    if comb(n_clusters, n_treated) > MOST_ENUMERATED:
        shuffled = np.random.default_rng(seed).permuted(
            np.tile(observed, (draws, 1)), axis=1
        )
        return np.vstack([observed, shuffled])
    places = np.array(list(combinations(range(n_clusters), n_treated)))
    chosen = np.zeros((len(places), n_clusters), dtype=bool)
    np.put_along_axis(chosen, places, values=True, axis=1)
    # Combinations come in lexicographic order: the last ones are the observed choice.
    return chosen[::-1]


def _compare(values: Array, units: Array, chosen: NDArray[np.bool_]) -> Array:
    """Mean over the units of chosen clusters less that over the others."""
    inside, size = chosen @ values, chosen @ units
    outside = (values.sum() - inside) / (units.sum() - size)
    return np.asarray(inside / size - outside)
