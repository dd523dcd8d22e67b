"""What a published number was made from, opened again as it was then."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake import Engine, Lake, states_from_json
from exp_platform.lake.events import events_folder, open_raw_events
from exp_platform.lake.reading import open_empty
from exp_platform.metrics.departures import UNLIMITED
from exp_platform.metrics.models import check_raw_events, find_event_copies
from exp_platform.metrics.scope import write_scope
from exp_platform.metrics.stored import read_stored
from exp_platform.metrics.totals import Key, read_quantiles, read_totals
from exp_platform.pipelines.metrics_run import find_metrics_run
from exp_platform.pipelines.registry import read_spec, require_totals
from exp_platform.pipelines.rows import from_rows
from exp_platform.pipelines.run import Run, nothing_stored
from exp_platform.records import (
    Estimate,
    ExperimentSpec,
    MetricDefinition,
    MetricTotals,
    QuantileTotals,
)
from exp_platform.schemas import load_schema

_NEEDED = ("experiment_registry", "exposures", "outcomes", "quarantine")
_MAY_BE_ABSENT = ("assignments",)
_END_OF_TIME_US = 2**62
_COPIES = {
    "outcomes": {
        "user_id": "varchar",
        "metric_name": "varchar",
        "value": "double",
        "outcome_ts": "timestamptz",
        "received_ts": "timestamptz",
    },
    "exposures": {
        "user_id": "varchar",
        "variant": "varchar",
        "exposure_ts": "timestamptz",
        "first_seen_ts": "timestamptz",
    },
}


@dataclass(frozen=True, slots=True)
class Published:
    """One metric of one experiment as its last run published it.

    Attributes:
        definition: as that run used it, whatever the project says now.
        totals, quantiles: of all units, by (metric, segment, variant).
        snapshots: table -> Iceberg snapshot id that was read.
        unknown: what cannot be told any more, by departure.
        estimates: of the metric over all units, by every method that gave a number.
    """

    spec: ExperimentSpec
    definition: MetricDefinition
    totals: Mapping[Key, MetricTotals]
    quantiles: Mapping[Key, QuantileTotals]
    run_id: str
    computed_at: datetime
    snapshots: Mapping[str, int]
    unknown: Mapping[str, str]
    estimates: tuple[Estimate, ...]


def open_published(run: Run, metric: str) -> Published:
    """Open the rows behind a metric and its scope, as of its experiment's last run.

    Raises:
        UsageError: no such metric in the experiment's plan.
        ContractError: nobody published metrics of the experiment.
        StorageError: a snapshot expired while it was read.
    """
    lake, engine, experiment_id = run.lake, run.engine, run.experiment_id
    pins = {n: s for n, s in lake.states().items() if s is not None}
    last = _last_run(lake, experiment_id, pins)
    pins |= _pin_events(lake, last)
    for table in (*_NEEDED, *_MAY_BE_ABSENT):
        lake.attach(
            engine, table, experiment_id=experiment_id, snapshot_id=pins.get(table)
        )
    rows = engine.records("select * from exp.experiment_registry")
    spec = require_totals(read_spec(rows[0]))
    definition = _read_definition(lake, experiment_id, metric, pins)
    unknown = _open_events(run, spec, pins)
    _open_delivered(engine)
    write_scope(engine, spec, {metric: definition})
    engine.create_view(
        UNLIMITED,
        f"select * replace (cast({_END_OF_TIME_US} as bigint) as watermark_us)"
        " from exp_run.run_experiments",
    )
    return Published(
        spec=spec,
        definition=definition,
        totals=read_totals(_of(lake, "metric_aggregates_overall", spec, metric, pins)),
        quantiles=read_quantiles(_of(lake, "metric_quantiles", spec, metric, pins)),
        run_id=last["run_id"],
        computed_at=last["computed_at"],
        snapshots=pins,
        unknown=unknown,
        estimates=_read_estimates(lake, spec, metric, pins),
    )


def _last_run(
    lake: Lake, experiment_id: str, pins: Mapping[str, int]
) -> dict[str, Any]:
    """The last run that computed metrics."""
    table = "analysis_runs"
    rows = lake.read(table, experiment_id, snapshot_id=pins.get(table)).to_pylist()
    # a panel has none, which its registry row tells better
    last = find_metrics_run(rows, ("done", "panel"))
    if last is None:
        raise nothing_stored(experiment_id, "metric_aggregates_overall")
    return last


def _pin_events(lake: Lake, last: Mapping[str, Any]) -> dict[str, int]:
    """The snapshots that the run saw: others may have written events since.

    Rows of an experiment are written by its own runs only, so of all other tables the
    present state is the last run's.
    """
    written = states_from_json(last["snapshots"])
    pins = {}
    for table in ("fact_event", "event_quarantine", "event_files"):
        own = written[table].snapshot_id if table in written else None
        seen = [
            state.snapshot_id
            for state in lake.history(table)
            if state.committed_at <= last["computed_at"] or state.snapshot_id == own
        ]
        if seen:
            pins[table] = seen[-1]
    return pins


def _of(
    lake: Lake, table: str, spec: ExperimentSpec, metric: str, pins: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The metric's published rows over all units."""
    rows = lake.read(table, spec.experiment_id, snapshot_id=pins.get(table)).to_pylist()
    key = (metric, "all")
    return [row for row in rows if (row["metric_name"], row["segment"]) == key]


def _read_estimates(
    lake: Lake, spec: ExperimentSpec, metric: str, pins: Mapping[str, int]
) -> tuple[Estimate, ...]:
    rows = _of(lake, "analysis_results", spec, metric, pins)
    found = from_rows("analysis_results", Estimate, rows)
    return tuple(estimate for estimate in found if estimate.is_ok)


def _read_definition(
    lake: Lake, experiment_id: str, metric: str, pins: Mapping[str, int]
) -> MetricDefinition:
    table = "metric_definitions"
    rows = lake.read(table, experiment_id, snapshot_id=pins.get(table)).to_pylist()
    if not rows:
        raise nothing_stored(experiment_id, table)
    stored = {row["metric_name"]: row["definition"] for row in rows}
    if metric not in stored:
        raise UsageError(
            f"metric {metric!r} is not in the plan of {experiment_id}",
            allowed=did_you_mean(metric, stored),
            next_step="name it in the plan's metrics and run again, or choose one of these",
        )
    return read_stored(json.loads(stored[metric]))


def _open_delivered(engine: Engine) -> None:
    """Accepted rows together with the copies that ingest set aside."""
    for table, columns in _COPIES.items():
        kept = ", ".join(columns)
        read = ", ".join(
            f"try_cast(json_extract_string(payload, '$.{name}') as {kind}) as {name}"
            for name, kind in columns.items()
        )
        engine.create_view(
            f"exp_run.delivered_{table}",
            f"select * from exp.{table} union all by name"
            f" select experiment_id, {kept} from (select experiment_id, {read}"
            f" from exp.quarantine where table_name = '{table}'"
            " and reason = 'DUPLICATE_ROW')",
        )


def _open_events(
    run: Run, spec: ExperimentSpec, pins: Mapping[str, int]
) -> dict[str, str]:
    """Events of the experiment's namespace, and what was delivered more than once.

    Returns:
        What cannot be told any more, by departure.
    """
    delivered = "exp_run.delivered_fact_event"
    lake, engine = run.lake, run.engine
    if not spec.namespace:
        open_empty(engine, "fact_event")
        open_empty(engine, "event_quarantine")
        engine.create_view(delivered, "select * from exp.fact_event")
        return {}
    where = {"namespace": (spec.namespace,)}
    for table in ("fact_event", "event_quarantine"):
        lake.attach(engine, table, where=where, snapshot_id=pins.get(table))
    engine.create_view(delivered, "select * from exp.fact_event")
    pin = pins.get("event_files")
    files = lake.read("event_files", where=where, snapshot_id=pin).to_pylist()
    if not any(row["n_copies"] for row in files):
        return {}
    return _open_copies(run, spec.namespace, files)


def _open_copies(
    run: Run, namespace: str, files: list[dict[str, Any]]
) -> dict[str, str]:
    """Copies of an event are nowhere but in the raw files."""
    engine, root = run.engine, run.settings.paths.raw
    run.lake.fetch_raw(events_folder(root, namespace), only_new=True)
    paths = {row["source_file"]: root / row["source_file"] for row in files}
    sizes = {row["source_file"]: row["size"] for row in files}
    if not all(
        path.is_file() and path.stat().st_size == sizes[name]
        for name, path in paths.items()
    ):
        return {"copies_kept": "raw event files are gone, and the copies with them"}
    open_raw_events(engine, namespace, paths)
    open_empty(engine, "fact_event", "exp_run.run_published_events")
    open_empty(engine, "event_quarantine", "exp_run.run_published_event_quarantine")
    check_raw_events(engine)
    find_event_copies(engine)
    columns = ", ".join(f"checked.{name}" for name in load_schema("fact_event").names)
    engine.create_view(
        "exp_run.delivered_fact_event",
        f"select * from exp.fact_event union all by name select {columns}"
        " from exp_run.int_checked_events as checked"
        " inner join exp_run.int_event_copies as copies"
        " on checked.source_file = copies.source_file"
        " and checked.source_row = copies.source_row where copies.is_same",
    )
    return {}
