"""Arms of a randomised experiment, given what was known of the units before it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from exp_platform.analysis.arguments import check_whole, check_word
from exp_platform.analysis.arms import (
    Arms,
    Columns,
    compare_each,
    gather_arms,
    gather_totals,
    keep_arms,
    list_names,
    name_arm,
    read_arms,
    refuse_columns,
    require_moments,
    settings_for,
    settle_units,
    tell_left_out,
    total_segments,
)
from exp_platform.causal.cluster_means import estimate_means_by_cluster
from exp_platform.causal.cluster_sums import ClusterSums, sum_clusters
from exp_platform.errors import UsageError
from exp_platform.pipelines.frames import ArmUnits
from exp_platform.records import (
    AdjustmentTotals,
    ClusterTotals,
    Estimate,
    MetricTotals,
    MetricType,
)
from exp_platform.stats.cluster import summarise_clusters
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.regression import (
    estimate_adjusted,
    estimate_lin,
    summarise_adjustment,
)
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.stratification import estimate_post_stratified


def cuped(
    data: Any,
    treatment: Any = None,
    *,
    covariate: str | Sequence[str] = (),
    metric: str | None = None,
    denominator: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    theta: Literal["within", "total"] = "within",
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do means differ, given what units did before? CUPED.

    Args:
        data: as `compare`; or `AdjustmentTotals` of the baseline arm.
        treatment: moments of the other arms; None with a frame.
        covariate: column with a value from before exposure, or several; null = unknown,
            counted as 0 with an indicator of its own (as the middle of the range
            where that lies more than 100 times its width from 0).
        metric: as `compare`.
        denominator: column of a ratio's denominator.
        variant: as `compare`.
        baseline: as `compare`.
        theta: `within` arms, or `total` to agree with gbstats and tea-tasting.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm; `details` holds theta and the variance ratio.

    Raises:
        UsageError: as `compare`, or a frame without covariate.
    """
    check_word("theta", theta, ("within", "total"))
    columns = _adjusted(metric, variant, baseline, covariate, denominator)
    if isinstance(data, MetricTotals):
        arms = gather_totals(data, treatment, columns)
        kind = MetricType.MEAN if data.denominator_mean is None else MetricType.RATIO
        settings = settings_for(data.metric_name, kind, alpha=alpha)
        return compare_each(arms, partial(estimate_cuped, theta=theta), settings)
    totals = _gather_adjusted(data, treatment, columns)
    kind = MetricType.RATIO if totals[0].is_ratio else MetricType.MEAN
    settings = settings_for(totals[0].metric_name, kind, alpha=alpha)
    return compare_each(totals, partial(estimate_adjusted, theta=theta), settings)


def lin(
    data: Any,
    treatment: Any = None,
    *,
    covariate: str | Sequence[str] = (),
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """The same by Lin's regression: every arm has slopes of its own, all arms at once.

    Args:
        data: a frame, or `AdjustmentTotals` of the baseline arm.
        treatment: `AdjustmentTotals` of the other arms; None with a frame.
        covariate: as `cuped`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `cuped`.
    """
    columns = _adjusted(metric, variant, baseline, covariate, None)
    arms = _gather_adjusted(data, treatment, columns)
    control, *others = arms
    settings = settings_for(control.metric_name, alpha=alpha)
    return tell_left_out(estimate_lin(control, others, settings), arms)


def post_stratify(
    data: Any,
    treatment: Any = None,
    *,
    strata: str | Sequence[str] = (),
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do means differ when the arms' mixture of strata is made equal?

    Args:
        data: a frame, or `MetricTotals` of control, one per stratum (`segment`).
        treatment: the same strata of the other arm; None with a frame.
        strata: column with the stratum, or several that are crossed.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm; `details` holds the weights and the variance ratio.

    Raises:
        UsageError: as `compare`, or a frame without strata.
    """
    if isinstance(data, Sequence) and not isinstance(data, str):
        if not data or not treatment:
            raise UsageError("two arms' moments by stratum are needed")
        settings = settings_for(data[0].metric_name, alpha=alpha)
        return (estimate_post_stratified(data, treatment, settings),)
    names = list_names(strata, "strata")
    columns = Columns(metric, variant, baseline, labels=names)
    settings = settings_for(metric or "", alpha=alpha)
    units = read_arms(data, columns)
    arms = keep_arms((total_segments(arm, columns, names) for arm in units), units)
    return compare_each(arms, estimate_post_stratified, settings)


def cluster_means(
    data: Any,
    treatment: Any = None,
    *,
    cluster: str | None = None,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    seed: int = 0,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do means per unit differ when whole clusters were randomised?

    Args:
        data: a frame, or `ClusterTotals` of the baseline arm.
        treatment: `ClusterTotals` of the other arms; None with a frame.
        cluster: column with the cluster, the level at which treatment was assigned.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        seed: of the wild cluster bootstrap, used with 5 to 19 clusters in an arm.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `compare`; a frame without cluster, or a cluster in two arms.
    """
    if cluster is None and not isinstance(data, ClusterTotals):
        raise UsageError("a frame needs cluster", allowed="cluster=COLUMN")
    check_whole("seed", seed, 0)
    columns = Columns(metric, variant, baseline, labels=(cluster,) if cluster else ())
    sums: dict[str, ClusterSums] = {}
    home: dict[str, str] = {}

    def summarise(arm: ArmUnits) -> ClusterTotals:
        """Totals of one arm's clusters; their sums are kept for the bootstrap."""
        names = name_arm(arm, columns)
        labels = settle_units(home, arm, cluster or "", what="cluster")
        values = (np.zeros(arm.values.size), arm.values)
        sums[arm.variant] = sum_clusters(names, values, labels, days=(0, 1))
        return summarise_clusters(names, arm.values, labels)

    arms = gather_arms(
        data, treatment, columns, kind=ClusterTotals, summarise=summarise
    )
    settings = settings_for(arms[0].metric_name, alpha=alpha)

    def estimate(
        control: ClusterTotals, other: ClusterTotals, settings: EstimateSettings
    ) -> Estimate:
        """One pair of arms, with the clusters' sums where units were given."""
        pair = (sums[control.variant], sums[other.variant]) if sums else None
        return estimate_means_by_cluster((control, other), pair, settings, seed=seed)

    return compare_each(arms, estimate, settings)


def _adjusted(
    metric: str | None,
    variant: str | None,
    baseline: str | None,
    covariate: str | Sequence[str],
    denominator: str | None,
) -> Columns:
    names = list_names(covariate, "covariate") if covariate else ()
    return Columns(metric, variant, baseline, denominator, covariates=names)


def _gather_adjusted(
    data: Any, treatment: Any, columns: Columns
) -> Arms[AdjustmentTotals]:
    """Moments with covariates; one that is null anywhere has its indicator in all arms."""
    if isinstance(data, AdjustmentTotals) or treatment is not None:
        totals = require_moments(data, treatment, AdjustmentTotals)
        refuse_columns(columns)
        return Arms(totals)
    list_names(columns.covariates, "covariate")
    arms = read_arms(data, columns)
    may_miss = [
        name
        for name in columns.covariates
        if any(np.isnan(arm.numbers[name]).any() for arm in arms)
    ]
    below = columns.denominator
    made = (
        summarise_adjustment(
            name_arm(arm, columns),
            arm.values,
            {name: arm.numbers[name] for name in columns.covariates},
            denominator=arm.numbers[below] if below else None,
            may_miss=may_miss,
        )
        for arm in arms
    )
    return keep_arms(made, arms)
