"""Neutral fields as Iceberg, DuckDB and Parquet understand them, ids included."""

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.schemas import Field, TableSchema, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

_PARTITION_FIELD_ID = 1000
_SURE_DIGITS = 15
_FIELD_ID_KEY = b"PARQUET:field_id"
_DUCKDB = {
    "string": "VARCHAR",
    "json": "VARCHAR",
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMPTZ",
    "date": "DATE",
    "map": "MAP(VARCHAR, VARCHAR)",
}


def iceberg_schema(table: TableSchema, *, schema_id: int = 0) -> "Schema":
    """The Iceberg schema with exactly the field ids of the JSON Schema."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    fields = [
        NestedField(
            f.field_id, f.name, _iceberg_type(f), required=f.required, doc=f.description
        )
        for f in table.fields
    ]
    return Schema(*fields, schema_id=schema_id)


def _iceberg_type(field: Field) -> "IcebergType":
    from pyiceberg import types

    if field.type == "map":
        return types.MapType(
            key_id=field.key_id,
            key_type=types.StringType(),
            value_id=field.value_id,
            value_type=types.StringType(),
            value_required=False,
        )
    return {
        "string": types.StringType,
        "json": types.StringType,
        "long": types.LongType,
        "double": types.DoubleType,
        "boolean": types.BooleanType,
        "timestamptz": types.TimestamptzType,
        "date": types.DateType,
    }[field.type]()


def partition_spec(table: TableSchema) -> "PartitionSpec":
    """One partition per experiment, or per value of the columns the schema names."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import IdentityTransform

    return PartitionSpec(
        *(
            PartitionField(
                source_id=table.field(name).field_id,
                field_id=_PARTITION_FIELD_ID + place,
                transform=IdentityTransform(),
                name=name,
            )
            for place, name in enumerate(table.partition)
        )
    )


def duckdb_type(field: Field) -> str:
    """The column type in DuckDB."""
    return _DUCKDB[field.type]


def quote_name(name: str) -> str:
    """An identifier, safe inside SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A string literal, safe inside SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_path(path: Path) -> str:
    """A literal that names this one file, whatever `*`, `?` and `[` stand in its name."""
    return quote_text(glob.escape(str(path)))


def write_number(number: float) -> str:
    """A number's literal, to the last bit; Trino rounds long decimals on their way."""
    text = repr(number)
    is_long = sum(mark.isdecimal() for mark in text) > _SURE_DIGITS
    return f"{text}e0" if is_long and "e" not in text else text


def field_ids_clause(table: TableSchema) -> str:
    """The `FIELD_IDS` value of COPY: each column's id, and those of map entries."""
    return "{" + ", ".join(_field_ids(field) for field in table.fields) + "}"


def _field_ids(field: Field) -> str:
    name = quote_name(field.name)
    if field.type != "map":
        return f"{name}: {field.field_id}"
    return (
        f"{name}: {{__duckdb_field_id: {field.field_id}, "
        f"key: {field.key_id}, value: {field.value_id}}}"
    )


def schema_map_clause(table: TableSchema) -> str:
    """The `schema` value of read_parquet: columns found by field id, else NULL."""
    columns = (
        f"{f.field_id}: {{name: {quote_text(f.name)}, "
        f"type: {quote_text(duckdb_type(f))}, default_value: NULL}}"
        for f in table.fields
    )
    return "MAP {" + ", ".join(columns) + "}"


def arrow_file_schema(table: TableSchema) -> "pa.Schema":
    """The Arrow schema of a data file, field ids in its metadata."""
    import pyarrow as pa

    plain = arrow_schema(table.name)
    return pa.schema(
        _with_ids(field, plain.field(field.name).type) for field in table.fields
    )


def _with_ids(field: Field, arrow_type: "pa.DataType") -> "pa.Field":
    import pyarrow as pa

    def tag(field_id: int | None) -> dict[bytes, bytes]:
        """The Parquet metadata that carries a field id."""
        return {_FIELD_ID_KEY: str(field_id).encode()}

    if field.type == "map":
        arrow_type = pa.map_(
            pa.field("key", pa.string(), nullable=False, metadata=tag(field.key_id)),
            pa.field("value", pa.string(), metadata=tag(field.value_id)),
        )
    return pa.field(
        field.name,
        arrow_type,
        nullable=not field.required,
        metadata=tag(field.field_id),
    )


def arrow_field_id(field: "pa.Field") -> int | None:
    """The Iceberg field id of a column of a Parquet file, None if it has none."""
    text = (field.metadata or {}).get(_FIELD_ID_KEY)
    return None if text is None or int(text) < 0 else int(text)
