"""A written Parquet file as Iceberg's `DataFile`: counts, split points, bounds."""

from typing import TYPE_CHECKING, Any

from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, PrimitiveType, StringType, TimestamptzType

from exp_platform.lake.partitions import Partition, stored_values
from exp_platform.lake.tables import bounded_fields
from exp_platform.lake.writing import WrittenFile
from exp_platform.schemas import TableSchema

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

_TYPES: dict[str, PrimitiveType] = {
    "string": StringType(),
    "timestamptz": TimestamptzType(),
    "date": DateType(),
}


def to_data_file(
    file: WrittenFile, table: TableSchema, partition: Partition
) -> DataFile:
    """What a manifest says about one file.

    PyIceberg's `parquet_file_to_data_file` reads the footer again and imports the
    whole of `pyiceberg.io.pyarrow`.
    """
    lower, upper = _column_bounds(file.footer, table)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.place.location,
        file_format=FileFormat.PARQUET,
        partition=Record(*stored_values(partition)),
        record_count=file.record_count,
        file_size_in_bytes=file.size,
        column_sizes=None,
        value_counts=None,
        null_value_counts=None,
        nan_value_counts=None,
        lower_bounds=lower,
        upper_bounds=upper,
        key_metadata=None,
        split_offsets=_split_offsets(file.footer),
        equality_ids=None,
        sort_order_id=None,
    )


def _column_bounds(
    footer: "FileMetaData", table: TableSchema
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    lower: dict[int, bytes] = {}
    upper: dict[int, bytes] = {}
    fields = {field.name: field for field in bounded_fields(table)}
    for position in range(footer.num_columns):
        field = fields.get(footer.schema.column(position).path)
        bounds = field and _bounds(footer, position)
        if field and bounds:
            kind = _TYPES[field.type]
            lower[field.field_id] = to_bytes(kind, bounds[0])
            upper[field.field_id] = to_bytes(kind, bounds[1])
    return lower, upper


def _bounds(footer: "FileMetaData", position: int) -> tuple[Any, Any] | None:
    groups = range(footer.num_row_groups)
    known = [footer.row_group(g).column(position).statistics for g in groups]
    if not all(s is not None and s.has_null_count for s in known):
        return None
    # A row group of nulls alone has no bounds; any other without them is unknown.
    filled = [s for s in known if s.num_values]
    if not filled or not all(s.has_min_max for s in filled):
        return None
    return min(s.min for s in filled), max(s.max for s in filled)


def _split_offsets(footer: "FileMetaData") -> list[int]:
    first = [footer.row_group(g).column(0) for g in range(footer.num_row_groups)]
    return sorted(
        min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset)
        for c in first
    )
