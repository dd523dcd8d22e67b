"""Before and after treatment, period by period: a panel's pre-trends."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from exp_platform.causal.aggregation import AveragedEffects, average_effects
from exp_platform.causal.clusters import refuse_clusters
from exp_platform.causal.contrasts import DayContrasts
from exp_platform.causal.event_study import estimate_deltas
from exp_platform.causal.identification import STAGGERED
from exp_platform.causal.pretrends import assess_contrasts, assess_pretrends
from exp_platform.pipelines.panel_data import PanelMetric
from exp_platform.pipelines.panel_methods import follows_cohorts, total_arms
from exp_platform.records import (
    Estimate,
    EstimateRole,
    EstimateStatus,
    PretrendDelta,
    PretrendTest,
)
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.inference import infer_difference

REFERENCE = -1
"""The last period before treatment, as a time since treatment."""


def assess_panel_trends(
    metric: PanelMetric, estimates: Sequence[Estimate]
) -> tuple[tuple[PretrendDelta, ...], PretrendTest | None]:
    """Effects by time since treatment, and whether there was any before it.

    With one treatment date these are the event study's; with several, or clusters in
    both arms, the dynamic Callaway-Sant'Anna effects, all against the last period before
    treatment.

    Args:
        metric: of the panel.
        estimates: of this metric; the primary one says how large a bias would matter.

    Returns:
        Rows in order of time, and the test; nothing where neither design is possible.
    """
    primary = next((e for e in estimates if e.role is EstimateRole.PRIMARY), None)
    role = EstimateRole.PRIMARY if primary else EstimateRole.DIAGNOSTIC
    arms = total_arms(metric)
    if arms is not None:
        alpha = metric.spec.plan.alpha
        deltas = estimate_deltas(arms[0], arms[1], alpha=alpha)
        test = assess_pretrends(
            arms[0], arms[1], planned_effect=None, estimate=primary, role=role
        )
        return deltas, test
    if not follows_cohorts(metric):
        return (), None
    simple = next((e for e in estimates if e.method == STAGGERED), None)
    return _assess_cohorts(metric, simple, role)


def _assess_cohorts(
    metric: PanelMetric, simple: Estimate | None, role: EstimateRole
) -> tuple[tuple[PretrendDelta, ...], PretrendTest | None]:
    """The same for several dates: leads are against the last period before treatment."""
    found, outcomes = metric.group_times, metric.units.outcomes
    blank = PretrendTest(
        experiment_id=metric.spec.experiment_id,
        metric_name=metric.metric_name,
        control=metric.spec.control,
        treatment=metric.spec.treatments[0],
        status=EstimateStatus.INSUFFICIENT_DATA,
        role=role,
        reason="NO_PRE_PERIOD",
    )
    if not found.estimates.size:
        return (), blank
    effects = average_effects(found, "dynamic")
    deltas = _list_deltas(metric, effects, blank, simple)
    is_lead = (effects.at < 0) & (effects.n_clusters >= FEWEST_CLUSTERS)
    if not is_lead.any():
        return deltas, blank
    leads = np.flatnonzero(is_lead)
    contrasts = DayContrasts(
        days=effects.at[leads].astype(np.int64),
        reference_day=REFERENCE,
        deltas=effects.estimates[leads],
        # One covariance of all clusters; the second part adds nothing to it.
        control_covariance=effects.covariance[np.ix_(leads, leads)],
        treatment_covariance=np.zeros((leads.size, leads.size)),
        n_clusters_control=min(found.n_clusters, metric.n_clusters_effective),
        n_clusters_treatment=2,
        scale=max(float(outcomes.max()), -float(outcomes.min())),
    )
    used = (effects.at >= 0) | is_lead
    test = assess_contrasts(
        contrasts,
        replace(blank, reason="", n_pre_days=leads.size + 1),
        days=(REFERENCE, *(int(at) for at in effects.at[used])),
        planned_effect=None,
        estimate=simple,
    )
    return deltas, test


def _list_deltas(
    metric: PanelMetric,
    effects: AveragedEffects,
    blank: PretrendTest,
    simple: Estimate | None,
) -> tuple[PretrendDelta, ...]:
    """Rows by time since treatment; with few clusters there is no error."""
    found = metric.group_times
    errors = np.sqrt(np.maximum(np.diag(effects.covariance), 0.0))
    counts = (found.n_clusters_control, int(found.group_clusters.sum()))
    reason = refuse_clusters(*counts, metric.n_clusters_effective)
    is_enough = (effects.n_clusters >= FEWEST_CLUSTERS) & (reason is None)
    errors = np.where(is_enough, errors, 0.0)
    df = np.full(errors.size, found.n_clusters - 1.0)
    alpha = simple.alpha if simple is not None else 0.05
    with np.errstate(all="ignore"):
        inference = infer_difference(effects.estimates, errors, df, alpha)
    rows = [
        PretrendDelta(
            experiment_id=blank.experiment_id,
            metric_name=blank.metric_name,
            control=blank.control,
            treatment=blank.treatment,
            day=int(at),
            period="pre" if at < 0 else "post",
            delta=float(effects.estimates[place]),
            standard_error=float(errors[place]) if errors[place] > 0 else None,
            ci_lower=_known(inference.ci_lower[place]),
            ci_upper=_known(inference.ci_upper[place]),
            p_value=_known(inference.p_value[place]),
            n_control=found.n_control,
            n_treatment=found.n_treated,
        )
        for place, at in enumerate(effects.at)
    ]
    reference = replace(
        rows[0],
        day=REFERENCE,
        period="pre",
        delta=0.0,
        standard_error=None,
        ci_lower=None,
        ci_upper=None,
        p_value=None,
        is_reference=True,
    )
    return tuple(sorted([*rows, reference], key=lambda row: row.day))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
