"""Stage ingest: raw Parquet to canonical rows; every bad row goes to quarantine."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.lake import RawFile, raw_folder, verify_raw
from exp_platform.lake.raw import REGISTRY, require_raw
from exp_platform.lake.validation import Delivery, Rules, accept_rows
from exp_platform.metrics.definitions import choose_definitions, load_definitions
from exp_platform.pipelines.engines import open_judge
from exp_platform.pipelines.frozen_caps import recall_frozen
from exp_platform.pipelines.ingest_events import (
    ingest_events,
    load_events,
    write_stand_in,
)
from exp_platform.pipelines.provenance import definition_hash
from exp_platform.pipelines.registry import read_mapping, read_spec
from exp_platform.pipelines.run import Run, nothing_stored
from exp_platform.pipelines.segments import check_segments
from exp_platform.records import ExperimentSpec, MetricDefinition

_TABLES = ("exposures", "outcomes")
# Raw file of the units given to arms, exposed or not; an experiment may have none.
ASSIGNMENTS = "experiment_assignments"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What ingest hands over; the rows stand in the engine as `exp.<table>`.

    Attributes:
        definitions: of the metrics in the plan, in plan order; a percentile cap has its
            number once a run has frozen it.
        deliveries: what came in each file and what became of it.
    """

    spec: ExperimentSpec
    definitions: Mapping[str, MetricDefinition]
    deliveries: tuple[Delivery, ...]


def ingest(run: Run) -> Ingested:
    """Validate the delivered files and stage the canonical tables.

    Raises:
        ContractError: a file, a column or the registry row is broken.
    """
    run.lake.fetch_raw(raw_folder(run.settings.paths.raw, run.experiment_id))
    run.inputs = verify_raw(run.settings.paths.raw, run.experiment_id)
    folder = raw_folder(run.settings.paths.raw, run.experiment_id)
    _refuse_unread(run.inputs, folder)
    registry = accept_rows(
        run.engine,
        "experiment_registry",
        folder / "experiment_registry.parquet",
        rules=Rules(run.experiment_id),
    )
    row = _registry_row(run, registry)
    spec = read_spec(row)
    events = [ingest_events(run, spec.namespace)] if spec.namespace else []
    deliveries = _accept_all(run, spec, folder)
    check_segments(run, spec)
    _open_quarantine(run, [delivery.table for delivery in deliveries])
    for table in ("experiment_registry", "quarantine"):
        run.store_relation(table, f"exp.{table}")
    for delivery in deliveries:
        _store_accepted(run, delivery)
    if all(delivery.table != "assignments" for delivery in deliveries):
        # no rows of an earlier delivery either
        run.drop_leftovers("assignments")
    run.stages["ingest"] = "done"
    return _describe(run, spec, row, (*deliveries, *events))


def _refuse_unread(files: Iterable[RawFile], folder: Path) -> None:
    """Rows in a second file, as `outcomes_2.parquet`, would be missed by nobody."""
    known = (REGISTRY, *_TABLES, ASSIGNMENTS)
    rows = [file for file in files if file.path.suffix == ".parquet"]
    if unread := [file.path.name for file in rows if file.name not in known]:
        raise ContractError(
            "a raw file is none of those that are read",
            where=str(folder),
            found=", ".join(unread),
            allowed=", ".join(f"{name}.parquet" for name in known),
            next_step="add its rows to one of these, or move it away; no table was changed",
        )


def _accept_all(run: Run, spec: ExperimentSpec, folder: Path) -> tuple[Delivery, ...]:
    """Exposures, outcomes and, where they were delivered, assignments."""
    variants = tuple(variant.name for variant in spec.variants)
    keep = spec.plan.keep_duplicates
    armed, plain = (Rules(run.experiment_id, v, keep) for v in (variants, ()))
    with _find_files(run, spec, folder) as files, open_judge(run) as judge:
        if judge is not None:
            judge.begin(files.values())
        return tuple(
            accept_rows(
                run.engine,
                table,
                file,
                rules=plain if table == "outcomes" else armed,
                judge=judge,
            )
            for table, file in files.items()
        )


@contextmanager
def _find_files(
    run: Run, spec: ExperimentSpec, folder: Path
) -> Iterator[dict[str, Path]]:
    """Delivered files by table; what events tell of stands in for missing ones."""
    files = {table: folder / f"{table}.parquet" for table in _TABLES}
    assignments = folder / f"{ASSIGNMENTS}.parquet"
    if assignments.is_file():
        files["assignments"] = assignments
    if not spec.namespace:
        require_raw(folder, [file.name for file in files.values()])
    made = run.settings.paths.temp / f"{run.run_id}-{run.experiment_id}"
    try:
        for table in _TABLES:
            if not files[table].is_file():
                files[table] = write_stand_in(run, spec, table, made)
        yield files
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _store_accepted(run: Run, delivery: Delivery) -> None:
    if delivery.files:
        run.publication.adopt_experiment(delivery.table, delivery.files)
    else:
        run.store_relation(delivery.table, f"exp.{delivery.table}")


def load_ingested(run: Run) -> Ingested:
    """What an earlier run published, in place of a hand-over.

    Raises:
        ContractError: the experiment was never ingested.
    """
    for table in ("experiment_registry", *_TABLES, "quarantine"):
        run.lake.attach(run.engine, table, experiment_id=run.experiment_id)
    rows = run.engine.records("select * from exp.experiment_registry")
    if not rows:
        raise nothing_stored(run.experiment_id, "experiment_registry")
    spec = read_spec(rows[0])
    run.lake.attach(run.engine, "assignments", experiment_id=run.experiment_id)
    tables = [*_TABLES, "assignments"]
    deliveries = [_stored_delivery(run, table) for table in tables]
    if not deliveries[-1].delivered:
        deliveries.pop()
    if spec.namespace:
        deliveries.append(load_events(run, spec.namespace))
    run.stages["ingest"] = "inherited"
    return _describe(run, spec, rows[0], tuple(deliveries))


def _registry_row(run: Run, delivery: Delivery) -> dict[str, Any]:
    rows = run.engine.records("select * from exp.experiment_registry")
    if len(rows) != 1:
        raise ContractError(
            "the registry needs exactly one good row for the experiment",
            where=f"experiment_registry.parquet of {run.experiment_id}",
            found=f"{delivery.delivered} rows, {len(rows)} good"
            + (f" ({delivery.rejected})" if delivery.rejected else ""),
            next_step="correct the registry file; no table was changed",
        )
    return rows[0]


def _describe(
    run: Run,
    spec: ExperimentSpec,
    row: dict[str, Any],
    deliveries: tuple[Delivery, ...],
) -> Ingested:
    where = f"experiment_registry of {spec.experiment_id}"
    declared = choose_definitions(
        (plan.metric_name for plan in spec.plan.metrics),
        load_definitions(run.settings.paths.metrics),
        read_mapping(row["definitions"], "definitions", where),
        experiment_id=spec.experiment_id,
    )
    definitions = recall_frozen(run, declared)
    run.seed = row.get("seed")
    run.definition_hash = definition_hash(definitions.values())
    return Ingested(spec, definitions, deliveries)


def _open_quarantine(run: Run, tables: list[str]) -> None:
    parts = [
        f"select '{run.experiment_id}' as experiment_id, '{table}' as table_name,"
        f" row_number, reason, payload, '{run.run_id}' as run_id,"
        f" timestamptz '{run.computed_at.isoformat()}' as computed_at"
        f" from exp_run.rejected_{table}"
        for table in tables
    ]
    run.engine.create_view("exp.quarantine", " union all ".join(parts))


def _stored_delivery(run: Run, table: str) -> Delivery:
    accepted = run.engine.rows(f"select count(*) from exp.{table}")[0][0]
    rows = run.engine.rows(
        "select reason, count(*) from exp.quarantine"
        f" where table_name = '{table}' group by reason order by reason"
    )
    rejected = {reason: int(count) for reason, count in rows}
    total = int(accepted) + sum(rejected.values())
    return Delivery(table, total, int(accepted), rejected, ())


def main() -> int:
    """`python -m exp_platform.pipelines.run_ingest --config ... --experiment-id ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("run_ingest", ingest)


if __name__ == "__main__":
    raise SystemExit(main())
