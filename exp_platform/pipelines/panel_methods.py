"""Every method on one metric of a ready-made panel: arrays in, estimates out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.choice_rules import MOST_ASTRAY
from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.clusters import count_effective_arms
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.group_times import ControlGroup
from exp_platform.causal.identification import (
    AVERAGES,
    DID,
    EVENT_STUDY,
    RANDOMISATION,
    STAGGERED,
    TWFE,
)
from exp_platform.causal.panel_data import Panel, average_periods, sum_by_cluster
from exp_platform.causal.panel_rules import SYNTHETIC
from exp_platform.causal.period_totals import days_of_cohort, total_periods
from exp_platform.causal.staggered import StaggeredEffects, estimate_staggered
from exp_platform.causal.synthetic_control import (
    DonorPanel,
    estimate_synthetic_control,
)
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.causal.two_by_two import Adjustment
from exp_platform.pipelines.panel_data import PanelMetric
from exp_platform.records import Estimate, GramTotals
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings


def has_one_date(metric: PanelMetric) -> bool:
    """Are there treated units of a single date, and others that never are?

    Args:
        metric: of the panel.
    """
    units = metric.units
    return units.cohorts.size == 1 and not np.isfinite(units.cohort).all()


def total_arms(metric: PanelMetric) -> tuple[GramTotals, GramTotals] | None:
    """Totals by period of both arms, as if these had no cluster in common.

    Periods are numbered from the event: 0 is the first treated one. None when treatment
    began on several dates, clusters lie in both arms, or an arm of repeated
    cross-sections has nobody in some period.
    """
    if not has_one_date(metric) or metric.share_astray > MOST_ASTRAY:
        return None
    if metric.has_empty_period:
        return None
    units = metric.units
    event = int(units.cohorts[0])
    periods = tuple(int(number) - event for number in units.periods)
    if not metric.layout.is_cross_section:
        treatment, control = (
            days_of_cohort(cohort, periods=periods, totals_of=_named(metric, variant))
            for cohort, variant in zip(
                metric.totals.cohorts, _arms(metric)[::-1], strict=True
            )
        )
        return control, treatment
    control, treatment = (
        total_periods(
            units.outcomes[side],
            weight=units.weight[side],
            cluster=units.cluster[side],
            periods=periods,
            totals_of=_named(metric, variant),
        )
        for variant, side in _sides(metric)
    )
    return _count_means(control, treatment)


def follows_cohorts(metric: PanelMetric) -> bool:
    """Is the path over time that of effects by cohort, where arms have no totals?

    Their errors are by cluster, whichever units it has.

    Args:
        metric: of the panel.
    """
    if metric.layout.is_cross_section:
        return False
    return metric.units.cohorts.size > 1 or has_one_date(metric)


def _count_means(
    control: GramTotals, treatment: GramTotals
) -> tuple[GramTotals, GramTotals]:
    """Cross-sections estimate a mean per arm and period: that many parameters.

    The estimators' factor counts two; the scores take the rest, so that a 2x2 estimate
    has the error of the regression on the four cells.
    """
    n, k = control.n + treatment.n, 2 * len(control.days)
    factor = (n - 2) / max(n - k, 1)
    first, second = (
        replace(
            arm,
            score_gram=tuple(
                tuple(factor * value for value in row) for row in arm.score_gram
            ),
        )
        for arm in (control, treatment)
    )
    return first, second


def _sides(metric: PanelMetric) -> list[tuple[str, Any]]:
    treated = metric.is_treated
    return list(zip(_arms(metric), (~treated, treated), strict=True))


def _arms(metric: PanelMetric) -> tuple[str, str]:
    """Names of the untreated and of the treated arm."""
    return metric.spec.control, metric.spec.treatments[0]


def _named(metric: PanelMetric, variant: str) -> tuple[str, str, str]:
    return metric.spec.experiment_id, metric.metric_name, variant


def estimate_two_periods(
    metric: PanelMetric, settings: EstimateSettings
) -> tuple[Estimate, ...]:
    """`did_2x2`: by cluster, with the bootstrap where clusters are few."""
    if not has_one_date(metric):
        return ()
    if metric.layout.is_cross_section and (arms := total_arms(metric)) is not None:
        control, treatment = (panel_of(arm) for arm in arms)
        effective = count_effective_arms(*(arm.cluster_shares for arm in arms))
        estimate = estimate_did(control, treatment, settings, effective=effective)
        n, k = control.n + treatment.n, 2 * len(arms[0].days)
        words = f"CR1 G/(G-1)*(N-1)/(N-{k}), t(G-1), N = {n} rows"
        details = {"design": "cross-sections", "small_sample": words}
        return (_add(estimate, {**details, "n_clusters_effective": effective}),)
    control_sums, treated_sums = (
        _sum_clusters(metric, variant, side) for variant, side in _sides(metric)
    )
    return (estimate_did_by_cluster(control_sums, treated_sums, settings),)


def estimate_permuted(
    metric: PanelMetric, settings: EstimateSettings
) -> tuple[Estimate, ...]:
    """`did_randomisation`: against other choices of treated clusters."""
    if not has_one_date(metric):
        return ()
    control, treatment = (
        _sum_clusters(metric, variant, side) for variant, side in _sides(metric)
    )
    # One treated unit is enough: the others say how far such differences reach.
    settings = replace(settings, min_units_per_arm=1)
    return (estimate_by_randomisation(control, treatment, settings),)


def _sum_clusters(metric: PanelMetric, variant: str, side: Any) -> ClusterSums:
    units, members = metric.units, np.flatnonzero(side)
    is_pre = units.periods < units.cohorts[0]
    # One scale for both arms: resampling moves clusters from one to the other.
    weight = units.weight[members] / units.weight.mean()
    # A cluster that has no member is one of the other arm.
    used, cluster = np.unique(units.cluster[members], return_inverse=True)

    def add_up(values: Array) -> Array:
        """Sums by cluster; a unit that is a cluster is its own sum."""
        if used.size < members.size:
            return np.bincount(cluster, values).astype(float)
        found = np.empty_like(values)
        found[cluster] = values
        return found

    pre, post = (
        add_up(weight * average_periods(units, inside, members))
        for inside in (is_pre, ~is_pre)
    )
    days = int(is_pre.sum()), int((~is_pre).sum())
    return ClusterSums(
        *_named(metric, variant),
        add_up(weight),
        pre,
        post,
        *days,
        n_units=members.size,
    )


def estimate_average_path(
    metric: PanelMetric, settings: EstimateSettings
) -> tuple[Estimate, ...]:
    """`event_study`: all periods after the event against the last one before."""
    arms = total_arms(metric)
    if arms is None:
        return ()
    estimate = estimate_event_study(arms[0], arms[1], settings)
    return (_label(estimate, metric, "effects", "day", shift=_event(metric)),)


def find_staggered(
    metric: PanelMetric,
    settings: EstimateSettings,
    *,
    control_group: ControlGroup = "not_yet",
    adjustment: Adjustment = "doubly_robust",
) -> StaggeredEffects:
    """The four Callaway-Sant'Anna averages, from one set of group-time effects."""
    return estimate_staggered(
        metric.units,
        settings,
        control_group=control_group,
        adjustment=adjustment,
        totals=metric.totals,
    )


def estimate_cohorts(
    metric: PanelMetric,
    settings: EstimateSettings,
    *,
    control_group: ControlGroup = "not_yet",
    adjustment: Adjustment = "doubly_robust",
) -> tuple[Estimate, ...]:
    """`callaway_santanna_*`, each with its rows in the details.

    Args:
        metric: of the panel.
        settings: of the estimates.
        control_group: the never treated only, or also units treated later.
        adjustment: how covariates are used, where there are some.
    """
    found = find_staggered(
        metric, settings, control_group=control_group, adjustment=adjustment
    )
    return tuple(
        _label(
            _add(
                estimate,
                {
                    "effects": [
                        asdict(row)
                        for row in found.rows
                        if row.method == estimate.method
                    ]
                },
            ),
            metric,
            "effects",
            "at",
            shift=None if estimate.method.endswith("dynamic") else 0,
        )
        for estimate in found.estimates
    )


def estimate_fixed_effects(
    metric: PanelMetric, settings: EstimateSettings
) -> tuple[Estimate, ...]:
    """`twfe`, with the weights that it gives to comparisons."""
    return (estimate_twfe(metric.delivered, settings),)


def estimate_mixture(
    metric: PanelMetric, settings: EstimateSettings
) -> tuple[Estimate, ...]:
    """`synthetic_control`: treated clusters together against the untreated ones."""
    units, treated = metric.units, metric.is_treated
    outcomes, donors = _cluster_means(units, ~treated)
    event = _event(metric)
    panel = DonorPanel(
        experiment_id=metric.spec.experiment_id,
        metric_name=metric.metric_name,
        control=metric.spec.control,
        treatment=metric.spec.treatments[0],
        periods=tuple(int(number) - event for number in units.periods),
        treated=np.average(
            units.outcomes[treated], axis=0, weights=units.weight[treated]
        ),
        donors=outcomes,
        donor_names=metric.name_clusters(donors),
        n_treated=int(np.unique(units.cluster[treated]).size),
    )
    estimate = estimate_synthetic_control(panel, settings)
    return (_label(estimate, metric, "gaps", "period", shift=event),)


def _cluster_means(units: Panel, side: Any) -> tuple[Array, NDArray[np.int64]]:
    """Weighted mean of every cluster by period, and the clusters' numbers."""
    inside = replace(units, weight=np.where(side, units.weight, 0.0))
    sizes = np.bincount(inside.cluster, inside.weight)
    numbers = np.flatnonzero(sizes)
    return sum_by_cluster(inside)[numbers] / sizes[numbers, None], numbers


def _event(metric: PanelMetric) -> int:
    return int(metric.units.cohorts[0])


def _add(estimate: Estimate, details: Mapping[str, Any]) -> Estimate:
    return replace(estimate, details={**estimate.details, **details})


def _label(
    estimate: Estimate,
    metric: PanelMetric,
    key: str,
    number: str,
    *,
    shift: int | None,
) -> Estimate:
    """Name the period of every row of a detail; None = rows of event time."""
    rows = estimate.details.get(key)
    if shift is None or not rows:
        return estimate
    named = [{"label": metric.name_period(row[number] + shift), **row} for row in rows]
    return _add(estimate, {key: named})


Runner = Callable[[PanelMetric, EstimateSettings], tuple[Estimate, ...]]

RUNNERS: Mapping[str, Runner] = {
    DID: estimate_two_periods,
    RANDOMISATION: estimate_permuted,
    EVENT_STUDY: estimate_average_path,
    STAGGERED: estimate_cohorts,
    TWFE: estimate_fixed_effects,
    SYNTHETIC: estimate_mixture,
}
"""By method; the first Callaway-Sant'Anna average brings the others with it."""

BROUGHT_ALONG = frozenset(AVERAGES)
