"""Records as table rows and back: the same field names on both sides."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, get_args

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


def from_rows(
    table: str, kind: type[Record], rows: Iterable[Mapping[str, Any]]
) -> list[Record]:
    """Rows as records of one kind; enums, tuples and JSON come back as they were.

    Args:
        table: its schema says which columns hold JSON.
        kind: dataclass whose fields have the columns' names.
        rows: column -> value.
    """
    documents = {f.name for f in load_schema(table).fields if f.type == "json"}
    annotations = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    return [
        kind(
            **{
                name: _from_cell(annotation, row[name], is_json=name in documents)
                for name, annotation in annotations.items()
                if name in row
            }
        )
        for row in rows
    ]


def _to_cell(value: Any, column_type: str) -> Any:
    if column_type == "json":
        return json.dumps(value, sort_keys=True, default=str)
    return value.value if isinstance(value, Enum) else value


def _from_cell(annotation: Any, value: Any, *, is_json: bool) -> Any:
    if value is None:
        return None
    if is_json:
        document = json.loads(value)
        return tuple(document) if isinstance(document, list) else document
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(value)
    return value
