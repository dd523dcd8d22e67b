"""Bring a ready-made file in: map its columns, infer what is not said, land it raw.

The file has one row per unit, or one row per outcome (`LongColumns`). Everything that
was inferred is handed back in words; nothing else is assumed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exp_platform.config import Settings
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake import (
    Engine,
    land_raw,
    open_lake,
    validate_experiment_id,
)
from exp_platform.lake.raw import has_raw
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.delivered_file import (
    ROW_NUMBER,
    check_identifier,
    open_file,
)
from exp_platform.pipelines.import_crossed import choose_rows
from exp_platform.pipelines.import_looks import describe_design
from exp_platform.pipelines.import_lost import tell_lost
from exp_platform.pipelines.import_numbers import check_values
from exp_platform.pipelines.import_plan import registry_row
from exp_platform.pipelines.import_request import ImportRequest, check_request
from exp_platform.pipelines.import_rows import exposures_sql, outcomes_sql
from exp_platform.pipelines.import_types import infer_types
from exp_platform.records import Assignment, Variant

UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_ARMS = 50
_MOST_LEVELS = 100


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
        ContractError: the file cannot be read, has no rows, or has numbers in another
            notation.
    """
    validate_experiment_id(experiment_id)
    lake = open_lake(settings)
    with lake.engine() as engine:
        named = [request.unit, request.variant, *request.facts]
        named += [request.long.metric_name] if request.long is not None else []
        columns = open_file(engine, file, as_text=[name for name in named if name])
        check_request(request, columns, file)
        for name in filter(None, (request.unit, request.cluster)):
            check_identifier(engine, name, columns[name], file)
        _check_rows(engine, request, file)
        arms = _read_arms(engine, request, file)
        texts, missing = check_values(engine, request, columns, file)
        types, notes = infer_types(engine, request, columns, texts)
        notes += [*missing, *tell_lost(engine, request)]
        window = _read_window(engine, request)
        counted, crossed = choose_rows(engine, request, window)
        notes += crossed
        rows = int(engine.rows("select count(*) from exp_run.delivered")[0][0])
        tables = {
            "exposures": engine.arrow(exposures_sql(experiment_id, request, window[0])),
            "outcomes": engine.arrow(
                outcomes_sql(experiment_id, request, window[0], counted)
            ),
            "experiment_registry": registry_row(
                experiment_id, request, arms=arms, types=types, window=window, file=file
            ),
        }
    with lake, lake.experiment_lock(experiment_id):
        if has_raw(settings.paths.raw, experiment_id):
            notes.insert(0, "the raw data landed before under this id is replaced")
        folder = land_raw(settings.paths.raw, experiment_id, tables)
        lake.send_raw(folder)
    if request.unit is None:
        notes.insert(0, "no unit column was named: each row is one unit")
    notes += _describe_window(request, window)
    if request.assignment != Assignment.SELF_SELECTED:
        notes += describe_design(request, window[0])
        shares = ", ".join(f"{arm.name!r} {arm.weight:.4g}" for arm in arms)
        notes.append(f"arms and planned shares: {shares}")
    notes += _describe_roles(request)
    return Imported(folder, rows, tuple(notes))


def _describe_window(
    request: ImportRequest, window: tuple[datetime, datetime, datetime]
) -> list[str]:
    if request.assignment == Assignment.SELF_SELECTED:
        named = ", ".join(request.adjust_by) or "nothing; name facts with --covariate"
        return [f"units chose their arm: no experiment; adjusted for {named}"]
    assigned = f"assignment: {request.assignment}"
    if request.assignment == "randomised":
        assigned += " (assumed, --assignment says otherwise)"
    if request.cluster is not None:
        assigned += f", by cluster: {request.cluster}"
    if request.exposure_ts is None:
        return [assigned, "no exposure time was named: nothing by day is computed"]
    start, end, watermark = (f"{instant:%Y-%m-%d %H:%M}" for instant in window)
    exposures = f"exposures count from {start} to {end} UTC"
    return [assigned, f"{exposures}, outcomes until {watermark} UTC"]


def _describe_roles(request: ImportRequest) -> list[str]:
    names = (*request.metrics, *request.ratios)
    undecided = {*request.monitors, *request.ratios}
    guarded = {*request.guardrails, *request.guardrails_absolute}
    goals = [n for n in names if n not in guarded and n not in undecided]
    notes = [f"goals: {', '.join(goals) or 'none, so nothing can ship'}"]
    notes += [
        f"guardrail: {name}, may get worse by up to {margin:.3g} of control's value"
        for name, margin in request.guardrails.items()
    ]
    notes += [
        f"guardrail: {name}, may get worse by up to {margin:.3g}"
        for name, margin in request.guardrails_absolute.items()
    ]
    if request.received is not None:
        notes.append(
            f"received: {request.received} says who took the treatment; the effect of "
            "assignment decides, the effect on compliers stands beside it"
        )
    notes += [
        f"covariates of {name}: {', '.join(columns)}, as they are, from before exposure"
        for name, columns in request.covariates.items()
    ]
    watched = [n for n in names if n in undecided and n not in guarded]
    if watched:
        notes.append(f"monitored only: {', '.join(watched)}")
    return notes


def _check_rows(engine: Engine, request: ImportRequest, file: Path) -> None:
    for name in request.segments:
        levels = f"select count(distinct {identifier(name)}) from exp_run.delivered"
        found = int(engine.rows(levels)[0][0])
        if found > _MOST_LEVELS:
            raise UsageError(
                f"segment {name!r} has too many values",
                where=str(file),
                found=f"{found:,}",
                allowed=f"up to {_MOST_LEVELS}",
            )
    for name in request.adjust_by:
        _check_covariate(engine, name, file)
    if request.received is not None:
        _check_received(engine, request, request.received, file)
    if request.long is None:
        for name in request.past:
            _check_numbers(engine, name, file)
    if request.long is not None:
        _check_outcome_names(engine, request, request.long.metric_name, file)
    elif request.unit is not None and not request.keep_duplicates:
        _check_units(engine, request, request.unit, file)


def _check_covariate(engine: Engine, name: str, file: Path) -> None:
    """Numbers, or few enough values that each can have a column of its own."""
    column = identifier(name)
    n_texts, n_levels = engine.rows(
        f"select count(*) filter (where try_cast({column} as double) is null),\n"
        f"    count(distinct {column})\n"
        f"from exp_run.delivered where {column} is not null"
    )[0]
    if n_texts and n_levels > _MOST_LEVELS:
        raise UsageError(
            f"covariate {name!r} has too many values that are no numbers",
            where=str(file),
            found=f"{n_levels:,}",
            allowed=f"numbers, or up to {_MOST_LEVELS} different values",
        )


def _check_numbers(engine: Engine, name: str, file: Path) -> None:
    """Of texts alone, nothing would be left to adjust with."""
    column = identifier(name)
    n_values, n_readable, example = engine.rows(
        f"select count({column}), count(coalesce(try_cast({column} as double),\n"
        f"    cast(try_cast({column} as boolean) as integer))),\n"
        f"    min(cast({column} as varchar)) from exp_run.delivered"
    )[0]
    if n_values and not n_readable:
        raise UsageError(
            f"covariate {name!r} has no number at all",
            where=str(file),
            found=repr(example),
            allowed="a column of numbers, or of true and false",
            next_step="name another column, or write texts as numbers first",
        )


def _check_received(
    engine: Engine, request: ImportRequest, name: str, file: Path
) -> None:
    """Codes 1 and 2, or percent, would pass for doses and shrink the effect."""
    column, where = identifier(name), "true"
    if request.long is not None:
        column = identifier(request.long.value)
        where = f"{identifier(request.long.metric_name)} = {text(name)}"
    number = f"try_cast({column} as double)"
    n_astray, example = engine.rows(
        f"select count(*), min({number}) from exp_run.delivered\n"
        f"where {where} and isfinite({number}) and {number} not between 0 and 1"
    )[0]
    if n_astray:
        raise UsageError(
            f"--received {name!r} is no yes or no",
            where=str(file),
            found=f"{n_astray:,} values, e.g. {example:g}",
            allowed="1 where the unit received the treatment, 0 where it did not",
            next_step="recode the column; nothing was written",
        )


def _check_units(
    engine: Engine, request: ImportRequest, unit_column: str, file: Path
) -> None:
    """One row per unit means one; values of several would be added up unseen."""
    unit, arm = identifier(unit_column), identifier(request.variant)
    rows = engine.rows(
        f"with different as (select distinct * exclude ({ROW_NUMBER})\n"
        f"    from exp_run.delivered where {unit} is not null and {arm} is not null)\n"
        f"select cast({unit} as varchar), count(*) from different\n"
        f"group by {unit}, {arm} having count(*) > 1 order by 2 desc, 1"
    )
    if rows:
        raise UsageError(
            "the file needs one row per unit",
            where=f"column {unit_column!r} of {file}",
            found=f"{len(rows):,} units in more than one row, "
            f"e.g. {rows[0][0]!r} in {rows[0][1]:,}",
            allowed="one row per unit and arm; rows equal in every column count once",
            next_step="add the rows up first, name another --unit, or pass "
            "--keep-duplicates to add up the values of a unit's rows",
        )


def _check_outcome_names(
    engine: Engine, request: ImportRequest, name_column: str, file: Path
) -> None:
    column = identifier(name_column)
    rows = engine.rows(
        f"select distinct cast({column} as varchar) from exp_run.delivered\n"
        f"where {column} is not null"
    )
    known = [str(row[0]) for row in rows]
    for name in (*request.metrics, *request.past):
        if name not in known:
            raise UsageError(
                f"no row has an outcome named {name!r}",
                where=f"column {name_column!r} of {file}",
                allowed=did_you_mean(name, known),
                next_step="correct the flag; nothing was written",
            )
    wanted = (*request.metrics, *request.past)
    named = {_fold(name): name for name in wanted}
    for other in known:
        if _fold(other) in named and other not in wanted:
            raise UsageError(
                "two outcomes differ only in spaces or capitals",
                where=f"column {name_column!r} of {file}",
                found=f"{named[_fold(other)]!r}, {other!r}",
                allowed="one way to write an outcome, or a flag for each of them",
                next_step="write it in one way and import again; nothing was written",
            )


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


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
    if len(set(map(_fold, found))) < len(found):
        raise UsageError(
            "two arms differ only in spaces or capitals",
            where=where,
            found=", ".join(map(repr, found)),
            next_step="write each arm in one way and import again",
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


def _read_window(
    engine: Engine, request: ImportRequest
) -> tuple[datetime, datetime, datetime]:
    """Start and end of the exposures, and the watermark of the data."""
    if request.exposure_ts is None:
        end = UNDATED + timedelta(days=1)
        return UNDATED, end, end
    instant = f"try_cast({identifier(request.exposure_ts)} as timestamptz)"
    row = engine.records(
        f"select min(instant) as first_ts, max(instant) as last_ts,\n"
        f"    (select cast(min({instant}) as varchar) from exp_run.delivered) as outside\n"
        f"from (select {instant} as instant from exp_run.delivered)\n"
        f"where {_sensible('instant')}"
    )[0]
    if row["first_ts"] is None:
        raise _no_instant(request, row["outside"])
    start = request.start or row["first_ts"]
    end = request.end or row["last_ts"] + timedelta(microseconds=1)
    last = max(row["last_ts"], _last_outcome(engine, request) or row["last_ts"])
    if request.watermark is not None:
        return start, end, request.watermark
    if request.end is None:
        return start, end, last + timedelta(microseconds=1)
    midnight = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    day_after = last.replace(**midnight) + timedelta(days=1)
    follow_up = timedelta(days=float(request.looks.get("follow_up_days", 0.0)))
    return start, end, min(end + follow_up, day_after)


def _no_instant(request: ImportRequest, outside: str | None) -> UsageError:
    if outside is None:
        return UsageError(
            f"column {request.exposure_ts!r} holds no instant that can be read",
            allowed="ISO 8601, e.g. 2026-01-05 or 2026-01-05T10:00:00Z",
        )
    return UsageError(
        f"column {request.exposure_ts!r} holds no instant from 1970 until now",
        found=f"{outside} and the like",
        allowed="units that were exposed",
    )


def _last_outcome(engine: Engine, request: ImportRequest) -> datetime | None:
    if request.long is None:
        return None
    instant = f"try_cast({identifier(request.long.outcome_ts)} as timestamptz)"
    last = engine.rows(
        f"select max({instant})\nfrom exp_run.delivered where {_sensible(instant)}"
    )[0][0]
    return last if isinstance(last, datetime) else None


def _sensible(instant: str) -> str:
    """Instants that may set the window: none from the future, one typo is enough."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    return (
        f"{instant} >= timestamptz '1970-01-01'\n"
        f"and {instant} < timestamptz '{tomorrow.isoformat()}'"
    )
