"""The catalog: one row per table in SQLite or PostgreSQL, moved in one transaction."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pyiceberg.catalog.sql import (
    IcebergNamespaceProperties,
    IcebergTables,
    SqlCatalog,
)
from pyiceberg.exceptions import ValidationError
from pyiceberg.io import InputFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableUpdate, update_table_metadata
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake.areas import Area, RememberingIO
from exp_platform.lake.database import catalog_errors, hide_password, limit_waiting
from exp_platform.lake.files import (
    local_path,
    metadata_errors,
    storage_error,
    sync_files,
)
from exp_platform.lake.locks import PUBLISH, Locks
from exp_platform.lake.overwrite import StagedTransaction
from exp_platform.lake.settings import LakeSettings
from exp_platform.lake.tables import new_metadata
from exp_platform.schemas import TableSchema

if TYPE_CHECKING:
    from sqlalchemy import Connection

CATALOG = "iceberg"
NAMESPACE = "exp"
_BUSY_SECONDS = 30
_UNSAFE = set("#?%*[]{}'\"")


class CommitConflict(StorageError):  # noqa: N818
    """Someone else moved a pointer first; reload, plan again, try again."""


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table's next metadata, not yet visible.

    Attributes:
        base: the table it was planned on; None if it is new.
        location: of the metadata file to be written; a REST server chooses its own.
        updates: from the base to the metadata, for a REST server.
    """

    name: str
    base: Table | None
    metadata: TableMetadata
    location: str
    updates: tuple[TableUpdate, ...] = ()


class LakeCatalog(SqlCatalog):
    """PyIceberg's SQL catalog with one addition: many tables commit as one.

    Args:
        uri: SQLAlchemy URL of the database.
        area: where the tables lie.
    """

    def __init__(self, uri: str, area: Area) -> None:
        self.area = area
        self.io = area.new_io()
        self._metadata: dict[str, TableMetadata] = {}
        with ExitStack() as undo:
            undo.callback(self._disconnect)
            super().__init__(CATALOG, uri=uri, warehouse=area.root)
            undo.pop_all()
        self.shown = self.engine.url.render_as_string(hide_password=True)

    def _init_catalog(self) -> None:
        """Its first query, and with it the first connection."""
        limit_waiting(self.engine)
        super()._init_catalog()

    def _disconnect(self) -> None:
        """What is no catalog leaves no connection to it."""
        if hasattr(self, "engine"):
            self.engine.dispose()

    @property
    def written(self) -> list[str]:
        """Locations written through this catalog since the list was cleared."""
        return cast("RememberingIO", self.io).written

    def load_tables(self, names: Iterable[str] | None = None) -> dict[str, Table]:
        """Tables of the namespace by name, all as of one instant.

        Args:
            names: the tables wanted; None = all. Absent ones are left out.
        """
        columns = (IcebergTables.table_name, IcebergTables.metadata_location)
        query = select(*columns).where(
            IcebergTables.catalog_name == CATALOG,
            IcebergTables.table_namespace == NAMESPACE,
        )
        if names is not None:
            query = query.where(IcebergTables.table_name.in_(list(names)))
        with catalog_errors(self.shown), self.engine.connect() as connection:
            found = connection.execute(query).all()
        return {name: self._table(name, str(location)) for name, location in found}

    def new_table(self, table: TableSchema) -> Table:
        """A table that exists nowhere yet, as the base of a first snapshot."""
        metadata = new_metadata(table, f"{self.area.root}/{NAMESPACE}/{table.name}")
        return Table((NAMESPACE, table.name), metadata, "", self.io, self)

    def stage(self, table: Table, transaction: StagedTransaction) -> StagedTable:
        """A table's next metadata from what a transaction holds."""
        is_new = not table.metadata_location
        metadata = update_table_metadata(
            table.metadata,
            transaction.updates,
            metadata_location=table.metadata_location or None,
        )
        provider = load_location_provider(metadata.location, metadata.properties)
        version = (
            0 if is_new else 1 + self._parse_metadata_version(table.metadata_location)
        )
        return StagedTable(
            name=table.name()[-1],
            base=None if is_new else table,
            metadata=metadata,
            location=provider.new_table_metadata_file_location(version),
        )

    def write_staged(self, staged: Sequence[StagedTable]) -> None:
        """Write the metadata files; no reader can find them yet."""
        for table in staged:
            self._write_metadata(table.metadata, self.io, table.location)

    def persist_metadata(self) -> None:
        """Force the metadata files to the disk; a store has them already."""
        own = (place for place in self.written if place.startswith("file:"))
        sync_files(map(local_path, own))

    def commit_staged(self, staged: Sequence[StagedTable]) -> None:
        """Move all pointers in one SQL transaction: all tables, or none.

        Raises:
            CommitConflict: a table was changed since it was loaded.
            StorageError: the catalog file cannot be written.
        """
        try:
            with catalog_errors(self.shown), self.engine.begin() as connection:
                self._ensure_namespace(connection)
                for table in staged:
                    self._move_pointer(connection, table)
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise CommitConflict("another writer created a table first") from error
            # not in the whole message, which names the folder too
            if any(word in error.parts.get("found", "") for word in ("locked", "busy")):
                raise CommitConflict("the catalog is busy") from error
            raise
        for table in staged:
            self._metadata[table.location] = table.metadata

    def any_current(self, staged: Sequence[StagedTable]) -> bool:
        """Whether readers see any of these staged tables now."""
        if not staged:
            return False
        locations = [table.location for table in staged]
        query = select(IcebergTables.table_name).where(
            IcebergTables.metadata_location.in_(locations)
        )
        with catalog_errors(self.shown), self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def remove_old_metadata(self, staged: Sequence[StagedTable]) -> None:
        """Remove metadata files that fell out of their table's log."""
        for table in staged:
            if table.base is not None:
                self._delete_old_metadata(self.io, table.base.metadata, table.metadata)

    def _table(self, name: str, location: str) -> Table:
        if location not in self._metadata:
            self._check_place(name, location)
            file = self.io.new_input(location)
            with metadata_errors(location):
                self._metadata[location] = _read_metadata(file)
        metadata = self._metadata[location]
        return Table((NAMESPACE, name), metadata, location, self.io, self)

    def _check_place(self, name: str, location: str) -> None:
        """A copied catalog names the files of the first one, and would remove them."""
        if not self.area.holds(location):
            raise StorageError(
                "the catalog is that of another warehouse folder",
                where=f"table {name} in {self.shown}",
                found=location,
                allowed=f"{self.area.root}/...",
                next_step="a warehouse cannot be copied or moved: work where it was, or "
                "remove this warehouse folder and its catalog file and run again",
            )

    def _ensure_namespace(self, connection: "Connection") -> None:
        row = {
            "catalog_name": CATALOG,
            "namespace": NAMESPACE,
            "property_key": "exists",
        }
        query = select(IcebergNamespaceProperties.property_key).filter_by(**row)
        if connection.execute(query).first() is None:
            connection.execute(
                insert(IcebergNamespaceProperties).values(**row, property_value="true")
            )

    def _move_pointer(self, connection: "Connection", staged: StagedTable) -> None:
        if staged.base is None:
            row = self._create_table_row(NAMESPACE, staged.name, staged.location)
            connection.execute(insert(IcebergTables).values(**row))
            return
        moved = connection.execute(
            update(IcebergTables)
            .where(
                IcebergTables.catalog_name == CATALOG,
                IcebergTables.table_namespace == NAMESPACE,
                IcebergTables.table_name == staged.name,
                IcebergTables.metadata_location == staged.base.metadata_location,
            )
            .values(
                metadata_location=staged.location,
                previous_metadata_location=staged.base.metadata_location,
            )
        )
        if moved.rowcount != 1:
            raise CommitConflict(
                "another writer changed a table", where=f"table {staged.name}"
            )


def _read_metadata(file: InputFile) -> TableMetadata:
    try:
        return FromInputFile.table_metadata(file)
    except ValidationError as error:
        raise ValueError(str(error)) from error


def open_catalog(settings: LakeSettings, area: Area, locks: Locks) -> LakeCatalog:
    """Open the catalog; folders and tables of the catalog are made when absent.

    Raises:
        StorageError: it cannot be reached or made, is not a catalog, or holds tables
            under another catalog name.
    """
    if settings.remote is not None:
        with locks.hold(PUBLISH):
            return _open_remote(settings.remote.catalog, area)
    for path in (settings.warehouse, settings.catalog):
        _check_path(path)
    uri = f"sqlite:///{settings.catalog.absolute()}?timeout={_BUSY_SECONDS}"
    try:
        if settings.catalog.is_file():
            return _open(uri, area)
        settings.warehouse.mkdir(parents=True, exist_ok=True)
        with locks.hold(PUBLISH):
            return _open(uri, area)
    except OSError as error:
        raise storage_error(error, settings.catalog) from error


def _open(uri: str, area: Area) -> LakeCatalog:
    """Two processes may both find the tables absent; the slower one looks again."""
    with catalog_errors(hide_password(uri)):
        try:
            return LakeCatalog(uri, area)
        except OperationalError as error:
            if "already exists" not in str(error):
                raise
            return LakeCatalog(uri, area)


def _open_remote(uri: str, area: Area) -> LakeCatalog:
    with ExitStack() as undo:
        catalog = _open(uri, area)
        undo.callback(catalog.close)
        _require_name(catalog)
        undo.pop_all()
    return catalog


def _require_name(catalog: LakeCatalog) -> None:
    query = select(IcebergTables.catalog_name).distinct()
    with catalog_errors(catalog.shown), catalog.engine.connect() as connection:
        names = sorted(str(name) for name in connection.scalars(query))
    if names and CATALOG not in names:
        raise StorageError(
            "the database holds a catalog of another name, whose tables nobody would see",
            where=catalog.shown,
            found=", ".join(names),
            allowed=CATALOG,
            next_step="name another database, or rename catalog_name in iceberg_tables",
        )


def _check_path(path: Path) -> None:
    odd = sorted(c for c in set(str(path.absolute())) if c in _UNSAFE or c < " ")
    if odd:
        raise UsageError(
            "the warehouse cannot lie in this folder",
            where=str(path),
            found="characters " + " ".join(c if c in _UNSAFE else repr(c) for c in odd),
            allowed="paths without # ? % * [ ] { }, quotes, tabs and line ends",
            next_step="set another data folder in the configuration",
        )
