"""Totals of one comparison at all looks so far, and the rule by which they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exp_platform.decision.looks import LookTime
from exp_platform.records import (
    Estimate,
    ExperimentSpec,
    LookMethod,
    LookTotals,
    MetricDefinition,
    MetricTotals,
)
from exp_platform.stats.look_rules import GroupSequentialRule, LookRule, MixtureRule
from exp_platform.stats.looks import LEAST_UNITS, Look, SequentialPlan
from exp_platform.stats.moments import accumulate_totals
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.spending import Spending
from exp_platform.stats.welch import estimate_welch

Estimator = Callable[[MetricTotals, MetricTotals, EstimateSettings], Estimate]

TUNED_UNITS = 2_000
"""Units of both arms at which a confidence sequence is tightest when none are planned:
at a tenth and at a hundred times as many it is a quarter wider."""


@dataclass(frozen=True, slots=True)
class LookSeries:
    """One metric of one arm against control, at the looks whose data are in.

    Attributes:
        looks: cumulative totals of matured units, oldest first; empty = no look yet.
        treatment: the arm compared with control.
        estimator: of one look.
    """

    definition: MetricDefinition
    treatment: str
    looks: tuple[LookTotals, ...]
    estimator: Estimator = estimate_welch


def collect_looks(
    looks: Sequence[LookTime],
    cohorts: Mapping[str, Sequence[tuple[int, MetricTotals]]],
    *,
    days: Sequence[int],
    arms: tuple[MetricTotals, MetricTotals],
) -> tuple[LookTotals, ...]:
    """The totals at each look, from those of the units that matured day by day.

    Args:
        looks: due, oldest first.
        cohorts: arm -> (day by whose end its units' windows had closed, their totals),
            sorted by day.
        days: last such day that belongs to each look.
        arms: totals without a unit, of control and of the compared arm.
    """
    at_looks = []
    for nobody in arms:
        cohort = cohorts.get(nobody.variant, ())
        steps = (nobody, *accumulate_totals(totals for _, totals in cohort))
        ends = np.array([day for day, _ in cohort], dtype=np.int64)
        at_looks.append([steps[i] for i in np.searchsorted(ends, days, "right")])
    return tuple(
        LookTotals(look.number, look.instant, look.elapsed, control, treatment)
        for look, control, treatment in zip(looks, *at_looks, strict=True)
    )


def build_rule(
    spec: ExperimentSpec,
    series: LookSeries,
    method: LookMethod,
    estimates: Sequence[Estimate],
) -> LookRule:
    """The rule by which several looks share the error rates.

    Args:
        spec: registry row with the plan.
        series: the comparison.
        method: not FIXED.
        estimates: of each look.
    """
    design, plan = spec.plan.sequential, spec.plan
    looks = tuple(
        Look(totals.control.n, totals.treatment.n, totals.elapsed)
        for totals in series.looks
    )
    planned = plan_units(spec, series.treatment)
    if method is LookMethod.GROUP_SEQUENTIAL:
        return GroupSequentialRule(
            looks=looks,
            plan=SequentialPlan(
                spending=Spending(design.spending, design.exponent),
                planned_units=planned,
                clock=design.clock,
                min_units_per_arm=plan.min_units_per_arm,
            ),
            harm_spending=Spending(design.harm_spending, design.exponent),
        )
    is_msprt = method is LookMethod.MSPRT
    return MixtureRule(
        looks=looks,
        tuned_units=4 * Look(*planned).information if planned else TUNED_UNITS,
        errors=np.array([e.standard_error or np.nan for e in estimates], dtype=float),
        mixture_sd=plan.of(series.definition.name).mixture_sd if is_msprt else None,
        min_units=max(LEAST_UNITS, plan.min_units_per_arm),
    )


def plan_units(spec: ExperimentSpec, treatment: str) -> tuple[int, int] | None:
    """Planned matured units of control and one arm; None = not registered.

    Args:
        spec: registry row: the planned units of all arms and their shares.
        treatment: the arm.
    """
    planned = spec.plan.sequential.planned_units
    if planned is None:
        return None
    shares = {variant.name: variant.weight for variant in spec.variants}
    control, arm = (
        max(1, round(planned * shares[name])) for name in (spec.control, treatment)
    )
    return control, arm


def has_planned_units(
    spec: ExperimentSpec, treatment: str, units: tuple[int, int]
) -> bool:
    """Are there as many units, by the information in them, as were planned?

    Args:
        spec: registry row.
        treatment: the arm.
        units: of control and the arm.

    Returns:
        True also where no units were planned.
    """
    planned = plan_units(spec, treatment)
    if planned is None:
        return True
    return Look(*units).information >= Look(*planned).information
