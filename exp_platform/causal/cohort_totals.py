"""What group-time effects need to know of each cohort: sums, no unit-level rows."""

from dataclasses import dataclass

import numpy as np

from exp_platform.causal.panel_data import Panel
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
        size_square: sum over clusters of (sum of weights)^2.
    """

    cohort: float
    n: int
    weight: float
    n_clusters: int
    means: Array
    score_gram: Array
    size_score: Array
    size_square: float


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

    Args:
        panel: balanced, without always-treated units.
    """
    return CohortPanel(
        experiment_id=panel.experiment_id,
        metric_name=panel.metric_name,
        periods=panel.periods,
        cohorts=tuple(_total(panel, value) for value in np.unique(panel.cohort)),
    )


def spans_cohorts(panel: Panel) -> bool:
    """Does some cluster have units of several cohorts?"""
    pairs = np.unique(np.column_stack([panel.cluster, panel.cohort]), axis=0)
    return len(pairs) > np.unique(panel.cluster).size


def _total(panel: Panel, cohort: float) -> CohortTotals:
    is_inside = panel.cohort == cohort
    outcomes, weight = panel.outcomes[is_inside], panel.weight[is_inside]
    means = weight @ outcomes / weight.sum()
    scores = weight[:, None] * (outcomes - means)
    scores, sizes = _sum_by_cluster(scores, weight, panel.cluster[is_inside])
    return CohortTotals(
        cohort=float(cohort),
        n=int(is_inside.sum()),
        weight=float(weight.sum()),
        n_clusters=sizes.size,
        means=means,
        score_gram=scores.T @ scores,
        size_score=scores.T @ sizes,
        size_square=float(sizes @ sizes),
    )


def _sum_by_cluster(
    scores: Array, weight: Array, cluster: Array
) -> tuple[Array, Array]:
    _, place = np.unique(cluster, return_inverse=True)
    if place.size == place.max(initial=-1) + 1:
        return scores, weight
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    return (
        np.add.reduceat(scores[order], starts, axis=0),
        np.add.reduceat(weight[order], starts),
    )
