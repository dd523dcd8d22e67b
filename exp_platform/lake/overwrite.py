"""One snapshot that swaps some partitions' files, and leaves the others' alone.

Manifests are kept as a sorted list of small leaves: a commit reads and writes one of
them, however many partitions and runs the table has seen. PyIceberg's own overwrite
adds two manifests per commit and never drops one.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
)
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    RemoveSnapshotsUpdate,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.types import DateType, StringType

from exp_platform.lake.partitions import (
    Partition,
    row_filter,
    stored_values,
    where_partitions,
)
from exp_platform.schemas import TableSchema

LEAF_FILES = 16
KEPT_SNAPSHOTS = 10


class StagedTransaction(Transaction):
    """A transaction that is never committed by itself; its metadata is cached."""

    def __init__(self, table: Table, updates: tuple[TableUpdate, ...] = ()) -> None:
        super().__init__(table)
        self._updates = updates
        self._applied: tuple[int, TableMetadata] = (0, table.metadata)

    @property
    def table_metadata(self) -> TableMetadata:
        """Metadata with the staged updates; each is applied once."""
        n_applied, metadata = self._applied
        if n_applied < len(self._updates):
            # every call copies the whole metadata
            metadata = update_table_metadata(metadata, self._updates[n_applied:])
            self._applied = (len(self._updates), metadata)
        return metadata

    @property
    def updates(self) -> tuple[TableUpdate, ...]:
        """What has been staged so far."""
        return self._updates

    def expire_snapshots(self, keep: int = KEPT_SNAPSHOTS) -> None:
        """Stage the removal of untagged snapshots beyond the newest ones."""
        metadata = self.table_metadata
        kept = {ref.snapshot_id for ref in metadata.refs.values()}
        by_age = sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0)
        old = {s.snapshot_id for s in by_age[:-keep]} - kept
        if old:
            self._stage((RemoveSnapshotsUpdate(snapshot_ids=sorted(old)),))


class PartitionOverwrite(_OverwriteFiles):
    """Replaces, or only adds to, the files of some partitions.

    Args:
        transaction: where the snapshot is staged.
        table: whose partitions.
        partitions: at least one.
        replace: the partitions' present files go.
    """

    def __init__(
        self,
        transaction: StagedTransaction,
        table: TableSchema,
        partitions: Collection[Partition],
        *,
        replace: bool,
    ) -> None:
        has_snapshot = transaction.table_metadata.current_snapshot() is not None
        overwrites = replace and has_snapshot
        super().__init__(
            operation=Operation.OVERWRITE if overwrites else Operation.APPEND,
            transaction=transaction,
            io=transaction._table.io,  # noqa: SLF001
        )
        self._partitions = {stored_values(partition) for partition in partitions}
        self._kept: list[ManifestFile] = []
        self._staying: list[ManifestEntry] = []
        self._leaving: list[ManifestEntry] = []
        self._evaluators: dict[int, Callable[[ManifestFile], bool]] = {}
        self.delete_by_predicate(row_filter(where_partitions(table, partitions)))
        self._plan(replace=replace)

    @property
    def old_files(self) -> tuple[DataFile, ...]:
        """The partitions' present files, which this snapshot removes."""
        return tuple(entry.data_file for entry in self._leaving)

    def _plan(self, *, replace: bool) -> None:
        snapshot = self._transaction.table_metadata.current_snapshot()
        present = snapshot.manifests(self._io) if snapshot else []
        for manifest in filter(_has_files, present):
            if not replace or not self._may_hold(manifest):
                self._kept.append(manifest)
                continue
            entries = manifest.fetch_manifest_entry(self._io)
            gone = [entry for entry in entries if self._is_own(entry)]
            if gone:
                self._leaving += gone
                self._staying += [e for e in entries if not self._is_own(e)]
            else:
                self._kept.append(manifest)
        for entry in self._leaving:
            self.delete_data_file(entry.data_file)

    def _may_hold(self, manifest: ManifestFile) -> bool:
        if manifest.content is not ManifestContent.DATA:
            return False
        spec_id = manifest.partition_spec_id
        if spec_id not in self._evaluators:
            self._evaluators[spec_id] = self._build_manifest_evaluator(spec_id)
        return self._evaluators[spec_id](manifest)

    def _is_own(self, entry: ManifestEntry) -> bool:
        return _values(entry) in self._partitions

    def _manifests(self) -> list[ManifestFile]:
        if self._added_data_files and not self._staying:
            self._join_leaf()
        entries = [*self._staying, *map(self._added, self._added_data_files)]
        entries.sort(key=lambda e: (_order(_values(e)), e.data_file.file_path))
        entries = [*self._leaving, *entries]
        return [*map(self._write, _leaves(entries)), *self._kept]

    def _join_leaf(self) -> None:
        """Take the entries of the leaf in whose range the first partition falls.

        A full one too: it is split, so that ranges stay apart and one leaf is enough
        to find a partition.
        """
        leaves = sorted(filter(_is_leaf, self._kept), key=self._lower_bound)
        if not leaves:
            return
        first = min(_order(partition)[0] for partition in self._partitions)
        below = [leaf for leaf in leaves if self._lower_bound(leaf) <= first]
        leaf = below[-1] if below else leaves[0]
        self._kept.remove(leaf)
        self._staying = leaf.fetch_manifest_entry(self._io)

    def _lower_bound(self, manifest: ManifestFile) -> str:
        """The smallest value of the first partition column, as entries are ordered."""
        bound = manifest.partitions[0].lower_bound if manifest.partitions else None
        if bound is None:
            return ""
        metadata = self._transaction.table_metadata
        source = metadata.spec().fields[0].source_id
        kind = metadata.schema().find_field(source).field_type
        is_day = isinstance(kind, DateType)
        return _text(from_bytes(DateType() if is_day else StringType(), bound))

    def _added(self, file: DataFile) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED,
            snapshot_id=self._snapshot_id,
            sequence_number=None,
            file_sequence_number=None,
            data_file=file,
        )

    def _write(self, entries: Iterable[ManifestEntry]) -> ManifestFile:
        leaving = set(map(id, self._leaving))
        staying = set(map(id, self._staying))
        with self.new_manifest_writer(
            self._transaction.table_metadata.spec()
        ) as writer:
            for entry in entries:
                if id(entry) in leaving:
                    writer.delete(entry)
                elif id(entry) in staying:
                    writer.existing(entry)
                else:
                    writer.add_entry(entry)
        return writer.to_manifest_file()


def _values(entry: ManifestEntry) -> tuple[Any, ...]:
    partition = entry.data_file.partition
    return tuple(partition[place] for place in range(len(partition)))


def _order(values: Iterable[str | int]) -> tuple[str, ...]:
    return tuple(map(_text, values))


def _text(value: Any) -> str:
    """A partition value as text that sorts as the value does."""
    return f"{value:010d}" if isinstance(value, int) else str(value)


def _has_files(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


def _n_files(manifest: ManifestFile) -> int:
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def _is_leaf(manifest: ManifestFile) -> bool:
    is_ours = (
        manifest.content is ManifestContent.DATA and not manifest.partition_spec_id
    )
    return is_ours and _n_files(manifest) <= LEAF_FILES


def _leaves(entries: Sequence[Any]) -> list[Sequence[Any]]:
    """Split into the fewest even parts that each fit a leaf."""
    if not entries:
        return []
    n_leaves = -(-len(entries) // LEAF_FILES)
    size = -(-len(entries) // n_leaves)
    return [entries[start : start + size] for start in range(0, len(entries), size)]
