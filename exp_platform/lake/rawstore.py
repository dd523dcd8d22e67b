"""Raw files on an object store: sent as a whole, fetched into a local copy.

The manifest is sent last and fetched first, so a copy is whole or is found out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.lake.files import remove_files
from exp_platform.lake.raw import MANIFEST
from exp_platform.lake.store import store_errors


class RawStore:
    """The raw area of a shared lake.

    Args:
        root: e.g. `s3://raw`; `s3a://` is the same.
        files: the store as an fsspec file system.
        local: folder of the local copy.
    """

    def __init__(self, root: str, files: Any, local: Path) -> None:
        self._root = root.rstrip("/").replace("s3a://", "s3://")
        self._files = files
        self._local = local

    def send(self, folder: Path) -> str:
        """Send a local folder; what the store has and the folder lacks is removed.

        Returns:
            Where it is now.

        Raises:
            StorageError: the store refuses; send it again.
        """
        where = self._location(folder)
        paths = sorted(path for path in folder.rglob("*") if _is_delivered(path))
        with store_errors(where):
            for path in sorted(paths, key=lambda p: p.name == MANIFEST):
                self._files.put_file(str(path), self._location(path))
            kept = {self._location(path) for path in paths}
            for location in self._listed(where):
                if location not in kept:
                    self._files.rm_file(location)
        return where

    def fetch(self, folder: Path, *, only_new: bool = False) -> None:
        """Make the local folder what the store has.

        Args:
            folder: a folder of the local copy.
            only_new: files are only ever added, so one of the same size is kept. Not
                where a manifest speaks of another landing.

        Raises:
            ContractError: the store has nothing there, or a name that leads elsewhere.
            StorageError: the store cannot be reached, or refuses.
        """
        where = self._location(folder)
        with store_errors(where):
            found = sorted(self._listed(where), key=lambda x: not x.endswith(MANIFEST))
            if not found:
                raise ContractError(
                    "raw data is missing",
                    where=where,
                    next_step="run with --generate-synth, or `exp import` your own file",
                )
            wanted = {self._path(location): location for location in found}
            remove_files(
                path
                for path in folder.rglob("*")
                if path.is_file() and path not in wanted
            )
            for path, location in wanted.items():
                if only_new and path.name != MANIFEST and self._has(path, location):
                    continue
                before = path.read_bytes() if path.is_file() else None
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(location, str(path))
                if path.name == MANIFEST and path.read_bytes() != before:
                    only_new = False

    def _has(self, path: Path, location: str) -> bool:
        return path.is_file() and path.stat().st_size == self._files.size(location)

    def _listed(self, where: str) -> Iterator[str]:
        for name in self._files.find(where):
            # a console's "folder" is an empty object of that name
            if not name.endswith("/"):
                yield f"s3://{name}"

    def _location(self, path: Path) -> str:
        key = path.absolute().relative_to(self._local.absolute()).as_posix()
        return f"{self._root}/{key}"

    def _path(self, location: str) -> Path:
        key = location.removeprefix(f"{self._root}/")
        if ".." in key.split("/"):
            raise ContractError(
                "a raw object's name leads out of the folder of raw files",
                where=location,
                next_step="remove that object; nothing of it was copied",
            )
        return self._local.absolute() / key


def _is_delivered(path: Path) -> bool:
    return path.is_file() and (path.name == MANIFEST or path.name[0] not in "._")
