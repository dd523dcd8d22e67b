"""Estimates sorted for reading: one comparison per metric and arm, goals first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from exp_platform.decision.sequential import LATEST
from exp_platform.records import (
    Estimate,
    EstimateRole,
    EstimateStatus,
    MetricDefinition,
    MetricPlan,
    MetricRole,
)
from exp_platform.report.facts import MemoFacts
from exp_platform.stats.guardrail import GuardrailStatus

ALL_UNITS = "all"
VIEWS = frozenset(
    {
        "bayes_normal",
        "bayes_beta_binomial",
        "tail_capped",
        "novelty_trend",
        "segment_interaction",
        "dunnett",
        "cace",
        "regression_adjustment",
        "aipw",
    }
)
"""Methods that look at a comparison from another side; none of them decides."""

ADJUSTED = ("aipw", "regression_adjustment")
"""Methods for units that chose their arm, the one to be read first at the front."""

_ROLE_ORDER = (MetricRole.GOAL, MetricRole.GUARDRAIL, MetricRole.MONITOR)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric in one arm against control.

    Attributes:
        definition: None when the metric has no definition in the facts.
        primary: the estimate that decides; None when none was made.
        estimates: every method on all units and all data so far; where several looks
            were taken, the primary one is not among them.
        looks: rows of all looks so far, oldest first; one of them is primary.
        segments: primary-method estimates on subsets of units.
        views: rows that have a section of their own, see `VIEWS`.
        is_harmed: the one-sided test for harm, as the decision read it, calls it worse.
        is_worse: the decision calls it worse before any correction: a goal by the
            two-sided test, a guardrail inside its margin by the one-sided one.
    """

    metric_name: str
    treatment: str
    plan: MetricPlan
    definition: MetricDefinition | None
    primary: Estimate | None
    estimates: tuple[Estimate, ...]
    segments: tuple[Estimate, ...]
    views: tuple[Estimate, ...] = ()
    looks: tuple[Estimate, ...] = ()
    is_harmed: bool = False
    is_worse: bool = False

    @property
    def refused(self) -> Estimate | None:
        """Where no row decides, one that says why there cannot be any."""
        if self.primary is not None:
            return None
        return min(
            (one for one in self.estimates if not one.is_ok),
            key=lambda one: (
                one.status is not EstimateStatus.NOT_IDENTIFIED,
                one.role is not EstimateRole.DIAGNOSTIC,
            ),
            default=None,
        )

    @property
    def adjusted(self) -> Estimate | None:
        """The comparison after adjustment where units chose their arm."""
        found = {one.method: one for one in self.views if one.is_ok}
        return next((found[name] for name in ADJUSTED if name in found), None)


def sort_comparisons(facts: MemoFacts) -> tuple[Comparison, ...]:
    """Every planned or estimated metric, by role, then in plan order, then by arm."""
    return tuple(
        _build(facts, metric_name, treatment)
        for metric_name in _order_metrics(facts)
        for treatment in _order_treatments(facts)
    )


def _order_metrics(facts: MemoFacts) -> list[str]:
    plan = facts.spec.plan
    names = [one.metric_name for one in plan.metrics]
    names += [one.metric_name for one in facts.estimates]
    unique = list(dict.fromkeys(names))
    return sorted(unique, key=lambda name: _ROLE_ORDER.index(plan.of(name).role))


def _order_treatments(facts: MemoFacts) -> list[str]:
    estimated = [one.treatment for one in facts.estimates]
    return list(dict.fromkeys([*facts.spec.treatments, *estimated]))


def _build(facts: MemoFacts, metric_name: str, treatment: str) -> Comparison:
    mine = [
        one
        for one in facts.estimates
        if (one.metric_name, one.treatment) == (metric_name, treatment)
    ]
    views = tuple(one for one in mine if one.method in VIEWS)
    mine = [one for one in mine if one.method not in VIEWS]
    whole = tuple(one for one in mine if one.segment == ALL_UNITS)
    primary = _find_primary(whole)
    looks = [one for one in whole if one.look is not None]
    is_followed = primary is not None and any(map(_is_latest, whole))
    decided = [d.details for d in facts.arm_decisions if d.treatment == treatment]
    segments = [one for one in mine if one.segment != ALL_UNITS]
    if primary is not None and any(one.method == primary.method for one in segments):
        segments = [one for one in segments if one.method == primary.method]
    return Comparison(
        metric_name=metric_name,
        treatment=treatment,
        plan=facts.spec.plan.of(metric_name),
        definition=facts.definitions.get(metric_name),
        primary=primary,
        estimates=tuple(
            replace(one, role=EstimateRole.PRIMARY) if _is_latest(one) else one
            for one in whole
            if one.look is None or not is_followed
        ),
        looks=tuple(sorted(looks, key=lambda one: one.look or 0)),
        is_harmed=any(metric_name in found.get("harmed", ()) for found in decided),
        is_worse=any(metric_name in _list_worse(found) for found in decided),
        segments=tuple(segments),
        views=views,
    )


def _list_worse(details: Mapping[str, Any]) -> list[str]:
    """Metrics that a decision names as worse without calling it harm."""
    goals = [one for one in details.get("goals", ()) if one["is_worse"]]
    guardrails = [
        one
        for one in details.get("guardrails", ())
        if one["is_degraded"] and one["status"] == GuardrailStatus.NON_INFERIOR
    ]
    return [one["metric_name"] for one in (*goals, *guardrails)]


def _is_latest(estimate: Estimate) -> bool:
    """All data so far by the method that decides, beside the look that decides."""
    return bool(estimate.details.get("sequential", {}).get("status") == LATEST)


def _find_primary(estimates: tuple[Estimate, ...]) -> Estimate | None:
    primaries = [one for one in estimates if one.role is EstimateRole.PRIMARY]
    return max(primaries, key=lambda one: one.look or 0, default=None)
