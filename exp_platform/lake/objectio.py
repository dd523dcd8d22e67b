"""The FileIO that PyIceberg reads and writes metadata through on an object store."""

from typing import Any, cast

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.typedef import EMPTY_DICT, Properties

from exp_platform.lake.store import store_errors


class ObjectFile(InputFile, OutputFile):
    """One object, for reading or for writing once."""

    def __init__(self, location: str, files: Any) -> None:
        super().__init__(location)
        self._files = files

    def __len__(self) -> int:
        with store_errors(self.location):
            return int(self._files.size(self.location))

    def exists(self) -> bool:
        """Whether it is there."""
        with store_errors(self.location):
            return bool(self._files.exists(self.location))

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002
        """Open it for reading."""
        with store_errors(self.location):
            return cast("InputStream", self._files.open(self.location, "rb"))

    def create(self, overwrite: bool = False) -> OutputStream:
        """Open it for writing; the store refuses a second one of that name."""
        mode = "wb" if overwrite else "xb"
        with store_errors(self.location):
            return cast("OutputStream", self._files.open(self.location, mode))

    def to_input_file(self) -> "ObjectFile":
        """The same object, for reading."""
        return self


class ObjectFileIO(FileIO):
    """An object store for PyIceberg; `written` lists what was created through it."""

    def __init__(self, files: Any, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._files = files
        self.written: list[str] = []

    def new_input(self, location: str) -> ObjectFile:
        """An object to read."""
        return ObjectFile(location, self._files)

    def new_output(self, location: str) -> ObjectFile:
        """An object to write; it is remembered in `written`."""
        self.written.append(location)
        return ObjectFile(location, self._files)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove an object."""
        text = location if isinstance(location, str) else location.location
        with store_errors(text):
            self._files.rm_file(text)
