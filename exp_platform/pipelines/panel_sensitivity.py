"""How robust a panel's deciding estimate is to trends that were not parallel."""

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
from exp_platform.pipelines.panel_methods import total_arms
from exp_platform.records import Estimate, EstimateRole, EstimateStatus


def bound_estimate(estimate: Estimate, metric: PanelMetric) -> Estimate:
    """The row with its bounds, where it decides and rests on parallel trends.

    Args:
        estimate: any row of the metric.
        metric: of the panel.
    """
    if estimate.role is not EstimateRole.PRIMARY or not estimate.is_ok:
        return estimate
    if estimate.method == DID:
        return note_sensitivity(estimate, _bound_arms(estimate, metric))
    if estimate.method == STAGGERED:
        return note_sensitivity(estimate, _bound_cohorts(estimate, metric))
    return estimate


def _bound_arms(estimate: Estimate, metric: PanelMetric) -> Sensitivity:
    arms = total_arms(metric)
    if arms is None:
        return _blank(estimate, metric)
    period = choose_period(arms[0].days, is_daily=is_daily(metric))
    return assess_sensitivity(*arms, alpha=estimate.alpha, period_days=period)


def _bound_cohorts(estimate: Estimate, metric: PanelMetric) -> Sensitivity:
    return assess_cohorts(
        metric.group_times,
        _blank(estimate, metric),
        alpha=estimate.alpha,
        is_daily=is_daily(metric),
    )


def _blank(estimate: Estimate, metric: PanelMetric) -> Sensitivity:
    return Sensitivity(
        experiment_id=estimate.experiment_id,
        metric_name=estimate.metric_name,
        control=metric.spec.control,
        treatment=metric.spec.treatments[0],
        status=EstimateStatus.INSUFFICIENT_DATA,
    )


def is_daily(metric: PanelMetric) -> bool:
    """Periods are days one after the other, so that seven of them are a week.

    Args:
        metric: of the panel.
    """
    starts = map(datetime.fromisoformat, metric.layout.starts)
    steps = {later - earlier for earlier, later in pairwise(starts)}
    return metric.layout.grain == "date" and steps == {timedelta(days=1)}
