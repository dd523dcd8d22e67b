"""Stage ingest, events: new raw files into the days they touch.

The canonical events of a namespace are a function of its raw files. Files are only ever
added, so a run reads the new ones, merges them with what was published for the days
they touch, and replaces those days. ADR 0021.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.lake import RawFile
from exp_platform.lake.events import (
    events_folder,
    list_event_files,
    open_raw_events,
    read_generation,
    verify_event_files,
)
from exp_platform.lake.reading import open_empty
from exp_platform.lake.types import quote_text
from exp_platform.lake.validation import Delivery
from exp_platform.metrics.models import (
    check_raw_events,
    describe_users,
    merge_raw_events,
    open_exposure_events,
)
from exp_platform.pipelines.run import Run
from exp_platform.records import ExperimentSpec
from exp_platform.schemas import arrow_schema, load_schema

_TOUCHED = """\
create or replace temp table touched_days as
select event_date from exp_run.int_checked_events where reason is null
union
select event_date from exp_run.published_events
where event_id in (select event_id from exp_run.int_checked_events)"""
_KEPT = """\
select * from exp_run.published_events
where event_date in (select event_date from touched_days)"""
_ALL_DAYS = """\
select * from exp_run.published_events
where event_date not in (select event_date from touched_days)
union all by name
select * from exp_run.fact_event"""
_PUBLISHED = {
    "fact_event": "exp_run.published_events",
    "event_quarantine": "exp_run.run_published_event_quarantine",
}
_SMALL = {
    "event_quarantine": "exp_run.event_quarantine",
    "dim_user": "exp_run.dim_user",
    "event_files": "exp.event_files",
}
_COUNTS = """\
with checked as (
    select source_file, count(*) as n_rows, count(reason) as n_rejected
    from exp_run.int_checked_events group by source_file),
reused as (
    select source_file, count(*) filter (where is_same) as n_copies,
        count(*) filter (where not is_same) as n_reused
    from exp_run.int_event_copies group by source_file)
select checked.source_file, n_rows, coalesce(n_copies, 0) as n_copies,
    n_rejected + coalesce(n_reused, 0) as n_rejected
from checked left join reused on checked.source_file = reused.source_file"""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Which raw files a run has to read.

    Attributes:
        new: paths by their path relative to the raw area.
        known: rows of `event_files` that stay as they are.
        generation: hash of the namespace's manifest, empty without one.
        is_rebuilt: what was published goes; every file is new.
    """

    new: Mapping[str, Path]
    known: tuple[Mapping[str, Any], ...]
    generation: str
    is_rebuilt: bool


def ingest_events(run: Run, namespace: str) -> Delivery:
    """Bring a namespace's events up to date and open them as `exp.fact_event`.

    Args:
        run: stages the days that changed, and only those.
        namespace: of the experiment's events.

    Returns:
        What the namespace's files held, those of earlier runs included.

    Raises:
        ContractError: the namespace has no events at all, or a file is broken.
    """
    folder = events_folder(run.settings.paths.raw, namespace)
    run.lake.fetch_raw(folder, only_new=True)
    files = list_event_files(run.settings.paths.raw, namespace)
    plan = _plan(run, namespace, files)
    if plan.new:
        # another experiment of the namespace may be at it: look again, alone
        run.hold(run.lake.namespace_lock(namespace))
        plan = _plan(run, namespace, files)
    if plan.new:
        return _rebuild_days(run, namespace, plan)
    if plan.known:
        return load_events(run, namespace)
    raise ContractError(
        "the experiment's namespace has no events",
        where=str(folder),
        next_step="collect or generate events, or take the namespace out of the "
        "registry row",
    )


def load_events(run: Run, namespace: str) -> Delivery:
    """Open what earlier runs published of a namespace."""
    for table in ("fact_event", "event_quarantine", "event_files"):
        run.lake.attach(run.engine, table, where=_where(namespace))
    return _delivery(run)


def write_stand_in(run: Run, spec: ExperimentSpec, table: str, folder: Path) -> Path:
    """Write the file that was not delivered, from what the events tell.

    Exposure events become exposures, to be checked like delivered ones. Outcomes have
    no rows: metrics name events then.

    Args:
        run: holds `exp.fact_event`.
        spec: the experiment.
        table: `exposures` or `outcomes`.
        folder: where the file goes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.parquet"
    if table != "exposures":
        pq.write_table(arrow_schema(table).empty_table(), path)
        return path
    scope = {"experiment_id": [spec.experiment_id], "namespace": [spec.namespace]}
    run.engine.register("exp_run.run_experiments", pa.table(scope))
    open_exposure_events(run.engine)
    run.engine.execute(
        "copy (select experiment_id, user_id, variant, exposure_ts,"
        f" {quote_text(spec.unit_type)} as unit, attributes, first_seen_ts\n"
        "from exp_run.int_exposure_events order by exposure_ts, user_id, variant)\n"
        f"to {quote_text(str(path))} (format parquet)"
    )
    return path


def open_everything_raw(run: Run, namespace: str) -> None:
    """Open all raw files of a namespace as if none had been ingested before."""
    files: Mapping[str, Path] = {}
    if namespace:
        files = list_event_files(run.settings.paths.raw, namespace)
    open_raw_events(run.engine, namespace, files)
    open_empty(run.engine, "fact_event", "exp_run.run_published_events")
    open_empty(run.engine, "event_quarantine", "exp_run.run_published_event_quarantine")
    open_empty(run.engine, "fact_event")
    open_empty(run.engine, "event_quarantine")


def _plan(run: Run, namespace: str, files: Mapping[str, Path]) -> FilePlan:
    """A changed file or another generation: the whole namespace is read again.

    A file that was ingested and is gone leaves its events where they are: raw data may
    be pruned.
    """
    generation = read_generation(run.settings.paths.raw, namespace)
    rows = run.lake.read("event_files", where=_where(namespace)).to_pylist()
    if any(row["generation"] != generation for row in rows):
        return FilePlan(files, (), generation, is_rebuilt=True)
    sizes = {row["source_file"]: row["size"] for row in rows}
    new = {name: path for name, path in files.items() if name not in sizes}
    known = {name: path for name, path in files.items() if name in sizes}
    if all(path.stat().st_size == sizes[name] for name, path in known.items()):
        return FilePlan(new, tuple(rows), generation, is_rebuilt=False)
    if len(known) < len(sizes):
        raise ContractError(
            "a raw event file changed after it was ingested",
            where=str(events_folder(run.settings.paths.raw, namespace)),
            found=f"{len(sizes) - len(known)} other ingested files are gone, so the "
            "events cannot be made again from raw data",
            next_step="put the file back as it was, and add what is new as a new file",
        )
    return FilePlan(files, (), generation, is_rebuilt=True)


def _rebuild_days(run: Run, namespace: str, plan: FilePlan) -> Delivery:
    engine = run.engine
    raw_files = verify_event_files(run.settings.paths.raw, namespace, plan.new)
    open_raw_events(engine, namespace, plan.new)
    for table, name in _PUBLISHED.items():
        if plan.is_rebuilt:
            open_empty(engine, table, name)
        else:
            run.lake.attach(engine, table, where=_where(namespace), name=name)
    check_raw_events(engine)
    engine.execute(_TOUCHED)
    engine.create_view("exp_run.run_published_events", _KEPT)
    merge_raw_events(engine)
    engine.create_view("exp.fact_event", _ALL_DAYS)
    engine.create_view("exp.event_quarantine", "select * from exp_run.event_quarantine")
    engine.register("exp.event_files", _file_rows(run, namespace, plan, raw_files))
    describe_users(engine)
    _stage(run, namespace, plan)
    run.inputs += raw_files
    return _delivery(run)


def _stage(run: Run, namespace: str, plan: FilePlan) -> None:
    """The touched days whole, and the small tables of the namespace."""
    publication = run.publication
    touched = _days(run, "touched_days")
    columns = ", ".join(load_schema("fact_event").names)
    for day in touched:
        select = f"select {columns} from exp_run.fact_event where event_date = '{day}'"
        publication.replace_partition("fact_event", (day, namespace), select)
    if plan.is_rebuilt:
        name = "exp_run.replaced_events"
        run.lake.attach(run.engine, "fact_event", where=_where(namespace), name=name)
        for day in set(_days(run, name)) - set(touched):
            publication.remove_partition("fact_event", (day, namespace))
    for table, relation in _SMALL.items():
        names = load_schema(table)
        select = (
            f"select {', '.join(names.names)} from {relation}"
            f" order by {', '.join(names.key)}"
        )
        publication.replace_partition(table, (namespace,), select)


def _delivery(run: Run) -> Delivery:
    """What came in all files of the namespace, from its small tables."""
    rows = run.engine.rows(
        "select coalesce(sum(n_rows), 0), coalesce(sum(n_copies), 0)"
        " from exp.event_files"
    )
    delivered, copies = map(int, rows[0])
    reasons = run.engine.rows(
        "select reason, count(*) from exp.event_quarantine group by reason order by all"
    )
    rejected = {str(reason): int(count) for reason, count in reasons}
    if copies:
        rejected["DUPLICATE_ROW"] = copies
    accepted = delivered - sum(rejected.values())
    return Delivery("fact_event", delivered, accepted, rejected, ())


def _days(run: Run, relation: str) -> list[date]:
    rows = run.engine.rows(f"select distinct event_date from {relation} order by all")
    return [row[0] for row in rows]


def _file_rows(
    run: Run, namespace: str, plan: FilePlan, raw_files: list[RawFile]
) -> Any:
    import pyarrow as pa

    counts = {row["source_file"]: row for row in run.engine.records(_COUNTS)}
    new = [
        {
            "namespace": namespace,
            "source_file": file.name,
            "size": file.size,
            "sha256": file.sha256,
            "generation": plan.generation,
            "n_rows": counts.get(file.name, {}).get("n_rows", 0),
            "n_copies": counts.get(file.name, {}).get("n_copies", 0),
            "n_rejected": counts.get(file.name, {}).get("n_rejected", 0),
            "run_id": run.run_id,
            "computed_at": run.computed_at,
        }
        for file in raw_files
    ]
    rows = sorted([*plan.known, *new], key=lambda row: str(row["source_file"]))
    return pa.Table.from_pylist(rows, schema=arrow_schema("event_files"))


def _where(namespace: str) -> dict[str, tuple[str, ...]]:
    return {"namespace": (namespace,)}
