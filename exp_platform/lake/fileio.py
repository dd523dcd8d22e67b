"""The FileIO that PyIceberg reads and writes metadata through.

Plain `open` instead of PyArrow's file system: it is faster for small files, it
remembers what it wrote, and it keeps `pyiceberg.io.pyarrow` out of the start-up.
"""

from pathlib import Path
from typing import BinaryIO, cast

from pyiceberg.io import (
    FileIO,
    InputFile,
    InputStream,
    OutputFile,
    OutputStream,
)
from pyiceberg.typedef import EMPTY_DICT, Properties

from exp_platform.lake.files import local_path


class LocalFile(InputFile, OutputFile):
    """One local file, for reading or for writing once."""

    @property
    def path(self) -> Path:
        """Where it lies on the local disk."""
        return local_path(self._location)

    def __len__(self) -> int:
        return self.path.stat().st_size

    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.exists()

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002
        """Open it for reading."""
        return cast("InputStream", self.path.open("rb"))

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open it for writing; an existing file is an error unless overwritten."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream: BinaryIO = self.path.open("wb" if overwrite else "xb")
        return cast("OutputStream", stream)

    def to_input_file(self) -> "LocalFile":
        """The same file, for reading."""
        return self


class LocalFileIO(FileIO):
    """Local files for PyIceberg; `written` lists what was created through it."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self.written: list[str] = []

    def new_input(self, location: str) -> LocalFile:
        """A file to read."""
        return LocalFile(location)

    def new_output(self, location: str) -> LocalFile:
        """A file to write; it is remembered in `written`."""
        self.written.append(location)
        return LocalFile(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file."""
        text = location if isinstance(location, str) else location.location
        local_path(text).unlink()
