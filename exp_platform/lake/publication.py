"""One run's writes: data files at once, visibility of all tables in one commit."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake.areas import Area
from exp_platform.lake.engine import Engine
from exp_platform.lake.files import storage_error
from exp_platform.lake.locks import PUBLISH, Locks
from exp_platform.lake.partitions import Partition, check_partition
from exp_platform.lake.states import FileState, TableState
from exp_platform.lake.writing import (
    WrittenFile,
    adopt_data_file,
    new_data_file,
    new_data_files,
    write_data_file,
)
from exp_platform.schemas import load_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from exp_platform.lake.catalog import StagedTable
    from exp_platform.lake.rest import AnyCatalog

LEDGER = "analysis_runs"
_ATTEMPTS = 8
_LONGEST_WAIT_SECONDS = 2.0

LedgerRow = Callable[[Mapping[str, TableState]], "pa.Table"]
Files = dict[Partition, tuple[WrittenFile, ...]]


class Publication:
    """What one run is about to publish.

    As a context manager it removes what was written if the block ends unpublished.

    Args:
        open_catalog: called when publishing, so that writing data files does not wait
            for the catalog's libraries.
        area: where the tables lie.
        locks: of the lake.
        run_id: first part of every file name.
        experiment_id: whose rows are written.
        engine: for data given as SQL.
    """

    def __init__(
        self,
        open_catalog: "Callable[[], AnyCatalog]",
        area: Area,
        *,
        locks: Locks,
        run_id: str,
        experiment_id: str,
        engine: Engine | None = None,
    ) -> None:
        self._open_catalog = open_catalog
        self._area = area
        self._locks = locks
        self._run_id = run_id
        self._experiment_id = experiment_id
        self._engine = engine
        self._written: dict[str, Files] = {}
        self._added: set[str] = set()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def replace_experiment(self, table: str, data: "str | pa.Table") -> int:
        """Write the experiment's new rows of a table; they show when published.

        Args:
            table: table name.
            data: relation name or select statement in the engine, or an Arrow table.

        Returns:
            Rows written.

        Raises:
            ContractError: the rows break the table's schema.
        """
        return self.replace_partition(table, (self._experiment_id,), data)

    def add_to_experiment(self, table: str, data: "str | pa.Table") -> int:
        """Write rows that come to those the experiment has in a table.

        Args:
            table: table name.
            data: as for `replace_experiment`.

        Returns:
            Rows written.

        Raises:
            ContractError: the rows break the table's schema.
            UsageError: this run replaces rows in the table.
        """
        if table in self._written:
            raise _mixed(table)
        self._added.add(table)
        return self._put(table, (self._experiment_id,), data)

    def replace_partition(
        self, table: str, partition: Partition, data: "str | pa.Table"
    ) -> int:
        """Write the new rows of one partition of a table; they show when published.

        A run may replace many partitions of a table; the others stay as they are.

        Args:
            table: table name.
            partition: one value per partition column, e.g. (day, namespace).
            data: as for `replace_experiment`.

        Returns:
            Rows written.

        Raises:
            ContractError: the rows break the table's schema, or are not all of this
                partition.
            UsageError: this run adds to the table.
        """
        if table in self._added:
            raise _mixed(table)
        return self._put(table, partition, data)

    def remove_experiment(self, table: str) -> None:
        """The experiment has no rows in this table once published."""
        self.remove_partition(table, (self._experiment_id,))

    def remove_partition(self, table: str, partition: Partition) -> None:
        """The partition has no rows once published."""
        self._check(table)
        self._note(table, check_partition(load_schema(table), partition), ())

    def discard(self) -> None:
        """Remove the files written, unless they were published."""
        if not self._is_closed:
            self._is_closed = True
            self._area.discard(file.place for file in self._files())

    def publish(self, ledger: LedgerRow | None = None) -> dict[str, TableState]:
        """Make all tables show the new rows, in one catalog transaction.

        Args:
            ledger: makes the run's row of `analysis_runs` from the tables' states; it
                is appended in the same transaction, and may be asked more than once.

        Returns:
            State of each table replaced or removed.

        Raises:
            StorageError: nothing was published, and the files written are gone.
        """
        self._check_open()
        try:
            self._area.persist(file.place for file in self._files())
            catalog = self._open_catalog()
            with self._locks.hold(PUBLISH):
                return self._publish_locked(catalog, ledger)
        except OSError as error:
            raise storage_error(error, self._area.root) from error
        finally:
            self.discard()

    def _publish_locked(
        self, catalog: "AnyCatalog", ledger: LedgerRow | None
    ) -> dict[str, TableState]:
        """Writers outside the lock exist too: other engines, other programs."""
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        from exp_platform.lake.catalog import CommitConflict

        attempts = Retrying(
            retry=retry_if_exception_type(CommitConflict),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.05, max=_LONGEST_WAIT_SECONDS),
            reraise=True,
        )
        return attempts(self._attempt, catalog, ledger)

    def _attempt(
        self, catalog: "AnyCatalog", ledger: LedgerRow | None
    ) -> dict[str, TableState]:
        catalog.written.clear()
        staged: list[StagedTable] = []
        try:
            tables = catalog.load_tables([*self._written, LEDGER])
            states = self._stage_tables(catalog, tables, staged)
            if ledger is not None:
                self._stage_ledger(catalog, tables, staged, ledger(states))
            catalog.write_staged(staged)
            catalog.persist_metadata()
            self._is_closed = True
            catalog.commit_staged(staged)
        except BaseException:
            if not catalog.any_current(staged):
                self._is_closed = False
                self._area.remove(catalog.written)
            raise
        catalog.remove_old_metadata(staged)
        return states

    def _stage_tables(
        self,
        catalog: "AnyCatalog",
        tables: "Mapping[str, Table]",
        staged: "list[StagedTable]",
    ) -> dict[str, TableState]:
        from exp_platform.lake.staging import stage_partitions

        states = {}
        for name, files in self._written.items():
            base = tables.get(name) or catalog.new_table(load_schema(name))
            change = stage_partitions(base, files, replace=name not in self._added)
            if change.is_needed:
                staged.append(catalog.stage(base, change.transaction))
            kept = tuple(map(self._file_state, chain.from_iterable(files.values())))
            states[name] = TableState(change.snapshot_id, kept)
        return states

    def _stage_ledger(
        self,
        catalog: "AnyCatalog",
        tables: "Mapping[str, Table]",
        staged: "list[StagedTable]",
        row: "pa.Table",
    ) -> None:
        from exp_platform.lake.staging import stage_partitions

        partition = (self._experiment_id,)
        file = self._write(LEDGER, partition, row)
        if file is None:
            return
        self._area.persist([file.place])
        catalog.written.append(file.place.location)
        base = tables.get(LEDGER) or catalog.new_table(load_schema(LEDGER))
        change = stage_partitions(base, {partition: [file]}, replace=False)
        staged.append(catalog.stage(base, change.transaction))

    def _put(self, table: str, partition: Partition, data: "str | pa.Table") -> int:
        self._check(table)
        check_partition(load_schema(table), partition)
        file = self._write(table, partition, data)
        self._note(table, partition, (file,) if file else ())
        return file.record_count if file else 0

    def adopt_experiment(self, table: str, files: Sequence[Path]) -> int:
        """Take over files that another engine wrote as the experiment's new rows.

        Args:
            table: table name.
            files: Parquet with the table's columns and field ids, in the order of their
                rows; they stay where they are.

        Returns:
            Rows taken over.

        Raises:
            ContractError: a file breaks the table's schema, or has rows of others.
            StorageError: a file cannot be copied.
        """
        self._check(table)
        schema, partition = load_schema(table), (self._experiment_id,)
        self._note(table, partition, ())
        places = new_data_files(
            self._area, schema, partition, self._run_id, n_files=len(files)
        )
        adopted: list[WrittenFile] = []
        for path, place in zip(files, places, strict=True):
            try:
                file = adopt_data_file(place, schema, partition, path)
            except OSError as error:
                raise storage_error(error, self._area.root) from error
            adopted += [file] if file else []
            # known at once, or a later one that fails would leave it behind
            self._written[table][partition] = tuple(adopted)
        return sum(file.record_count for file in adopted)

    def _write(
        self, table: str, partition: Partition, data: "str | pa.Table"
    ) -> WrittenFile | None:
        schema = load_schema(table)
        try:
            place = new_data_file(self._area, schema, partition, self._run_id)
            return write_data_file(place, schema, partition, data, engine=self._engine)
        except OSError as error:
            raise storage_error(error, self._area.root) from error

    def _note(
        self, table: str, partition: Partition, written: tuple[WrittenFile, ...]
    ) -> None:
        files = self._written.setdefault(table, {})
        self._area.discard(earlier.place for earlier in files.get(partition, ()))
        files[partition] = written

    def _files(self) -> list[WrittenFile]:
        return [
            file
            for files in self._written.values()
            for written in files.values()
            for file in written
        ]

    def _file_state(self, file: WrittenFile) -> FileState:
        path = file.place.location.removeprefix(f"{self._area.root}/")
        return FileState(path, file.size, file.sha256, file.record_count)

    def _check(self, table: str) -> None:
        self._check_open()
        load_schema(table)
        if table == LEDGER:
            raise UsageError(
                "the run ledger is only ever appended to",
                where=f"table {LEDGER}",
                next_step="hand its row to publish(ledger=...)",
            )

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError(
                "this publication is over",
                where=f"run {self._run_id}",
                next_step="begin another one",
            )


def _mixed(table: str) -> UsageError:
    return UsageError(
        "a run adds to a table once, or replaces rows in it", where=f"table {table}"
    )
