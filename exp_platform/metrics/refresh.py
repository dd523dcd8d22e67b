"""An incremental refresh of totals: new files and touched units in, totals out.

Units are numbered once and for all. The rows of a data file become partials once
(`partials.py`); a file that is gone takes its partials with it, a unit whose first
exposure moved gets new ones. Totals are kept by cohort, the day of first exposure: units
of other days share none, so only cohorts with a changed unit are computed again, by the
same models as a full pass, and all cohorts are merged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from exp_platform.lake import Engine
from exp_platform.metrics.cohorts import (
    find_missing_cohorts,
    find_stale_cohorts,
    merge_cohorts,
    total_cohorts,
)
from exp_platform.metrics.compaction import drop_dead_partials
from exp_platform.metrics.refresh_key import name_changes
from exp_platform.metrics.refresh_work import (
    STORED_PARTIALS,
    STORED_UNITS,
    RefreshState,
    Work,
    plan_work,
)
from exp_platform.metrics.refreshed_rows import (
    EMPTY_PARTIALS,
    NEW_PARTIALS,
    make_partials,
    open_rows_in_full,
)
from exp_platform.metrics.refreshed_units import (
    Cohort,
    UnitsChange,
    list_cohorts,
    number_units,
)
from exp_platform.metrics.scope import microseconds, write_scope
from exp_platform.metrics.source_files import EXPOSURES, FileNote, SourceFile
from exp_platform.metrics.totals import Key
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricTotals


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Totals after a refresh, and what it had to read for them.

    Attributes:
        totals: as a full pass would have them, by (metric, segment, variant).
        full_reason: why everything was read; empty after an incremental refresh.
        unread: files read now. n_files: files counted in all.
        n_units: units with a first exposure.
        stale: cohorts computed again, by metric.
        in_full: metrics without partials, with the reason; their rows are read again.
        units: what became of them; `exp_run.new_units` holds what is to be stored.
        is_compacted: the new partials are all that count, those stored before can go.
    """

    state: RefreshState
    totals: Mapping[Key, MetricTotals]
    full_reason: str
    unread: tuple[SourceFile, ...]
    n_files: int
    n_units: int
    stale: Mapping[str, frozenset[int]]
    in_full: Mapping[str, str]
    units: UnitsChange
    is_compacted: bool = False

    @property
    def replaces_partials(self) -> bool:
        """The new partials stand in place of the stored ones, not beside them."""
        return bool(self.full_reason) or self.is_compacted


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

    Leaves `exp_run.new_units` and `exp_run.new_partials` to be stored.

    Args:
        engine: holds `exp.quarantine`, `exp.event_quarantine` where there are events,
            and after an earlier refresh its units and partials as
            `exp_run.stored_units` and `exp_run.stored_partials`.
        spec: the experiment, with the watermark that the totals shall reach.
        definitions: its metrics.
        files: data files of exposures, outcomes and events, as they are now.
        key: of everything but data and watermark that makes the numbers.
        before: what the last refresh left; None = nothing.
    """
    reason = _full_reason(spec, key, before)
    if reason:
        before = None
    work = plan_work(engine, spec, definitions, files, before)
    if before is not None and _exactness(before.files) != _exactness(work.notes):
        reason = "an outcome's values are no longer added in the same way"
        before = None
        work = plan_work(engine, spec, definitions, files, before)
    if before is None:
        engine.execute(f"create or replace view {STORED_PARTIALS} as {EMPTY_PARTIALS}")
    return _refresh(engine, work, key=key, reason=reason)


def _full_reason(spec: ExperimentSpec, key: str, before: RefreshState | None) -> str:
    if before is None:
        return "there is no earlier refresh"
    if before.key != key:
        return name_changes(before.key, key)
    if before.watermark_us > microseconds(spec.watermark_ts):
        return "the watermark moved back"
    return ""


def _exactness(notes: Sequence[FileNote]) -> tuple[set[str], set[str]]:
    inexact = {name for note in notes for name in note.inexact}
    return inexact, {name for note in notes for name in note.large}


def _refresh(engine: Engine, work: Work, *, key: str, reason: str) -> Refreshed:
    write_scope(engine, work.spec, work.definitions)
    before = work.before
    stored = STORED_UNITS if before else ""
    units = number_units(engine, work.plans[EXPOSURES], stored, batch=work.batch)
    earlier = before.days if before else {}
    present = list_cohorts(engine, units, earlier, batch=work.batch)
    make_partials(engine, work, present.values())
    missing = find_missing_cohorts(engine, work.definitions.values())
    stale = _stale(engine, work, present, missing)
    open_rows_in_full(engine, work)
    fresh = total_cohorts(
        engine,
        work.spec,
        work.definitions,
        stale,
        present,
        fixed_point=work.fixed_point,
        in_full=set(work.in_full),
        live=work.live,
    )
    old = before.cohorts if before else {}
    cohorts = {
        place: totals
        for place, totals in old.items()
        if place[3] not in stale.get(place[0], frozenset())
    }
    cohorts.update(fresh)
    has_dead = before is not None and (
        units.is_moved or any(plan.gone for plan in work.plans.values())
    )
    is_compacted = has_dead and drop_dead_partials(
        engine, STORED_PARTIALS, NEW_PARTIALS, live=work.live
    )
    days = {d: replace(own, has_missing=d in missing) for d, own in present.items()}
    state = RefreshState(key, work.watermark_us, work.batch, work.notes, cohorts, days)
    return Refreshed(
        state=state,
        totals=merge_cohorts(cohorts),
        full_reason=reason,
        unread=tuple(f for plan in work.plans.values() for _, f in plan.unread),
        n_files=len(work.notes),
        n_units=sum(cohort.n_units for cohort in present.values()),
        stale=stale,
        in_full=work.in_full,
        units=units,
        is_compacted=is_compacted,
    )


def _stale(
    engine: Engine,
    work: Work,
    present: Mapping[int, Cohort],
    missing: Collection[int],
) -> dict[str, frozenset[int]]:
    whole, before = work.in_full, work.before
    if before is None:
        return dict.fromkeys(work.definitions, frozenset(present))
    # a value that is no longer missing leaves no other trace; a state that an earlier
    # version left says nothing of them
    known = before.days or dict.fromkeys(present)
    withdrawn = {day for day, own in known.items() if own is None or own.has_missing}
    gone = [number for plan in work.plans.values() for number in plan.gone]
    found = find_stale_cohorts(
        engine,
        work.partial_metrics(),
        present,
        since_us=before.watermark_us,
        until_us=work.watermark_us,
        gone=gone,
        missing=withdrawn.union(missing),
        earlier=before.cohorts,
    )
    every = frozenset(present) | {place[3] for place in before.cohorts}
    return {**found, **dict.fromkeys(whole, every)}
