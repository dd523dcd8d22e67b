"""Families of tests: goals x arms that decide, segments that are only explored."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from exp_platform.records import Estimate, EstimateRole, ExperimentSpec, MetricRole
from exp_platform.stats.heterogeneity import adjust_segments as correct_segments
from exp_platform.stats.multiplicity import adjust_holm

TREND_METHODS = ("did", "event_study", "callaway_santanna", "twfe")
"""First words of the methods that assume parallel trends."""


def adjust_goals(
    estimates: Sequence[Estimate], spec: ExperimentSpec
) -> tuple[Estimate, ...]:
    """Correct the goals' primary p-values for goals x arms, by Holm.

    The sequential p-value is corrected where the row belongs to a sequence of looks. A
    goal that has no estimate still counts, so that a metric that failed never makes
    the others look better.

    Args:
        estimates: all estimates of a run, in any order.
        spec: names the goals and the arms.

    Returns:
        The same estimates in the same order; the goals' primary ones on all units
        carry `p_value_adjusted`.

    References:
        Holm (1979).
    """
    goals = spec.plan.names(MetricRole.GOAL)
    members = [i for i, e in enumerate(estimates) if is_deciding(e, goals)]
    planned = len(goals) * len(spec.treatments)
    adjusted = adjust_holm(
        [_decisive_p(estimates[i]) for i in members], family_size=planned
    )
    rows = list(estimates)
    for i, p_value in zip(members, adjusted.tolist(), strict=True):
        known = None if np.isnan(p_value) else p_value
        rows[i] = replace(rows[i], p_value_adjusted=known)
    return tuple(rows)


def _decisive_p(estimate: Estimate) -> float | None:
    if estimate.sequential_p_value is not None:
        return estimate.sequential_p_value
    return estimate.p_value


def harm_level(spec: ExperimentSpec) -> float:
    """One-sided p at or below which one metric of one arm counts as harmed.

    The plan's error rate of harm, split evenly over goals and guardrails x arms.

    Args:
        spec: registry row with the plan.
    """
    roles = (MetricRole.GOAL, MetricRole.GUARDRAIL)
    planned = sum(len(spec.plan.names(role)) for role in roles)
    return spec.plan.alpha_harm / max(1, planned * len(spec.treatments))


def adjust_segments(
    estimates: Sequence[Estimate], spec: ExperimentSpec
) -> tuple[Estimate, ...]:
    """Correct the rows of single segments, one exploratory family, by BH.

    The family are all metrics, arms, declared attributes and levels, in the method that
    decides on the metric; a level that could not be tested does not count.

    Args:
        estimates: all estimates of a run, in any order.
        spec: declares the attributes.

    Returns:
        The same estimates in the same order.

    References:
        Benjamini and Hochberg (1995).
    """
    family = pick_segments(estimates, spec)
    adjusted = correct_segments(family)
    by_identity = {id(e): new for e, new in zip(family, adjusted, strict=True)}
    return tuple(by_identity.get(id(e), e) for e in estimates)


def pick_segments(
    estimates: Sequence[Estimate], spec: ExperimentSpec
) -> tuple[Estimate, ...]:
    """The rows of single levels of declared attributes, one method per metric and arm.

    The method is the deciding one; where that has no segments, the one whose row on all
    units comes first by role.

    Args:
        estimates: all estimates of a run.
        spec: declares the attributes.
    """
    levels = [e for e in estimates if _attribute_of(e) in spec.plan.segments]
    methods: dict[tuple[str, str], str] = {}
    made = {(e.metric_name, e.treatment, e.method) for e in levels}
    for e in sorted(estimates, key=lambda e: list(EstimateRole).index(e.role)):
        key = (e.metric_name, e.treatment)
        if e.segment == "all" and (*key, e.method) in made:
            methods.setdefault(key, e.method)
    return tuple(
        e for e in levels if methods.get((e.metric_name, e.treatment)) == e.method
    )


def _attribute_of(estimate: Estimate) -> str:
    attribute, is_level, _ = estimate.segment.partition("=")
    return attribute if is_level else ""


def is_deciding(estimate: Estimate, metrics: Collection[str]) -> bool:
    """Is this the row that decides on one of these metrics: primary, on all units?

    Args:
        estimate: one row.
        metrics: metric names that matter.
    """
    return (
        estimate.role is EstimateRole.PRIMARY
        and estimate.segment == "all"
        and estimate.metric_name in metrics
    )


def rests_on_trends(estimate: Estimate) -> bool:
    """Does the method assume parallel trends, so that only they can carry a SHIP?

    Args:
        estimate: one row.
    """
    return estimate.method.startswith(TREND_METHODS)
