"""Means when whole clusters were assigned: sums over sizes, with clusters as units."""

import numpy as np

from exp_platform.records import ClusterTotals, Estimate
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.ratio import linearise_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms

FEWEST_CLUSTERS = 5
"""Clusters per arm below which no interval is trustworthy."""

BOOTSTRAP_BELOW = 20
"""Clusters, or effective clusters, per arm below which t rejects too often."""


def summarise_clusters(
    names: tuple[str, str, str], values: Array, clusters: Array
) -> ClusterTotals:
    """Totals of one arm from its units.

    Args:
        names: experiment, metric and variant.
        values: one per unit, shape (n_units,).
        clusters: label of each unit's cluster, same shape.
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values)
    sizes = np.bincount(index).astype(float)
    spread = np.cov(np.vstack([sums, sizes])) if sums.size > 1 else np.zeros((2, 2))
    return ClusterTotals(
        *names,
        n=len(values),
        n_clusters=sums.size,
        sum_mean=float(sums.mean()),
        sum_variance=float(spread[0, 0]),
        size_mean=float(sizes.mean()),
        size_variance=float(spread[1, 1]),
        size_covariance=float(spread[0, 1]),
    )


def estimate_cluster_means(
    control: ClusterTotals, treatment: ClusterTotals, settings: EstimateSettings
) -> Estimate:
    """By how much does the mean per unit differ when clusters were assigned?

    The mean is the ratio of the clusters' sums to their sizes, its variance that of
    the delta method over clusters, its t that of Welch with clusters as units.

    Estimand:
        Average effect of assigning a cluster, per unit: every unit counts alike.

    Assumptions:
        Clusters were randomised one by one and do not affect each other; units inside
        one may.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, TOO_FEW_CLUSTERS (fewer than 5 in an
        arm), NEEDS_WILD_BOOTSTRAP (fewer than 20, or than 20 effective ones) or
        ZERO_VARIANCE; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Deng, Knoblich and Lu (2018); Cameron and Miller (2015).
    """
    draft = draft_estimate("cluster_delta", control, treatment, settings)
    arms = (control, treatment)
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [m for a in arms for m in (a.sum_mean, a.size_mean, a.size_covariance)],
        variances=[v for a in arms for v in (a.sum_variance, a.size_variance)],
        values=[(arm.sum_mean, arm.sum_variance) for arm in arms],
    )
    reason = reason or _refuse_clusters(control, treatment)
    if reason is not None:
        return refuse_estimate(draft, reason)
    comparison = compare_arms(_mean_arm(control), _mean_arm(treatment), settings.alpha)
    details = {
        "n_clusters_control": control.n_clusters,
        "n_clusters_treatment": treatment.n_clusters,
        "effective_clusters": min(map(effective_clusters, arms)),
        "design_effect_sizes": [_size_spread(arm) for arm in arms],
    }
    return complete_estimate(draft, comparison, details=details)


def effective_clusters(totals: ClusterTotals) -> float:
    """Clusters of equal size that would be as good: G / (1 + cv^2 of the sizes).

    Args:
        totals: of one arm.

    References:
        Carter, Schnepel and Steigerwald (2017).
    """
    return totals.n_clusters / (1 + _size_spread(totals))


def _size_spread(totals: ClusterTotals) -> float:
    mean = totals.size_mean or float("nan")
    return (totals.size_variance or 0.0) / mean**2


def _refuse_clusters(
    control: ClusterTotals, treatment: ClusterTotals
) -> Refusal | None:
    arms = (control, treatment)
    if min(arm.n_clusters for arm in arms) < FEWEST_CLUSTERS:
        return Refusal.TOO_FEW_CLUSTERS
    if not all((arm.size_mean or 0.0) > 0 for arm in arms):
        return Refusal.INVALID_MOMENTS
    is_few = min(map(effective_clusters, arms)) < BOOTSTRAP_BELOW
    return Refusal.NEEDS_WILD_BOOTSTRAP if is_few else None


def _mean_arm(totals: ClusterTotals) -> Arm:
    n = np.array([totals.n_clusters], dtype=float)
    with np.errstate(all="ignore"):
        return linearise_ratio(
            Arm(n, _number(totals.sum_mean), _number(totals.sum_variance)),
            Arm(n, _number(totals.size_mean), _number(totals.size_variance)),
            _number(totals.size_covariance),
        )


def _number(value: float | None) -> Array:
    return np.array([value], dtype=float)
