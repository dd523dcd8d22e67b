"""One delivered file: what its columns are, and whether they can be the contract's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.engine import Engine
from exp_platform.lake.types import quote_path
from exp_platform.schemas import Field, TableSchema, load_schema

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGERS = (*_SIGNED, *(f"U{name}" for name in _SIGNED))
READABLE = {
    "string": ("VARCHAR", "UUID", *_INTEGERS),
    "json": ("VARCHAR", "JSON"),
    "double": (*_INTEGERS, "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "VARCHAR"),
    "long": (*_INTEGERS, "FLOAT", "DOUBLE", "VARCHAR"),
    "boolean": ("BOOLEAN", "VARCHAR"),
    "timestamptz": ("TIMESTAMP", "DATE", "VARCHAR"),
    "date": ("DATE", "TIMESTAMP", "VARCHAR"),
    "map": ("MAP", "NULL", '"NULL"'),
}


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A Parquet file that has every column the table needs, in readable types.

    Attributes:
        schema: of the table that its rows are for.
        columns: type by column, as DuckDB names it; all columns of the file.
    """

    schema: TableSchema
    path: Path
    columns: Mapping[str, str]

    @property
    def source(self) -> str:
        """What DuckDB reads; `file_row_number` counts from 0."""
        return read_one(self.path, "file_row_number = true")

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that the contract does not know."""
        return tuple(n for n in self.columns if n not in self.schema.names)

    def unreadable(self, found: str) -> ContractError:
        """The error of a file whose bytes are broken."""
        return ContractError(
            "a raw file cannot be read as Parquet",
            where=str(self.path),
            found=found[:300],
            next_step="deliver the file again; no table was changed",
        )


def read_one(path: Path, *options: str) -> str:
    """What DuckDB reads of a Parquet file; its folder's name is no column of it."""
    given = ", ".join((quote_path(path), "hive_partitioning = false", *options))
    return f"read_parquet({given})"


def open_delivered(engine: Engine, table: str, path: Path) -> DeliveredFile:
    """Read a file's columns and hold them against the contract.

    Raises:
        ContractError: unreadable file, missing column, or a column of a type that
            cannot be read as the contract's.
    """
    schema = load_schema(table)
    if not path.exists():
        raise ContractError(
            "a raw file is missing",
            where=str(path),
            next_step="generate it with --generate-synth or `exp import`",
        )
    try:
        described = engine.rows(f"describe select * from {read_one(path)}")
    except ContractError as error:
        found = error.parts.get("found", str(error))
        raise DeliveredFile(schema, path, {}).unreadable(found) from error
    file = DeliveredFile(schema, path, {str(r[0]): str(r[1]) for r in described})
    for field in schema.fields:
        _check_column(file, field)
    return file


def can_read(wanted: str, kind: str) -> bool:
    """Whether a column's type, as DuckDB names it, is read as a neutral type."""
    # a list's type begins with that of its elements
    return kind.startswith(READABLE[wanted]) and not kind.endswith("]")


def _check_column(file: DeliveredFile, field: Field) -> None:
    kind = file.columns.get(field.name)
    if kind is None:
        if not field.required:
            return
        raise ContractError(
            f"column {field.name!r} is missing",
            where=f"{file.path} (table {file.schema.name})",
            found=", ".join(file.columns) or "no columns",
            allowed=did_you_mean(field.name, file.columns),
            next_step="deliver the file with that column; no table was changed",
        )
    if not can_read(field.type, kind):
        raise ContractError(
            f"column {field.name!r} cannot be read as {field.type}",
            where=f"{file.path} (table {file.schema.name})",
            found=kind,
            allowed=", ".join(READABLE[field.type]),
            next_step="deliver the column with a readable type; no table was changed",
        )
