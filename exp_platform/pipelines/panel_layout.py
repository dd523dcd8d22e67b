"""A delivered panel laid out: its periods, its arms, its metrics."""

from datetime import datetime, timedelta
from pathlib import Path

from exp_platform.lake import Engine
from exp_platform.pipelines.panel_cohorts import place_treatments
from exp_platform.pipelines.panel_request import PanelLayout, PanelRequest
from exp_platform.pipelines.panel_rows import build_units, number_periods
from exp_platform.records import (
    AnalysisPlan,
    Assignment,
    Direction,
    ExperimentSpec,
    MetricDefinition,
    MetricPlan,
    MetricRole,
    MetricType,
    PanelPeriods,
    Variant,
)

TREATED, UNTREATED = "treated", "not_treated"
"""Arms of a panel: units that are treated in some period, and all others."""

LEAST_UNITS = 2
"""Units per arm; in a panel the number of clusters is what limits inference."""


def lay_out_panel(
    engine: Engine, request: PanelRequest, file: Path, *, is_ordered: bool
) -> tuple[PanelLayout, list[str]]:
    """Number periods, cohorts and units of `exp_run.delivered`; what was understood.

    Args:
        engine: holds the delivered rows.
        request: the mapping of columns.
        file: for errors.
        is_ordered: rows are numbered, and units know their first one.

    Raises:
        UsageError: periods or treatment that cannot be read.
        ContractError: rows that are no panel.
    """
    periods = number_periods(engine, request, file)
    notes = place_treatments(engine, request, periods, file)
    is_cross_section = build_units(
        engine,
        request,
        file,
        n_periods=len(periods.labels),
        is_ordered=is_ordered,
    )
    layout = PanelLayout(
        periods.grain,
        periods.labels,
        tuple(start.isoformat() for start in periods.starts),
        is_cross_section,
        tuple(request.covariates),
        request.weight is not None,
    )
    return layout, notes


def describe_panel(
    engine: Engine, experiment_id: str, request: PanelRequest, layout: PanelLayout
) -> ExperimentSpec:
    """The experiment that a panel which was laid out stands for.

    Args:
        engine: after `lay_out_panel`.
        experiment_id: its name.
        request: the mapping of columns.
        layout: of the panel.
    """
    starts = [datetime.fromisoformat(start) for start in layout.starts]
    found = engine.rows(
        "select min(cohort_no) from exp_run.panel_units where cohort_no > 0"
    )
    policy_ts, end = starts[int(found[0][0])], starts[-1] + timedelta(days=1)
    first = layout.name_instant(policy_ts)
    return ExperimentSpec(
        experiment_id=experiment_id,
        start_ts=starts[0],
        end_ts=end,
        watermark_ts=end,
        variants=_find_arms(engine),
        control=UNTREATED,
        plan=AnalysisPlan(
            metrics=tuple(MetricPlan(n, MetricRole.GOAL) for n in request.outcomes),
            min_units_per_arm=LEAST_UNITS,
        ),
        unit_type="unit",
        assignment=Assignment.POLICY,
        policy_ts=policy_ts,
        cluster="cluster" if request.cluster else None,
        panel=PanelPeriods(layout.period_word, layout.labels, first),
    )


def _find_arms(engine: Engine) -> tuple[Variant, ...]:
    """Arms with the shares found: a policy plans none."""
    treated, total = engine.rows(
        "select count(cohort_no), count(*) from exp_run.panel_units"
    )[0]
    share = treated / total if 0 < treated < total else 0.5
    return Variant(UNTREATED, 1 - share), Variant(TREATED, share)


def define_metrics(request: PanelRequest) -> dict[str, MetricDefinition]:
    """A metric for every outcome column: the unit's mean of it.

    Args:
        request: the mapping of columns.
    """
    return {
        name: MetricDefinition(
            name=name,
            version=1,
            type=MetricType.MEAN,
            direction=Direction.DECREASE
            if name in request.decreases
            else Direction.INCREASE,
            numerator=name,
            description=f"Column {column} of the imported panel.",
        )
        for name, column in request.outcomes.items()
    }
