"""The change of one table, planned on what it is now, not yet committed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyiceberg.table import Table

from exp_platform.lake.datafiles import to_data_file
from exp_platform.lake.overwrite import (
    KEPT_SNAPSHOTS,
    PartitionOverwrite,
    StagedTransaction,
)
from exp_platform.lake.partitions import Partition
from exp_platform.lake.tables import plan_evolution
from exp_platform.lake.writing import WrittenFile
from exp_platform.schemas import TableSchema, load_schema


@dataclass(frozen=True, slots=True)
class StagedChange:
    """A table's change in the making.

    Attributes:
        snapshot_id: current once this is committed; None without any snapshot.
        is_needed: False when the table already is as wanted.
    """

    transaction: StagedTransaction
    snapshot_id: int | None
    is_needed: bool


def stage_partitions(
    base: Table,
    files: Mapping[Partition, Sequence[WrittenFile]],
    *,
    replace: bool = True,
    keep_snapshots: int = KEPT_SNAPSHOTS,
) -> StagedChange:
    """Stage schema, one snapshot with the partitions' new files, and expiry.

    Args:
        base: the table as loaded, or a new one.
        files: partition -> the files of its new rows. No partition: no snapshot.
        replace: the partitions' present files go.
        keep_snapshots: the newest ones stay readable, and tagged ones.

    Raises:
        ContractError: the table cannot become what its JSON Schema says.
    """
    schema = load_schema(base.name()[-1])
    transaction = StagedTransaction(base, plan_evolution(schema, base.metadata))
    if files:
        _stage_overwrite(transaction, schema, files, replace=replace)
    current = transaction.table_metadata.current_snapshot()
    transaction.expire_snapshots(keep_snapshots)
    return StagedChange(
        transaction,
        current.snapshot_id if current else None,
        is_needed=bool(transaction.updates) or not base.metadata_location,
    )


def _stage_overwrite(
    transaction: StagedTransaction,
    schema: TableSchema,
    files: Mapping[Partition, Sequence[WrittenFile]],
    *,
    replace: bool,
) -> None:
    overwrite = PartitionOverwrite(transaction, schema, files, replace=replace)
    for partition, written in files.items():
        for file in written:
            overwrite.append_data_file(to_data_file(file, schema, partition))
    if any(files.values()) or overwrite.old_files:
        overwrite.commit()
