"""Bring a ready-made panel in: one row per unit and period, and who was treated when.

In a panel an absent row is missing, not 0. Rows land as they were delivered; which
units are complete is for the analysis to count. Without a unit column, or when every
unit stands in one period only, rows are repeated cross-sections: each is a unit.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.checks.wording import format_count
from exp_platform.config import Settings
from exp_platform.lake import Engine, land_raw, open_lake, validate_experiment_id
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.delivered_file import (
    ROW_NUMBER,
    check_identifier,
    open_file,
)
from exp_platform.pipelines.import_csv import refuse_repeated
from exp_platform.pipelines.import_file import Imported
from exp_platform.pipelines.import_numbers import check_panel_values
from exp_platform.pipelines.panel_layout import (
    TREATED,
    UNTREATED,
    define_metrics,
    describe_panel,
    lay_out_panel,
)
from exp_platform.pipelines.panel_request import (
    PanelLayout,
    PanelRequest,
    check_panel_request,
    write_layout,
)
from exp_platform.pipelines.panel_rows import (
    count_changing,
    count_unknown,
    unit_of,
)
from exp_platform.pipelines.registry import read_spec, write_plan, write_variants

if TYPE_CHECKING:
    import pyarrow as pa


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
        ContractError: the file cannot be read, has numbers in another notation, a unit
            stands twice in a period, or what must be constant within a unit is not.
    """
    validate_experiment_id(experiment_id)
    lake = open_lake(settings)
    with lake.engine() as engine:
        names = (request.unit, request.cluster)
        columns = open_file(engine, file, as_text=[n for n in names if n])
        check_panel_request(request, columns, file)
        refuse_repeated(file, request.columns.values(), columns)
        for name in filter(None, names):
            check_identifier(engine, name, columns[name], file)
        missing = check_panel_values(engine, request, columns, file)
        layout, notes = lay_out_panel(engine, request, file, is_ordered=True)
        tables = _tables(engine, experiment_id, request, layout, file)
        notes = [*_describe(engine, request, layout), *notes, *missing]
        rows = _count(engine, "exp_run.delivered")
    with lake, lake.experiment_lock(experiment_id):
        folder = land_raw(settings.paths.raw, experiment_id, tables)
        lake.send_raw(folder)
    return Imported(folder, rows, tuple(notes))


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
    """Values as delivered, flags as 0 and 1; what is no number is ingest's to reject."""
    unit = unit_of(request)
    branches = [
        f"select {text(experiment_id)} as experiment_id,\n"
        f"    cast(d.{unit} as varchar) as user_id, {text(name)} as metric_name,\n"
        f"    {_as_number('d.' + identifier(column))} as value,\n"
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


def _as_number(column: str) -> str:
    """SQL of a value's text; that of a flag is 0 or 1."""
    flag = f"cast(try_cast({column} as integer) as varchar)"
    return f"if(typeof({column}) = 'BOOLEAN', {flag}, cast({column} as varchar))"


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
    spec = describe_panel(engine, experiment_id, request, layout)
    row = {
        "experiment_id": spec.experiment_id,
        "start_ts": spec.start_ts,
        "end_ts": spec.end_ts,
        "watermark_ts": spec.watermark_ts,
        "variants": write_variants(spec.variants),
        "control": spec.control,
        "unit": spec.unit_type,
        "assignment": spec.assignment.value,
        "policy_ts": spec.policy_ts,
        "cluster": spec.cluster,
        "pre_period_days": spec.pre_period_days,
        "is_dated": spec.is_dated,
        "plan": write_plan(spec.plan),
        "definitions": json.dumps(_definitions(request), sort_keys=True),
        "panel": write_layout(layout),
        "source": f"file:{file.name}",
    }
    read_spec(row)
    return row


def _definitions(request: PanelRequest) -> dict[str, dict[str, Any]]:
    documents: dict[str, dict[str, Any]] = {
        name: {
            "name": name,
            "type": metric.type.value,
            "source": {"outcome": metric.numerator},
            "description": metric.description,
            "direction": metric.direction.value,
        }
        for name, metric in define_metrics(request).items()
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
    notes += _tell_covariates(request, layout, has_one_date=dates == 1)
    notes += [
        f"{name} is missing or infinite in {format_count(count, 'unit')}: "
        "the analysis leaves them out"
        for name, count in count_unknown(engine, request).items()
    ]
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


def _tell_covariates(
    request: PanelRequest, layout: PanelLayout, *, has_one_date: bool
) -> list[str]:
    """Which methods adjust for the covariates: the deciding one may not."""
    if not request.covariates:
        return []
    named = f"covariates {', '.join(request.covariates)}: "
    if layout.is_cross_section:
        return [f"{named}no method of repeated cross-sections adjusts for them"]
    beside = ", which stand beside did_2x2, unadjusted, on one date"
    return [
        f"{named}callaway_santanna_* adjust for them{beside if has_one_date else ''}"
    ]


def _count(engine: Engine, relation: str) -> int:
    return int(engine.rows(f"select count(*) from {relation}")[0][0])
