"""Partitions: the part of a table that a data file lies in and that one write replaces.

A partition is one value per partition column, in the order of the table's schema:
`("exp_a",)` of an experiment's table, `(date(2026, 1, 5), "shop")` of `fact_event`.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING

from exp_platform.errors import ContractError
from exp_platform.lake.raw import validate_experiment_id
from exp_platform.schemas import TableSchema

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression

Value = str | date
Partition = tuple[Value, ...]
Where = Mapping[str, Collection[Value]]

_EPOCH = date(1970, 1, 1)


def check_partition(table: TableSchema, partition: Partition) -> Partition:
    """Hand a partition back if the table can have it.

    Raises:
        ContractError: too many or too few values, or a value of another type.
        UsageError: a text that is not safe as the name of a folder.
    """
    fields = [table.field(name) for name in table.partition]
    wanted = tuple(date if field.type == "date" else str for field in fields)
    found = tuple(type(value) for value in partition)
    if found != wanted:
        raise ContractError(
            "this is not a partition of the table",
            where=f"table {table.name}",
            found=repr(partition),
            allowed=", ".join(f"{f.name} ({f.type})" for f in fields),
        )
    for value in partition:
        if isinstance(value, str):
            validate_experiment_id(value)
    return partition


def name_partition(table: TableSchema, partition: Partition) -> str:
    """The folders of a partition: `event_date=2026-01-05/namespace=shop`."""
    pairs = zip(table.partition, partition, strict=True)
    return "/".join(f"{name}={value}" for name, value in pairs)


def stored_values(partition: Partition) -> tuple[str | int, ...]:
    """A partition as Iceberg stores it: days since 1970 for a date."""
    return tuple(
        value if isinstance(value, str) else (value - _EPOCH).days
        for value in partition
    )


def where_partitions(table: TableSchema, partitions: Collection[Partition]) -> Where:
    """The smallest box around some partitions: allowed values column by column."""
    columns = zip(*partitions, strict=True)
    return dict(zip(table.partition, map(set, columns), strict=True))


def row_filter(where: Where) -> "BooleanExpression":
    """The filter for rows whose columns have one of the allowed values each."""
    from pyiceberg.expressions import AlwaysTrue, And, In, Reference

    found: BooleanExpression = AlwaysTrue()
    for name, values in where.items():
        found = And(found, In(term=Reference(name), literals=values))
    return found
