"""How robust a panel's deciding estimate is to trends that were not parallel."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from exp_platform.causal.cohort_path import assess_cohorts
from exp_platform.causal.event_path import choose_period
from exp_platform.causal.identification import DID, STAGGERED
from exp_platform.causal.sensitivity import (
    Sensitivity,
    assess_sensitivity,
    note_sensitivity,
)
from exp_platform.pipelines.panel_data import PanelMetric
from exp_platform.pipelines.panel_methods import follows_cohorts, total_arms
from exp_platform.records import Estimate, EstimateRole, EstimateStatus
from exp_platform.stats.draft import Refusal


def bound_estimate(estimate: Estimate, metric: PanelMetric) -> Estimate:
    """The row with its bounds, where it decides and rests on parallel trends.

    Args:
        estimate: any row of the metric.
        metric: of the panel.
    """
    if estimate.role is not EstimateRole.PRIMARY or not estimate.is_ok:
        return estimate
    if estimate.method == DID:
        return note_sensitivity(estimate, bound_panel(metric, alpha=estimate.alpha))
    if estimate.method == STAGGERED:
        return note_sensitivity(estimate, _bound_cohorts(metric, estimate.alpha))
    return estimate


def bound_panel(metric: PanelMetric, *, alpha: float) -> Sensitivity:
    """How large a violation of parallel trends would overturn the panel's effect?

    With one treatment date that of the event study, with several, or clusters in both
    arms, the simple average.

    Args:
        metric: of the panel.
        alpha: two-sided error rate of the intervals.
    """
    arms = total_arms(metric)
    if arms is not None:
        period = choose_period(arms[0].days, is_daily=is_daily(metric))
        return assess_sensitivity(*arms, alpha=alpha, period_days=period)
    if not follows_cohorts(metric):
        return replace(_blank(metric), reason=Refusal.NO_PRE_PERIOD.value)
    return _bound_cohorts(metric, alpha)


def _bound_cohorts(metric: PanelMetric, alpha: float) -> Sensitivity:
    return assess_cohorts(
        metric.group_times,
        _blank(metric),
        alpha=alpha,
        is_daily=is_daily(metric),
        effective=metric.n_clusters_effective,
    )


def _blank(metric: PanelMetric) -> Sensitivity:
    return Sensitivity(
        experiment_id=metric.spec.experiment_id,
        metric_name=metric.metric_name,
        control=metric.spec.control,
        treatment=metric.spec.treatments[0],
        status=EstimateStatus.INSUFFICIENT_DATA,
    )


def is_daily(metric: PanelMetric) -> bool:
    """Periods are days one after the other, so that seven of them are a week.

    Args:
        metric: of the panel.
    """
    layout = metric.layout
    starts = map(datetime.fromisoformat, layout.starts)
    steps = {later - earlier for earlier, later in pairwise(starts)}
    has_all = metric.labels == layout.labels
    return has_all and layout.grain == "date" and steps == {timedelta(days=1)}
