"""A table's rows inside the engine, or as Arrow: planned files found by field id."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from exp_platform.errors import ContractError, StorageError
from exp_platform.lake.areas import Area
from exp_platform.lake.engine import Engine
from exp_platform.lake.files import local_path
from exp_platform.lake.partitions import Where, row_filter
from exp_platform.lake.types import (
    arrow_field_id,
    duckdb_type,
    quote_name,
    quote_text,
    schema_map_clause,
)
from exp_platform.schemas import TableSchema, arrow_schema, load_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import FileScanTask, Table

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """The files of one read.

    Attributes:
        table: the Iceberg table; None if it does not exist.
        has_deletes: delete files apply, so Parquet alone is not the truth.
        sizes: bytes of each file, as the table remembers them.
    """

    table: "Table | None"
    row_filter: "BooleanExpression | None"
    snapshot_id: int | None
    files: tuple[str, ...]
    area: Area
    has_deletes: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


def plan_read(
    table: "Table | None",
    area: Area,
    *,
    where: Where | None = None,
    snapshot_id: int | None = None,
    latest_by: str = "",
) -> Plan:
    """Plan the files of some partitions, or of all, at a snapshot, or now.

    Args:
        table: the Iceberg table; None if it does not exist.
        area: where the files lie.
        where: allowed values of partition columns.
        snapshot_id: as of this snapshot; None = now.
        latest_by: a column of instants: files without its latest value are left out.

    Raises:
        StorageError: the table has no such snapshot.
    """
    if table is None:
        return Plan(None, None, snapshot_id, (), area)
    if snapshot_id is not None and table.snapshot_by_id(snapshot_id) is None:
        raise StorageError(
            "unknown snapshot",
            where=f"table {table.name()[-1]}",
            found=str(snapshot_id),
            next_step="it may have expired; `lake.snapshots.list_history` shows the rest",
        )
    wanted = row_filter(where or {})
    tasks = list(table.scan(wanted, snapshot_id=snapshot_id).plan_files())
    has_deletes = any(task.delete_files for task in tasks)
    if latest_by and not has_deletes:
        tasks = _latest(table, tasks, latest_by)
    sizes = {task.file.file_path: task.file.file_size_in_bytes for task in tasks}
    files = sorted(task.file.file_path for task in tasks)
    return Plan(table, wanted, snapshot_id, tuple(files), area, has_deletes, sizes)


def _latest(
    table: "Table", tasks: "list[FileScanTask]", column: str
) -> "list[FileScanTask]":
    """Files that may hold the latest instant, by the bounds kept of each."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import TimestamptzType

    number = table.schema().find_field(column).field_id
    bounds = [task.file.upper_bounds.get(number) for task in tasks]
    instants = [from_bytes(TimestamptzType(), b) for b in bounds if b is not None]
    if len(instants) < len(tasks):
        return tasks
    last = max(instants, default=None)
    return [t for t, at in zip(tasks, instants, strict=True) if at == last]


def attach_view(engine: Engine, table: TableSchema, plan: Plan, name: str = "") -> None:
    """Make planned rows readable as a view; no files, no rows, same columns.

    Args:
        engine: where the view is created.
        table: whose rows.
        plan: the files.
        name: of the view; `exp.<table>` by default.

    Raises:
        ContractError: a file is unreadable or has no field ids.
        StorageError: a file is gone.
    """
    name = name or f"exp.{table.name}"
    if plan.has_deletes:
        engine.register(name, _read_with_deletes(table, plan))
    elif not plan.files:
        engine.create_view(name, _no_rows(table))
    else:
        for location in plan.files:
            check_file(location, plan)
        if not plan.files[0].startswith("file:"):
            engine.open_store(plan.area)
        engine.create_view(name, _scan(table, plan.files, plan.area))


def file_selects(engine: Engine, table: TableSchema, plan: Plan) -> dict[str, str]:
    """Planned files one by one: a name that stands for the content -> a SELECT.

    Args:
        engine: where the SELECTs will run.
        table: whose rows.
        plan: the files. Where delete files apply they are one whole, named after the
            snapshot.
    """
    if plan.has_deletes and plan.table is not None:
        snapshot = plan.table.current_snapshot()
        name = f"exp_run.whole_{table.name}"
        engine.register(name, _read_with_deletes(table, plan))
        number = plan.snapshot_id or (snapshot and snapshot.snapshot_id)
        return {f"{table.name}@{number}": f"select * from {name}"}
    for location in plan.files:
        check_file(location, plan)
    if plan.files and not plan.files[0].startswith("file:"):
        engine.open_store(plan.area)
    return {
        plan.area.same(location).removeprefix(f"{plan.area.root}/"): _scan(
            table, [location], plan.area
        )
        for location in plan.files
    }


def _scan(table: TableSchema, locations: Iterable[str], area: Area) -> str:
    files = ", ".join(quote_text(area.readable(location)) for location in locations)
    return (
        f"select * from read_parquet([{files}], hive_partitioning = false, "
        f"schema = {schema_map_clause(table)})"
    )


def open_empty(engine: Engine, table: str, name: str = "") -> None:
    """Make a table readable without rows, as `exp.<table>` by default, unless it is."""
    select = _no_rows(load_schema(table))
    engine.execute(f"create view if not exists {name or f'exp.{table}'} as {select}")


def _no_rows(table: TableSchema) -> str:
    columns = ", ".join(
        f"cast(null as {duckdb_type(f)}) as {quote_name(f.name)}" for f in table.fields
    )
    return f"select {columns} where false"


def read_arrow(table: TableSchema, plan: Plan) -> "pa.Table":
    """Planned rows as one Arrow table, in file order; for results, not for events."""
    import pyarrow as pa

    if plan.has_deletes:
        return _read_with_deletes(table, plan)
    parts = []
    for location in plan.files:
        check_file(location, plan)
        parts.append(_read_file(table, location, plan.area))
    schema = arrow_schema(table.name)
    return pa.concat_tables(parts) if parts else schema.empty_table()


def check_file(location: str, plan: Plan) -> None:
    """Refuse a file whose rows are not those that the table was given.

    Args:
        location: of the file.
        plan: one of whose files it is.

    Raises:
        ContractError: no field ids, not Parquet, or of another size.
        StorageError: the file is gone.
    """
    check_field_ids(location, plan.area)
    wanted = plan.sizes.get(location)
    if wanted is None or not location.startswith("file:"):
        # a store replaces no object by itself, and asking it takes a request each
        return
    with _telling_damage(location, plan.area):
        found = local_path(location).stat().st_size
    if found != wanted:
        raise ContractError(
            "a data file is not the one that was written",
            where=plan.area.readable(location),
            found=f"{found:,} bytes",
            allowed=f"{wanted:,} bytes",
            next_step="restore the file, or run the experiment again from its raw data",
        )


def check_field_ids(location: str, area: Area) -> None:
    """Refuse a file that reading by field id would turn into nulls.

    Raises:
        ContractError: the file has no field ids, or is not Parquet.
        StorageError: the file is gone.
    """
    if not _has_field_ids(location, area):
        raise ContractError(
            "a data file has no Iceberg field ids",
            where=area.readable(location),
            next_step="write it again through the lake; its columns would read as null",
        )


@lru_cache(maxsize=4096)
def _has_field_ids(location: str, area: Area) -> bool:
    """Data files never change, so one look at the footer is enough."""
    import pyarrow.parquet as pq

    with _telling_damage(location, area):
        schema = pq.read_schema(area.open(location))
    return all(arrow_field_id(field) is not None for field in schema)


@contextmanager
def _telling_damage(location: str, area: Area) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(
            "a data file is missing",
            where=area.readable(location),
            next_step="run the experiment again from its raw data",
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise ContractError(
            "a data file is not readable Parquet",
            where=area.readable(location),
            found=str(error).splitlines()[0],
            next_step="run the experiment again from its raw data",
        ) from error


def _read_file(table: TableSchema, location: str, area: Area) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    # a look at the footer says nothing of the pages behind it, or of a file gone since
    with _telling_damage(location, area):
        rows = pq.ParquetFile(area.open(location)).read()
    by_id = {arrow_field_id(f): i for i, f in enumerate(rows.schema)}
    schema = arrow_schema(table.name)
    columns = [
        rows.column(by_id[field.field_id]).cast(schema.field(field.name).type)
        if field.field_id in by_id
        else pa.nulls(rows.num_rows, schema.field(field.name).type)
        for field in table.fields
    ]
    return pa.table(columns, schema=schema)


def _read_with_deletes(table: TableSchema, plan: Plan) -> "pa.Table":
    """PyIceberg's own reader, slower by far, for tables another engine deleted from."""
    import pyarrow as pa
    from pyiceberg.io import load_file_io
    from pyiceberg.table import Table

    there = plan.table
    if there is None or plan.row_filter is None:
        return arrow_schema(table.name).empty_table()
    _log.warning("table %s has delete files: reading it through Arrow", table.name)
    plain_io = load_file_io(plan.area.io_properties, there.location())
    source = Table(
        there.name(), there.metadata, there.metadata_location, plain_io, there.catalog
    )
    scan = source.scan(plan.row_filter, snapshot_id=plan.snapshot_id)
    rows = scan.to_arrow()
    names = {f.field_id: f.name for f in scan.projection().fields}
    schema = arrow_schema(table.name)
    columns = [
        rows.column(names[field.field_id]).cast(schema.field(field.name).type)
        if field.field_id in names
        else pa.nulls(rows.num_rows, schema.field(field.name).type)
        for field in table.fields
    ]
    return pa.table(columns, schema=schema)
