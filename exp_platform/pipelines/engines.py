"""The engine that computes a stage, where the configuration names another than DuckDB."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.errors import UsageError
from exp_platform.metrics.handover import OtherEngine
from exp_platform.pipelines.run import Run

if TYPE_CHECKING:
    from exp_platform.lake.spark_validation import SparkJudge
    from exp_platform.spark.engine import SparkEngine
    from exp_platform.spark.schemas import SparkSchemas
    from exp_platform.trino.engine import TrinoEngine


@contextmanager
def open_stage_engine(run: Run, stage: str) -> Iterator[OtherEngine | None]:
    """The stage's engine for as long as it computes; None = DuckDB.

    Raises:
        UsageError: the engine's client is not installed.
        StorageError: the engine does not start or does not answer.
    """
    kind = run.settings.engine.of(stage)
    if kind == "duckdb":
        yield None
        return
    opened: AbstractContextManager[OtherEngine] = (
        _open_spark(run) if kind == "spark" else open_trino(run)
    )
    with opened as engine:
        run.computed_by[stage] = engine.version
        yield engine


@contextmanager
def open_judge(run: Run) -> "Iterator[SparkJudge | None]":
    """What judges delivered rows; None = DuckDB.

    What it accepts stays readable until the run is over.

    Raises:
        UsageError: pyspark is not installed, or is not the line the jars were built for.
        StorageError: Spark does not start.
    """
    if run.settings.engine.of("ingest") == "duckdb":
        yield None
        return
    from exp_platform.lake.spark_validation import SparkJudge

    answers = run.settings.paths.temp / f"{run.run_id}-{run.experiment_id}-ingest"
    run.locks.callback(shutil.rmtree, answers, ignore_errors=True)
    with _open_spark(run) as engine:
        run.computed_by["ingest"] = engine.version
        yield SparkJudge(engine, answers)


@contextmanager
def _open_spark(run: Run) -> "Iterator[SparkEngine]":
    from exp_platform.spark.engine import SparkEngine
    from exp_platform.spark.session import open_session

    session = open_session("exp_platform", run.settings)
    with closing(SparkEngine(session, _spark_folder(run))) as engine:
        yield engine


@contextmanager
def open_spark_schemas(run: Run) -> "Iterator[SparkSchemas]":
    """Schemas of the run's own in Spark's catalog, which are dropped afterwards.

    Raises:
        UsageError: pyspark is not installed, or is not the line the jars were built for.
        StorageError: the session cannot start.
    """
    from exp_platform.spark.schemas import SparkSchemas
    from exp_platform.spark.session import open_session

    session = open_session("exp_platform", run.settings)
    with closing(SparkSchemas(session, _spark_folder(run))) as schemas:
        yield schemas


def _spark_folder(run: Run) -> Path:
    return run.settings.paths.temp / f"{run.run_id}-{run.experiment_id}-spark"


@contextmanager
def open_trino(run: Run) -> "Iterator[TrinoEngine]":
    """Trino with schemas of the run's own, which are dropped afterwards.

    Raises:
        UsageError: the configuration names no server, or the client is not installed.
        StorageError: the lake is not shared, or Trino does not answer.
    """
    from exp_platform.lake.scratch import ScratchWriter
    from exp_platform.trino.engine import TrinoEngine

    url = run.settings.engine.trino
    if not url:
        raise UsageError(
            "the configuration names no Trino server",
            next_step="add `trino: http://host:port` under `engine:`",
        )
    run.lake.ensure_catalog()
    with (
        closing(ScratchWriter(run.lake.settings)) as writer,
        closing(TrinoEngine(url, writer)) as engine,
    ):
        yield engine
