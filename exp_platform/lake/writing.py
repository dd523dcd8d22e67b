"""One data file of one partition: from a query or an Arrow table to Parquet with ids."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.areas import Area, NewFile
from exp_platform.lake.engine import Engine, from_clause
from exp_platform.lake.files import hash_file, remove_files
from exp_platform.lake.partitions import Partition, name_partition
from exp_platform.lake.types import (
    arrow_field_id,
    arrow_file_schema,
    duckdb_type,
    field_ids_clause,
    quote_name,
    quote_text,
)
from exp_platform.schemas import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished data file that no table knows yet.

    Attributes:
        place: where it is written, and where it will be found.
        size: bytes.
        sha256: of its bytes, in hex.
        footer: Parquet metadata, read once.
    """

    place: NewFile
    size: int
    sha256: str
    footer: "FileMetaData"

    @property
    def record_count(self) -> int:
        """Rows in the file."""
        return int(self.footer.num_rows)


def new_data_file(
    area: Area, table: TableSchema, partition: Partition, run_id: str
) -> NewFile:
    """A fresh place for a data file, its local folder created."""
    return _place(area, table, partition, f"{run_id}-{uuid.uuid4()}")


def new_data_files(
    area: Area, table: TableSchema, partition: Partition, run_id: str, *, n_files: int
) -> list[NewFile]:
    """The same for files whose names keep their order, as readers sort by name."""
    name = f"{run_id}-{uuid.uuid4()}"
    return [
        _place(area, table, partition, f"{name}-{number:06d}")
        for number in range(n_files)
    ]


def _place(area: Area, table: TableSchema, partition: Partition, name: str) -> NewFile:
    folder = f"exp/{table.name}/data/{name_partition(table, partition)}"
    return area.new_file(f"{folder}/{name}.parquet")


def write_data_file(
    place: NewFile,
    table: TableSchema,
    partition: Partition,
    data: "str | pa.Table",
    *,
    engine: Engine | None = None,
) -> WrittenFile | None:
    """Write one partition's rows in their order; no rows, no file.

    Args:
        place: where the file goes.
        table: whose columns; a missing optional column is written as nulls.
        partition: every row must carry its values.
        data: relation name or select statement in the engine, or an Arrow table.
        engine: needed for SQL.

    Raises:
        ContractError: a column is missing, unknown, of another type, or null where
            it may not be; a row of another partition.
    """
    path = place.path
    with _removed_on_failure(path):
        if isinstance(data, str):
            _copy_query(path, table, data, engine)
        else:
            _write_arrow(path, table, data)
        return _finish(place, table, partition)


def adopt_data_file(
    place: NewFile, table: TableSchema, partition: Partition, source: Path
) -> WrittenFile | None:
    """Take over a file that another engine wrote; no rows, no file.

    Args:
        place: where it goes; without a copy, where the disk is the same.
        table: whose columns, types and field ids it must have, in their order.
        partition: every row must carry its values.
        source: stays where it is.

    Raises:
        ContractError: it has other columns, types or ids, a null where none may be, or
            a row of another partition.
    """
    import pyarrow.parquet as pq

    _check_layout(source, table, pq.read_schema(source))
    with _removed_on_failure(place.path):
        try:
            place.path.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, place.path)
        return _finish(place, table, partition)


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove_files([path])
        raise


def _finish(
    place: NewFile, table: TableSchema, partition: Partition
) -> WrittenFile | None:
    import pyarrow.parquet as pq

    path = place.path
    footer = pq.read_metadata(path)
    if not footer.num_rows:
        remove_files([path])
        return None
    _check_rows(path, table, partition, footer)
    return WrittenFile(place, path.stat().st_size, hash_file(path), footer)


def _check_layout(path: Path, table: TableSchema, found: "pa.Schema") -> None:
    wanted = arrow_file_schema(table)
    theirs, ours = (
        [(f.name, str(f.type), arrow_field_id(f)) for f in schema]
        for schema in (found, wanted)
    )
    if theirs != ours or not can_adopt(table):
        raise ContractError(
            "a data file has other columns than its table",
            where=f"{path} (table {table.name})",
            found=str(theirs)[:300],
            allowed=str(ours),
        )


def can_adopt(table: TableSchema) -> bool:
    """Whether every field can have its id in a file of another engine.

    Spark gives none to the entries of a map.
    """
    return all(field.type != "map" for field in table.fields)


def _copy_query(
    path: Path, table: TableSchema, relation: str, engine: Engine | None
) -> None:
    if engine is None:
        raise ContractError(
            "SQL needs an engine",
            where=f"table {table.name}",
            next_step="hand the engine to Lake.begin, or hand over an Arrow table",
        )
    present = engine.columns(relation)
    _check_columns(table, present)
    columns = ", ".join(
        f"cast({quote_name(f.name) if f.name in present else 'null'} "
        f"as {duckdb_type(f)}) as {quote_name(f.name)}"
        for f in table.fields
    )
    engine.execute(
        f"copy (select {columns} from {from_clause(relation)}) "
        f"to {quote_text(str(path))} (format parquet, compression zstd, "
        f"field_ids {field_ids_clause(table)})"
    )


def _write_arrow(path: Path, table: TableSchema, data: "pa.Table") -> None:
    import pyarrow.parquet as pq

    pq.write_table(_conform(table, data), path, compression="zstd")


def _conform(table: TableSchema, data: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    _check_columns(table, data.column_names)
    schema = arrow_file_schema(table)
    columns = []
    for field in schema:
        if field.name not in data.column_names:
            columns.append(pa.nulls(data.num_rows, field.type))
            continue
        column = data.column(field.name)
        if not field.nullable and column.null_count:
            raise _null_found(table, field.name, column.null_count)
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise ContractError(
                "a column has values of another type",
                where=f"table {table.name}, column {field.name}",
                found=f"{column.type}: {error}",
                allowed=str(field.type),
            ) from error
    return pa.table(columns, schema=schema)


def _check_columns(table: TableSchema, present: "tuple[str, ...] | list[str]") -> None:
    missing = [name for name in table.required if name not in present]
    if missing:
        raise ContractError(
            "a required column is missing",
            where=f"table {table.name}, column {missing[0]}",
            found=did_you_mean(missing[0], present),
        )
    unknown = [name for name in present if name not in table.names]
    if unknown:
        raise ContractError(
            "a column is not in the schema",
            where=f"table {table.name}, column {unknown[0]}",
            allowed=did_you_mean(unknown[0], table.names),
        )


def _check_rows(
    path: Path, table: TableSchema, partition: Partition, footer: "FileMetaData"
) -> None:
    """Nulls and the partition, from the footer's statistics where they are kept."""
    position = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
    for name in table.required:
        nulls = _count_nulls(path, footer, position[name])
        if nulls:
            raise _null_found(table, name, nulls)
    for name, value in zip(table.partition, partition, strict=True):
        found = _distinct_bounds(path, footer, position[name])
        if found != {value}:
            raise ContractError(
                f"rows of another {name.removesuffix('_id')}",
                where=f"table {table.name}",
                found=", ".join(sorted(map(str, found - {value}))),
                allowed=str(value),
            )


def _count_nulls(path: Path, footer: "FileMetaData", column: int) -> int:
    import pyarrow.parquet as pq

    if footer.schema.column(column).max_definition_level == 0:
        return 0
    statistics = _statistics(footer, column)
    if all(s is not None and s.has_null_count for s in statistics):
        return sum(s.null_count for s in statistics)
    name = footer.schema.column(column).path
    return int(pq.ParquetFile(path).read(columns=[name]).column(0).null_count)


def _distinct_bounds(path: Path, footer: "FileMetaData", column: int) -> set[Any]:
    import pyarrow.parquet as pq

    statistics = _statistics(footer, column)
    if all(s is not None and s.has_min_max for s in statistics):
        return {bound for s in statistics for bound in (s.min, s.max)}
    name = footer.schema.column(column).path
    return set(pq.ParquetFile(path).read(columns=[name]).column(0).unique().to_pylist())


def _statistics(footer: "FileMetaData", column: int) -> list[Any]:
    groups = range(footer.num_row_groups)
    return [footer.row_group(g).column(column).statistics for g in groups]


def _null_found(table: TableSchema, column: str, count: int) -> ContractError:
    return ContractError(
        "a required column holds nulls",
        where=f"table {table.name}, column {column}",
        found=f"{count} null rows",
        allowed="no nulls",
        next_step="quarantine these rows before writing the table",
    )
