"""Where dbt builds: a DuckDB file, or schemas of Spark or of a Trino server."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from exp_platform.lake import Engine
from exp_platform.metrics.handover import send_sources
from exp_platform.metrics.models import GROUPS, list_sources, place_relations
from exp_platform.metrics.scope import write_scope
from exp_platform.pipelines.compute_metric_aggregates import (
    fixed_point,
    generated_sql,
)
from exp_platform.pipelines.engines import open_spark_schemas, open_trino
from exp_platform.pipelines.ingest_events import open_everything_raw
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import load_ingested

if TYPE_CHECKING:
    import pyarrow as pa

_TESTED = ("exp.experiment_registry",)
"""Sources that tests read and no model."""
TARGETS = ("duckdb", "spark", "trino")
_SCOPE = (
    "run_experiments",
    "run_variants",
    "run_metrics",
    "run_covariates",
    "run_events",
)


class DbtTarget(Protocol):
    """What a build needs to know; sources and scope stand there."""

    @property
    def name(self) -> str:
        """Of the output in `profiles.yml`."""

    @property
    def place(self) -> Path | str:
        """For people: where the models are."""

    @property
    def variables(self) -> Mapping[str, str]:
        """For dbt: the generated SELECTs, and names of schemas."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What `profiles.yml` reads."""

    def records(self, table: str) -> list[dict[str, Any]]:
        """Rows of a model that was built."""


@dataclass(frozen=True)
class DuckdbTarget:
    """A file that keeps the models."""

    run: Run
    place: Path
    variables: Mapping[str, str]
    name: str = "duckdb"

    @property
    def environment(self) -> Mapping[str, str]:
        """See `DbtTarget`."""
        return {
            "EXP_DBT_DATABASE": str(self.place),
            "EXP_DBT_MEMORY": self.run.lake.settings.memory_limit,
        }

    def records(self, table: str) -> list[dict[str, Any]]:
        """See `DbtTarget`."""
        with Engine(self.run.lake.settings, self.place) as engine:
            return engine.records(f"select * from exp_run.{table}")


class Schemas(Protocol):
    """Two schemas of another engine, for the length of a build."""

    @property
    def schema(self) -> str:
        """Of the models and the scope."""

    @property
    def source_schema(self) -> str:
        """Of the sources."""

    def place(self, qualified_name: str) -> str:
        """What a relation such as `exp_run.int_x` is called there."""

    def receive(
        self, qualified_name: str, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
    ) -> None:
        """Make rows readable as e.g. `exp.exposures`."""

    def begin(self) -> None:
        """All sources have come; models follow."""

    def fetch(self, qualified_name: str) -> "pa.Table":
        """All rows of a relation."""


@dataclass(frozen=True)
class SchemasTarget:
    """Two schemas of Spark or Trino."""

    name: str
    schemas: Schemas
    generated: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def place(self) -> str:
        """See `DbtTarget`."""
        return f"{self.name.capitalize()}, schema {self.schemas.schema}"

    @property
    def variables(self) -> Mapping[str, str]:
        """See `DbtTarget`."""
        names = {
            "run_schema": self.schemas.schema,
            "source_schema": self.schemas.source_schema,
        }
        return {**self.generated, **names}

    def records(self, table: str) -> list[dict[str, Any]]:
        """See `DbtTarget`."""
        rows: list[dict[str, Any]] = self.schemas.fetch(f"exp_run.{table}").to_pylist()
        return rows


@contextmanager
def open_target(run: Run, target: str, folder: Path) -> Iterator[DbtTarget]:
    """Put an experiment's sources and scope where dbt reads them.

    Args:
        run: reads what is published.
        target: one of TARGETS.
        folder: for the file of DuckDB.

    Raises:
        StorageError: Spark does not start, or Trino does not answer.
    """
    if target == "duckdb":
        yield _open_file(run, folder / f"{run.experiment_id}.duckdb")
        return
    selects = _open_sources(run, target)
    opened = open_spark_schemas(run) if target == "spark" else open_trino(run)
    with opened as schemas:
        send_sources(run.engine, schemas, [*list_sources(GROUPS), *_TESTED])
        schemas.begin()
        placed = {
            name: place_relations(sql, target, schemas.place)
            for name, sql in selects.items()
        }
        environment = _trino_address(run) if target == "trino" else {}
        yield SchemasTarget(target, schemas, placed, environment)


def _trino_address(run: Run) -> dict[str, str]:
    place = urlsplit(run.settings.engine.trino)
    return {
        "EXP_TRINO_HOST": place.hostname or "",
        "EXP_TRINO_PORT": str(place.port),
    }


def _open_sources(run: Run, dialect: str) -> dict[str, str]:
    """Sources and scope in the run's engine; the generated SELECTs."""
    ingested = load_ingested(run)
    write_scope(run.engine, ingested.spec, ingested.definitions)
    open_everything_raw(run, ingested.spec.namespace)
    return generated_sql(ingested, fixed_point(run), dialect)


def _open_file(run: Run, database: Path) -> DuckdbTarget:
    """Write sources and scope into a database file."""
    database.unlink(missing_ok=True)
    with Engine(run.lake.settings, database) as engine:
        generated = _open_sources(replace(run, engine=engine), "duckdb")
        for name in _SCOPE:
            _keep_rows(engine, f"exp_run.{name}")
    return DuckdbTarget(run, database, generated)


def _keep_rows(engine: Engine, name: str) -> None:
    """Turn a view over Arrow memory into a table of the file."""
    engine.execute(f"create temp table kept_rows as select * from {name}")
    engine.execute(f"drop view {name}")
    engine.execute(f"create table {name} as select * from kept_rows")
    engine.execute("drop table kept_rows")
