"""Lines of the answer of `exp power`: a size, and what given units find."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from exp_platform.pipelines.plan_clusters import Clusters
from exp_platform.pipelines.plan_looks import settle_looks
from exp_platform.pipelines.plan_request import PowerAnswer, PowerRequest
from exp_platform.records import MarginScale
from exp_platform.stats.design import Design
from exp_platform.stats.power import (
    MetricDesign,
    SampleSize,
    find_days,
    find_margin,
    find_mde,
    find_power,
    find_ship_power,
    find_units,
    size_experiment,
)
from exp_platform.stats.sequential_cost import SequentialCost

_COLUMNS = (
    "metric",
    "role",
    "question",
    "baseline",
    "target",
    "difference",
    "margin",
    "variance_ratio",
    "alpha",
    "power",
    "n_control",
    "n_treatment",
    "n_total",
    "n_clusters",
    "n_expected",
    "n_expected_null",
    "inflation",
    "days",
    "reason",
)


_ROUNDING = 1e-6
"""A share of the units that is short of a whole number by less is that number."""


def answer_one(
    metric: MetricDesign,
    request: PowerRequest,
    design: Design,
    *,
    clusters: Clusters,
) -> PowerAnswer:
    """One metric: its size, and what the given units find."""
    units = clusters.units_of(request.units)
    design = clusters.design_of(design)
    notes: tuple[str, ...] = ()
    if has_target(metric) or units is not None:

        def days_of(plan: Design) -> int | None:
            """Days that the metric's units take under a design."""
            if has_target(metric) or units is None:
                return find_units(metric, plan).days
            return find_days(plan, units)

        design, notes = settle_looks(design, request.looks, days_of)
    rows = answer_metric(metric, request, design, units)
    notes = (*notes, *_note_guardrails(metric, design))
    rows = [clusters.count(row) for row in rows]
    return PowerAnswer(tuple(rows), (*notes, *clusters.describe(rows)))


def has_target(metric: MetricDesign) -> bool:
    """Is there an effect to find, or a margin to hold?"""
    return metric.is_guardrail or metric.target.difference != 0


def answer_metric(
    metric: MetricDesign, request: PowerRequest, design: Design, units: int | None
) -> list[dict[str, Any]]:
    """The lines of one metric.

    Args:
        metric: with its target, if it has one.
        request: what was asked; a target of 0 has a line that says what is wrong.
        design: with the cost of its looks.
        units: of all arms, or clusters; None = only the size is wanted.
    """
    is_sized = has_target(metric) or units is None
    rows = []
    is_asked = request.mde is not None or request.difference is not None
    if is_sized or is_asked:
        rows.append(write_row(metric, find_units(metric, design), "size", design))
    if units is not None:
        if has_target(metric):
            rows.append(_row_power(metric, design, units))
        rows.append(_row_smallest(metric, design, units))
    return rows


def answer_whole(
    metrics: Sequence[MetricDesign], design: Design, units: int | None
) -> list[dict[str, Any]]:
    """How many units ship an arm that deserves it, and how likely the given ones do.

    Args:
        metrics: goals, at least one, and guardrails.
        design: with the cost of its looks.
        units: of all arms, or clusters; None = only the size is wanted.
    """
    found = size_experiment(metrics, design)
    sizes = [] if found is None else [("P(SHIP)", found.total)]
    if units is not None:
        power = find_ship_power(metrics, design, units)
        given = _given(metrics[0], design, units, power=power)
        sizes.append(("P(SHIP), these units", replace(given, alpha=design.goal_alpha)))
    return [_row_whole(question, size) for question, size in sizes]


def _row_whole(question: str, size: SampleSize) -> dict[str, Any]:
    """A line about all metrics at once."""
    return {
        **dict.fromkeys(_COLUMNS),
        "metric": "experiment",
        "role": "all",
        "question": question,
        "target": "a goal found, every guardrail held",
        "alpha": size.alpha,
        "power": size.power,
        "n_control": size.n_control,
        "n_treatment": size.n_treatment,
        "n_total": size.n_total,
        "days": size.days,
        "reason": size.reason,
    }


def _note_guardrails(metric: MetricDesign, design: Design) -> tuple[str, ...]:
    if design.n_guardrails == 0 or metric.is_guardrail:
        return ()
    note = (
        f"size each of the {design.n_guardrails} guardrails with --margin (power "
        f"{design.guardrail_power:.3g} each); the experiment needs the largest size"
    )
    return (note,)


def write_row(
    metric: MetricDesign, size: SampleSize, question: str, design: Design | None = None
) -> dict[str, Any]:
    """A line of the table; a design says what looking costs at its wanted power."""
    noise, target = metric.noise, metric.target
    cost = SequentialCost()
    if design is not None:
        cost = design.cost_of(is_guardrail=metric.is_guardrail)
    units = None if design is None else size.n_total
    return {
        **dict.fromkeys(_COLUMNS),
        "metric": metric.metric_name,
        "role": "guardrail" if metric.is_guardrail else "goal",
        "question": question,
        "baseline": noise.mean,
        "target": _target_text(metric),
        "difference": target.difference,
        "margin": target.margin,
        "variance_ratio": noise.variance_ratio,
        "alpha": size.alpha,
        "power": size.power,
        "n_control": size.n_control,
        "n_treatment": size.n_treatment,
        "n_total": size.n_total,
        "n_expected": None if units is None else math.ceil(units * cost.expected),
        "n_expected_null": None
        if units is None
        else math.ceil(units * cost.expected_null),
        "inflation": cost.inflation,
        "days": size.days,
        "reason": size.reason,
    }


def _row_power(metric: MetricDesign, design: Design, units: int) -> dict[str, Any]:
    """How likely do so many units find the target?"""
    power = find_power(metric.noise, metric.target, design, units)
    return write_row(metric, _given(metric, design, units, power=power), "power")


def _row_smallest(metric: MetricDesign, design: Design, units: int) -> dict[str, Any]:
    """What is the smallest target that so many units find with the wanted power?"""
    noise, target = metric.noise, metric.target
    if metric.is_guardrail:
        found = find_margin(noise, target, design, units)
        smallest = replace(target, margin=found) if found else target
        wanted = design.guardrail_power
    else:
        found = find_mde(noise, design, units, direction=target.direction)
        smallest = replace(target, difference=found) if found else target
        wanted = design.power
    size = _given(metric, design, units, power=wanted if found else None)
    row = write_row(replace(metric, target=smallest), size, "smallest")
    if found:
        return row
    return {**row, "target": "", "difference": None, "margin": None}


def _given(
    metric: MetricDesign, design: Design, units: int, *, power: float | None
) -> SampleSize:
    """Units as asked, divided among the arms."""
    treatment = math.floor(design.shares[1] * units + _ROUNDING)
    control = units - design.n_treatments * treatment
    return SampleSize(
        metric_name=metric.metric_name,
        alpha=design.guardrail_alpha if metric.is_guardrail else design.goal_alpha,
        power=power,
        n_exact=units,
        n_control=control,
        n_treatment=treatment,
        n_total=units,
        days=find_days(design, units),
        reason="" if power is not None else "OUT_OF_REACH",
    )


def _target_text(metric: MetricDesign) -> str:
    noise, target = metric.noise, metric.target
    if target.margin is not None:
        is_relative = target.margin_scale is MarginScale.RELATIVE
        size = f"{target.margin:.3g}"
        return f"margin {target.margin:.2%}" if is_relative else f"margin {size}"
    share = f" ({target.difference / abs(noise.mean):+.2%})" if noise.mean else ""
    return f"{target.difference:+.4g}{share}"
