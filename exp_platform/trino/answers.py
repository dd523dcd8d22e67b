"""What Trino's client gives, as Arrow: types by name, values as Python objects."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from exp_platform.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_MAP = re.compile(r"map\((\w+), ?(\w+)\)")


def to_arrow(description: Sequence[Any], rows: Sequence[Sequence[Any]]) -> "pa.Table":
    """Rows of a query as a table.

    Args:
        description: one entry per column, its name and its type first.
        rows: as the client gives them.

    Raises:
        StorageError: a type that no model has.
    """
    import pyarrow as pa

    fields = [pa.field(entry[0], arrow_type(str(entry[1]))) for entry in description]
    columns = zip(*rows, strict=True) if rows else ([] for _ in fields)
    arrays = [
        pa.array(list(map(_entries, column)), field.type)
        for field, column in zip(fields, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def arrow_type(name: str) -> "pa.DataType":
    """The Arrow type of a Trino type such as `timestamp(6) with time zone`."""
    import pyarrow as pa

    plain = {
        "boolean": pa.bool_(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "date": pa.date32(),
    }
    if name in plain:
        return plain[name]
    if name.startswith("varchar"):
        return pa.string()
    if name.startswith("timestamp") and name.endswith("with time zone"):
        return pa.timestamp("us", "UTC")
    if decimal := _DECIMAL.fullmatch(name):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if pair := _MAP.fullmatch(name):
        return pa.map_(arrow_type(pair[1]), arrow_type(pair[2]))
    raise StorageError("a type that no model has", where="Trino", found=name)


def _entries(value: Any) -> Any:
    """Arrow builds a map from its entries."""
    return list(value.items()) if isinstance(value, dict) else value
