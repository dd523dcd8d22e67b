"""Housekeeping of one table: many small files become one, old snapshots are let go.

Rows and their order within a file stay; only where they lie changes. What a retained
run or a kept snapshot reaches stays on the disk until the sweeper finds it unreachable.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from exp_platform.lake.overwrite import KEPT_SNAPSHOTS
from exp_platform.lake.partitions import Partition, where_partitions
from exp_platform.lake.reading import plan_read, read_arrow
from exp_platform.lake.staging import StagedChange, stage_partitions
from exp_platform.lake.tables import foreign_columns
from exp_platform.lake.writing import WrittenFile, new_data_file, write_data_file
from exp_platform.schemas import TableSchema, load_schema

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask, Table

    from exp_platform.lake.areas import Area
    from exp_platform.lake.catalog import StagedTable
    from exp_platform.lake.rest import AnyCatalog

_log = logging.getLogger(__name__)
MIN_FILES = 8
"""A partition with this many files is worth rewriting."""
_WHOLE_FILE_BYTES = 32 * 2**20
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done, or would be done, to one table.

    Attributes:
        partitions: rewritten as one file each.
        files_before: data and delete files of those partitions.
        snapshots_expired: readers of them must have ended.
    """

    table: str
    partitions: tuple[Partition, ...]
    files_before: int
    snapshots_expired: int


def keep_up(
    catalog: "AnyCatalog",
    table: "Table",
    *,
    min_files: int = MIN_FILES,
    keep_snapshots: int = KEPT_SNAPSHOTS,
    is_rehearsal: bool = False,
) -> Upkeep:
    """Rewrite fragmented partitions and expire snapshots, in one commit.

    Call it with the publish lock held.

    Args:
        catalog: whose table.
        table: as loaded.
        min_files: fewer files in a partition are left alone, as are files of 32 MB and
            more each, unless rows of theirs were deleted by another engine. All are
            where one added a column, which our writer would lose.
        keep_snapshots: the newest ones stay; tagged ones always do.
        is_rehearsal: only tell.

    Raises:
        CommitConflict: another program changed the table; nothing was.
        StorageError: a file cannot be read or written; nothing was changed.
    """
    schema = load_schema(table.name()[-1])
    foreign = foreign_columns(table.metadata)
    if foreign:
        names = ", ".join(field.name for field in foreign)
        _log.warning("files of %s stay: they may hold %s", schema.name, names)
    found = {} if foreign else _fragmented(table, schema, min_files)
    written: dict[Partition, tuple[WrittenFile, ...]] = {}
    staged: list[StagedTable] = []
    catalog.written.clear()
    try:
        if not is_rehearsal:
            for partition in found:
                written[partition] = _rewrite(catalog.area, table, schema, partition)
        change = stage_partitions(table, written, keep_snapshots=keep_snapshots)
        n_expired = _count_expired(table, change)
        if not is_rehearsal and (written or n_expired):
            staged.append(catalog.stage(table, change.transaction))
            catalog.write_staged(staged)
            catalog.persist_metadata()
            catalog.commit_staged(staged)
    except BaseException:
        # A commit may fail to answer and have happened: then the files are in use.
        if not catalog.any_current(staged):
            catalog.area.discard(f.place for files in written.values() for f in files)
            catalog.area.remove(catalog.written)
        raise
    catalog.remove_old_metadata(staged)
    return Upkeep(
        schema.name, tuple(found), sum(map(_count_files, found.values())), n_expired
    )


def _fragmented(
    table: "Table", schema: TableSchema, min_files: int
) -> dict[Partition, list["FileScanTask"]]:
    tasks: dict[Partition, list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        tasks[_partition(schema, task)].append(task)
    return {
        partition: found
        for partition, found in sorted(tasks.items())
        if _is_in_pieces(found, min_files) or any(task.delete_files for task in found)
    }


def _is_in_pieces(tasks: Sequence["FileScanTask"], min_files: int) -> bool:
    """Many files, and small ones: large data that Spark wrote stays in its files."""
    size = sum(task.file.file_size_in_bytes for task in tasks)
    return len(tasks) >= min_files and size < len(tasks) * _WHOLE_FILE_BYTES


def _partition(schema: TableSchema, task: "FileScanTask") -> Partition:
    stored = task.file.partition
    return tuple(
        _EPOCH + timedelta(days=stored[place])
        if schema.field(name).type == "date"
        else str(stored[place])
        for place, name in enumerate(schema.partition)
    )


def _count_files(tasks: Sequence["FileScanTask"]) -> int:
    deletes = {file.file_path for task in tasks for file in task.delete_files}
    return len(tasks) + len(deletes)


def _rewrite(
    area: "Area", table: "Table", schema: TableSchema, partition: Partition
) -> tuple[WrittenFile, ...]:
    plan = plan_read(table, area, where=where_partitions(schema, [partition]))
    place = new_data_file(area, schema, partition, "maintain")
    file = write_data_file(place, schema, partition, read_arrow(schema, plan))
    if file is None:
        return ()
    area.persist([file.place])
    return (file,)


def _count_expired(table: "Table", change: StagedChange) -> int:
    before = {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
    after = change.transaction.table_metadata.snapshots
    return len(before - {snapshot.snapshot_id for snapshot in after})
