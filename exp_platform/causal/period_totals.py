"""Totals by period of a ready-made panel's arm, for 2x2 estimates and event studies.

One formula serves balanced panels and repeated cross-sections: each period's mean is
over the units seen in it, and a unit not seen adds nothing to its error.
"""

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.clusters import share_sizes
from exp_platform.causal.cohort_totals import CohortTotals
from exp_platform.causal.vector_moments import measure_vectors
from exp_platform.errors import ContractError
from exp_platform.records import GramTotals
from exp_platform.stats.inference import Array


def total_periods(
    outcomes: Array,
    *,
    weight: Array,
    cluster: NDArray[np.generic],
    periods: tuple[int, ...],
    totals_of: tuple[str, str, str],
) -> GramTotals:
    """Means of one arm by period and the cross-products of their scores.

    Args:
        outcomes: shape (n_units, n_periods); NaN = not seen in the period.
        weight: shape (n_units,), above 0.
        cluster: label of each unit's cluster, shape (n_units,).
        periods: numbers relative to the event, shape (n_periods,).
        totals_of: experiment, metric and variant.

    Raises:
        ContractError: nobody was seen in some period.
    """
    is_seen = np.isfinite(outcomes)
    sizes = _weigh(weight, is_seen)
    if not len(outcomes) or np.any(sizes == 0):
        raise ContractError(
            "an arm has nobody in some period",
            where=f"{totals_of[0]}, metric {totals_of[1]}, arm {totals_of[2]}",
            found=f"{int(np.sum(sizes == 0))} of {len(periods)} periods",
            next_step="leave these periods out of the panel",
        )
    values = np.where(is_seen, outcomes, 0.0)
    means = _weigh(weight, values) / sizes
    shares = weight[:, None] * is_seen / sizes
    scores = len(outcomes) * shares * (values - means)
    labels, place = np.unique(cluster, return_inverse=True)
    sums = np.zeros((labels.size, len(periods)))
    np.add.at(sums, place, scores)
    # The scores add to 0: their products about the mean are their products.
    products = measure_vectors(sums).products
    return GramTotals(
        *totals_of,
        n=len(outcomes),
        n_clusters=labels.size,
        days=periods,
        means=tuple(means.tolist()),
        score_gram=tuple(tuple(row) for row in products.tolist()),
        cluster_shares=share_sizes(np.bincount(place, weight).astype(float)),
    )


def _weigh(weight: Array, values: Array | NDArray[np.bool_]) -> Array:
    """Weighted sum of each column, whatever the number of cores."""
    return np.asarray(np.einsum("n,nt->t", weight, values, optimize=False))


def days_of_cohort(
    cohort: CohortTotals, *, periods: tuple[int, ...], totals_of: tuple[str, str, str]
) -> GramTotals:
    """The same for all units of one cohort of a balanced panel, from its totals.

    Args:
        cohort: its totals.
        periods: numbers relative to the event, shape (n_periods,).
        totals_of: experiment, metric and variant.
    """
    # Scores count units; weights are relative to each other.
    products = cohort.score_gram * (cohort.n / cohort.weight) ** 2
    return GramTotals(
        *totals_of,
        n=cohort.n,
        n_clusters=cohort.n_clusters,
        days=periods,
        means=tuple(cohort.means.tolist()),
        score_gram=tuple(tuple(row) for row in products.tolist()),
        cluster_shares=cohort.cluster_shares,
    )
