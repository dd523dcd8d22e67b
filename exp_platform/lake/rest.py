"""The catalog as an Iceberg REST server: many tables commit in one request, or none.

The server writes the metadata and moves the pointers. Of the standard's endpoints one
more than PyIceberg's client knows is needed, `transactions/commit`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.io import OutputFile
from pyiceberg.schema import Schema
from pyiceberg.table import (
    CommitTableRequest,
    Namespace,
    Table,
    TableIdentifier,
)
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AssertCreate,
    AssertRefSnapshotId,
    AssertTableUUID,
    TableRequirement,
    update_table_metadata,
)
from requests import RequestException, Session

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake.areas import Area, RememberingIO
from exp_platform.lake.catalog import (
    CATALOG,
    NAMESPACE,
    CommitConflict,
    LakeCatalog,
    StagedTable,
)
from exp_platform.lake.overwrite import StagedTransaction
from exp_platform.lake.settings import RemoteLake
from exp_platform.lake.tables import new_metadata
from exp_platform.schemas import TableSchema

if TYPE_CHECKING:
    from requests import Response

_COMMIT = "transactions/commit"
_LOOKS = 6
_WAIT = (10.0, 300.0)
"""Seconds for a connection, and for the answer to a commit."""
_WAIT_ELSE = (10.0, 60.0)
"""The same for every other answer."""
_NOT_THERE = {
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.NOT_IMPLEMENTED,
}
_NOT_SAID = {
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""By the standard: the commit may have happened, or may still."""


class RestLakeCatalog(RestCatalog):
    """PyIceberg's REST catalog with one addition: many tables commit as one.

    Args:
        remote: its address, and the warehouse it is asked for.
        area: where the tables lie.

    Raises:
        StorageError: the server does not answer, or refuses.
    """

    def __init__(self, remote: RemoteLake, area: Area) -> None:
        self.area = area
        self.io = area.new_io()
        self.shown = remote.catalog
        self._is_unknown = False
        with rest_errors(self.shown):
            super().__init__(CATALOG, **rest_properties(remote), **area.io_properties)

    def _create_session(self) -> Session:
        session = super()._create_session()
        session.request = partial(session.request, timeout=_WAIT_ELSE)
        return session

    @property
    def written(self) -> list[str]:
        """Locations written through this catalog since the list was cleared."""
        return cast("RememberingIO", self.io).written

    def load_tables(self, names: Iterable[str] | None = None) -> dict[str, Table]:
        """Tables of the namespace by name, all as of one instant.

        The server is asked for one table after the other. Two rounds with the same
        answers were both true at the instant between them.

        Args:
            names: the tables wanted; None = all. Absent ones are left out.

        Raises:
            StorageError: they kept changing, or the server does not answer.
        """
        wanted = None if names is None else list(names)
        found = self._collect(wanted)
        for _ in range(_LOOKS):
            if wanted is not None and len(wanted) == 1:
                return found
            again = self._collect(wanted)
            if _pointers(found) == _pointers(again):
                return again
            found = again
        raise StorageError(
            "the tables kept changing while they were read",
            where=self.shown,
            next_step="run the command again",
        )

    def new_table(self, table: TableSchema) -> Table:
        """An empty table, as the base of a first snapshot.

        It is registered from metadata of ours: servers may number the columns of a
        table that they create anew, and every data file names columns by number.

        Raises:
            StorageError: the server keeps other numbers, or refuses.
        """
        metadata = new_metadata(table, f"{self.area.root}/{NAMESPACE}/{table.name}")
        provider = load_location_provider(metadata.location, metadata.properties)
        location = provider.new_table_metadata_file_location(0)
        _write_metadata(metadata, self.io.new_output(location))
        # the registered table needs it, whatever becomes of the rows
        self.written.remove(location)
        self._ensure_namespace()
        with rest_errors(self.shown):
            try:
                self.register_table((NAMESPACE, table.name), location)
            except TableAlreadyExistsError:
                self.area.remove([location])
        made = self._collect([table.name])[table.name]
        if _numbers(made.schema()) != _numbers(metadata.schema()):
            raise StorageError(
                "the REST catalog numbers columns anew, so files would be misread",
                where=f"{self.shown}, table {table.name}",
                next_step="drop the empty table there, and use another server",
            )
        return made

    def stage(self, table: Table, transaction: StagedTransaction) -> StagedTable:
        """A table's next metadata from what a transaction holds."""
        return StagedTable(
            name=table.name()[-1],
            base=table,
            metadata=update_table_metadata(table.metadata, transaction.updates),
            location="",
            updates=transaction.updates,
        )

    def write_staged(self, staged: Sequence[StagedTable]) -> None:
        """The server writes the metadata."""

    def persist_metadata(self) -> None:
        """The server answers when its metadata is safe."""

    def commit_staged(self, staged: Sequence[StagedTable]) -> None:
        """Hand all changes over in one request: all tables, or none.

        Raises:
            CommitConflict: a table was changed since it was loaded.
            StorageError: the server cannot commit several tables as one, or refuses.
        """
        body = json.dumps({"table-changes": list(map(_change, staged))})
        url = self.url(_COMMIT, prefixed=True)
        self._is_unknown = True
        with rest_errors(self.shown, next_step=_LOOK_FIRST):
            answer = self._session.post(url, data=body.encode(), timeout=_WAIT)
        self._is_unknown = answer.status_code in _NOT_SAID
        self._check(answer)

    def any_current(self, staged: Sequence[StagedTable]) -> bool:
        """Whether readers see any of these staged tables now, or may yet.

        A server that did not say how a commit ended may still be at it: what the commit
        names has to stay.
        """
        if not staged:
            return False
        if self._is_unknown:
            return True
        found = self._collect([table.name for table in staged])
        return any(
            table.name in found
            and _snapshots(found[table.name]) == _snapshots(table)
            and (table.base is None or _snapshots(table.base) != _snapshots(table))
            for table in staged
        )

    def remove_old_metadata(self, staged: Sequence[StagedTable]) -> None:
        """The server's to do, too."""

    def _collect(self, names: Sequence[str] | None) -> dict[str, Table]:
        found = {}
        with rest_errors(self.shown):
            for name in self._names() if names is None else names:
                try:
                    there = self.load_table((NAMESPACE, name))
                except (NoSuchTableError, NoSuchNamespaceError):
                    continue
                found[name] = Table(
                    (NAMESPACE, name),
                    there.metadata,
                    there.metadata_location,
                    self.io,
                    self,
                )
        return found

    def _names(self) -> list[str]:
        try:
            return [identifier[-1] for identifier in self.list_tables(NAMESPACE)]
        except NoSuchNamespaceError:
            return []

    def _ensure_namespace(self) -> None:
        with rest_errors(self.shown):
            try:
                self.create_namespace(NAMESPACE)
            except NamespaceAlreadyExistsError:
                return

    def _check(self, answer: "Response") -> None:
        if answer.ok:
            return
        if answer.status_code == HTTPStatus.CONFLICT:
            raise CommitConflict("another writer changed a table", where=self.shown)
        found = f"{answer.status_code} {' '.join(answer.text.split())[:300]}"
        if answer.status_code in _NOT_THERE:
            raise StorageError(
                "the REST catalog cannot commit several tables as one, so nothing was "
                "published",
                where=f"{self.shown}, {_COMMIT}",
                found=found,
                next_step="use a server that can, such as Nessie, or the PostgreSQL "
                "catalog",
            )
        if answer.status_code in _NOT_SAID:
            raise StorageError(
                "the REST catalog did not say whether a commit happened",
                where=self.shown,
                found=found,
                next_step=_LOOK_FIRST,
            )
        raise StorageError(
            "the REST catalog refused a commit", where=self.shown, found=found
        )


_LOOK_FIRST = (
    "the commit may have happened, so its files stay: run again, which replaces it"
)

AnyCatalog = LakeCatalog | RestLakeCatalog
"""Both have the same methods; which one a lake has, its settings say."""


def rest_properties(remote: RemoteLake) -> dict[str, str]:
    """What a client of the server is told; a token comes from the environment.

    Raises:
        UsageError: the token cannot be sent.
    """
    token = os.environ.get("EXP_CATALOG_TOKEN", "")
    if not all("!" <= sign <= "~" for sign in token):
        # a library would show it in its own error
        raise UsageError(
            "EXP_CATALOG_TOKEN holds a blank, a line break or another sign that no "
            "token has",
            next_step="export EXP_CATALOG_TOKEN without it and run again",
        )
    return {
        "uri": remote.catalog,
        **({"warehouse": remote.rest_warehouse} if remote.rest_warehouse else {}),
        **({"token": token} if token else {}),
    }


@contextmanager
def rest_errors(
    where: str,
    next_step: str = "check `remote.catalog`, the server, and EXP_CATALOG_TOKEN",
) -> Iterator[None]:
    """What the catalog's server refused, in our words.

    Raises:
        StorageError: it cannot be reached, or refuses.
    """
    try:
        yield
    except (RESTError, RequestException, ValueError) as error:
        raise StorageError(
            "the REST catalog cannot be used",
            where=where,
            found=" ".join(str(error).split())[:300],
            next_step=next_step,
        ) from error


def _change(staged: StagedTable) -> dict[str, Any]:
    request = CommitTableRequest(
        identifier=TableIdentifier(namespace=Namespace([NAMESPACE]), name=staged.name),
        requirements=_requirements(staged),
        updates=staged.updates,
    )
    change: dict[str, Any] = json.loads(request.model_dump_json())
    for update in change["updates"]:
        if update["action"] == "add-schema":
            # the standard dropped it, servers still ask for it
            update["last-column-id"] = staged.metadata.last_column_id
    return change


def _requirements(staged: StagedTable) -> tuple[TableRequirement, ...]:
    if staged.base is None:
        return (AssertCreate(),)
    there = staged.base.metadata
    return (
        AssertTableUUID(uuid=there.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=there.current_snapshot_id),
    )


def _write_metadata(metadata: TableMetadata, file: OutputFile) -> None:
    document = json.loads(metadata.model_dump_json())
    # servers in Java say it this way, and some read no other
    document.setdefault("current-snapshot-id", -1)
    with file.create() as opened:
        opened.write(json.dumps(document).encode())


def _numbers(schema: Schema) -> dict[int, str]:
    return {
        field_id: name
        for field_id in sorted(schema.field_ids)
        if (name := schema.find_column_name(field_id)) is not None
    }


def _pointers(tables: dict[str, Table]) -> dict[str, str]:
    return {name: table.metadata_location for name, table in tables.items()}


def _snapshots(table: Table | StagedTable) -> tuple[int | None, frozenset[int]]:
    metadata = table.metadata
    ids = frozenset(snapshot.snapshot_id for snapshot in metadata.snapshots)
    return metadata.current_snapshot_id, ids
