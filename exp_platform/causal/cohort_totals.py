"""What group-time effects need to know of each cohort: sums, no unit-level rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.panel_data import Panel, sum_by_cluster
from exp_platform.causal.vector_moments import (
    BLOCK,
    VectorMoments,
    measure_vectors,
    merge_moments,
    no_moments,
)
from exp_platform.stats.inference import Array


@dataclass(frozen=True, slots=True)
class CohortTotals:
    """Weighted period means of one cohort and their cross-products by cluster.

    Attributes:
        cohort: first period under treatment; infinite = never.
        n: units. weight: sum of their weights. n_clusters: clusters.
        means: shape (n_periods,).
        score_gram: sum over clusters of s s', s = sum of weight x (value - mean) over
            the cluster's units, shape (n_periods, n_periods).
        size_score: sum over clusters of (sum of weights) x s, shape (n_periods,).
        size_square: sum over clusters of (sum of weights)^2. size_fourth: of its square.
    """

    cohort: float
    n: int
    weight: float
    n_clusters: int
    means: Array
    score_gram: Array
    size_score: Array
    size_square: float
    size_fourth: float

    @property
    def cluster_shares(self) -> tuple[float, float]:
        """As `clusters.share_sizes`."""
        return self.size_square / self.weight**2, self.size_fourth / self.weight**4


@dataclass(frozen=True, slots=True)
class CohortPanel:
    """All cohorts of a panel, over the same periods.

    Attributes:
        periods: ascending, shape (n_periods,).
        cohorts: ascending by cohort, at most one never treated (the last).
    """

    experiment_id: str
    metric_name: str
    periods: Array
    cohorts: tuple[CohortTotals, ...]


def total_cohorts(panel: Panel) -> CohortPanel:
    """Collapse units to cohorts; clusters must lie wholly in one cohort.

    Memory beside the panel's own does not grow with the number of units, unless units
    share clusters.

    Args:
        panel: balanced, without always-treated units.
    """
    cohorts, code = panel.cohort_codes
    pivot = panel.outcomes[:BLOCK].mean(axis=0) if len(code) else panel.periods * 0.0
    found = [no_moments(panel.periods.size + 1) for _ in cohorts]
    fourths = np.zeros(cohorts.size)
    for vectors, owner in _list_clusters(panel, code, pivot):
        for place in np.unique(owner):
            own = vectors[owner == place]
            found[place] = merge_moments(found[place], measure_vectors(own))
            fourths[place] += np.sum(own[:, -1] ** 4)
    units = np.bincount(code, minlength=cohorts.size)
    return CohortPanel(
        experiment_id=panel.experiment_id,
        metric_name=panel.metric_name,
        periods=panel.periods,
        cohorts=tuple(
            close_totals(float(cohort), int(n), moments, pivot, float(fourth))
            for cohort, n, moments, fourth in zip(
                cohorts, units, found, fourths, strict=True
            )
        ),
    )


def close_totals(
    cohort: float,
    n_units: int,
    moments: VectorMoments,
    pivot: Array,
    size_fourth: float,
) -> CohortTotals:
    """Totals from the moments of the clusters' sums.

    Args:
        cohort: first period under treatment.
        n_units: units in all clusters.
        moments: of one vector for each cluster: sum of weight x (value - pivot) by
            period, and the sum of the weights last.
        pivot: a number near each period's mean, shape (n_periods,).
        size_fourth: sum over clusters of (sum of weights)^4.
    """
    shift = moments.mean[:-1] / moments.mean[-1]
    inner, sizes = moments.products[:-1, :-1], moments.products[:-1, -1]
    size_spread = float(moments.products[-1, -1])
    # A cluster's score is its sum less shift x its size, and scores add to 0.
    mixed = np.outer(sizes, shift)
    return CohortTotals(
        cohort=cohort,
        n=n_units,
        weight=float(moments.mean[-1] * moments.n),
        n_clusters=moments.n,
        means=pivot + shift,
        score_gram=inner - mixed - mixed.T + size_spread * np.outer(shift, shift),
        size_score=sizes - size_spread * shift,
        size_square=size_spread + moments.n * float(moments.mean[-1]) ** 2,
        size_fourth=size_fourth,
    )


def spans_cohorts(panel: Panel) -> bool:
    """Does some cluster have units of several cohorts?"""
    _, code = panel.cohort_codes
    return not np.array_equal(_own(panel, code)[panel.cluster], code)


def split_clusters(panel: Panel) -> Panel:
    """The same with a cluster's units of each cohort as a cluster of their own.

    Args:
        panel: balanced.
    """
    if not spans_cohorts(panel):
        return panel
    cohorts, code = panel.cohort_codes
    pair = panel.cluster * cohorts.size + code
    labels = np.empty(0)
    cluster = np.unique(pair, return_inverse=True)[1]
    return replace(panel, cluster=cluster, cluster_labels=labels)


def _own(panel: Panel, code: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cohort of each cluster."""
    owner = np.zeros(panel.n_clusters, dtype=np.int64)
    owner[panel.cluster] = code
    return owner


def _list_clusters(
    panel: Panel, code: NDArray[np.int64], pivot: Array
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Blocks of clusters' vectors (see `close_totals`) and their cohorts."""
    if panel.n_clusters == len(panel.cluster):
        for first in range(0, panel.n_clusters, BLOCK):
            part = slice(first, first + BLOCK)
            weight = panel.weight[part, None]
            values = weight * (panel.outcomes[part] - pivot)
            yield np.hstack([values, weight]), code[part]
        return
    sizes = np.bincount(panel.cluster, panel.weight)
    yield np.column_stack([sum_by_cluster(panel, pivot), sizes]), _own(panel, code)
