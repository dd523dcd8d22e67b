"""Iceberg tables as the JSON Schemas want them: created, or evolved where safe."""

from typing import TYPE_CHECKING

from exp_platform.errors import ContractError
from exp_platform.lake.types import iceberg_schema, partition_spec
from exp_platform.schemas import Field, TableSchema

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate
    from pyiceberg.types import NestedField

OWN_FIELD_IDS = 10_000
"""Columns of the JSON Schemas have ids up to this; those another engine adds come after."""

_NEXT = "write a new table, or restore the schema file"


def bounded_fields(table: TableSchema) -> list[Field]:
    """Columns whose smallest and largest value are kept for every file."""
    return [
        field
        for field in table.fields
        if field.name in table.partition or field.type in {"timestamptz", "date"}
    ]


def table_properties(table: TableSchema) -> dict[str, str]:
    """Properties that keep commits flat: few metadata files, small manifests.

    Column statistics are kept for the partition and for time only: a file holds one
    partition, and nothing else prunes files.
    """
    return {
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": "5",
        "write.parquet.compression-codec": "zstd",
        "write.metadata.metrics.default": "none",
        **{
            f"write.metadata.metrics.column.{field.name}": "full"
            for field in bounded_fields(table)
        },
    }


def new_metadata(table: TableSchema, location: str) -> "TableMetadata":
    """Metadata of a table that has no snapshot yet.

    Built by hand because `new_table_metadata` numbers the fields anew, and would give
    another engine's column the id of the next one of ours.
    """
    from pyiceberg.table.metadata import TableMetadataV2
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

    schema = iceberg_schema(table)
    spec = partition_spec(table)
    return TableMetadataV2(
        location=location,
        schemas=[schema],
        last_column_id=OWN_FIELD_IDS,
        current_schema_id=schema.schema_id,
        partition_specs=[spec],
        default_spec_id=spec.spec_id,
        sort_orders=[UNSORTED_SORT_ORDER],
        default_sort_order_id=UNSORTED_SORT_ORDER.order_id,
        properties=table_properties(table),
        last_partition_id=spec.last_assigned_field_id,
    )


def plan_evolution(
    table: TableSchema, metadata: "TableMetadata"
) -> "tuple[TableUpdate, ...]":
    """Updates that bring an existing table to its JSON Schema, none if it fits.

    An added optional column and a renamed column are applied; columns that another
    engine added stay.

    Raises:
        ContractError: any other difference.
    """
    from pyiceberg.schema import Schema
    from pyiceberg.table.update import AddSchemaUpdate, SetCurrentSchemaUpdate

    own = iceberg_schema(table)
    _check_partition(table, metadata)
    if not _differs(table, metadata, own):
        return ()
    last = max(schema.schema_id for schema in metadata.schemas)
    wanted = Schema(*own.fields, *foreign_columns(metadata), schema_id=last + 1)
    return (AddSchemaUpdate(schema_=wanted), SetCurrentSchemaUpdate(schema_id=-1))


def foreign_columns(metadata: "TableMetadata") -> "list[NestedField]":
    """Columns that another engine added, and that no JSON Schema knows."""
    return [f for f in metadata.schema().fields if f.field_id > OWN_FIELD_IDS]


def _differs(table: TableSchema, metadata: "TableMetadata", wanted: "Schema") -> bool:
    there = {field.field_id: field for field in metadata.schema().fields}
    kept = (*wanted.fields, *foreign_columns(metadata))
    dropped = there.keys() - {field.field_id for field in kept}
    if dropped:
        names = ", ".join(there[field_id].name for field_id in sorted(dropped))
        raise _broken(table, names, "the column is gone from the JSON Schema")
    changed = False
    for field in wanted.fields:
        old = there.get(field.field_id)
        if old is None:
            _check_added(table, field, metadata)
        else:
            _check_kept(table, field, old)
        changed = changed or old is None or old.name != field.name
    return changed


def _check_added(
    table: TableSchema, field: "NestedField", metadata: "TableMetadata"
) -> None:
    if field.required:
        raise _broken(table, field.name, "a required column was added")
    if any(field.field_id in schema.field_ids for schema in metadata.schemas):
        change = f"field id {field.field_id} was used before"
        raise _broken(table, field.name, change)
    if field.name in {foreign.name for foreign in foreign_columns(metadata)}:
        raise _broken(table, field.name, "another engine added a column of this name")


def _check_kept(table: TableSchema, field: "NestedField", old: "NestedField") -> None:
    if field.field_type != old.field_type:
        change = f"type {old.field_type} became {field.field_type}"
        raise _broken(table, field.name, change)
    if field.required != old.required:
        words = {True: "required", False: "optional"}
        change = f"{words[old.required]} became {words[field.required]}"
        raise _broken(table, field.name, change)


def _check_partition(table: TableSchema, metadata: "TableMetadata") -> None:
    expected = partition_spec(table)
    if metadata.spec().fields != expected.fields:
        raise _broken(table, "the partition spec", f"found {metadata.spec()}")


def _broken(table: TableSchema, column: str, change: str) -> ContractError:
    return ContractError(
        "the table and its JSON Schema cannot be reconciled",
        where=f"table {table.name}, {column}",
        found=change,
        allowed="an added optional column, a renamed column",
        next_step=_NEXT,
    )
