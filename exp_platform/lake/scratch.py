"""Iceberg tables of the shared catalog that only hand rows to another engine.

They stand in a namespace of their own, outside `exp`: no publication, no schema file,
and whoever made the namespace drops it.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from exp_platform.errors import StorageError
from exp_platform.lake.areas import open_area
from exp_platform.lake.database import catalog_errors, hide_password
from exp_platform.lake.settings import LakeSettings
from exp_platform.lake.store import store_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog

_BATCHES_PER_FILE = 16


class ScratchWriter:
    """Writes tables into namespaces that exist.

    Args:
        settings: of a shared lake.

    Raises:
        StorageError: the lake is not shared, so nobody else reads its catalog.
    """

    def __init__(self, settings: LakeSettings) -> None:
        if settings.remote is None:
            raise StorageError(
                "only a shared lake hands rows to another engine",
                where=str(settings.catalog),
                next_step="add `remote:` to the configuration",
            )
        self._remote = settings.remote
        self._area = open_area(settings)
        self._opened: Catalog | None = None

    def __call__(
        self,
        namespace: str,
        table: str,
        schema: "pa.Schema",
        rows: "Iterable[pa.RecordBatch]",
    ) -> None:
        """Make a table from rows, a piece at a time, visible when all are written."""
        import pyarrow as pa

        location = f"{self._area.root}/{namespace}/{table}"
        shown = hide_password(self._remote.catalog)
        with catalog_errors(shown), store_errors(location):
            made = self._catalog().create_table((namespace, table), schema, location)
            left = iter(rows)
            with made.transaction() as transaction:
                while piece := list(islice(left, _BATCHES_PER_FILE)):
                    transaction.append(pa.Table.from_batches(piece, schema))

    def _catalog(self) -> "Catalog":
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> "Catalog":
        from exp_platform.lake.catalog import CATALOG

        if self._remote.is_rest:
            from pyiceberg.catalog.rest import RestCatalog

            from exp_platform.lake.rest import rest_properties

            places = rest_properties(self._remote)
            return RestCatalog(CATALOG, **places, **self._area.io_properties)
        from pyiceberg.catalog.sql import SqlCatalog

        places = {"uri": self._remote.catalog, "warehouse": self._area.root}
        return SqlCatalog(CATALOG, **places, **self._area.io_properties)

    def close(self) -> None:
        """Let go of the database."""
        if self._opened is not None:
            self._opened.close()
