"""Schemas of Spark's own catalog, for a program that writes SQL itself, such as dbt.

Such a program asks for the process's one session and names its relations by schema, so
temporary views of a session beside it would not do. Tables are Parquet in a folder; the
lake's catalog is not asked, and nothing is left behind.
"""

import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.spark.engine import (
    OWN_CATALOG,
    our_errors,
    settings_for,
    write_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


class SparkSchemas:
    """Two schemas: the sources of one experiment, and what is made of them.

    Args:
        session: the process's session; its settings are put back afterwards.
        folder: of all tables, on a disk that Spark's executors see.
    """

    def __init__(self, session: "SparkSession", folder: Path) -> None:
        self.schema = f"exp_dbt_{secrets.token_hex(4)}"
        self.source_schema = f"{self.schema}_source"
        self._session = session
        self._folder = folder
        self._rows = 0
        self._before: dict[str, str | None] = {}
        self._set(OWN_CATALOG)
        for schema in (self.schema, self.source_schema):
            place = (folder / schema).absolute().as_uri()
            with our_errors(schema):
                session.sql(f"create schema {schema} location '{place}'")

    def close(self) -> None:
        """Drop both schemas with everything in them."""
        for schema in (self.schema, self.source_schema):
            with our_errors(schema):
                self._session.sql(f"drop schema if exists {schema} cascade")
        shutil.rmtree(self._folder, ignore_errors=True)
        for key, value in self._before.items():
            if value is None:
                self._session.conf.unset(key)
            else:
                self._session.conf.set(key, value)

    def place(self, qualified_name: str) -> str:
        """Models and scope stand in one schema, the sources beside it."""
        room, name = qualified_name.split(".")
        return f"{self.schema if room == 'exp_run' else self.source_schema}.{name}"

    def receive(
        self, qualified_name: str, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
    ) -> None:
        """Make rows readable as e.g. `exp.exposures`."""
        name = self.place(qualified_name)
        folder = self._folder / "received" / name
        self._rows += write_rows(folder / "rows.parquet", schema, rows)
        place = folder.absolute().as_uri()
        with our_errors(qualified_name):
            self._session.sql(f"create table {name} using parquet location '{place}'")

    def begin(self) -> None:
        """All sources have come; what suits their size is set."""
        self._set(settings_for(self._rows))

    def fetch(self, qualified_name: str) -> "pa.Table":
        """All rows of a relation."""
        with our_errors(qualified_name):
            return self._session.table(self.place(qualified_name)).toArrow()

    def _set(self, settings: Mapping[str, str]) -> None:
        for key, value in settings.items():
            self._before.setdefault(key, self._session.conf.get(key, None))
            self._session.conf.set(key, value)
