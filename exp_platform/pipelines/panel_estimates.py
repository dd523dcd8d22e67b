"""Every method on one metric of a panel, refused ones with their reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exp_platform.causal.identification import DATA_ARE_MISSING, TWFE
from exp_platform.causal.panel_data import Panel
from exp_platform.causal.panel_rules import PanelFacts
from exp_platform.pipelines.panel_data import PanelMetric
from exp_platform.pipelines.panel_methods import BROUGHT_ALONG, RUNNERS, Runner
from exp_platform.pipelines.panel_sensitivity import bound_estimate
from exp_platform.records import (
    AssignmentFacts,
    Estimate,
    EstimateRole,
    EstimateStatus,
    MethodChoice,
    MetricDefinition,
    MetricType,
)
from exp_platform.stats.settings import EstimateSettings


def find_facts(metric: PanelMetric) -> PanelFacts:
    """What the panel of one metric allows."""
    units, treated = metric.units, metric.is_treated
    cohorts = units.cohorts
    is_staggered = cohorts.size > 1
    # With several dates, cohorts treated later are controls too.
    is_control = units.cohort > cohorts[0] if is_staggered else ~treated
    has_both = bool(treated.any()) and bool(is_control.any())
    return PanelFacts(
        AssignmentFacts(
            assignment=metric.spec.assignment,
            metric_type=MetricType.MEAN,
            n_arms=2 if has_both else 1,
            has_policy_date=True,
            has_pre_period=bool(cohorts.size),
            n_clusters_control=units.count_clusters(is_control),
            n_clusters_treatment=units.count_clusters(treated),
            treatment_timings=int(cohorts.size),
            # Effects by cohort are summed by cluster, whichever cohorts it has.
            share_astray=0.0 if is_staggered else metric.share_astray,
        ),
        metric.layout.is_cross_section,
        metric.has_empty_period,
    )


def estimate_panel_metric(
    metric: PanelMetric,
    definition: MetricDefinition,
    choices: Sequence[MethodChoice],
    *,
    runners: Mapping[str, Runner] = RUNNERS,
    is_bounded: bool = True,
) -> list[Estimate]:
    """Every chosen method, and a row with the reason for each refused one.

    Args:
        metric: of the panel.
        definition: of the metric.
        choices: the router's answer.
        runners: what carries the methods out.
        is_bounded: the deciding row gets its sensitivity bounds, which take seconds.
    """
    found: list[Estimate] = []
    for choice in choices:
        settings = EstimateSettings(
            definition,
            role=choice.role or EstimateRole.DIAGNOSTIC,
            alpha=metric.spec.plan.alpha,
            min_units_per_arm=metric.spec.plan.min_units_per_arm,
        )
        if not choice.is_chosen:
            found.append(_refuse(metric, settings, choice))
        elif choice.method not in BROUGHT_ALONG:
            rows = runners[choice.method](metric, settings)
            found += [_place(estimate, metric) for estimate in rows]
    return [bound_estimate(one, metric) for one in found] if is_bounded else found


def _place(estimate: Estimate, metric: PanelMetric) -> Estimate:
    """The arms' registered names, and what was left out."""
    # Two-way fixed effects alone use units that were always treated.
    units = metric.delivered if estimate.method == TWFE else metric.units
    left_out: dict[str, Any] = {
        "n_incomplete": units.n_incomplete,
        "n_always_treated": units.n_always,
    }
    if unseen := [
        label for label in metric.layout.labels if label not in metric.labels
    ]:
        left_out["periods_without_value"] = unseen
    if metric.n_unplaced:
        left_out["n_rows_without_unit_or_period"] = metric.n_unplaced
    return replace(
        estimate,
        control=metric.spec.control,
        treatment=metric.spec.treatments[0],
        details={
            **left_out,
            **_tell_left_out(metric, units),
            "grain": metric.layout.grain,
            **estimate.details,
        },
    )


def _tell_left_out(metric: PanelMetric, units: Panel) -> dict[str, Any]:
    """Units that were left out by arm, and why; nothing where none was."""
    arms = (metric.spec.control, metric.spec.treatments[0])
    found = {
        arm: {
            reason: counts[i] for reason, counts in units.left_out.items() if counts[i]
        }
        for i, arm in enumerate(arms)
    }
    told = {
        arm: {"units": sum(reasons.values()), "why": reasons}
        for arm, reasons in found.items()
        if reasons
    }
    return {"left_out": told} if told else {}


def _refuse(
    metric: PanelMetric, settings: EstimateSettings, choice: MethodChoice
) -> Estimate:
    is_missing = choice.reason in DATA_ARE_MISSING
    missing, unknown = EstimateStatus.INSUFFICIENT_DATA, EstimateStatus.NOT_IDENTIFIED
    return _place(
        Estimate(
            experiment_id=metric.spec.experiment_id,
            metric_name=metric.metric_name,
            method=choice.method,
            control="",
            treatment="",
            status=missing if is_missing else unknown,
            estimand="ATT",
            alpha=settings.alpha,
            role=settings.role,
            period="post",
            metric_version=settings.metric_version,
            reason=choice.reason,
            details={"explanation": choice.explanation},
        ),
        metric,
    )
