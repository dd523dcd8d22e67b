"""One run: its engine, its place in the lake, and what it has done so far.

A run stages every table it writes and publishes them, its ledger row included, in one
catalog transaction; leaving the `with` block without `publish` changes nothing.
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from exp_platform.config import Settings
from exp_platform.errors import UnpublishedError
from exp_platform.lake import (
    Engine,
    Lake,
    Publication,
    RawFile,
    TableState,
    open_lake,
    states_from_json,
    states_to_json,
    validate_experiment_id,
)
from exp_platform.pipelines.provenance import code_version, package_versions
from exp_platform.pipelines.rows import from_rows, to_rows
from exp_platform.records import Provenance
from exp_platform.schemas import arrow_schema, load_schema

# What each stage writes; a skipped stage leaves no old rows in these.
STAGE_TABLES: Mapping[str, tuple[str, ...]] = {
    "ingest": ("exposures", "outcomes", "experiment_registry", "quarantine"),
    "dq": (),
    "metrics": (
        "metric_definitions",
        "experiment_assignments",
        "metric_calculations",
        "metric_aggregates_overall",
        "metric_aggregates_daily",
        "metric_aggregates_by_age",
        "metric_quantiles",
        "metric_adjustments",
        "sample_ratio_mismatch",
        "unit_ledger",
        "experiment_results",
        "experiment_summary",
        "metric_anomalies",
    ),
    "ab": (),
    "cuped": (),
    "did": (),
    "bayes": (),
    "tails": (),
    "novelty": (),
    "compliance": (),
    "observational": (),
    "segments": (),
    "arms": (),
    "pretrends": ("did_pretrend_delta", "did_pretrend_tests"),
    "judge": ("check_results", "decisions"),
}

_TICK = timedelta(microseconds=1)
_log = logging.getLogger(__name__)

EVENT_TABLES = ("fact_experiment_exposure", "dim_feature")
"""What the metrics stage writes for an experiment that has events."""

STAGES = tuple(stage for stage in STAGE_TABLES if stage not in {"ingest", "judge"})
"""Those that may be skipped, in the order in which they run."""


@dataclass
class Run:
    """State of one run of one experiment."""

    settings: Settings
    experiment_id: str
    command: str
    run_id: str
    computed_at: datetime
    lake: Lake
    engine: Engine
    publication: Publication
    stages: dict[str, str] = field(default_factory=dict)
    computed_by: dict[str, str] = field(default_factory=dict)
    inputs: list[RawFile] = field(default_factory=list)
    seed: int | None = None
    definition_hash: str = ""
    digest: str = ""
    verdict: str | None = None
    outcome: str | None = None
    look: Mapping[str, Any] = field(default_factory=dict)
    locks: ExitStack = field(default_factory=ExitStack)
    leftovers: set[str] = field(default_factory=set)
    last_run: Mapping[str, Any] | None = None

    @property
    def engines(self) -> str:
        """DuckDB, and what computed a stage in its place."""
        others = (f"{stage} by {name}" for stage, name in self.computed_by.items())
        return ", ".join([f"duckdb {package_versions()['duckdb']}", *others])

    @property
    def stamps(self) -> dict[str, Any]:
        """Columns that every row of this run shares."""
        return {
            "experiment_id": self.experiment_id,
            "run_id": self.run_id,
            "computed_at": self.computed_at,
        }

    def store(self, table: str, records: Iterable[Any]) -> None:
        """Stage records as the experiment's rows of a table."""
        rows = to_rows(table, records, self.stamps)
        self.publication.replace_experiment(table, rows)

    def store_relation(self, table: str, relation: str, *, adds: bool = False) -> None:
        """Stage a relation of the engine as the experiment's rows of a table.

        Args:
            table: table name.
            relation: with the table's columns.
            adds: the rows that stand there stay.
        """
        columns = ", ".join(load_schema(table).names)
        select = f"select {columns} from {relation}"
        if adds:
            self.publication.add_to_experiment(table, select)
        else:
            self.publication.replace_experiment(table, select)

    def hold(self, lock: AbstractContextManager[None]) -> None:
        """Take a lock and keep it until the run is over."""
        self.locks.enter_context(lock)

    def skip(self, stage: str) -> None:
        """Note that a stage was skipped and stage the removal of its old rows."""
        self.stages[stage] = "skipped"
        for table in STAGE_TABLES[stage]:
            self.publication.remove_experiment(table)
        if stage == "metrics":
            self.drop_leftovers(*EVENT_TABLES)

    def drop_leftovers(self, *tables: str) -> None:
        """Rows that an earlier run left in tables this one has no rows for go.

        Not every experiment has rows in these; a table that nobody needs is not made.
        """
        self.leftovers.update(tables)

    def load(self, table: str, kind: type[Any]) -> list[Any]:
        """The experiment's published rows of a table, as records."""
        rows = self.lake.read(table, experiment_id=self.experiment_id).to_pylist()
        return from_rows(table, kind, rows)

    def publish(self) -> Provenance:
        """Publish everything that was staged, with this run's ledger row."""
        for table in sorted(self.leftovers):
            earlier = self._inherited.get(table)
            if earlier is not None and earlier.files:
                self.publication.remove_experiment(table)
        states = self.publication.publish(ledger=self._ledger_row)
        return self.provenance(
            {n: s.snapshot_id for n, s in states.items() if s.snapshot_id is not None}
        )

    def provenance(self, snapshots: Mapping[str, int]) -> Provenance:
        """What is needed to run this again."""
        return Provenance(
            run_id=self.run_id,
            code_version=code_version(),
            config_hash=self.settings.config_hash,
            definition_hash=self.definition_hash,
            engine=self.engines,
            packages=package_versions(),
            snapshots=snapshots,
            digest=self.digest,
            seed=self.seed,
        )

    def _ledger_row(self, states: Mapping[str, TableState]) -> Any:
        import pyarrow as pa

        provenance = self.provenance({})
        row = {
            **self.stamps,
            "command": self.command,
            "code_version": provenance.code_version,
            "config_hash": provenance.config_hash,
            "definition_hash": provenance.definition_hash,
            "engine": provenance.engine,
            "seed": self.seed,
            "packages": json.dumps(dict(provenance.packages), sort_keys=True),
            "inputs": json.dumps([_raw_entry(file) for file in self.inputs]),
            "snapshots": states_to_json({**self._inherited, **states}),
            "stages": json.dumps(self.stages),
            "verdict": self.verdict,
            "outcome": self.outcome,
            "look": self.look.get("look"),
            "looks_planned": self.look.get("looks_planned"),
            "information_share": self.look.get("share"),
            "digest": self.digest,
        }
        return pa.Table.from_pylist([row], schema=arrow_schema("analysis_runs"))

    @property
    def _inherited(self) -> dict[str, TableState]:
        """What the last run of the experiment left."""
        return states_from_json(self.last_run["snapshots"]) if self.last_run else {}


@contextmanager
def open_run(settings: Settings, experiment_id: str, command: str) -> Iterator[Run]:
    """Begin a run; a second run of the same experiment waits for the first.

    Args:
        settings: a loaded configuration.
        experiment_id: the experiment.
        command: stage or flow, for the ledger.

    Raises:
        UsageError: not an experiment id.
        StorageError: the lake cannot be opened, or the other run does not end.
    """
    validate_experiment_id(experiment_id)
    with open_lake(settings) as lake:
        lake.preload()
        with (
            lake.experiment_lock(experiment_id),
            ExitStack() as locks,
            lake.engine() as engine,
        ):
            now = datetime.now(UTC)
            run_id = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
            last = _read_last_run(lake, experiment_id)
            with lake.begin(run_id, experiment_id, engine) as publication:
                yield Run(
                    settings=settings,
                    experiment_id=experiment_id,
                    command=command,
                    run_id=run_id,
                    computed_at=_follow(now, last),
                    lake=lake,
                    engine=engine,
                    publication=publication,
                    locks=locks,
                    last_run=last,
                )


def _read_last_run(lake: Lake, experiment_id: str) -> Mapping[str, Any] | None:
    """Of the experiment, in the ledger; no other run is at it now."""
    ledger = lake.read("analysis_runs", experiment_id, latest_by="computed_at")
    rows = ledger.select(["computed_at", "run_id", "snapshots"]).to_pylist()
    return max(rows, key=lambda row: (row["computed_at"], row["run_id"]), default=None)


def _follow(now: datetime, last: Mapping[str, Any] | None) -> datetime:
    """When a run was made: after the last one, though a clock went back.

    The last run is the one with the latest instant, whoever asks.
    """
    if last is None or last["computed_at"] < now:
        return now
    _log.warning(
        "by the clock it is %s UTC, before run %s of %s UTC: "
        "this run is told as the one after it",
        f"{now:%Y-%m-%d %H:%M:%S}",
        last["run_id"],
        f"{last['computed_at']:%Y-%m-%d %H:%M:%S}",
    )
    following: datetime = last["computed_at"] + _TICK
    return following


@contextmanager
def open_reader(settings: Settings, experiment_id: str) -> Iterator[Run]:
    """A run that only reads: no lock, and nothing may be published."""
    validate_experiment_id(experiment_id)
    now = datetime.now(UTC)
    with (
        open_lake(settings) as lake,
        lake.engine() as engine,
        lake.begin("reader", experiment_id) as publication,
    ):
        yield Run(
            settings=settings,
            experiment_id=experiment_id,
            command="read",
            run_id="reader",
            computed_at=now,
            lake=lake,
            engine=engine,
            publication=publication,
        )


def nothing_stored(experiment_id: str, table: str) -> UnpublishedError:
    """The error of a stage whose input nobody wrote yet."""
    return UnpublishedError(
        f"experiment {experiment_id!r} has no rows in {table}",
        where=f"iceberg.exp.{table}",
        next_step="run the earlier stage, or the whole flow with `exp run`",
    )


def _raw_entry(file: RawFile) -> dict[str, Any]:
    return {"name": file.path.name, "size": file.size, "sha256": file.sha256}
