"""Means when whole clusters were assigned: sums over sizes, with clusters as units."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.records import ClusterTotals, Estimate, MetricType
from exp_platform.stats.draft import (
    Refusal,
    Spread,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.ratio import DENOMINATOR_ERRORS, linearise_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms

METHOD = "cluster_delta"

FEWEST_CLUSTERS = 5
"""Clusters per arm below which no interval is trustworthy."""

BOOTSTRAP_BELOW = 20
"""Clusters, or effective clusters, per arm below which t rejects too often."""


def summarise_clusters(
    names: tuple[str, str, str], values: Array, clusters: NDArray[Any]
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
    scores = np.bincount(index, weights=values - values.mean())
    return ClusterTotals(
        *names,
        n=len(values),
        n_clusters=sums.size,
        sum_mean=float(sums.mean()),
        sum_variance=float(spread[0, 0]),
        size_mean=float(sizes.mean()),
        size_variance=float(spread[1, 1]),
        size_covariance=float(spread[0, 1]),
        score_variance=float(scores @ scores) / max(sums.size - 1, 1),
        value_range=float(np.ptp(values)),
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
        arm), NEEDS_WILD_BOOTSTRAP (fewer than 20, or than 20 effective ones),
        DENOMINATOR_NEAR_ZERO (of a ratio), ZERO_VARIANCE or PRECISION_LOST;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Deng, Knoblich and Lu (2018); Cameron and Miller (2015).
    """
    return _assess(control, treatment, settings, is_few_allowed=False)


def estimate_few_cluster_means(
    control: ClusterTotals, treatment: ClusterTotals, settings: EstimateSettings
) -> Estimate:
    """The same with few clusters, for a bootstrap to complete.

    Its p-value and interval come from t and must be replaced: see
    `causal.cluster_means`.

    Args:
        control: totals of the control arm.
        treatment: totals of the compared arm.
        settings: metric, role, alpha, least units.

    Outcomes:
        As `estimate_cluster_means`, but never NEEDS_WILD_BOOTSTRAP.
    """
    return _assess(control, treatment, settings, is_few_allowed=True)


def _assess(
    control: ClusterTotals,
    treatment: ClusterTotals,
    settings: EstimateSettings,
    *,
    is_few_allowed: bool,
) -> Estimate:
    draft = replace(
        draft_estimate(METHOD, control, treatment, settings),
        n_clusters=control.n_clusters + treatment.n_clusters,
    )
    arms = (control, treatment)
    details: dict[str, Any] = {
        "n_clusters_control": control.n_clusters,
        "n_clusters_treatment": treatment.n_clusters,
    }
    # One cluster has no variance: too few of them is the reason then.
    few = min(arm.n_clusters for arm in arms) < FEWEST_CLUSTERS
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [] if few else [m for a in arms for m in _means(a)],
        variances=[] if few else [v for a in arms for v in _variances(a)],
        values=[] if few else list(map(_spread_of, arms)),
    )
    reason = reason or (Refusal.TOO_FEW_CLUSTERS if few else None)
    reason = reason or _refuse_sizes(arms, settings)
    if reason is not None:
        return refuse_estimate(draft, reason, details=details)
    details |= {
        "effective_clusters": min(map(effective_clusters, arms)),
        "design_effect_sizes": [_size_spread(arm) for arm in arms],
        "small_sample": "delta method over clusters, t with Welch's df",
    }
    if details["effective_clusters"] < BOOTSTRAP_BELOW and not is_few_allowed:
        return refuse_estimate(draft, Refusal.NEEDS_WILD_BOOTSTRAP, details=details)
    comparison = compare_arms(_mean_arm(control), _mean_arm(treatment), settings.alpha)
    return complete_estimate(draft, comparison, details=details)


def _spread_of(arm: ClusterTotals) -> Spread:
    """Of one unit's values, as far as the clusters tell."""
    if arm.sum_mean is None or arm.sum_variance is None or not arm.size_mean:
        return None, None, None
    own = _mean_arm(arm)
    return float(own.mean[0]), float(own.variance[0]), arm.value_range


def _means(arm: ClusterTotals) -> tuple[float | None, ...]:
    return arm.sum_mean, arm.size_mean, arm.size_covariance


def _variances(arm: ClusterTotals) -> tuple[float | None, ...]:
    known = () if arm.score_variance is None else (arm.score_variance,)
    return arm.sum_variance, arm.size_variance, *known


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


def _refuse_sizes(
    arms: tuple[ClusterTotals, ClusterTotals], settings: EstimateSettings
) -> Refusal | None:
    """Is there something to divide by? A ratio's denominators may be near 0."""
    is_ratio = settings.definition.type is MetricType.RATIO
    if not all((arm.size_mean or 0.0) > 0 for arm in arms):
        return Refusal.DENOMINATOR_NEAR_ZERO if is_ratio else Refusal.INVALID_MOMENTS
    if not is_ratio:
        return None
    far = [_size_spread(arm) * DENOMINATOR_ERRORS**2 < arm.n_clusters for arm in arms]
    return None if all(far) else Refusal.DENOMINATOR_NEAR_ZERO


def _mean_arm(totals: ClusterTotals) -> Arm:
    n = np.array([totals.n_clusters], dtype=float)
    if totals.score_variance is not None:
        size = _number(totals.size_mean)
        ratio = _number(totals.sum_mean) / size
        return Arm(n, ratio, _number(totals.score_variance) / size**2)
    with np.errstate(all="ignore"):
        return linearise_ratio(
            Arm(n, _number(totals.sum_mean), _number(totals.sum_variance)),
            Arm(n, _number(totals.size_mean), _number(totals.size_variance)),
            _number(totals.size_covariance),
        )


def _number(value: float | None) -> Array:
    return np.array([value], dtype=float)
