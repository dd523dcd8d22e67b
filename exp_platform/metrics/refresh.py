"""An incremental refresh of totals: new files and touched units in, totals out.

Units are numbered once and for all. The rows of a data file become partials once
(`partials.py`); a file that is gone takes its partials with it, a unit whose first
exposure moved gets new ones. Totals are kept by cohort, the day of first exposure: units
of other days share none, so only cohorts with a changed unit are computed again, by the
same models as a full pass, and all cohorts are merged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from exp_platform.lake import Engine
from exp_platform.metrics.cohorts import (
    CohortKey,
    all_cohorts,
    find_stale_cohorts,
    merge_cohorts,
    total_cohorts,
)
from exp_platform.metrics.compaction import drop_dead_partials
from exp_platform.metrics.measures import columns_of, parts_of
from exp_platform.metrics.partials import partial_sql, refusal_of
from exp_platform.metrics.refreshed_units import (
    UNITS,
    keep_units,
    number_units,
)
from exp_platform.metrics.scope import microseconds, write_scope
from exp_platform.metrics.source_files import (
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    FileNote,
    FilePlan,
    SourceFile,
    note_files,
    numbers_sql,
    plan_files,
    texts_sql,
    union_sql,
)
from exp_platform.metrics.totals import Key
from exp_platform.metrics.unit_values import RELATIONS
from exp_platform.records import (
    ExperimentSpec,
    MetricDefinition,
    MetricTotals,
    SourceKind,
)

STORED_UNITS, STORED_PARTIALS = "exp_run.stored_units", "exp_run.stored_partials"
NEW_PARTIALS = "exp_run.new_partials"
_TABLES = (EXPOSURES, OUTCOMES, EVENTS)
_EMPTY_PARTIALS = (
    "select cast(0 as bigint) as unit_no, cast(0 as bigint) as unit_version,"
    " cast(0 as bigint) as file_no, '' as metric_name, '' as column_name,"
    " cast(0 as bigint) as outcome_day, cast(0 as bigint) as micros,"
    " cast(0 as double) as number where false"
)


@dataclass(frozen=True, slots=True)
class RefreshState:
    """What a refresh leaves for the next one, beside its units and partials.

    Attributes:
        key: of the definitions and the design; another key needs a full pass.
        watermark_us: event time up to which the totals are complete.
        batch: number of the last refresh, 1 for a full pass.
        files: every file whose rows are counted.
        cohorts: totals by (metric, segment, variant, day of first exposure).
    """

    key: str
    watermark_us: int
    batch: int
    files: tuple[FileNote, ...]
    cohorts: Mapping[CohortKey, MetricTotals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Totals after a refresh, and what it had to read for them.

    Attributes:
        totals: as a full pass would have them, by (metric, segment, variant).
        full_reason: why everything was read; empty after an incremental refresh.
        unread: files read now. n_files: files counted in all.
        n_touched: units that are new, or whose first exposure is another.
        stale: cohorts computed again, by metric.
        in_full: metrics without partials, with the reason; their rows are read again.
        units_changed: False = the units are those of the last refresh.
        is_compacted: the new partials are all that count, those stored before can go.
    """

    state: RefreshState
    totals: Mapping[Key, MetricTotals]
    full_reason: str
    unread: tuple[SourceFile, ...]
    n_files: int
    n_touched: int
    stale: Mapping[str, frozenset[int]]
    in_full: Mapping[str, str]
    units_changed: bool = True
    is_compacted: bool = False

    @property
    def replaces_partials(self) -> bool:
        """The new partials stand in place of the stored ones, not beside them."""
        return bool(self.full_reason) or self.is_compacted


@dataclass(frozen=True, slots=True)
class _Work:
    """One refresh under way."""

    spec: ExperimentSpec
    definitions: Mapping[str, MetricDefinition]
    before: RefreshState | None
    plans: Mapping[str, FilePlan]
    notes: tuple[FileNote, ...]
    batch: int

    @property
    def watermark_us(self) -> int:
        """Instant up to which the data are complete, in microseconds."""
        return microseconds(self.spec.watermark_ts)

    @property
    def fixed_point(self) -> set[str]:
        """Outcomes whose values all have at most six decimals."""
        inexact = {name for note in self.notes for name in note.inexact}
        named = {p.name for d in self.definitions.values() for p, _ in parts_of(d)}
        return named - inexact

    @property
    def in_full(self) -> dict[str, str]:
        """Metrics that cannot be refreshed by parts, and why."""
        large = {name for note in self.notes for name in note.large}
        found = {}
        for name, definition in self.definitions.items():
            reason = refusal_of(definition)
            if any(part.name in large for part, _ in parts_of(definition)):
                reason = "amounts are too large to be added in 64 bits"
            if reason:
                found[name] = reason
        return found

    def partial_metrics(self) -> dict[str, MetricDefinition]:
        """Metrics that are refreshed by parts."""
        whole = self.in_full
        return {n: d for n, d in self.definitions.items() if n not in whole}


def refresh_totals(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    files: Sequence[SourceFile],
    *,
    key: str,
    before: RefreshState | None = None,
) -> Refreshed:
    """Bring an experiment's totals up to date.

    Leaves `exp_run.refreshed_units` and `exp_run.new_partials` to be stored.

    Args:
        engine: holds `exp.quarantine`, and after an earlier refresh its units and
            partials as `exp_run.stored_units` and `exp_run.stored_partials`.
        spec: the experiment, with the watermark that the totals shall reach.
        definitions: its metrics.
        files: data files of exposures, outcomes and events, as they are now.
        key: of everything but data and watermark that makes the numbers.
        before: what the last refresh left; None = nothing.
    """
    reason = _full_reason(spec, key, before)
    if reason:
        before = None
    work = _plan(engine, spec, definitions, files, before)
    if before is not None and _exactness(before.files) != _exactness(work.notes):
        reason = "an outcome's values are no longer added in the same way"
        before = None
        work = _plan(engine, spec, definitions, files, before)
    if before is None:
        engine.execute(f"create or replace view {STORED_PARTIALS} as {_EMPTY_PARTIALS}")
    return _refresh(engine, work, key=key, reason=reason)


def _full_reason(spec: ExperimentSpec, key: str, before: RefreshState | None) -> str:
    if before is None:
        return "there is no earlier refresh"
    if before.key != key:
        return "a definition or the design changed"
    if before.watermark_us > microseconds(spec.watermark_ts):
        return "the watermark moved back"
    return ""


def _plan(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    files: Sequence[SourceFile],
    before: RefreshState | None,
) -> _Work:
    known = before.files if before else ()
    next_no = 1 + max((note.file_no for note in known), default=0)
    if before is not None:
        # partials of files that are gone keep their numbers
        last = engine.rows(f"select max(file_no) from {STORED_PARTIALS}")[0][0]
        next_no = max(next_no, 1 + int(last or 0))
    moved = before is not None and before.watermark_us < microseconds(spec.watermark_ts)
    since = before.watermark_us if before and moved else None
    plans, notes = {}, []
    for table in _TABLES:
        plan = plan_files(
            [file for file in files if file.table == table],
            [note for note in known if note.table == table],
            next_no=next_no,
            # an exposure counts whatever the watermark says
            since_us=None if table == EXPOSURES else since,
        )
        next_no += len(plan.unread)
        plans[table] = plan
        notes += [*plan.kept, *note_files(engine, plan)]
    batch = before.batch + 1 if before else 1
    return _Work(spec, definitions, before, plans, tuple(notes), batch)


def _exactness(notes: Sequence[FileNote]) -> tuple[set[str], set[str]]:
    inexact = {name for note in notes for name in note.inexact}
    return inexact, {name for note in notes for name in note.large}


def _refresh(engine: Engine, work: _Work, *, key: str, reason: str) -> Refreshed:
    write_scope(engine, work.spec, work.definitions)
    before = work.before
    units_changed = before is None or not work.plans[EXPOSURES].is_unchanged
    if not units_changed:
        n_touched = keep_units(engine, STORED_UNITS)
    else:
        stored = STORED_UNITS if before else ""
        plan = work.plans[EXPOSURES]
        n_touched = number_units(
            engine,
            plan.sources,
            stored,
            batch=work.batch,
            unread=() if plan.gone else plan.unread,
        )
    _make_partials(engine, work)
    stale = _stale(engine, work)
    _open_rows_in_full(engine, work)
    fresh = total_cohorts(
        engine,
        work.spec,
        work.definitions,
        stale,
        fixed_point=work.fixed_point,
        in_full=set(work.in_full),
        live=_live(work),
    )
    old = before.cohorts if before else {}
    cohorts = {
        place: totals
        for place, totals in old.items()
        if place[3] not in stale.get(place[0], frozenset())
    }
    cohorts.update(fresh)
    is_compacted = _has_dead(engine, work) and drop_dead_partials(
        engine, STORED_PARTIALS, NEW_PARTIALS, live=_live(work)
    )
    state = RefreshState(key, work.watermark_us, work.batch, work.notes, cohorts)
    return Refreshed(
        state=state,
        totals=merge_cohorts(cohorts),
        full_reason=reason,
        unread=tuple(f for plan in work.plans.values() for _, f in plan.unread),
        n_files=len(work.notes),
        n_touched=n_touched,
        stale=stale,
        in_full=work.in_full,
        units_changed=units_changed,
        is_compacted=is_compacted,
    )


def _has_dead(engine: Engine, work: _Work) -> bool:
    """A file or a unit's first exposure is gone since the last refresh."""
    if work.before is None:
        return False
    if any(plan.gone for plan in work.plans.values()):
        return True
    moved = (
        f"select count(*) > 0 from {UNITS} as u inner join {STORED_UNITS} as b\n"
        "    using (unit_no) where u.unit_version <> b.unit_version"
    )
    return bool(engine.rows(moved)[0][0])


def _live(work: _Work) -> list[int]:
    return [note.file_no for note in work.notes if note.table != EXPOSURES]


def _make_partials(engine: Engine, work: _Work) -> None:
    """Rows of unread files, and all rows of units that are read anew."""
    own = work.partial_metrics()
    branches: dict[SourceKind, list[str]] = {kind: [] for kind in SourceKind}
    for definition in own.values():
        made = partial_sql(definition, fixed_point=work.fixed_point)
        for kind, selects in made.items():
            branches[kind] += selects
    engine.execute(f"create or replace table {NEW_PARTIALS} as\n{_EMPTY_PARTIALS}")
    is_new = engine.rows(
        f"select count(*) > 0 from {UNITS} where unit_version = {work.batch}"
    )[0][0]
    for kind, selects in branches.items():
        plan = work.plans[_TABLE_OF[kind]]
        files = _files_to_read(engine, work, plan) if is_new else plan.unread
        if not selects or not files:
            continue
        unread = numbers_sql("file_no", [number for number, _ in plan.unread])
        condition = f"({unread} or unit_version = {work.batch})"
        _open_rows(engine, work, kind, files, condition)
        union = "\nunion all\n".join(selects)
        engine.execute(f"insert into {NEW_PARTIALS}\n{union}")


_TABLE_OF = {SourceKind.OUTCOME: OUTCOMES, SourceKind.EVENT: EVENTS}


def _files_to_read(
    engine: Engine, work: _Work, plan: FilePlan
) -> tuple[tuple[int, SourceFile], ...]:
    """Unread files, and those that hold rows near the exposures of new units."""
    first = engine.rows(
        f"select min(exposure_us) from {UNITS} where unit_version = {work.batch}"
    )[0][0]
    if first is None:
        return plan.unread
    starts = [
        part.span.lower_us - (86_400_000_000 if part.span.is_day_grained else 0)
        for definition in work.definitions.values()
        for measure in columns_of(definition).values()
        for part in (getattr(measure, "parts", None) or [measure])
    ]
    since = int(first) + min(starts, default=0)
    near = {
        note.file_no
        for note in plan.kept
        if note.last_us is not None and note.last_us >= since
    }
    unread = {number for number, _ in plan.unread}
    return tuple(pair for pair in plan.sources if pair[0] in near | unread)


_COLUMNS = {
    SourceKind.OUTCOME: ("user_id", "metric_name", "value", "outcome_ts"),
    SourceKind.EVENT: ("user_id", "event_name", "value", "properties", "event_ts"),
}


def _open_rows(
    engine: Engine,
    work: _Work,
    kind: SourceKind,
    files: Sequence[tuple[int, SourceFile]],
    condition: str,
) -> None:
    """The unit's rows with their file: what `int_unit_outcomes` is in a full pass."""
    relation = RELATIONS[kind]
    *kept, instant = _COLUMNS[kind]
    names = {
        p.name
        for d in work.definitions.values()
        for p, _ in parts_of(d)
        if p.rows.kind is kind
    }
    columns = ", ".join(f"o.{name}" for name in kept[1:])
    rows = union_sql(files, _COLUMNS[kind]) or _no_rows(engine, _TABLE_OF[kind])
    engine.execute(
        f"create or replace table {relation.table} as\n"
        f"select u.experiment_id, u.unit_no, u.unit_version, u.variant, o.file_no,\n"
        f"    {columns}, epoch_us(o.{instant}) as {relation.instant},\n"
        f"    epoch_us(o.{instant}) - u.exposure_us as offset_us\n"
        f"from (\n{rows}\n) as o\n"
        f"inner join {UNITS} as u on o.user_id = u.user_id\n"
        f"where {texts_sql('o.' + relation.name, sorted(names))}\n"
        f"    and epoch_us(o.{instant}) < {work.watermark_us} and {condition}"
    )


def _open_rows_in_full(engine: Engine, work: _Work) -> None:
    """All rows of the metrics without partials."""
    whole = {n: work.definitions[n] for n in work.in_full}
    if not whole:
        return
    narrow = replace(work, definitions=whole)
    for kind in SourceKind:
        _open_rows(engine, narrow, kind, work.plans[_TABLE_OF[kind]].sources, "true")


def _no_rows(engine: Engine, table: str) -> str:
    from exp_platform.lake.reading import open_empty

    name = f"exp_run.no_{table}"
    open_empty(engine, table, name)
    return f"select *, cast(0 as bigint) as file_no from {name}"


def _stale(engine: Engine, work: _Work) -> dict[str, frozenset[int]]:
    whole = work.in_full
    if work.before is None:
        every = all_cohorts(engine)
        return dict.fromkeys(work.definitions, every)
    gone = [number for plan in work.plans.values() for number in plan.gone]
    found = find_stale_cohorts(
        engine,
        work.partial_metrics(),
        since_us=work.before.watermark_us,
        until_us=work.watermark_us,
        gone=gone,
        cohorts=work.before.cohorts,
    )
    every = all_cohorts(engine) | {place[3] for place in work.before.cohorts}
    return {**found, **dict.fromkeys(whole, every)}
