"""Bring a ready-made file in: map its columns, infer what is not said, land it raw.

The file has one row per unit, or one row per outcome (`LongColumns`). Everything that
was inferred is handed back in words; nothing else is assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.config import Settings
from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.lake import Engine, land_raw, validate_experiment_id
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.registry import write_plan, write_variants
from exp_platform.pipelines.run import open_lake
from exp_platform.records import (
    AnalysisPlan,
    MarginScale,
    MetricPlan,
    MetricRole,
    Variant,
)

if TYPE_CHECKING:
    import pyarrow as pa

UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_ARMS = 50
_TYPES = ("mean", "count", "proportion")


@dataclass(frozen=True, slots=True)
class LongColumns:
    """Columns of a file with one row per outcome."""

    metric_name: str
    value: str
    outcome_ts: str


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """How a file's columns are to be read.

    Attributes:
        variant: column with the arm. control: the baseline arm's value in it.
        metrics: metric -> type, "" = infer; a column each, or a value of
            `long.metric_name`.
        unit: column with the unit's identifier; None = the row number is the unit.
        covariates: metric -> column with a value from before exposure.
        segments: columns with facts from before exposure.
        ratios: ratio's name -> (numerator metric, denominator metric).
        guardrails: metric -> largest acceptable harm, relative to control.
        monitors: metrics that decide nothing.
        caps: metric -> largest value of a unit that counts.
        decreases: metrics for which less is better.
        weights: arm -> planned share; empty = equal shares.
        exposure_ts: column with the instant of exposure; None = undated.
        start, end: window of a dated experiment; None = that of the exposures.
    """

    variant: str
    control: str
    metrics: Mapping[str, str]
    unit: str | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)
    segments: Sequence[str] = ()
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    guardrails: Mapping[str, float] = field(default_factory=dict)
    monitors: Sequence[str] = ()
    caps: Mapping[str, float] = field(default_factory=dict)
    decreases: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    exposure_ts: str | None = None
    long: LongColumns | None = None
    start: datetime | None = None
    end: datetime | None = None
    tie_break: str | None = None
    keep_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """Where the raw files are and what was inferred, a sentence each."""

    folder: Path
    rows: int
    notes: tuple[str, ...]


def import_file(
    settings: Settings, file: Path, experiment_id: str, request: ImportRequest
) -> Imported:
    """Land a CSV or Parquet file as an experiment's raw data.

    Args:
        settings: a loaded configuration.
        file: `.csv`, `.csv.gz`, `.tsv` or `.parquet`.
        experiment_id: name of the new experiment; an existing one is replaced.
        request: the mapping of columns.

    Raises:
        UsageError: a column, arm or metric that does not exist, or a mapping that
            cannot be.
        ContractError: the file cannot be read, or has no rows.
    """
    validate_experiment_id(experiment_id)
    with open_lake(settings).engine() as engine:
        columns = _open_file(engine, file)
        _check_columns(request, columns, file)
        arms = _read_arms(engine, request, file)
        types, notes = _infer_types(engine, request, columns)
        window = _read_window(engine, request)
        rows = int(engine.rows("select count(*) from exp_run.delivered")[0][0])
        tables = {
            "exposures": engine.arrow(_exposures_sql(experiment_id, request, window)),
            "outcomes": engine.arrow(_outcomes_sql(experiment_id, request, window)),
            "experiment_registry": _registry(
                experiment_id, request, arms=arms, types=types, window=window, file=file
            ),
        }
    folder = land_raw(settings.paths.raw, experiment_id, tables)
    if request.unit is None:
        notes.insert(0, "no unit column was named: each row is one unit")
    if request.exposure_ts is None:
        notes.append("no exposure time was named: nothing by day is computed")
    shares = ", ".join(f"{arm.name} {arm.weight:.4g}" for arm in arms)
    notes.append(f"arms and planned shares: {shares}")
    return Imported(folder, rows, tuple(notes))


def _open_file(engine: Engine, file: Path) -> dict[str, str]:
    """Make the file readable as `exp_run.delivered`; its columns with their types."""
    if not file.is_file():
        raise UsageError(
            "no such file", where=str(file), next_step="check the path and run again"
        )
    if file.stat().st_size == 0:
        raise ContractError("the file is empty", where=str(file))
    name = text(str(file))
    reader = f"read_parquet({name}, file_row_number = true)"
    if not file.name.endswith((".parquet", ".pq")):
        reader = f"read_csv({name}, sample_size = -1, strict_mode = true)"
    try:
        engine.execute(
            "create or replace table exp_run.delivered as\n"
            "select *, row_number() over () as __row_number from " + reader
        )
    except ContractError as error:
        raise ContractError(
            "the file cannot be read",
            where=str(file),
            found=error.parts.get("found", str(error)),
            next_step="save it as UTF-8 CSV with a header line, or as Parquet",
        ) from error
    if not engine.rows("select count(*) from exp_run.delivered")[0][0]:
        raise ContractError("the file has no rows", where=str(file))
    rows = engine.rows("describe exp_run.delivered")
    hidden = {"__row_number", "file_row_number"}
    return {str(row[0]): str(row[1]) for row in rows if row[0] not in hidden}


def _check_columns(
    request: ImportRequest, columns: Mapping[str, str], file: Path
) -> None:
    named = [request.variant, *request.segments, *request.covariates.values()]
    named += [name for name in (request.unit, request.exposure_ts) if name]
    if request.long is None:
        named += list(request.metrics)
    else:
        long = request.long
        named += [long.metric_name, long.value, long.outcome_ts]
        if request.unit is None or request.exposure_ts is None:
            raise UsageError(
                "a file with one row per outcome needs --unit and --exposure-ts",
                where=str(file),
            )
    for name in named:
        if name not in columns:
            raise UsageError(
                f"the file has no column {name!r}",
                where=str(file),
                allowed=did_you_mean(name, columns),
                next_step="correct the flag; nothing was written",
            )
    if not request.metrics:
        raise UsageError("name at least one metric with --metric", where=str(file))
    _check_metrics(request)


def _check_metrics(request: ImportRequest) -> None:
    known = {*request.metrics, *request.ratios}
    for ratio, parts in request.ratios.items():
        for part in parts:
            _check_known(part, request.metrics, f"--ratio {ratio}")
    for flag, names in (
        ("--covariate", request.covariates),
        ("--guardrail", request.guardrails),
        ("--monitor", request.monitors),
        ("--cap", request.caps),
        ("--decrease", request.decreases),
    ):
        for name in names:
            _check_known(name, known, flag)
    for name, kind in request.metrics.items():
        if kind and kind not in _TYPES:
            raise UsageError(
                f"metric {name!r} has a type that does not exist",
                found=kind,
                allowed=", ".join(_TYPES),
            )


def _check_known(name: str, known: Any, flag: str) -> None:
    if name not in known:
        raise UsageError(
            f"{name!r} is not a metric of this import",
            where=flag,
            allowed=did_you_mean(name, known),
            next_step="name it with --metric first",
        )


def _read_arms(
    engine: Engine, request: ImportRequest, file: Path
) -> tuple[Variant, ...]:
    column = identifier(request.variant)
    rows = engine.rows(
        f"select cast({column} as varchar), count(*) from exp_run.delivered\n"
        f"where {column} is not null group by all order by 1 limit {_MOST_ARMS + 1}"
    )
    found = [str(row[0]) for row in rows if str(row[0]).strip()]
    where = f"column {request.variant!r} of {file}"
    if request.control not in found:
        raise UsageError(
            f"no row belongs to the control {request.control!r}",
            where=where,
            allowed=did_you_mean(request.control, found),
        )
    if len(found) < 2 or len(found) > _MOST_ARMS:
        raise UsageError(
            "an experiment needs two or more arms, and not a different one in each row",
            where=where,
            found=f"{len(found)} arms: {', '.join(found[:5])}",
            next_step="check --variant",
        )
    names = [request.control, *(name for name in found if name != request.control)]
    weights = request.weights or dict.fromkeys(names, 1 / len(names))
    if set(weights) != set(names) or abs(sum(weights.values()) - 1) > 1e-6:
        raise UsageError(
            "--weight must name every arm once, with shares that add to 1",
            found=", ".join(f"{k}={v}" for k, v in weights.items()),
            allowed=", ".join(names),
        )
    return tuple(Variant(name, weights[name]) for name in names)


def _infer_types(
    engine: Engine, request: ImportRequest, columns: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    types, notes = {}, []
    for name, declared in request.metrics.items():
        if declared:
            types[name] = declared
            continue
        types[name], why = _infer_type(engine, request, name, columns)
        notes.append(f"{name}: {types[name]}, because {why}")
    return types, notes


def _infer_type(
    engine: Engine, request: ImportRequest, name: str, columns: Mapping[str, str]
) -> tuple[str, str]:
    column, where, kind = identifier(name), "true", columns.get(name, "")
    if request.long is not None:
        column, kind = identifier(request.long.value), columns[request.long.value]
        where = f"{identifier(request.long.metric_name)} = {text(name)}"
    if kind == "BOOLEAN":
        return "proportion", "its values are true or false"
    number = f"try_cast({column} as double)"
    row = engine.records(
        f"select count({number}) as n_numbers, bool_and({number} in (0, 1)) as is_flag,"
        f" bool_and({number} = floor({number}) and {number} >= 0) as is_count\n"
        f"from exp_run.delivered where {where} and isfinite(coalesce({number}, 0))"
    )[0]
    if not row["n_numbers"]:
        return "mean", "it has no number at all"
    if row["is_flag"]:
        return "proportion", "its values are 0 or 1"
    if row["is_count"]:
        return "count", "its values are whole numbers from 0"
    return "mean", "its values are numbers with fractions or below 0"


def _read_window(
    engine: Engine, request: ImportRequest
) -> tuple[datetime, datetime, datetime]:
    """Start and end of the exposures, and the watermark of the data."""
    if request.exposure_ts is None:
        end = UNDATED + timedelta(days=1)
        return UNDATED, end, end
    column = identifier(request.exposure_ts)
    row = engine.records(
        f"select min(try_cast({column} as timestamptz)) as first_ts,\n"
        f"    max(try_cast({column} as timestamptz)) as last_ts from exp_run.delivered"
    )[0]
    if row["first_ts"] is None:
        raise UsageError(
            f"column {request.exposure_ts!r} holds no instant that can be read",
            allowed="ISO 8601, e.g. 2026-01-05 or 2026-01-05T10:00:00Z",
        )
    midnight = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    start = request.start or row["first_ts"].replace(**midnight)
    end = request.end or row["last_ts"].replace(**midnight) + timedelta(days=1)
    return start, end, max(end, _last_outcome(engine, request) or end)


def _last_outcome(engine: Engine, request: ImportRequest) -> datetime | None:
    if request.long is None:
        return None
    column = identifier(request.long.outcome_ts)
    last = engine.rows(
        f"select max(try_cast({column} as timestamptz)) + interval 1 microsecond\n"
        "from exp_run.delivered"
    )[0][0]
    return last if isinstance(last, datetime) else None


def _exposures_sql(
    experiment_id: str,
    request: ImportRequest,
    window: tuple[datetime, datetime, datetime],
) -> str:
    pairs = ", ".join(
        f"{text(name)}: cast({identifier(name)} as varchar)"
        for name in request.segments
    )
    attributes = f"map {{{pairs}}}" if pairs else "cast(null as map(varchar, varchar))"
    unknown = " or ".join(
        f"{identifier(column)} is null" for column in request.covariates.values()
    )
    exposure = _exposure_ts(request, window)
    distinct = "distinct " if request.long is not None else ""
    return (
        f"select {distinct}{text(experiment_id)} as experiment_id,\n"
        f"    {_unit(request)} as user_id,\n"
        f"    cast({identifier(request.variant)} as varchar) as variant,\n"
        f"    {exposure} as exposure_ts, 'user' as unit,\n"
        f"    {attributes} as attributes,\n"
        f"    case when {unknown or 'false'} then {exposure} end as first_seen_ts\n"
        "from exp_run.delivered" + ("" if distinct else " order by __row_number")
    )


def _outcomes_sql(
    experiment_id: str,
    request: ImportRequest,
    window: tuple[datetime, datetime, datetime],
) -> str:
    head = f"select {text(experiment_id)} as experiment_id, {_unit(request)} as user_id"
    exposure = _exposure_ts(request, window)
    if request.long is not None:
        long = request.long
        names = ", ".join(text(name) for name in request.metrics)
        return (
            f"{head}, cast({identifier(long.metric_name)} as varchar) as metric_name,\n"
            f"    {_value(long.value)} as value,\n"
            f"    try_cast({identifier(long.outcome_ts)} as timestamptz) as outcome_ts\n"
            f"from exp_run.delivered where {identifier(long.metric_name)} in ({names})\n"
            "order by __row_number"
        )
    branches = [
        f"{head}, {text(name)} as metric_name, {_value(name)} as value,\n"
        f"    {exposure} as outcome_ts, __row_number from exp_run.delivered"
        for name in request.metrics
    ]
    branches += [
        f"{head}, {text(column)} as metric_name, {_value(column)} as value,\n"
        f"    {exposure} - interval 1 day as outcome_ts, __row_number\n"
        f"from exp_run.delivered where {identifier(column)} is not null"
        for column in dict.fromkeys(request.covariates.values())
    ]
    union = "\nunion all\n".join(branches)
    return (
        f"select * exclude (__row_number) from ({union})\n"
        "order by metric_name, outcome_ts, __row_number"
    )


def _value(column: str) -> str:
    """The column as it is; flags as 0 and 1. What is no number is ingest's to reject."""
    name = identifier(column)
    as_text = f"cast({name} as varchar)"
    number = f"cast(try_cast({name} as double) as varchar)"
    flag = f"cast(cast(try_cast({as_text} as boolean) as integer) as varchar)"
    return f"coalesce({number}, {flag}, {as_text})"


def _unit(request: ImportRequest) -> str:
    column = identifier(request.unit) if request.unit else "__row_number"
    return f"cast({column} as varchar)"


def _exposure_ts(
    request: ImportRequest, window: tuple[datetime, datetime, datetime]
) -> str:
    if request.exposure_ts is not None:
        return f"try_cast({identifier(request.exposure_ts)} as timestamptz)"
    return f"timestamptz '{window[0].isoformat()}'"


def _registry(
    experiment_id: str,
    request: ImportRequest,
    *,
    arms: tuple[Variant, ...],
    types: Mapping[str, str],
    window: tuple[datetime, datetime, datetime],
    file: Path,
) -> "pa.Table":
    import json

    import pyarrow as pa

    from exp_platform.schemas import arrow_schema

    start, end, watermark = window
    plan = AnalysisPlan(
        metrics=_plan_metrics(request),
        segments=tuple(request.segments),
        tie_break=request.tie_break,
        keep_duplicates=request.keep_duplicates,
    )
    row = {
        "experiment_id": experiment_id,
        "start_ts": start,
        "end_ts": end,
        "watermark_ts": watermark,
        "variants": write_variants(arms),
        "control": request.control,
        "unit": "user",
        "assignment": "randomised",
        "pre_period_days": 0,
        "is_dated": request.exposure_ts is not None,
        "plan": write_plan(plan),
        "definitions": json.dumps(_definitions(request, types), sort_keys=True),
        "source": f"file:{file.name}",
    }
    return pa.Table.from_pylist([row], schema=arrow_schema("experiment_registry"))


def _definitions(
    request: ImportRequest, types: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Definitions that belong to this experiment alone, as they would stand in YAML."""
    documents: dict[str, dict[str, Any]] = {}
    for name, kind in types.items():
        documents[name] = {
            "name": name,
            "type": kind,
            "source": {"outcome": name},
            "description": f"Column {name} of the imported file.",
        }
        if name in request.covariates:
            documents[name]["covariate"] = {"outcome": request.covariates[name]}
        if name in request.caps:
            documents[name]["cap"] = request.caps[name]
    for name, (numerator, denominator) in request.ratios.items():
        documents[name] = {
            "name": name,
            "type": "ratio",
            "numerator": {"outcome": numerator},
            "denominator": {"outcome": denominator},
            "description": f"{numerator} / {denominator}.",
        }
    for name in request.decreases:
        documents[name]["direction"] = "decrease"
    for name, document in documents.items():
        parse_definition(document, f"import of metric {name}")
    return documents


def _plan_metrics(request: ImportRequest) -> tuple[MetricPlan, ...]:
    plans = []
    for name in (*request.metrics, *request.ratios):
        role = MetricRole.GOAL
        if name in request.monitors or name in request.ratios:
            role = MetricRole.MONITOR
        if name in request.guardrails:
            role = MetricRole.GUARDRAIL
        plans.append(
            MetricPlan(
                name,
                role,
                margin=request.guardrails.get(name),
                margin_scale=MarginScale.RELATIVE,
                covariate=name in request.covariates,
            )
        )
    return tuple(plans)
