"""Where a lake keeps its files and how much memory its engine may use."""

from dataclasses import dataclass
from pathlib import Path

_UNITS = ("KB", "MB", "GB", "TB")
"""Each a thousand of the one before."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """An S3-compatible store.

    Attributes:
        endpoint: URL; empty = the provider's own. Keys come from the environment.
        region: any text for most servers, but both sides must agree.
    """

    endpoint: str = ""
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class RemoteLake:
    """A lake that several people and engines share.

    Attributes:
        catalog: SQLAlchemy URL of the PostgreSQL database with the catalog, or URL of an
            Iceberg REST server.
        warehouse: location of the Iceberg tables, e.g. `s3://warehouse`.
        raw: location of delivered files, e.g. `s3://raw`.
        store: where both lie.
        rest_warehouse: what a REST server calls the warehouse; empty = its default.
    """

    catalog: str
    warehouse: str
    raw: str
    store: ObjectStore
    rest_warehouse: str = ""

    @property
    def is_rest(self) -> bool:
        """Whether a REST server keeps the catalog."""
        return self.catalog.startswith("http")


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Places and limits of one warehouse.

    Attributes:
        warehouse: folder of the Iceberg tables (data and metadata).
        catalog: SQLite file with one pointer per table.
        raw: folder of delivered files; with a remote lake, the local copy of them.
        temp_directory: where the engine spills and new files wait to be sent.
        memory_limit: of the engine, with unit, e.g. `4GB`.
        threads: of the engine; None = one per core.
        remote: catalog, tables and raw files lie there instead.
    """

    warehouse: Path
    catalog: Path
    raw: Path
    temp_directory: Path
    memory_limit: str = "4GB"
    threads: int | None = None
    remote: RemoteLake | None = None

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        number, unit = self.memory_limit[:-2], self.memory_limit[-2:]
        return int(float(number) * 1000 ** (1 + _UNITS.index(unit)))
