"""One arm of a 2x2 comparison, cluster by cluster: what few-cluster methods need."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.clusters import count_effective_arms, share_sizes
from exp_platform.errors import ContractError
from exp_platform.records import PanelTotals
from exp_platform.stats.inference import Array


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums over the units of each cluster, arrays of shape (n_clusters,).

    Attributes:
        units: number of units; of a ratio the sum of their denominators, of weighted
            units that of their weights, on one scale in both arms.
        pre, post: sum over units of their average daily value in the period. Without a
            period before (arms compared by their means) pre is 0, and pre_days too.
        n_units: of the arm, where `units` are sums of weights; None = their sum.
    """

    experiment_id: str
    metric_name: str
    variant: str
    units: Array
    pre: Array
    post: Array
    pre_days: int
    post_days: int
    n_units: int | None = None

    def __post_init__(self) -> None:
        shapes = {self.units.shape, self.pre.shape, self.post.shape}
        if len(shapes) == 1 and self.units.ndim == 1 and are_sizes(self.units):
            return
        raise ContractError(
            "cluster sums that do not belong together",
            where=f"{self.experiment_id}, metric {self.metric_name}, {self.variant}",
            found=f"shapes {sorted(shapes)}",
            allowed="a number of units and two sums for each cluster, some above 0",
            next_step="aggregate the arm's units by cluster",
        )

    @property
    def n_clusters(self) -> int:
        """Clusters of the arm."""
        return int(self.units.size)

    @property
    def changes(self) -> Array:
        """Sum over the units of a cluster of post - pre."""
        return self.post - self.pre


def are_sizes(units: Array) -> bool:
    """Can clusters be weighed by these numbers of units, or denominators of a ratio?

    Args:
        units: of each cluster, shape (n_clusters,).
    """
    return bool(np.all(units >= 0)) and float(units.sum()) > 0


def sum_clusters(
    totals_of: tuple[str, str, str],
    values: tuple[Array, Array],
    cluster: NDArray[Any],
    *,
    days: tuple[int, int],
) -> ClusterSums:
    """Units' averages of two periods, summed by cluster.

    Args:
        totals_of: experiment, metric and variant.
        values: pre- and post-period average of each unit, shape (n_units,) each.
        cluster: label of each unit's cluster, shape (n_units,).
        days: number of days in the pre- and in the post-period.
    """
    _, place = np.unique(cluster, return_inverse=True)
    pre, post = (np.bincount(place, value).astype(float) for value in values)
    units = np.bincount(place).astype(float)
    return ClusterSums(*totals_of, units, pre, post, *days)


def collapse_clusters(sums: ClusterSums) -> PanelTotals:
    """The 2x2 totals of the arm.

    Args:
        sums: at least one cluster.
    """
    size = float(sums.units.sum())
    mean_pre, mean_post = float(sums.pre.sum() / size), float(sums.post.sum() / size)
    before = sums.pre - mean_pre * sums.units
    change = sums.changes - (mean_post - mean_pre) * sums.units
    n = int(size) if sums.n_units is None else sums.n_units
    if sums.n_units is not None:
        # Scores count units; weights are relative to each other.
        before, change = before * (n / size), change * (n / size)
    return PanelTotals(
        experiment_id=sums.experiment_id,
        metric_name=sums.metric_name,
        variant=sums.variant,
        n=n,
        n_clusters=sums.n_clusters,
        pre_days=sums.pre_days,
        post_days=sums.post_days,
        mean_pre=mean_pre,
        mean_post=mean_post,
        score_sum_of_squares=float(change @ change),
        pre_score_sum_of_squares=float(before @ before),
        pre_score_product=float(before @ change),
    )


def count_effective(control: ClusterSums, treatment: ClusterSums) -> float:
    """Effective number of clusters for the difference between the arms.

    Args:
        control: sums of the untreated arm.
        treatment: sums of the treated arm.
    """
    return count_effective_sizes(control.units, treatment.units)


def count_effective_sizes(control: Array, treatment: Array) -> float:
    """The same from the clusters' sizes alone, shape (n_clusters,) each.

    Args:
        control: units of each cluster of the untreated arm, or sums of their weights.
        treatment: those of the treated arm.
    """
    return count_effective_arms(share_sizes(control), share_sizes(treatment))
