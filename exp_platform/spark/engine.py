"""The SQL models on Spark: sources come as Parquet, answers leave as Arrow.

Every relation is a temporary view of a session of its own, so that two runs of one
process do not meet and nothing is left behind. A table is computed at once and kept by
the executors; its plan is cut there, or the plan of the last model would hold all others.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

OWN_CATALOG = {
    # the lake's catalog is not asked
    "spark.sql.defaultCatalog": "spark_catalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}
_FEW_ROWS = 250_000
# Java made for each query takes minutes over all models, and every task some
# milliseconds; few rows never earn them back.
_FOR_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
}

# A delivered file says what it holds, whatever wrote it.
_FOR_FILES = {
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.fieldId.write.enabled": "true",
}


class SparkEngine:
    """A Spark session that computes the models of one run.

    Args:
        session: a running session; the engine works in a new one beside it.
        folder: where sources are written, on a disk that Spark's executors see.
    """

    dialect = "spark"

    def __init__(self, session: "SparkSession", folder: Path) -> None:
        with our_errors("a session of its own"):
            self._session = session.newSession()
        self._set(OWN_CATALOG)
        self._rows = 0
        self._folder = folder
        self._kept: list[Any] = []
        self._views: set[str] = set()

    @property
    def version(self) -> str:
        """Name and version, for the run's ledger."""
        with our_errors("version of the session"):
            return f"spark {self._session.version}"

    def close(self) -> None:
        """Forget every relation; the session beside it stays."""
        shutil.rmtree(self._folder, ignore_errors=True)
        # with a Java that ended, its relations did
        with suppress(StorageError), our_errors("the run's views"):
            for frame in self._kept:
                frame.unpersist()
            for view in self._views:
                self._session.catalog.dropTempView(view)

    def place(self, qualified_name: str) -> str:
        """A temporary view has no schema: `exp_run.int_x` is `exp_run__int_x`."""
        return qualified_name.replace(".", "__")

    def receive(
        self, qualified_name: str, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
    ) -> None:
        """Make rows readable as e.g. `exp.exposures`."""
        file = self._folder / f"{qualified_name}.parquet"
        self._rows += write_rows(file, schema, rows)
        with our_errors(qualified_name):
            self._show(qualified_name, self._session.read.parquet(_location(file)))

    def open_file(
        self, qualified_name: str, file: Path, columns: Mapping[str, str]
    ) -> None:
        """Make a Parquet file readable where it lies, with `row_number` from 1.

        Args:
            qualified_name: of the relation.
            file: on a disk that Spark's executors see.
            columns: those that are read, with their types.
        """
        from pyspark.sql.functions import col

        self._set(_FOR_FILES)
        types = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
        number = (col("_metadata.row_index") + 1).alias("row_number")
        with our_errors(qualified_name):
            frame = self._session.read.schema(types).parquet(_location(file))
            self._show(qualified_name, frame.select(number, "*"))

    def begin(self, n_rows: int = 0) -> None:
        """All sources have come; what suits their size is set.

        Args:
            n_rows: of what is read where it lies.
        """
        self._set(settings_for(self._rows + n_rows))

    def create_view(self, qualified_name: str, select: str) -> None:
        """Create or replace a view."""
        with our_errors(qualified_name):
            self._show(qualified_name, self._session.sql(select))

    def create_table(
        self, qualified_name: str, select: str, *, in_order: bool = False
    ) -> None:
        """Compute a relation once, and keep it; the order of sums is Spark's own."""
        del in_order
        with our_errors(qualified_name):
            frame = self._session.sql(select).localCheckpoint(eager=True)
            self._show(qualified_name, frame)
        self._kept.append(frame)

    def fetch(self, qualified_name: str) -> "pa.Table":
        """All rows of a relation."""
        with our_errors(qualified_name):
            return self._session.table(self.place(qualified_name)).toArrow()

    def count(self, relation: str) -> int:
        """Rows of a relation."""
        with our_errors(relation):
            return int(self._session.table(relation).count())

    def write(
        self, select: str, folder: Path, field_ids: Mapping[str, int] | None = None
    ) -> list[Path]:
        """Write the answer of a query as Parquet files into a new folder.

        Args:
            select: the query.
            folder: on a disk that Spark's executors see.
            field_ids: Iceberg's id of each column; Spark has none for a map's entries.

        Returns:
            The files; one after the other they hold the rows in the query's order.
        """
        from pyspark.sql.functions import col

        with our_errors(folder.name):
            frame = self._session.sql(select)
            if field_ids:
                frame = frame.select(
                    *(
                        col(name).alias(name, metadata={"parquet.field.id": field_id})
                        for name, field_id in field_ids.items()
                    )
                )
            frame.write.parquet(_location(folder), compression="zstd")
        return sorted(folder.glob("part-*.parquet"))

    def _set(self, settings: Mapping[str, str]) -> None:
        with our_errors("settings of the session"):
            for key, value in settings.items():
                self._session.conf.set(key, value)

    def _show(self, qualified_name: str, frame: Any) -> None:
        view = self.place(qualified_name)
        frame.createOrReplaceTempView(view)
        self._views.add(view)


def _location(path: Path) -> str:
    """Not `as_uri`: Spark takes its escapes for part of the name."""
    return f"file://{path.absolute()}"


def settings_for(n_rows: int) -> Mapping[str, str]:
    """What suits so many rows; for many, Spark's own."""
    return _FOR_FEW_ROWS if n_rows <= _FEW_ROWS else {}


def write_rows(
    file: Path, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
) -> int:
    """Write rows as a Parquet file and say how many there were."""
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    n_rows = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in rows:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


@contextmanager
def our_errors(relation: str) -> Iterator[None]:
    """What Spark says about a relation, as an error of ours."""
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    root = logging.getLogger()
    root.addFilter(_is_not_of_bridge)
    try:
        yield
    except (Py4JNetworkError, ConnectionError, EOFError) as error:
        raise _ended(relation, error) from error
    except (PySparkException, Py4JError) as error:
        if _has_no_answer(str(error)):
            raise _ended(relation, error) from error
        found = str(error).partition("\n\nJVM stacktrace")[0]
        raise StorageError(
            "Spark refused a query",
            where=relation,
            found=" ".join(found.split())[:400],
        ) from error
    finally:
        root.removeFilter(_is_not_of_bridge)


def _is_not_of_bridge(record: logging.LogRecord) -> bool:
    """Py4J logs a lost connection with its traces, and raises it as well."""
    return record.module != "java_gateway"


def _has_no_answer(told: str) -> bool:
    """Py4J's words for a call that nobody answered; a refusal comes with Java's trace."""
    return told.startswith("An error occurred while calling") and "\n" not in told


def _ended(relation: str, error: Exception) -> StorageError:
    return StorageError(
        "Spark's Java has ended",
        where=relation,
        found=" ".join(str(error).split())[:200],
        next_step="see whether the system ended it, for lack of memory perhaps, "
        "and run again; no table was changed",
    )
