"""Stage ingest: raw Parquet to canonical rows; every bad row goes to quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.lake import raw_folder, verify_raw
from exp_platform.lake.validation import Delivery, accept_rows
from exp_platform.metrics.definitions import choose_definitions, load_definitions
from exp_platform.pipelines.provenance import definition_hash
from exp_platform.pipelines.registry import read_mapping, read_spec
from exp_platform.pipelines.run import Run, nothing_stored
from exp_platform.records import ExperimentSpec, MetricDefinition

_TABLES = ("exposures", "outcomes")


@dataclass(frozen=True, slots=True)
class Ingested:
    """What ingest hands over; the rows stand in the engine as `exp.<table>`.

    Attributes:
        definitions: of the metrics in the plan, in plan order.
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
    registry = accept_rows(
        run.engine,
        "experiment_registry",
        folder / "experiment_registry.parquet",
        experiment_id=run.experiment_id,
    )
    row = _registry_row(run, registry)
    spec = read_spec(row)
    deliveries = tuple(
        accept_rows(
            run.engine,
            table,
            folder / f"{table}.parquet",
            experiment_id=run.experiment_id,
            variants=tuple(v.name for v in spec.variants)
            if table == "exposures"
            else (),
            keep_duplicates=spec.plan.keep_duplicates,
        )
        for table in _TABLES
    )
    _open_quarantine(run)
    for table in ("experiment_registry", *_TABLES, "quarantine"):
        run.store_relation(table, f"exp.{table}")
    run.stages["ingest"] = "done"
    return _describe(run, spec, row, deliveries)


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
    deliveries = tuple(_stored_delivery(run, table) for table in _TABLES)
    run.stages["ingest"] = "inherited"
    return _describe(run, read_spec(rows[0]), rows[0], deliveries)


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
    definitions = choose_definitions(
        (plan.metric_name for plan in spec.plan.metrics),
        load_definitions(run.settings.paths.metrics),
        read_mapping(row["definitions"], "definitions", where),
        experiment_id=spec.experiment_id,
    )
    run.seed = row.get("seed")
    run.definition_hash = definition_hash(definitions.values())
    return Ingested(spec, definitions, deliveries)


def _open_quarantine(run: Run) -> None:
    parts = [
        f"select '{run.experiment_id}' as experiment_id, '{table}' as table_name,"
        f" row_number, reason, payload, '{run.run_id}' as run_id,"
        f" timestamptz '{run.computed_at.isoformat()}' as computed_at"
        f" from exp_run.rejected_{table}"
        for table in _TABLES
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
