"""One refresh under way: what it goes on from, and what it has to do with which file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from exp_platform.lake import Engine
from exp_platform.metrics.cohorts import CohortKey
from exp_platform.metrics.measures import parts_of
from exp_platform.metrics.partials import refusal_of
from exp_platform.metrics.refreshed_units import Cohort
from exp_platform.metrics.scope import microseconds
from exp_platform.metrics.source_files import (
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    FileNote,
    FilePlan,
    SourceFile,
    note_files,
    plan_files,
)
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricTotals

STORED_UNITS, STORED_PARTIALS = "exp_run.stored_units", "exp_run.stored_partials"
_TABLES = (EXPOSURES, OUTCOMES, EVENTS)
_FILES_OF_A_BATCH = 1_000_000
"""More than a refresh ever reads: numbers from here to the next multiple are its own."""


@dataclass(frozen=True, slots=True)
class RefreshState:
    """What a refresh leaves for the next one, beside its units and partials.

    Attributes:
        key: of the definitions and the design; another key needs a full pass.
        watermark_us: event time up to which the totals are complete.
        batch: number of the last refresh, 1 for a full pass.
        files: every file whose rows are counted.
        cohorts: totals by (metric, segment, variant, day of first exposure).
        days: the units by day of first exposure.
    """

    key: str
    watermark_us: int
    batch: int
    files: tuple[FileNote, ...]
    cohorts: Mapping[CohortKey, MetricTotals] = field(default_factory=dict)
    days: Mapping[int, Cohort] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
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

    @property
    def live(self) -> list[int]:
        """Numbers of the files whose rows count."""
        return [note.file_no for note in self.notes if note.table != EXPOSURES]


def plan_work(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    files: Sequence[SourceFile],
    before: RefreshState | None,
) -> Work:
    """Tell the files apart, and read of each new one what must be remembered.

    Args:
        engine: where the files are read.
        spec: the experiment, with the watermark that the totals shall reach.
        definitions: its metrics.
        files: data files as they are now.
        before: what the last refresh left; None = everything is read.
    """
    known = before.files if before else ()
    batch = before.batch + 1 if before else 1
    # partials of files that are gone keep their numbers, so each batch has its own
    next_no = 1 + max((note.file_no for note in known), default=0)
    next_no = max(next_no, batch * _FILES_OF_A_BATCH)
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
    return Work(spec, definitions, before, plans, tuple(notes), batch)
