"""One DuckDB connection with its limits set, and its errors in our words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from exp_platform.errors import ContractError, ExpPlatformError, StorageError
from exp_platform.lake.files import storage_error
from exp_platform.lake.settings import LakeSettings
from exp_platform.lake.types import quote_name

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from exp_platform.lake.areas import Area

_BATCH_ROWS = 131_072
_ARRAY_BITS = 20
"""Groups numbered densely up to 2^20 are array positions instead of hashes."""
_MEMORY = "Out of Memory Error"
_UNREADABLE = ("Invalid Input Error", "Conversion Error", "Out of Range Error")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTERRUPT = re.compile(r"\bKeyboardInterrupt(:|$)", re.MULTILINE)
_DISK_FULL = ("No space left", "max_temp_directory_size", "disk quota")


class Engine:
    """DuckDB in process: bounded memory, spill folder, UTC, schemas `exp`, `exp_raw`, `exp_run`.

    Args:
        settings: memory limit, threads and spill folder.
        database: a file that keeps what is created; None = in memory.
    """

    dialect = "duckdb"

    def __init__(self, settings: LakeSettings, database: Path | None = None) -> None:
        import duckdb

        self.memory_bytes = settings.memory_bytes
        self.temp_directory = settings.temp_directory
        try:
            self.temp_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.temp_directory) from error
        config: dict[str, Any] = {
            "memory_limit": settings.memory_limit,
            "temp_directory": str(self.temp_directory),
        }
        if settings.threads is not None:
            config["threads"] = settings.threads
        with _our_errors("connect"):
            name = ":memory:" if database is None else str(database)
            self._connection: Any = duckdb.connect(name, config=config)
        _open.add(self)
        self._registered = 0
        self._has_store = False
        self.execute("set TimeZone = 'UTC'")
        # It would stand in the middle of our own output after two seconds.
        self.execute("set enable_progress_bar_print = false")
        self.execute(f"set perfect_ht_threshold = {_ARRAY_BITS}")
        for schema in ("exp", "exp_raw", "exp_run"):
            self.execute(f"create schema if not exists {schema}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release memory and spill files."""
        _open.discard(self)
        self._connection.close()

    def interrupt(self) -> None:
        """Stop the statement that runs, if there is one; it fails."""
        self._connection.interrupt()

    def execute(self, sql: str) -> None:
        """Run one or more statements.

        Raises:
            ContractError: unreadable Parquet or CSV input, a value of the wrong type.
            StorageError: anything else the engine reports.
        """
        with _our_errors(sql):
            self._connection.execute(sql)

    def arrow(self, sql: str) -> "pa.Table":
        """The answer of one query as an Arrow table."""
        with _our_errors(sql):
            answer = self._connection.sql(sql)
            if answer is not None:
                return answer.to_arrow_table()
        raise StorageError("the statement gives no rows", where=_short(sql))

    def batches(self, sql: str) -> "Iterator[pa.RecordBatch]":
        """The answer of one query piece by piece, never whole in memory.

        The order of the rows is the engine's own where the query names none.
        """
        with _our_errors(sql):
            reader = self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS)
            try:
                yield from reader
            except OSError as error:
                # What fails after the first piece comes out of Arrow's stream.
                raise _translate(error, sql) from error

    def numbers(self, sql: str) -> "Iterator[tuple[NDArray[Any], ...]]":
        """The same as arrays, column by column; numbers only, no nulls."""
        import numpy as np

        for batch in self.batches(sql):
            # not to_numpy, which imports pandas wherever that is installed
            yield tuple(np.from_dlpack(column) for column in batch.columns)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The answer of one query as tuples of plain Python values."""
        columns = [_python_values(column) for column in self.arrow(sql).columns]
        return list(zip(*columns, strict=True))

    def records(self, sql: str) -> list[dict[str, Any]]:
        """The answer of one query as dictionaries by column name."""
        answer = self.arrow(sql)
        columns = [_python_values(column) for column in answer.columns]
        names = answer.column_names
        return [
            dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
        ]

    def columns(self, relation: str) -> tuple[str, ...]:
        """Column names of a relation name or a select statement."""
        described = self.arrow(f"describe select * from {from_clause(relation)}")
        return tuple(described.column("column_name").to_pylist())

    def register(self, qualified_name: str, table: "pa.Table") -> None:
        """Make an Arrow table readable as e.g. `exp.exposures`, without a copy."""
        self._registered += 1
        source = f"__arrow_{self._registered}"
        with _our_errors(qualified_name):
            self._connection.register(source, table)
        self.create_view(qualified_name, f"select * from {source}")

    def open_store(self, area: "Area") -> None:
        """Let SQL read the files of an object store by their location."""
        if not self._has_store:
            self._connection.register_filesystem(area.filesystem)
            self._has_store = True

    def place(self, qualified_name: str) -> str:
        """What a relation is called here: as in the models."""
        return qualified_name

    def restrict(self) -> None:
        """From now on: no files, no network, no extension, no change of a setting.

        What is to be read must stand in tables by then; a view of a file is a file.
        """
        for setting in ("python_enable_replacements", "enable_external_access"):
            self.execute(f"set {setting} = false")
        self.execute("set lock_configuration = true")

    def count_selects(self, sql: str) -> tuple[int, int]:
        """Statements of a text, and how many of them are queries, by the engine's parser.

        Raises:
            StorageError: it cannot be parsed.
        """
        import duckdb

        with _our_errors(sql):
            found = self._connection.extract_statements(sql)
        selects = [one for one in found if one.type == duckdb.StatementType.SELECT]
        return len(found), len(selects)

    def create_view(self, qualified_name: str, select: str) -> None:
        """Create or replace a view such as `exp.exposures`."""
        name = ".".join(quote_name(part) for part in qualified_name.split("."))
        self.execute(f"create or replace view {name} as {select}")

    def create_table(
        self, qualified_name: str, select: str, *, in_order: bool = False
    ) -> None:
        """Create or replace a table such as `exp_run.int_x`.

        Args:
            qualified_name: of the table.
            select: its rows.
            in_order: on one thread, so that sums of doubles are reproducible.
        """
        statement = f"create or replace table {qualified_name} as\n{select}"
        if in_order:
            self.execute_ordered(statement)
        else:
            self.execute(statement)

    def execute_sparse(self, sql: str) -> None:
        """Run one statement whose groups are few among the numbers they are named by.

        They are found by hashing: an array with a place for every number would cost more
        than the rows.
        """
        with self._set_for_now("perfect_ht_threshold", 0):
            self.execute(sql)

    def execute_ordered(self, sql: str) -> None:
        """Run one statement on one thread, so that sums of doubles are reproducible."""
        with self._set_for_now("threads", 1):
            self.execute(sql)

    @contextmanager
    def _set_for_now(self, name: str, value: int) -> Iterator[None]:
        before = self.rows(f"select current_setting('{name}')")[0][0]
        self.execute(f"set {name} = {value}")
        try:
            yield
        finally:
            self.execute(f"set {name} = {int(str(before))}")


_open: "WeakSet[Engine]" = WeakSet()


def interrupt_engines() -> None:
    """Stop what runs in the engines of this process.

    An engine that only hears of the signal waits for its threads, which do not.
    """
    for engine in tuple(_open):
        engine.interrupt()


def from_clause(relation: str) -> str:
    """A relation name as it stands, a select statement in brackets."""
    is_name = all(part.isidentifier() for part in relation.split("."))
    return relation if is_name else f"({relation.strip().rstrip(';')})"


def _python_values(column: "pa.ChunkedArray") -> list[Any]:
    """Python values without a time zone library; exact whole numbers as int."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        instants = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
        return [
            None if us is None else _EPOCH + timedelta(microseconds=us)
            for us in instants.to_pylist()
        ]
    values: list[Any] = column.to_pylist()
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return [None if value is None else int(value) for value in values]
    if pa.types.is_map(kind):
        return [None if value is None else dict(value) for value in values]
    return values


@contextmanager
def _our_errors(sql: str) -> Iterator[None]:
    import duckdb

    try:
        yield
    except RuntimeError as error:
        # So the engine says that Ctrl-C came while a query ran.
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from error
    except duckdb.Error as error:
        if _INTERRUPT.search(str(error)):
            raise KeyboardInterrupt from error
        raise _translate(error, sql) from error


def _short(sql: str) -> str:
    return " ".join(sql.split())[:200]


def _translate(error: Exception, sql: str) -> ExpPlatformError:
    import duckdb

    text = str(error)
    where = _short(sql)
    found = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, duckdb.OutOfMemoryException) or found.startswith(_MEMORY):
        if any(words in text for words in _DISK_FULL):
            return _disk_full(found, where)
        return StorageError(
            "the engine ran out of memory",
            where=where,
            found=found,
            next_step="raise memory_limit in the configuration, or lower threads",
        )
    if any(words in text for words in _DISK_FULL):
        return _disk_full(found, where)
    unreadable = (
        duckdb.InvalidInputException,
        duckdb.ConversionException,
        duckdb.SerializationException,
        duckdb.OutOfRangeException,
    )
    is_unreadable = isinstance(error, unreadable) or found.startswith(_UNREADABLE)
    if is_unreadable or type(error) is duckdb.Error:
        return ContractError(
            "the data cannot be read as declared",
            where=where,
            found=" ".join(text.split())[:400],
            next_step="correct the input file or the column mapping",
        )
    return StorageError("the engine refused a query", where=where, found=found)


def _disk_full(found: str, where: str) -> StorageError:
    return StorageError(
        "the disk is full",
        where=where,
        found=found,
        next_step="free space, or set temp_directory to another disk",
    )
