"""Bring a ready-made panel in: one row per unit and period, and who was treated when.

In a panel an absent row is missing, not 0. Rows land as they were delivered; which
units are complete is for the analysis to count. Without a unit column, or when every
unit stands in one period only, rows are repeated cross-sections: each is a unit.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.config import Settings
from exp_platform.lake import Engine, land_raw, open_lake, validate_experiment_id
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.import_file import Imported, open_file
from exp_platform.pipelines.import_rows import ROW_NUMBER
from exp_platform.pipelines.panel_cohorts import place_treatments
from exp_platform.pipelines.panel_request import (
    PanelLayout,
    PanelRequest,
    check_panel_request,
    write_layout,
)
from exp_platform.pipelines.panel_rows import (
    build_units,
    count_changing,
    number_periods,
    unit_of,
)
from exp_platform.pipelines.registry import read_spec, write_plan, write_variants
from exp_platform.records import AnalysisPlan, MetricPlan, MetricRole, Variant

if TYPE_CHECKING:
    import pyarrow as pa

TREATED, UNTREATED = "treated", "not_treated"
"""Arms of a panel: units that are treated in some period, and all others."""

LEAST_UNITS = 2
"""Units per arm; in a panel the number of clusters is what limits inference."""


def import_panel(
    settings: Settings, file: Path, experiment_id: str, request: PanelRequest
) -> Imported:
    """Land a CSV or Parquet panel as an experiment's raw data.

    Args:
        settings: a loaded configuration.
        file: `.csv`, `.csv.gz`, `.tsv` or `.parquet`.
        experiment_id: name of the new experiment; an existing one is replaced.
        request: the mapping of columns.

    Raises:
        UsageError: a column or a period that does not exist, or a mapping that cannot
            be.
        ContractError: the file cannot be read, a unit stands twice in a period, or
            what must be constant within a unit is not.
    """
    validate_experiment_id(experiment_id)
    lake = open_lake(settings)
    with lake.engine() as engine:
        names = (request.unit, request.cluster)
        columns = open_file(engine, file, as_text=[n for n in names if n])
        check_panel_request(request, columns, file)
        layout, notes = lay_out_panel(engine, request, file, is_ordered=True)
        tables = _tables(engine, experiment_id, request, layout, file)
        notes = [*_describe(engine, request, layout), *notes]
        rows = _count(engine, "exp_run.delivered")
    with lake, lake.experiment_lock(experiment_id):
        folder = land_raw(settings.paths.raw, experiment_id, tables)
        lake.send_raw(folder)
    return Imported(folder, rows, tuple(notes))


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


def _tables(
    engine: Engine,
    experiment_id: str,
    request: PanelRequest,
    layout: PanelLayout,
    file: Path,
) -> "dict[str, pa.Table]":
    """The raw tables of a panel that was laid out, by name."""
    import pyarrow as pa

    from exp_platform.schemas import arrow_schema

    exposures = _exposures_sql(experiment_id, request, layout)
    return {
        "exposures": engine.arrow(exposures),
        "outcomes": engine.arrow(_outcomes_sql(experiment_id, request)),
        "experiment_registry": pa.Table.from_pylist(
            [registry_row(engine, experiment_id, request, layout, file)],
            schema=arrow_schema("experiment_registry"),
        ),
    }


def _exposures_sql(
    experiment_id: str, request: PanelRequest, layout: PanelLayout
) -> str:
    pairs = [
        "'cohort': coalesce(cast(p.label as varchar), 'never')",
        "'cohort_no': coalesce(cast(u.cohort_no as varchar), '')",
        "'cluster': cast(u.cluster as varchar)",
    ]
    if request.weight is not None:
        pairs.append("'weight': cast(u.weight as varchar)")
    pairs += [
        f"{text('covariate:' + name)}: cast(u.x{i} as varchar)"
        for i, name in enumerate(request.covariates)
    ]
    return (
        f"select {text(experiment_id)} as experiment_id,\n"
        "    cast(u.unit as varchar) as user_id,\n"
        f"    case when u.cohort_no is null then {text(UNTREATED)}\n"
        f"        else {text(TREATED)} end as variant,\n"
        f"    timestamptz '{layout.starts[0]}' as exposure_ts,\n"
        "    'unit' as unit,\n"
        f"    map {{{', '.join(pairs)}}} as attributes,\n"
        "    cast(null as timestamptz) as first_seen_ts\n"
        "from exp_run.panel_units as u left join exp_run.panel_periods as p\n"
        "    on u.cohort_no = p.period_no order by u.row_no"
    )


def _outcomes_sql(experiment_id: str, request: PanelRequest) -> str:
    """Values as delivered; what is no number is ingest's to reject."""
    unit = unit_of(request)
    branches = [
        f"select {text(experiment_id)} as experiment_id,\n"
        f"    cast(d.{unit} as varchar) as user_id, {text(name)} as metric_name,\n"
        f"    cast(d.{identifier(column)} as varchar) as value,\n"
        f"    t.start_ts as outcome_ts, d.{ROW_NUMBER}\n"
        "from exp_run.delivered as d left join exp_run.panel_times as t\n"
        f"    on d.{identifier(request.time)} = t.value"
        for name, column in request.outcomes.items()
    ]
    union = "\nunion all\n".join(branches)
    return (
        f"select * exclude ({ROW_NUMBER}) from ({union})\n"
        f"order by metric_name, {ROW_NUMBER}"
    )


def registry_row(
    engine: Engine,
    experiment_id: str,
    request: PanelRequest,
    layout: PanelLayout,
    file: Path,
) -> dict[str, Any]:
    """The registry's row of a panel that was laid out.

    Args:
        engine: after `lay_out_panel`.
        experiment_id: the experiment.
        request: the mapping of columns.
        layout: of the panel.
        file: where the data came from.
    """
    starts = [datetime.fromisoformat(start) for start in layout.starts]
    first = int(
        engine.rows(
            "select min(cohort_no) from exp_run.panel_units where cohort_no > 0"
        )[0][0]
    )
    end = starts[-1] + timedelta(days=1)
    plan = AnalysisPlan(
        metrics=tuple(MetricPlan(name, MetricRole.GOAL) for name in request.outcomes),
        min_units_per_arm=LEAST_UNITS,
    )
    row = {
        "experiment_id": experiment_id,
        "start_ts": starts[0],
        "end_ts": end,
        "watermark_ts": end,
        "variants": write_variants(_arms(engine)),
        "control": UNTREATED,
        "unit": "unit",
        "assignment": "policy",
        "policy_ts": starts[first],
        "cluster": "cluster" if request.cluster else None,
        "pre_period_days": 0,
        "is_dated": True,
        "plan": write_plan(plan),
        "definitions": json.dumps(_definitions(request), sort_keys=True),
        "panel": write_layout(layout),
        "source": f"file:{file.name}",
    }
    read_spec(row)
    return row


def _arms(engine: Engine) -> tuple[Variant, ...]:
    """Arms with the shares found: a policy plans none."""
    treated, total = engine.rows(
        "select count(cohort_no), count(*) from exp_run.panel_units"
    )[0]
    share = treated / total if 0 < treated < total else 0.5
    return Variant(UNTREATED, 1 - share), Variant(TREATED, share)


def _definitions(request: PanelRequest) -> dict[str, dict[str, Any]]:
    documents: dict[str, dict[str, Any]] = {
        name: {
            "name": name,
            "type": "mean",
            "source": {"outcome": name},
            "description": f"Column {column} of the imported panel.",
            "direction": "decrease" if name in request.decreases else "increase",
        }
        for name, column in request.outcomes.items()
    }
    for name, document in documents.items():
        parse_definition(document, f"import of metric {name[:60]}")
    return documents


def _describe(engine: Engine, request: PanelRequest, layout: PanelLayout) -> list[str]:
    n_units = _count(engine, "exp_run.panel_units")
    labels = layout.labels
    treated, clusters, dates = engine.rows(
        "select count(cohort_no), count(distinct cluster), count(distinct cohort_no)\n"
        "from exp_run.panel_units"
    )[0]
    kind = "rows, each a unit of its own" if layout.is_cross_section else "units"
    since = "date" if dates == 1 else "dates"
    notes = [f"{len(labels)} periods by {layout.grain}, {labels[0]} to {labels[-1]}"]
    notes.append(f"{n_units:,} {kind}; {treated:,} treated, from {dates:,} {since} on")
    notes.append(f"{clusters:,} clusters")
    lost = (
        engine.rows("select count(*) from exp_run.delivered")[0][0]
        - engine.rows("select sum(n_rows) from exp_run.panel_units")[0][0]
    )
    if lost:
        notes.append(f"{lost:,} rows lack a unit or a period: they go to quarantine")
    if not layout.is_cross_section:
        short = engine.rows(
            f"select count(*) from exp_run.panel_units\nwhere n_periods < {len(labels)}"
        )[0][0]
        if short:
            notes.append(f"{short:,} units miss a period: the analysis leaves them out")
        notes += [
            f"{name} changes over time in {count:,} units: the first period's value counts"
            for name, count in count_changing(engine, request).items()
        ]
    return notes


def _count(engine: Engine, relation: str) -> int:
    return int(engine.rows(f"select count(*) from {relation}")[0][0])
