"""The door to `schemas/`: one JSON Schema per table, read as neutral fields.

Everything that needs a table's columns asks here: Arrow types for files, neutral
fields for `lake.types` (Iceberg), the whole document for validators.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from exp_platform.errors import ContractError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_SCALARS = {"integer": "long", "number": "double", "boolean": "boolean"}
_FORMATS = {"date-time": "timestamptz", "date": "date"}
_PARTITION = ("experiment_id",)


@dataclass(frozen=True, slots=True)
class Field:
    """One column, in no engine's terms.

    Attributes:
        type: string, long, double, boolean, timestamptz, date, json or map
            (string to string).
        field_id: Iceberg field id, never reused; `key_id` and `value_id` of a map.
    """

    name: str
    type: str
    field_id: int
    required: bool
    description: str
    key_id: int | None = None
    value_id: int | None = None


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table's columns.

    Attributes:
        key: columns that make a row unique.
        partition: columns whose values a data file has only one of.
    """

    name: str
    description: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    partition: tuple[str, ...] = _PARTITION

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(field.name for field in self.fields)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that may not be null."""
        return tuple(field.name for field in self.fields if field.required)

    def field(self, name: str) -> Field:
        """The column of that name.

        Raises:
            ContractError: the table has no such column.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise ContractError(
            f"unknown column {name!r}",
            where=f"table {self.name}",
            allowed=did_you_mean(name, self.names),
        )


def _folder() -> Any:
    return resources.files("exp_platform").joinpath("schemas")


@cache
def table_names() -> tuple[str, ...]:
    """Names of all tables that have a schema, sorted."""
    suffix = ".schema.json"
    files = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(n.removesuffix(suffix) for n in files if n.endswith(suffix)))


@cache
def load_document(table: str) -> dict[str, Any]:
    """The JSON Schema document of a table.

    Raises:
        ContractError: no schema of that name.
    """
    if table not in table_names():
        raise ContractError(
            f"unknown table {table!r}", allowed=did_you_mean(table, table_names())
        )
    text = _folder().joinpath(f"{table}.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def load_schema(table: str) -> TableSchema:
    """The neutral fields of a table, in column order."""
    document = load_document(table)
    required = set(document["required"])
    fields = tuple(
        _field(name, column, required=name in required)
        for name, column in document["properties"].items()
    )
    return TableSchema(
        table,
        document["description"],
        fields,
        tuple(document["x-key"]),
        tuple(document.get("x-partition", _PARTITION)),
    )


def _field(name: str, column: dict[str, Any], *, required: bool) -> Field:
    return Field(
        name=name,
        type=_neutral_type(column),
        field_id=column["x-field-id"],
        required=required,
        description=column["description"],
        key_id=column.get("x-key-id"),
        value_id=column.get("x-value-id"),
    )


def _neutral_type(column: dict[str, Any]) -> str:
    declared = column["type"]
    kind = declared[0] if isinstance(declared, list) else declared
    if kind == "object":
        return "map"
    if kind == "string":
        if column.get("contentMediaType") == "application/json":
            return "json"
        return _FORMATS.get(column.get("format", ""), "string")
    return _SCALARS[kind]


@cache
def arrow_schema(table: str) -> "pa.Schema":
    """The Arrow schema of a table; instants in microseconds, UTC."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "json": pa.string(),
        "long": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "map": pa.map_(pa.string(), pa.string()),
    }
    return pa.schema(
        pa.field(f.name, types[f.type], nullable=not f.required)
        for f in load_schema(table).fields
    )
