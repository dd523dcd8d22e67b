"""The front door of the lake: read, publish, lock, list and sweep one warehouse."""

import importlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from exp_platform.errors import UsageError
from exp_platform.lake.areas import open_area
from exp_platform.lake.engine import Engine
from exp_platform.lake.locks import PUBLISH, DatabaseLocks, FileLocks, Locks
from exp_platform.lake.publication import LEDGER, Publication
from exp_platform.lake.raw import validate_experiment_id
from exp_platform.lake.settings import LakeSettings
from exp_platform.lake.snapshots import SnapshotState, current_snapshot_id, list_history
from exp_platform.lake.states import TableState
from exp_platform.lake.sweeper import MIN_AGE_SECONDS
from exp_platform.schemas import load_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from exp_platform.lake.maintenance import Upkeep
    from exp_platform.lake.partitions import Where
    from exp_platform.lake.rawstore import RawStore
    from exp_platform.lake.reading import Plan
    from exp_platform.lake.rest import AnyCatalog

REGISTRY = "experiment_registry"


class Lake:
    """One warehouse, on the local disk or shared on an object store.

    Reading never creates anything: an absent warehouse has empty tables. The first
    publication creates folders, catalog and tables.

    Args:
        settings: places and limits.
    """

    def __init__(self, settings: LakeSettings) -> None:
        self.settings = settings
        self.area = open_area(settings)
        self._opened: AnyCatalog | None = None
        self._preloading: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def preload(self) -> None:
        """Import the catalog's libraries beside other work; first use waits for it."""
        if self._preloading is None and self._opened is None:
            self._preloading = threading.Thread(target=_import_catalog, daemon=True)
            self._preloading.start()

    def ensure_catalog(self) -> None:
        """Make the catalog's own tables where they are absent; not every engine does."""
        self._catalog()

    def engine(self) -> Engine:
        """A fresh SQL engine with schemas `exp` and `exp_run`; close it after use."""
        return Engine(self.settings)

    def attach(
        self,
        engine: Engine,
        table: str,
        *,
        experiment_id: str | None = None,
        snapshot_id: int | None = None,
        where: "Where | None" = None,
        name: str = "",
    ) -> None:
        """Make rows of a table readable in an engine as `exp.<table>`.

        Args:
            engine: where the view is created.
            table: table name.
            experiment_id: only this experiment; None = all.
            snapshot_id: as of this snapshot; None = now.
            where: allowed values of partition columns, for tables by namespace.
            name: of the view; `exp.<table>` by default.
        """
        from exp_platform.lake.reading import attach_view

        plan = self._plan(table, experiment_id, snapshot_id, where)
        attach_view(engine, load_schema(table), plan, name)

    def file_selects(
        self,
        engine: Engine,
        table: str,
        *,
        experiment_id: str | None = None,
        where: "Where | None" = None,
    ) -> dict[str, str]:
        """Data files of a table now, with a SELECT that reads each of them.

        A data file never changes, so a name stands for its content: what was not there
        at the last look is new, what is missing has been replaced.

        Args:
            engine: where the SELECTs will run.
            table: table name.
            experiment_id: only this experiment; None = all.
            where: allowed values of partition columns.
        """
        from exp_platform.lake.reading import file_selects

        plan = self._plan(table, experiment_id, None, where)
        return file_selects(engine, load_schema(table), plan)

    def read(
        self,
        table: str,
        experiment_id: str | None = None,
        *,
        snapshot_id: int | None = None,
        where: "Where | None" = None,
        latest_by: str = "",
    ) -> "pa.Table":
        """Rows of a table as Arrow; for results, not for whole event tables.

        Args:
            table: table name.
            experiment_id: only this experiment; None = all.
            snapshot_id: as of this snapshot; None = now.
            where: allowed values of partition columns.
            latest_by: a column of instants; files without its latest value are not
                read. Rows beside the latest one may come with it.
        """
        from exp_platform.lake.reading import read_arrow

        plan = self._plan(table, experiment_id, snapshot_id, where, latest_by=latest_by)
        return read_arrow(load_schema(table), plan)

    def begin(
        self, run_id: str, experiment_id: str, engine: Engine | None = None
    ) -> Publication:
        """Start collecting what one run will publish."""
        return Publication(
            self._catalog,
            self.area,
            locks=self._locks,
            run_id=validate_experiment_id(run_id),
            experiment_id=validate_experiment_id(experiment_id),
            engine=engine,
        )

    def replace_experiment(
        self,
        table: str,
        experiment_id: str,
        data: "str | pa.Table",
        *,
        run_id: str = "manual",
        engine: Engine | None = None,
    ) -> TableState:
        """Replace one experiment's rows of one table, in a commit of its own."""
        with self.begin(run_id, experiment_id, engine) as publication:
            publication.replace_experiment(table, data)
            return publication.publish()[table]

    def states(self) -> Mapping[str, int | None]:
        """Current snapshot id of every table that exists."""
        catalog = self._catalog_if_present()
        tables = catalog.load_tables() if catalog else {}
        return {name: current_snapshot_id(table) for name, table in tables.items()}

    def inspect_files(self) -> int:
        """Hold every data file of every table against what was written; their number.

        Raises:
            ContractError: a file holds other bytes.
            StorageError: a file is gone, or a table's metadata is damaged.
        """
        from exp_platform.lake.inspection import inspect_table, known_hashes

        catalog = self._catalog_if_present()
        tables = catalog.load_tables() if catalog else {}
        hashes = known_hashes(self.read(LEDGER).column("snapshots").to_pylist())
        return sum(inspect_table(one, self.area, hashes) for one in tables.values())

    def history(self, table: str) -> list[SnapshotState]:
        """Kept snapshots of a table, oldest first."""
        return list_history(self._table(table))

    def experiment_ids(self) -> list[str]:
        """Experiments that have a published registry row, sorted."""
        rows = self.read(REGISTRY)
        return sorted(set(rows.column("experiment_id").to_pylist()))

    @contextmanager
    def experiment_lock(
        self, experiment_id: str, *, seconds: float = 3600.0
    ) -> Iterator[None]:
        """Let one run of an experiment at a time through; a dead process frees it.

        Raises:
            StorageError: another run holds it for longer than `seconds`.
        """
        name = validate_experiment_id(experiment_id)
        with self._locks.hold(name, seconds=seconds):
            yield

    @contextmanager
    def namespace_lock(
        self, namespace: str, *, seconds: float = 3600.0
    ) -> Iterator[None]:
        """Let one run at a time bring a namespace's events up to date.

        Raises:
            StorageError: another run holds it for longer than `seconds`.
        """
        name = f"namespaces/{validate_experiment_id(namespace)}"
        with self._locks.hold(name, seconds=seconds):
            yield

    def sweep(
        self,
        *,
        min_age_seconds: float = MIN_AGE_SECONDS,
        keep_runs: int | None = None,
        is_rehearsal: bool = False,
    ) -> list[str]:
        """Remove files that no snapshot and no retained run reaches.

        Args:
            min_age_seconds: younger files stay, for a run may be writing them.
            keep_runs: how many runs of each experiment are retained, newest first;
                None = all. The others stay in the ledger but cannot be replayed.
            is_rehearsal: only tell.

        Returns:
            Locations of the files removed.

        Raises:
            UsageError: a number out of range.
            StorageError: what is reachable cannot be told; nothing was removed.
        """
        from exp_platform.lake.sweeper import retained_runs, sweep_orphans

        if not min_age_seconds >= 0:
            raise UsageError(
                "an age is a number from 0 on", found=f"{min_age_seconds} seconds"
            )
        if keep_runs is not None and keep_runs < 1:
            raise UsageError(
                "the last run of an experiment is always kept", found=str(keep_runs)
            )
        remote = self.settings.remote
        if remote is not None and remote.is_rest:
            raise UsageError(
                "the files of a REST catalog are its server's to remove",
                where=remote.catalog,
                next_step="use the server's own collection of unreachable files",
            )
        catalog = self._catalog_if_present()
        if catalog is None:
            return []
        with self._locks.hold(PUBLISH):
            texts = retained_runs(self.read(LEDGER).to_pylist(), keep_runs)
            return sweep_orphans(
                catalog,
                texts,
                min_age_seconds=min_age_seconds,
                is_rehearsal=is_rehearsal,
            )

    def keep_up(
        self, *, min_files: int, keep_snapshots: int, is_rehearsal: bool = False
    ) -> "list[Upkeep]":
        """Rewrite fragmented partitions and expire snapshots, table by table.

        Args:
            min_files: fewer files in a partition are left alone.
            keep_snapshots: of each table, newest first.
            is_rehearsal: only tell.

        Raises:
            UsageError: a number below one.
            StorageError: a table could not be read or written; the ones before it are
                done, it is unchanged.
        """
        from exp_platform.lake.maintenance import keep_up

        if min(min_files, keep_snapshots) < 1:
            raise UsageError(
                "at least one file and one snapshot stay",
                found=f"{min_files} files, {keep_snapshots} snapshots",
            )
        catalog = self._catalog_if_present()
        done = []
        for name in sorted(catalog.load_tables()) if catalog else ():
            with self._locks.hold(PUBLISH):
                table = self._catalog().load_tables([name])[name]
                upkeep = keep_up(
                    self._catalog(),
                    table,
                    min_files=min_files,
                    keep_snapshots=keep_snapshots,
                    is_rehearsal=is_rehearsal,
                )
            done.append(upkeep)
        return done

    @cached_property
    def _locks(self) -> Locks:
        remote = self.settings.remote
        if remote is None:
            return FileLocks(self.settings.catalog)
        if remote.is_rest:
            # a REST server has no locks: those of one machine, and its own conflicts
            return FileLocks(self.settings.temp_directory / "catalog")
        from exp_platform.lake.database import open_database

        return DatabaseLocks(open_database(remote.catalog))

    def check_store(self) -> None:
        """Look into the buckets of a shared lake; nothing to do on one machine.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        from exp_platform.lake.store import check_bucket

        remote = self.settings.remote
        for location in (remote.warehouse, remote.raw) if remote else ():
            check_bucket(self.area.filesystem, location)

    def send_raw(self, folder: Path) -> str:
        """Make landed files the shared ones; nothing to do on one machine.

        Returns:
            Where they are.
        """
        store = self._raw_store
        return str(folder) if store is None else store.send(folder)

    def fetch_raw(self, folder: Path, *, only_new: bool = False) -> None:
        """Make the local copy of raw files what is shared.

        Args:
            folder: the local copy's.
            only_new: files are only ever added, so those that are there stay.

        Raises:
            ContractError: nobody landed any.
        """
        if self._raw_store is not None:
            self._raw_store.fetch(folder, only_new=only_new)

    @cached_property
    def _raw_store(self) -> "RawStore | None":
        remote = self.settings.remote
        if remote is None:
            return None
        from exp_platform.lake.rawstore import RawStore
        from exp_platform.lake.store import open_store

        return RawStore(remote.raw, open_store(remote.store), self.settings.raw)

    def close(self) -> None:
        """Release the connections to the catalog; a later use opens new ones."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        if "_locks" in self.__dict__:
            self._locks.close()
            del self._locks

    def _plan(
        self,
        table: str,
        experiment_id: str | None,
        snapshot_id: int | None,
        where: "Where | None",
        *,
        latest_by: str = "",
    ) -> "Plan":
        from exp_platform.lake.reading import plan_read

        load_schema(table)
        own = {} if experiment_id is None else {"experiment_id": (experiment_id,)}
        return plan_read(
            self._table(table),
            self.area,
            where={**own, **(where or {})},
            snapshot_id=snapshot_id,
            latest_by=latest_by,
        )

    def _table(self, name: str) -> "Table | None":
        catalog = self._catalog_if_present()
        return catalog.load_tables([name]).get(name) if catalog else None

    def _catalog_if_present(self) -> "AnyCatalog | None":
        is_local = self.settings.remote is None
        if self._opened is None and is_local and not self.settings.catalog.is_file():
            return None
        return self._catalog()

    def _catalog(self) -> "AnyCatalog":
        if self._preloading is not None:
            self._preloading.join()
        if self._opened is None:
            from exp_platform.lake.avro import remember_schemas

            remember_schemas()
            remote = self.settings.remote
            if remote is not None and remote.is_rest:
                from exp_platform.lake.rest import RestLakeCatalog

                self._opened = RestLakeCatalog(remote, self.area)
            else:
                from exp_platform.lake.catalog import open_catalog

                self._opened = open_catalog(self.settings, self.area, self._locks)
        return self._opened


def _import_catalog() -> None:
    importlib.import_module("exp_platform.lake.staging")
    importlib.import_module("exp_platform.lake.catalog")
