"""Totals of an experiment brought up to date from what is new in the lake.

Reads the tables as they are: a stage of its own ingests. Everything a refresh leaves is
published in one transaction with its row of the run ledger, so a crash leaves the last
refresh whole. ADR 0026.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from exp_platform.config import Settings
from exp_platform.errors import UsageError
from exp_platform.metrics.caps import require_caps
from exp_platform.metrics.cohorts import PROFILE, CohortKey
from exp_platform.metrics.refresh import Refreshed, refresh_totals
from exp_platform.metrics.refresh_key import refresh_key
from exp_platform.metrics.refresh_work import (
    STORED_PARTIALS,
    STORED_UNITS,
    RefreshState,
)
from exp_platform.metrics.refreshed_rows import NEW_PARTIALS
from exp_platform.metrics.refreshed_units import NEW_UNITS, Cohort
from exp_platform.metrics.scope import microseconds
from exp_platform.metrics.source_files import (
    EVENTS,
    EXPOSURES,
    OUTCOMES,
    FileNote,
    SourceFile,
)
from exp_platform.metrics.totals import Key, read_totals
from exp_platform.pipelines.panel_runs import find_layout
from exp_platform.pipelines.provenance import digest
from exp_platform.pipelines.run import Run, open_run
from exp_platform.pipelines.run_ingest import Ingested, ingest, load_ingested
from exp_platform.records import (
    ExperimentSpec,
    MetricDefinition,
    MetricTotals,
    RefreshReport,
)
from exp_platform.schemas import load_schema

TABLES = (
    "refreshed_totals",
    "cohort_totals",
    "refreshed_units",
    "unit_day_partials",
    "refresh_state",
)
_FIRST_DAY = date(1970, 1, 1)
_PARTIALS = "unit_day_partials"


@dataclass(frozen=True, slots=True)
class RefreshOutcome:
    """Totals by (metric, segment, variant), and what was done for them.

    Attributes:
        is_dated: the rows have instants, so that the report's watermark means one.
        segments_left_out: of the plan, those that take all events to tell.
    """

    report: RefreshReport
    totals: Mapping[Key, MetricTotals]
    is_dated: bool = True
    segments_left_out: tuple[str, ...] = ()


def refresh_experiment(
    settings: Settings,
    experiment_id: str,
    *,
    watermark: datetime | None = None,
    is_full: bool = False,
    takes_in: bool = False,
) -> RefreshOutcome:
    """Bring an experiment's totals up to date and publish them.

    Args:
        settings: a loaded configuration.
        experiment_id: was ingested before.
        watermark: event time up to which the lake is complete; None = the registry's.
        is_full: read everything again.
        takes_in: ingest what was delivered first, in a transaction of its own.

    Raises:
        UsageError: a ready-made panel, an analysis without bots, or a percentile cap
            that no run has frozen.
        ContractError: the experiment was never ingested.
    """
    if takes_in:
        with open_run(settings, experiment_id, "run_ingest") as run:
            ingest(run)
            run.publish()
    with open_run(settings, experiment_id, "refresh") as run:
        data = load_ingested(run)
        _require_refreshable(run, data)
        spec = data.spec
        if watermark is not None:
            spec = replace(spec, watermark_ts=watermark)
        outcome = refresh_tables(run, spec, data.definitions, is_full=is_full)
        run.publish()
    return outcome


def refresh_tables(
    run: Run,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    *,
    is_full: bool = False,
) -> RefreshOutcome:
    """Bring the totals up to date and stage the tables of a refresh.

    Args:
        run: holds `exp.quarantine`.
        spec: the experiment, with the watermark that the totals shall reach.
        definitions: its metrics.
        is_full: read everything again.
    """
    rows = run.lake.read("refresh_state", run.experiment_id).to_pylist()
    last: Mapping[str, Any] = rows[0] if rows else {}
    done = refresh_totals(
        run.engine,
        spec,
        definitions,
        _source_files(run, spec),
        key=refresh_key(spec, definitions),
        before=_load_state(run, last) if last and not is_full else None,
    )
    if is_full:
        done = replace(done, full_reason="it was asked for")
    report = _stage(run, spec, done, last_batch=last.get("batch", 0))
    run.digest = digest(done.totals.values())
    run.stages["refresh"] = "full" if done.full_reason else "incremental"
    left_out = tuple(one for one in spec.plan.segments if one.startswith(PROFILE))
    return RefreshOutcome(report, done.totals, spec.is_dated, left_out)


def _require_refreshable(run: Run, data: Ingested) -> None:
    for definition in data.definitions.values():
        require_caps(definition)
    if find_layout(run) is not None:
        raise UsageError(
            "a ready-made panel has no rows to refresh totals from",
            where=run.experiment_id,
            next_step="`exp run` analyses it",
        )
    if data.spec.plan.exclude_bots:
        raise UsageError(
            "the plan leaves bots out, which takes all rows to tell",
            where=run.experiment_id,
            next_step="`exp run` makes a full pass",
        )


def _source_files(run: Run, spec: ExperimentSpec) -> list[SourceFile]:
    lake, engine = run.lake, run.engine
    found = []
    for table in (EXPOSURES, OUTCOMES):
        own = lake.file_selects(engine, table, experiment_id=run.experiment_id)
        found += [SourceFile(table, path, select) for path, select in own.items()]
    if spec.namespace:
        where = {"namespace": (spec.namespace,)}
        days = lake.file_selects(engine, EVENTS, where=where)
        found += [SourceFile(EVENTS, path, select) for path, select in days.items()]
    return found


def _load_state(run: Run, row: Mapping[str, Any]) -> RefreshState:
    """What the last refresh left, from its row of `refresh_state`."""
    tables = {"refreshed_units": STORED_UNITS, _PARTIALS: STORED_PARTIALS}
    for table, name in tables.items():
        run.lake.attach(run.engine, table, experiment_id=run.experiment_id, name=name)
    notes = [FileNote(**_tuples(note)) for note in json.loads(row["files"])]
    return RefreshState(
        key=row["key"],
        watermark_us=microseconds(row["watermark_ts"]),
        batch=row["batch"],
        files=tuple(notes),
        cohorts=_load_cohorts(run),
        days=_load_days(row["cohorts"]),
    )


def _tuples(note: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in note.items()}


def _load_days(text: str | None) -> dict[int, Cohort]:
    """None of a state that an earlier version left; the units are counted then."""
    return {int(day): Cohort(**own) for day, own in json.loads(text or "{}").items()}


def _days_json(days: Mapping[int, Cohort]) -> str:
    plain = {day: asdict(replace(own, first_new_us=None)) for day, own in days.items()}
    return json.dumps(plain)


def _load_cohorts(run: Run) -> dict[CohortKey, MetricTotals]:
    rows = run.lake.read("cohort_totals", run.experiment_id).to_pylist()
    found: dict[CohortKey, MetricTotals] = {}
    for row in rows:
        ((metric, segment, variant), totals), *_ = read_totals([row]).items()
        day = (row["exposure_date"] - _FIRST_DAY).days
        found[(metric, segment, variant, day)] = totals
    return found


def _stage(
    run: Run, spec: ExperimentSpec, done: Refreshed, *, last_batch: int
) -> RefreshReport:
    stamps = {**run.stamps, "watermark_ts": spec.watermark_ts}
    totals = [{**asdict(arm), **stamps} for arm in done.totals.values()]
    cohorts = [
        {**asdict(arm), "exposure_date": _FIRST_DAY + timedelta(days=place[3])}
        for place, arm in sorted(done.state.cohorts.items())
    ]
    _store_rows(run, "refreshed_totals", totals)
    _store_rows(run, "cohort_totals", cohorts)
    if done.units.is_any:
        relation = f"{NEW_UNITS} order by unit_no"
        run.store_relation("refreshed_units", relation, adds=not done.units.is_whole)
    _stage_partials(run, done, last_batch)
    state = {
        **stamps,
        "key": done.state.key,
        "batch": done.state.batch,
        "files": json.dumps([asdict(note) for note in done.state.files]),
        "cohorts": _days_json(done.state.days),
        "full_reason": done.full_reason or None,
        "n_files": done.n_files,
        "n_files_read": len(done.unread),
        "n_units": done.n_units,
        "n_units_touched": done.units.n_touched,
        "n_cohorts_computed": len(frozenset().union(*done.stale.values())),
        "in_full": json.dumps(done.in_full, sort_keys=True),
    }
    _store_rows(run, "refresh_state", [state])
    return _report(state)


def _stage_partials(run: Run, done: Refreshed, last_batch: int) -> None:
    """A batch of its own, or one in the place of all earlier ones."""
    if done.replaces_partials:
        for number in range(1, last_batch + 1):
            batch = (run.experiment_id, _batch_id(number))
            run.publication.remove_partition(_PARTIALS, batch)
    batch_id = _batch_id(done.state.batch)
    columns = ", ".join(load_schema(_PARTIALS).names[2:])
    select = (
        f"select '{run.experiment_id}' as experiment_id, '{batch_id}' as batch_id,"
        f" {columns} from {NEW_PARTIALS}"
    )
    partition = (run.experiment_id, batch_id)
    run.publication.replace_partition(_PARTIALS, partition, select)


def _batch_id(number: int) -> str:
    return f"{number:06d}"


def _store_rows(run: Run, table: str, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    from exp_platform.schemas import arrow_schema

    data = pa.Table.from_pylist(rows, schema=arrow_schema(table))
    run.publication.replace_experiment(table, data)


def _report(row: Mapping[str, Any]) -> RefreshReport:
    names = RefreshReport.__dataclass_fields__
    in_full = json.loads(row["in_full"])
    return RefreshReport(**{**{n: row[n] for n in names}, "in_full": in_full})
