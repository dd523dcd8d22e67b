"""Rows that a refresh reads: those of new files, and all of a unit that is read anew."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exp_platform.lake import Engine
from exp_platform.metrics.measures import parts_of
from exp_platform.metrics.partials import partial_sql
from exp_platform.metrics.refresh_work import Work
from exp_platform.metrics.refreshed_units import COHORT, UNITS, Cohort
from exp_platform.metrics.source_files import (
    EVENTS,
    OUTCOMES,
    FilePlan,
    SourceFile,
    numbers_sql,
    texts_sql,
    union_sql,
)
from exp_platform.metrics.spans import reach_of
from exp_platform.metrics.unit_values import RELATIONS, Part
from exp_platform.records import MetricDefinition, SourceKind

NEW_PARTIALS = "exp_run.new_partials"
EMPTY_PARTIALS = (
    "select cast(0 as bigint) as unit_no, cast(0 as bigint) as file_no,"
    " cast(0 as bigint) as unit_version, cast(0 as bigint) as cohort,"
    " '' as metric_name, '' as column_name, cast(0 as bigint) as outcome_day,"
    " cast(0 as bigint) as micros, cast(0 as double) as number where false"
)
_TABLE_OF = {SourceKind.OUTCOME: OUTCOMES, SourceKind.EVENT: EVENTS}
_COLUMNS = {
    SourceKind.OUTCOME: ("user_id", "metric_name", "value", "outcome_ts"),
    SourceKind.EVENT: ("user_id", "event_name", "value", "properties", "event_ts"),
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which rows are read for some metrics.

    Attributes:
        parts: of the metrics, those made of this kind of rows.
        files: with their numbers.
        units: the condition of the units whose rows are wanted.
        rows: the condition of a row, beside that some window may hold it.
    """

    kind: SourceKind
    parts: Sequence[Part]
    files: Sequence[tuple[int, SourceFile]]
    units: str = "true"
    rows: str = "true"


def make_partials(engine: Engine, work: Work, cohorts: Iterable[Cohort]) -> None:
    """Fill `exp_run.new_partials` from unread files and the rows of new units.

    Args:
        engine: holds the refreshed units.
        work: what has to be read.
        cohorts: of the units.
    """
    own = work.partial_metrics()
    branches: dict[SourceKind, list[str]] = {kind: [] for kind in SourceKind}
    for definition in own.values():
        made = partial_sql(definition, fixed_point=work.fixed_point)
        for kind, selects in made.items():
            branches[kind] += selects
    engine.execute(f"create or replace table {NEW_PARTIALS} as\n{EMPTY_PARTIALS}")
    new = [c.first_new_us for c in cohorts if c.first_new_us is not None]
    first_new = min(new, default=None)
    for kind, selects in branches.items():
        parts = _parts(own.values(), kind)
        if not parts:
            continue
        reading = _read_news(work, kind, parts, first_new)
        if reading.files:
            _open_rows(engine, work, reading)
            union = "\nunion all\n".join(selects)
            engine.execute_sparse(f"insert into {NEW_PARTIALS}\n{union}")


def open_rows_in_full(engine: Engine, work: Work) -> None:
    """All rows of the metrics without partials.

    Args:
        engine: holds the refreshed units.
        work: what has to be read.
    """
    whole = [work.definitions[name] for name in work.in_full]
    for kind in SourceKind if whole else ():
        files = work.plans[_TABLE_OF[kind]].sources
        _open_rows(engine, work, _Reading(kind, _parts(whole, kind), files))


def _parts(definitions: Iterable[MetricDefinition], kind: SourceKind) -> list[Part]:
    return [
        part
        for definition in definitions
        for part, _ in parts_of(definition)
        if part.rows.kind is kind
    ]


def _read_news(
    work: Work, kind: SourceKind, parts: Sequence[Part], first_new: int | None
) -> _Reading:
    """Unread files, and those that hold rows near the exposures of new units.

    Of the other units those are wanted that may have a row of an unread file inside
    some window.
    """
    plan = work.plans[_TABLE_OF[kind]]
    begin, end = reach_of(part.span for part in parts)
    is_new = f"unit_version = {work.batch}"
    near: set[int] = set()
    if first_new is not None:
        since = first_new + begin
        near = {
            note.file_no
            for note in plan.kept
            if note.last_us is not None and note.last_us >= since
        }
    unread = {number for number, _ in plan.unread}
    reading = _Reading(
        kind,
        parts,
        [pair for pair in plan.sources if pair[0] in near | unread],
        units=f"{is_new} or {_exposed_sql(work, plan, begin, end)}",
    )
    if not near:
        return reading
    rows = f"({numbers_sql('file_no', sorted(unread))} or {is_new})"
    return replace(reading, rows=rows)


def _exposed_sql(work: Work, plan: FilePlan, begin: int, end: int | None) -> str:
    """The condition of units that may have an unread row from begin to end."""
    unread = {number for number, _ in plan.unread}
    notes = [note for note in work.notes if note.file_no in unread]
    firsts = [note.first_us for note in notes if note.first_us is not None]
    lasts = [note.last_us for note in notes if note.last_us is not None]
    if not firsts or not lasts:
        return "false"
    condition = f"exposure_us <= {min(max(lasts), work.watermark_us) - begin}"
    if end is not None:
        condition += f" and exposure_us > {min(firsts) - end}"
    return condition


def _open_rows(engine: Engine, work: Work, reading: _Reading) -> None:
    """The unit's rows with their file: what `int_unit_outcomes` is in a full pass.

    An experiment's place is taken by the unit's cohort.
    """
    relation = RELATIONS[reading.kind]
    _, name, *kept, instant = _COLUMNS[reading.kind]
    columns = ", ".join(f"o.{column}" for column in (name, *kept))
    table = _TABLE_OF[reading.kind]
    rows = union_sql(reading.files, _COLUMNS[reading.kind]) or _no_rows(engine, table)
    happened = f"epoch_us(o.{instant})"
    engine.create_table(
        relation.table,
        f"select u.experiment_id, u.unit_no, u.unit_version, o.file_no,\n"
        f"    {columns}, {happened} as {relation.instant},\n"
        f"    {happened} - u.exposure_us as offset_us\n"
        f"from (\n{rows}\n) as o\ninner join (\n"
        f"    select unit_no, unit_version, user_id, exposure_us,\n"
        f"        cast({COHORT} as varchar) as experiment_id\n"
        f"    from {UNITS} where {reading.units}\n) as u on o.user_id = u.user_id\n"
        f"where {texts_sql('o.' + name, sorted({p.name for p in reading.parts}))}\n"
        f"    and {happened} < {work.watermark_us} and {reading.rows}\n"
        f"    and {_inside_sql(f'{happened} - u.exposure_us', reading.parts)}",
    )


def _inside_sql(offset: str, parts: Sequence[Part]) -> str:
    """The condition that some window may hold a row."""
    if not parts:
        return "false"
    begin, end = reach_of(part.span for part in parts)
    condition = f"{offset} >= {begin}"
    return condition if end is None else f"{condition} and {offset} < {end}"


def _no_rows(engine: Engine, table: str) -> str:
    from exp_platform.lake.reading import open_empty

    name = f"exp_run.no_{table}"
    open_empty(engine, table, name)
    return f"select *, cast(0 as bigint) as file_no from {name}"
