"""The looks of a run: cumulative totals at each of them, judged by the core."""

from collections.abc import Sequence
from datetime import datetime

from exp_platform.decision.family import is_deciding
from exp_platform.decision.looks import due_looks, explain_single_look
from exp_platform.decision.sequential import Judged, judge_looks
from exp_platform.decision.series import LookSeries, collect_looks
from exp_platform.metrics.scope import microseconds
from exp_platform.metrics.spans import DAY_US
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.estimators import find_estimator
from exp_platform.pipelines.run_ingest import Ingested
from exp_platform.records import (
    Estimate,
    LookTotals,
    MetricRole,
    MetricTotals,
)

ON_ALL_DATA = ("UNDATED", "NO_WINDOW", "NO_MOMENTS")
"""Single looks that read the totals of all units, not those of a day's end."""


def follow_looks(
    ingested: Ingested, measured: Measured, estimates: Sequence[Estimate]
) -> Judged:
    """Recompute all looks so far for the primary rows of goals and guardrails.

    Args:
        ingested: experiment and definitions.
        measured: totals, and those of the units that matured day by day.
        estimates: rows on all data so far.
    """
    spec = ingested.spec
    names = (*spec.plan.names(MetricRole.GOAL), *spec.plan.names(MetricRole.GUARDRAIL))
    series = [
        LookSeries(
            definition=ingested.definitions[row.metric_name],
            treatment=row.treatment,
            looks=_collect(ingested, measured, row),
            estimator=estimator,
        )
        for row in estimates
        if is_deciding(row, names)
        and (estimator := find_estimator(row.method, measured, spec)) is not None
    ]
    return judge_looks(spec, series, latest=estimates)


def _collect(
    ingested: Ingested, measured: Measured, row: Estimate
) -> tuple[LookTotals, ...]:
    """The totals at every look whose data are in."""
    spec, definition = ingested.spec, ingested.definitions[row.metric_name]
    looks = due_looks(spec, definition)
    if not looks:
        return ()
    if explain_single_look(spec, definition) in ON_ALL_DATA:
        control, arm = measured.pair(definition.name, "all", spec, row.treatment)
        last = looks[-1]
        return (LookTotals(last.number, last.instant, last.elapsed, control, arm),)
    control, arm = (
        MetricTotals(spec.experiment_id, definition.name, name, 0, None, None)
        for name in (spec.control, row.treatment)
    )
    return collect_looks(
        looks,
        {
            name: measured.cohorts.get((definition.name, name), ())
            for name in (spec.control, row.treatment)
        },
        days=[_day_of(look.instant) for look in looks],
        arms=(control, arm),
    )


def _day_of(instant: datetime) -> int:
    """The day at whose end a look stands; a last look between midnights ends its own."""
    return -(-microseconds(instant) // DAY_US)
