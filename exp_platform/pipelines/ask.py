"""Answer a question to the metrics layer from published tables, and say as of when."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from exp_platform.config import Settings
from exp_platform.errors import StorageError
from exp_platform.lake import (
    Lake,
    open_lake,
    states_from_json,
    validate_experiment_id,
)
from exp_platform.metrics.observations import transpile
from exp_platform.metrics.query import (
    MetricQuery,
    Vocabulary,
    compile_query,
    compile_values,
)
from exp_platform.pipelines.metrics_run import (
    WRITING,
    find_metrics_run,
    holds_same,
)
from exp_platform.pipelines.registry import read_spec, require_totals
from exp_platform.pipelines.rows import from_rows
from exp_platform.pipelines.run import nothing_stored
from exp_platform.pipelines.shown import check_format, record_document
from exp_platform.records import Estimate, ExperimentSpec, MetricType

if TYPE_CHECKING:
    import pyarrow as pa

SOURCES = (
    "metric_calculations",
    "experiment_assignments",
    "metric_aggregates_daily",
    "metric_aggregates_by_age",
)
_READ = ("experiment_registry", "metric_definitions", "analysis_runs", *SOURCES)
DIALECTS = ("duckdb", "spark", "trino")


@dataclass(frozen=True, slots=True)
class AsOf:
    """Which state of the tables a number was read from.

    Attributes:
        definitions: metric -> version and content hash of its definition.
        snapshots: table -> Iceberg snapshot id.
        watermark: event time up to which the data are complete; None = no dates.
        computed_at, run_id: the run that computed the totals.
    """

    experiment_id: str
    definitions: Mapping[str, str]
    snapshots: Mapping[str, int]
    watermark: datetime | None
    computed_at: datetime
    run_id: str

    def fingerprint(self, *words: str) -> str:
        """What identifies an answer: this state and what was asked, 32 hex digits."""
        text = json.dumps([asdict(self), *words], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Subject:
    """One experiment, ready to be asked about."""

    spec: ExperimentSpec
    words: Vocabulary
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows with the SQL that made them and the state they were read from."""

    table: "pa.Table"
    sql: str
    as_of: AsOf


def find_subject(settings: Settings, experiment_id: str) -> Subject:
    """What may be asked about an experiment, pinned to the snapshots of this moment.

    Raises:
        UsageError: not an experiment id.
        UnpublishedError: nobody published metrics of it.
    """
    validate_experiment_id(experiment_id)
    with open_lake(settings) as lake:
        return _describe(lake, experiment_id)


def read_estimates(settings: Settings, experiment_id: str) -> list[dict[str, Any]]:
    """Every stored estimate as JSON values, refused methods and panels included.

    Raises:
        UsageError: not an experiment id.
        UnpublishedError: nobody published a run of it.
    """
    validate_experiment_id(experiment_id)
    with open_lake(settings) as lake:
        rows = lake.read("analysis_results", experiment_id).to_pylist()
        if not rows and not lake.read("analysis_runs", experiment_id).num_rows:
            raise nothing_stored(experiment_id, "analysis_runs")
    return [record_document(e) for e in from_rows("analysis_results", Estimate, rows)]


def answer_query(settings: Settings, subject: Subject, query: MetricQuery) -> Answer:
    """Read the answer at the subject's snapshots, in one thread: same bits every time.

    Args:
        settings: a loaded configuration.
        subject: from `find_subject`.
        query: the question.

    Raises:
        UsageError: the question names something that is not there.
        StorageError: a snapshot has expired since.
    """
    return _read(settings, subject, compile_query(query, subject.words))


def list_values(settings: Settings, subject: Subject, dimension: str) -> Answer:
    """The values of a dimension, with how many units have each.

    Args:
        settings: a loaded configuration.
        subject: from `find_subject`.
        dimension: `variant` or a declared segment.

    Raises:
        UsageError: no such dimension.
        StorageError: a snapshot has expired since.
    """
    return _read(settings, subject, compile_values(dimension, subject.words))


def _read(settings: Settings, subject: Subject, sql: str) -> Answer:
    with open_lake(settings) as lake, lake.engine() as engine:
        engine.execute("set threads = 1")
        for table in SOURCES:
            lake.attach(
                engine,
                table,
                experiment_id=subject.as_of.experiment_id,
                snapshot_id=subject.as_of.snapshots.get(table),
            )
        return Answer(engine.arrow(sql), sql, subject.as_of)


def query_sql(subject: Subject, query: MetricQuery, *, dialect: str = "duckdb") -> str:
    """The SQL of a question without running it.

    Args:
        subject: from `find_subject`.
        query: the question.
        dialect: duckdb, spark or trino.

    Raises:
        UsageError: an unknown name or dialect.
    """
    check_format(dialect, DIALECTS, what="dialect")
    sql = compile_query(query, subject.words)
    return sql if dialect == "duckdb" else transpile(sql, dialect)


def _describe(lake: Lake, experiment_id: str) -> Subject:
    states = lake.states()
    pinned = {name: s for name in _READ if (s := states.get(name)) is not None}

    def rows(table: str) -> list[dict[str, Any]]:
        """Rows of one table at the run's own snapshot."""
        if table not in pinned:
            raise nothing_stored(experiment_id, table)
        found: list[dict[str, Any]] = lake.read(
            table, experiment_id, snapshot_id=pinned[table]
        ).to_pylist()
        if not found:
            raise nothing_stored(experiment_id, table)
        return found

    made, registry = _find_origin(rows("analysis_runs"))
    if registry is not None:
        pinned["experiment_registry"] = registry
    try:
        plan = rows("experiment_registry")[0]
    except StorageError as error:
        if registry is None:
            raise
        raise _plan_expired(experiment_id, made) from error
    spec = require_totals(read_spec(plan))
    definitions = rows("metric_definitions")
    variants = (spec.control, *spec.treatments)
    return Subject(
        spec=spec,
        words=Vocabulary(
            {d["metric_name"]: MetricType(d["type"]) for d in definitions},
            spec.plan.segments,
            variants,
            spec.is_dated,
            has_clusters=spec.cluster is not None,
        ),
        as_of=AsOf(
            experiment_id=experiment_id,
            definitions={d["metric_name"]: d["metric_version"] for d in definitions},
            snapshots=pinned,
            watermark=spec.watermark_ts if spec.is_dated else None,
            computed_at=made["computed_at"],
            run_id=made["run_id"],
        ),
    )


def _plan_expired(experiment_id: str, made: Mapping[str, Any]) -> StorageError:
    return StorageError(
        "the plan that the totals were computed by has expired",
        where=f"run {made['run_id']} of {experiment_id}",
        found="an ingest or refresh since then",
        next_step=f"exp run {experiment_id}",
    )


def _find_origin(ledger: list[dict[str, Any]]) -> tuple[dict[str, Any], int | None]:
    """The run that computed the totals, and the registry's snapshot it worked from.

    A refresh or an ingest since then moves the registry, its watermark included, and not
    the totals. The snapshot is None where the registry is still the same.
    """
    last = max(ledger, key=lambda r: (r["computed_at"], r["run_id"]))
    made = find_metrics_run(ledger, WRITING) or last
    then, now = (
        states_from_json(r["snapshots"]).get("experiment_registry")
        for r in (made, last)
    )
    if then is None or now is None or holds_same(then, now):
        return made, None
    return made, then.snapshot_id
