"""Where a warehouse's files lie: a local folder, or a prefix of an S3-compatible store.

Everything behind the door names files by location, a URI that every engine can open.
A new data file is written on the local disk first; `persist` makes it durable where it
belongs, before any table names it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exp_platform.lake.files import local_path, location_of, remove_files, sync_files
from exp_platform.lake.settings import LakeSettings, ObjectStore
from exp_platform.lake.store import open_store, store_errors

if TYPE_CHECKING:
    from pyiceberg.io import FileIO

_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file in the making.

    Attributes:
        path: where it is written, on the local disk.
        location: where it will be found.
    """

    path: Path
    location: str


class RememberingIO(Protocol):
    """A FileIO of PyIceberg that lists the locations written through it."""

    written: list[str]


class Area(Protocol):
    """What the lake needs of a place for files."""

    @property
    def root(self) -> str:
        """Location that every file of the warehouse begins with."""

    def new_file(self, key: str) -> NewFile:
        """A file to be written at `key` below the root."""

    def persist(self, files: Iterable[NewFile]) -> None:
        """Make written files durable at their locations."""

    def remove(self, locations: Iterable[str]) -> None:
        """Remove files; one that is already gone is fine."""

    def discard(self, files: Iterable[NewFile]) -> None:
        """Remove files that no table will name, wherever they have got to."""

    def readable(self, location: str) -> str:
        """What `read_parquet` of the engine is given."""

    def holds(self, location: str) -> bool:
        """Whether files named so may lie here; a catalog can be of another place."""

    def same(self, location: str) -> str:
        """One text for a file, however it was named when it was written.

        A file that lies here begins with the root.
        """

    def open(self, location: str) -> Any:
        """What PyArrow reads Parquet from: a path or an open file."""

    def listed(self) -> Iterator[tuple[str, float]]:
        """Every file below the root: location and when it was last changed."""

    def new_io(self) -> "FileIO":
        """How PyIceberg reads and writes metadata here; a `RememberingIO`."""

    @property
    def io_properties(self) -> dict[str, str]:
        """What PyIceberg's own FileIO needs to know to read here."""

    @property
    def filesystem(self) -> Any:
        """The fsspec file system that the engine reads through; None = its own."""

    def __hash__(self) -> int:
        """Footers are remembered by area and location."""


@dataclass(frozen=True)
class LocalArea:
    """A folder of the local disk."""

    folder: Path

    @property
    def root(self) -> str:
        """See `Area`."""
        return location_of(self.folder)

    def new_file(self, key: str) -> NewFile:
        """See `Area`."""
        path = self.folder.absolute() / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return NewFile(path, location_of(path))

    def persist(self, files: Iterable[NewFile]) -> None:
        """See `Area`."""
        sync_files(file.path for file in files)

    def remove(self, locations: Iterable[str]) -> None:
        """See `Area`."""
        remove_files(map(local_path, locations))

    def discard(self, files: Iterable[NewFile]) -> None:
        """See `Area`."""
        remove_files(file.path for file in files)

    def readable(self, location: str) -> str:
        """See `Area`."""
        return str(local_path(location))

    def holds(self, location: str) -> bool:
        """See `Area`."""
        return self.same(location).startswith(f"{self.root}/")

    def same(self, location: str) -> str:
        """See `Area`; a folder may have several names, and Spark writes `file:/a`."""
        if location.startswith(f"{self.root}/"):
            return location
        path = local_path(location)
        folder = _under(self.folder.absolute(), path.parent)
        return location_of(path if folder is None else folder / path.name)

    def open(self, location: str) -> Path:
        """See `Area`."""
        return local_path(location)

    def listed(self) -> Iterator[tuple[str, float]]:
        """See `Area`."""
        for folder, _, names in os.walk(self.folder.absolute()):
            for name in sorted(names):
                path = Path(folder) / name
                # a run that ends beside this one takes its own files away
                with suppress(FileNotFoundError):
                    yield location_of(path), path.stat().st_mtime

    def new_io(self) -> "FileIO":
        """See `Area`."""
        from exp_platform.lake.fileio import LocalFileIO

        return LocalFileIO()

    @property
    def io_properties(self) -> dict[str, str]:
        """See `Area`."""
        return {}

    @property
    def filesystem(self) -> Any:
        """See `Area`."""
        return None


@dataclass(frozen=True)
class ObjectArea:
    """A prefix of a bucket.

    Attributes:
        root: e.g. `s3://warehouse`, without a slash at the end.
        store: endpoint and region; credentials come from the environment.
        staging: local folder where files are written before they are sent.
    """

    root: str
    store: ObjectStore
    staging: Path

    @cached_property
    def files(self) -> Any:
        """The store as an fsspec file system."""
        return open_store(self.store)

    def new_file(self, key: str) -> NewFile:
        """See `Area`."""
        path = self.staging.absolute() / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return NewFile(path, f"{self.root}/{key}")

    def persist(self, files: Iterable[NewFile]) -> None:
        """See `Area`; large files go in several parts."""
        for file in files:
            if file.path.exists():
                with store_errors(file.location):
                    self.files.put_file(str(file.path), file.location)
                file.path.unlink()

    def remove(self, locations: Iterable[str]) -> None:
        """See `Area`."""
        for location in locations:
            with suppress(FileNotFoundError), store_errors(location):
                self.files.rm_file(location)

    def discard(self, files: Iterable[NewFile]) -> None:
        """See `Area`."""
        sent = []
        for file in files:
            if file.path.exists():
                file.path.unlink()
            else:
                sent.append(file.location)
        # last: a store that fails now must not keep the local disk full
        self.remove(sent)

    def readable(self, location: str) -> str:
        """See `Area`."""
        return location

    def holds(self, location: str) -> bool:
        """See `Area`; of a shared catalog, any place in a store."""
        return location.startswith((_SCHEME, "s3a://"))

    def same(self, location: str) -> str:
        """See `Area`; Spark may write `s3a:`."""
        return location.replace("s3a://", _SCHEME, 1)

    def open(self, location: str) -> Any:
        """See `Area`."""
        with store_errors(location):
            return self.files.open(location, "rb")

    def listed(self) -> Iterator[tuple[str, float]]:
        """See `Area`."""
        with store_errors(self.root):
            self.files.invalidate_cache()
            found = self.files.find(self.root, detail=True)
        for name, facts in sorted(found.items()):
            yield _SCHEME + name, facts["LastModified"].timestamp()

    def new_io(self) -> "FileIO":
        """See `Area`."""
        from exp_platform.lake.objectio import ObjectFileIO

        return ObjectFileIO(self.files)

    @property
    def io_properties(self) -> dict[str, str]:
        """See `Area`; keys come from the environment."""
        return {
            "s3.endpoint": self.store.endpoint,
            "s3.region": self.store.region,
            "s3.force-virtual-addressing": "false",
            "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
        }

    @property
    def filesystem(self) -> Any:
        """See `Area`."""
        return self.files


@lru_cache(maxsize=4096)
def _under(root: Path, folder: Path) -> Path | None:
    """The name below `root` of a folder that may be named through a link; None = not below."""
    for parent in (folder, *folder.parents):
        if parent.resolve() == root.resolve():
            return root / folder.relative_to(parent)
    return None


def open_area(settings: LakeSettings) -> LocalArea | ObjectArea:
    """Where a lake's tables lie."""
    if settings.remote is None:
        return LocalArea(settings.warehouse)
    staging = settings.temp_directory / "staging"
    root = settings.remote.warehouse.rstrip("/").replace("s3a://", _SCHEME)
    return ObjectArea(root, settings.remote.store, staging)
