"""The SQL models on Trino: sources and models are tables of schemas that are dropped.

Rows reach it as Iceberg tables of the shared catalog and leave through its client. Only
the run's own schemas are written to, never a table that somebody reads.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from exp_platform.errors import StorageError, UsageError
from exp_platform.trino.answers import to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

CATALOG = "iceberg"
_PREFIX = "exp_scratch_"
_STAMP = "%Y%m%dt%H%M%S"
_KEPT = timedelta(days=1)
_CONNECT_SECONDS = 10
_QUERY_SECONDS = 600
_FEW_ROWS = 1_000_000
# Each task and each sketch of a column costs more than a small table gives back.
FOR_FEW_ROWS = {
    "task_concurrency": "1",
    "task_min_writer_count": "1",
    "task_max_writer_count": "1",
    "join_distribution_type": "'BROADCAST'",
    f"{CATALOG}.collect_extended_statistics_on_write": "false",
}


class TableWriter(Protocol):
    """Writes Iceberg tables that Trino can read."""

    def __call__(
        self,
        namespace: str,
        table: str,
        schema: "pa.Schema",
        rows: "Iterable[pa.RecordBatch]",
    ) -> None:
        """Make a table of a namespace from rows."""


class TrinoEngine:
    """Two schemas of a Trino server: the sources of one run, and what is made of them.

    Args:
        url: of the server, `http://host:port`.
        write: makes a table in the catalog that Trino reads.

    Raises:
        UsageError: the client is not installed.
        StorageError: the server does not answer.
    """

    dialect = "trino"

    def __init__(self, url: str, write: TableWriter) -> None:
        mark = secrets.token_hex(4)
        self.schema = f"{_PREFIX}{datetime.now(UTC):{_STAMP}}_{mark}"
        self.source_schema = f"{self.schema}_source"
        self._write = write
        self._rows = 0
        self._connection = connect(url, self.schema)
        self._drop_stale()
        for schema in (self.schema, self.source_schema):
            self._run(f"create schema {schema}")
        self._version = str(self._run("select version()")[1][0][0])

    @property
    def version(self) -> str:
        """Name and version, for the run's ledger."""
        return f"trino {self._version}"

    def close(self) -> None:
        """Drop both schemas with everything in them."""
        try:
            for schema in (self.schema, self.source_schema):
                self._run(f"drop schema if exists {schema} cascade")
        finally:
            self._connection.close()

    def place(self, qualified_name: str) -> str:
        """Models and scope stand in one schema, the sources beside it."""
        room, name = qualified_name.split(".")
        schema = self.schema if room == "exp_run" else self.source_schema
        return f"{schema}.{name}"

    def receive(
        self, qualified_name: str, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
    ) -> None:
        """Make rows readable as e.g. `exp.exposures`."""
        namespace, table = self.place(qualified_name).split(".")
        self._write(namespace, table, schema, self._count(rows))

    def begin(self) -> None:
        """All sources have come; what suits their size is set."""
        if self._rows <= _FEW_ROWS:
            for name, value in FOR_FEW_ROWS.items():
                self._run(f"set session {name} = {value}")

    def create_view(self, qualified_name: str, select: str) -> None:
        """Create or replace a view."""
        name = self.place(qualified_name)
        self._run(f"create or replace view {name} as\n{select}", qualified_name)

    def create_table(
        self, qualified_name: str, select: str, *, in_order: bool = False
    ) -> None:
        """Compute a relation once; the order of sums is Trino's own."""
        del in_order
        name = self.place(qualified_name)
        self._run(f"create table {name} as\n{select}", qualified_name)

    def fetch(self, qualified_name: str) -> "pa.Table":
        """All rows of a relation."""
        name = self.place(qualified_name)
        return to_arrow(*self._run(f"select * from {name}", qualified_name))

    def _count(self, rows: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        for batch in rows:
            self._rows += batch.num_rows
            yield batch

    def _drop_stale(self) -> None:
        """What a run that was killed left behind."""
        oldest = f"{_PREFIX}{datetime.now(UTC) - _KEPT:{_STAMP}}"
        pattern = _PREFIX.replace("_", "\\_") + "%"
        _, rows = self._run(f"show schemas like '{pattern}' escape '\\'")
        for (name,) in rows:
            if name < oldest:
                self._run(f"drop schema {name} cascade")

    def _run(self, sql: str, where: str = "") -> tuple[Any, list[Any]]:
        """Run one statement to its end: the columns' description, and the rows."""
        with our_errors(where or sql):
            cursor = self._connection.cursor()
            cursor.execute(sql.rstrip().rstrip(";"))
            rows = cursor.fetchall()
            return cursor.description, rows


def connect(url: str, schema: str) -> Any:
    """A connection to the catalog's schema; instants are UTC.

    Raises:
        UsageError: the client is not installed.
    """
    try:
        import trino
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            next_step="pip install 'exp-platform[trino]'",
        ) from error
    place = urlsplit(url)
    connect: Callable[..., Any] = trino.dbapi.connect
    return connect(
        host=place.hostname,
        port=place.port,
        http_scheme=place.scheme,
        user=place.username or "exp_platform",
        catalog=CATALOG,
        schema=schema,
        timezone="UTC",
        source="exp_platform",
        request_timeout=(_CONNECT_SECONDS, _QUERY_SECONDS),
        max_attempts=2,
    )


@contextmanager
def our_errors(where: str) -> Iterator[None]:
    """What Trino says about a statement, as an error of ours."""
    from requests.exceptions import RequestException
    from trino.exceptions import Error, HttpError, TrinoQueryError

    short = " ".join(where.split())[:200]
    try:
        yield
    except TrinoQueryError as error:
        raise StorageError(
            "Trino refused a query",
            where=short,
            found=" ".join(str(error.message).split())[:400],
        ) from error
    except (Error, HttpError, RequestException) as error:
        raise StorageError(
            "Trino does not answer",
            where=short,
            found=" ".join(str(error).split())[:300],
            next_step="check `engine.trino` in the configuration; `make stack-status` "
            "says whether the local server runs",
        ) from error
