"""Records as table rows and back: the same field names on both sides."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from exp_platform.schemas import arrow_schema, load_schema

if TYPE_CHECKING:
    import pyarrow as pa

Record = TypeVar("Record")


def to_rows(
    table: str, records: Iterable[Any], stamps: Mapping[str, Any]
) -> "pa.Table":
    """Records as an Arrow table in the order of the table's columns.

    Args:
        table: its schema gives columns and types.
        records: dataclasses whose fields have the columns' names.
        stamps: columns that every new row shares (run_id, computed_at); a record that
            has its own, because an earlier run made it, keeps it.
    """
    import pyarrow as pa

    schema = load_schema(table)
    rows = list(records)
    columns = {
        field.name: [
            _to_cell(getattr(row, field.name, None) or stamps[field.name], field.type)
            if field.name in stamps
            else _to_cell(getattr(row, field.name), field.type)
            for row in rows
        ]
        for field in schema.fields
    }
    return pa.table(columns, schema=arrow_schema(table))


def from_rows(kind: type[Record], rows: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Rows as records of one kind; enums, tuples and JSON come back as they were."""
    return [
        kind(**{f.name: _from_cell(f.type, row[f.name]) for f in _stored(kind, row)})
        for row in rows
    ]


def _stored(kind: Any, row: Mapping[str, Any]) -> list[Any]:
    return [field for field in fields(kind) if field.name in row]


def _to_cell(value: Any, column_type: str) -> Any:
    if column_type == "json":
        return json.dumps(value, sort_keys=True, default=str)
    return value.value if isinstance(value, Enum) else value


def _from_cell(annotation: Any, value: Any) -> Any:
    if value is None or not isinstance(value, str):
        return value
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation(value)
    optional = getattr(annotation, "__args__", ())
    for part in optional:
        if isinstance(part, type) and issubclass(part, Enum):
            return part(value)
    if annotation is str or (str in optional and len(optional) == 2):
        is_tuple = getattr(annotation, "__origin__", None) is tuple
        return tuple(json.loads(value)) if is_tuple else value
    return json.loads(value)
