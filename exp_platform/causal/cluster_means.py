"""Arms compared by their means when whole clusters were assigned, many or few."""

from dataclasses import replace

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.effect import describe_randomisation
from exp_platform.causal.few_clusters import bootstrap_estimate
from exp_platform.causal.randomisation import permute_clusters
from exp_platform.records import ClusterTotals, Estimate
from exp_platform.stats.cluster import (
    estimate_cluster_means,
    estimate_few_cluster_means,
)
from exp_platform.stats.draft import Refusal
from exp_platform.stats.settings import EstimateSettings


def estimate_means_by_cluster(
    totals: tuple[ClusterTotals, ClusterTotals],
    sums: tuple[ClusterSums, ClusterSums] | None,
    settings: EstimateSettings,
    *,
    seed: int = 0,
) -> Estimate:
    """By how much does the mean per unit differ when whole clusters were randomised?

    As `stats.cluster.estimate_cluster_means` where clusters are many. With fewer than
    20, or than 20 effective ones, p-value and interval are those of the wild cluster
    bootstrap, the error stays that of the delta method, and the lift has no interval;
    the p-value of randomisation inference stands in the details.

    Args:
        totals: moments over clusters, of control and of the compared arm.
        sums: of each cluster of both; None = few clusters stay without a number.
        settings: metric, role, alpha, least units.
        seed: of the bootstrap.

    Estimand:
        Average effect of assigning a cluster, per unit: every unit counts alike.

    Assumptions:
        As `stats.cluster.estimate_cluster_means`; few clusters: errors of clusters are
        roughly symmetric.

    Outcomes:
        As `stats.cluster.estimate_cluster_means`, with sums never NEEDS_WILD_BOOTSTRAP.

    References:
        Cameron, Gelbach and Miller (2008); Deng, Knoblich and Lu (2018).
    """
    estimate = estimate_cluster_means(*totals, settings)
    if estimate.reason != Refusal.NEEDS_WILD_BOOTSTRAP.value or sums is None:
        return estimate
    estimate = estimate_few_cluster_means(*totals, settings)
    if not estimate.is_ok:
        return estimate
    estimate = bootstrap_estimate(estimate, *sums, seed=seed)
    dealt = describe_randomisation(
        permute_clusters(*sums, alpha=settings.alpha, seed=seed)
    )
    kept = ("randomisation_p_value", "n_assignments")
    found = {name: dealt[name] for name in kept}
    return replace(estimate, details={**estimate.details, **found})
