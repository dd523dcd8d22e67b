"""Manifests by a reader that is worked out once for each schema, not for each file.

PyIceberg parses the schema in the head of every Avro file and resolves it against its own.
For a manifest of a few files that is most of the work, and manifests of one table have one
schema. What it resolves has no state, so it serves every file, on any thread.

Its decoder does not know where the bytes end: of a file that was cut off it makes rows of
whatever lies behind them, or none. So a file is measured first, and a manifest is held
against the length that its list gives it: cut between two blocks it looks whole.
"""

from collections.abc import Hashable
from threading import Lock
from typing import Self, TypeVar

import pyiceberg.manifest
from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.file import (
    MAGIC,
    META_SCHEMA,
    SYNC_SIZE,
    AvroFile,
    AvroFileHeader,
)
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import construct_reader, resolve_reader
from pyiceberg.manifest import ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.typedef import StructProtocol

from exp_platform.lake.files import metadata_errors

_Entry = TypeVar("_Entry", bound=StructProtocol)
_HEADER = construct_reader(META_SCHEMA, {-1: AvroFileHeader})
_KEPT = 1024
_resolved: dict[Hashable, tuple[Schema, Schema, Reader]] = {}
_KEPT_LENGTHS = 100_000
_guard = Lock()
_lengths: dict[str, int] = {}
"""Bytes of the manifests that lists read in this process named."""


class RememberingAvroFile(AvroFile[_Entry]):
    """An Avro file that is read as others of the same schema were."""

    def __enter__(self) -> Self:
        with metadata_errors(self.input_file.location):
            with self.input_file.open() as stream:
                data = stream.read()
            if not is_whole(data):
                raise ValueError(f"{len(data)} bytes that are no whole Avro file")
            listed = _lengths.get(self.input_file.location, len(data))
            if len(data) != listed:
                raise ValueError(f"{len(data)} bytes, {listed} in the manifest list")
            self.decoder = new_decoder(data)
            self.header = _HEADER.read(self.decoder)
            self.schema, self.read_schema, self.reader = self._resolve()
        return self

    def __next__(self) -> _Entry:
        with metadata_errors(self.input_file.location):
            entry = super().__next__()
        if isinstance(entry, ManifestFile):
            _remember_length(entry)
        return entry

    def _resolve(self) -> tuple[Schema, Schema, Reader]:
        key = (
            self.header.meta.get("avro.schema"),
            # kept with the answer, so that no other schema ever has this id
            id(self.read_schema),
            tuple(self.read_types.items()),
            tuple(self.read_enums.items()),
        )
        known = _resolved.get(key)
        if known is not None:
            return known
        schema = self.header.get_schema()
        wanted = self.read_schema or schema
        reader = resolve_reader(schema, wanted, self.read_types, self.read_enums)
        if len(_resolved) >= _KEPT:
            _resolved.clear()
        _resolved[key] = schema, wanted, reader
        return schema, wanted, reader


def _remember_length(manifest: ManifestFile) -> None:
    with _guard:
        while len(_lengths) >= _KEPT_LENGTHS:
            del _lengths[next(iter(_lengths))]
        _lengths[manifest.manifest_path] = manifest.manifest_length


def is_whole(data: bytes) -> bool:
    """Whether bytes are an Avro file from its head to the end of a block.

    How many blocks there were the file does not say.
    """
    try:
        return data.startswith(MAGIC) and _skip_blocks(data, *_skip_head(data))
    except IndexError:
        return False


def _skip_head(data: bytes) -> tuple[int, bytes]:
    """Where the blocks begin, and the mark that each of them ends with."""
    n_pairs, at = _read_number(data, len(MAGIC))
    while n_pairs:
        if n_pairs < 0:
            # then the size of the pairs follows
            _, at = _read_number(data, at)
        for _ in range(2 * abs(n_pairs)):
            at = _skip_bytes(data, at)
        n_pairs, at = _read_number(data, at)
    return at + SYNC_SIZE, data[at : at + SYNC_SIZE]


def _skip_blocks(data: bytes, at: int, mark: bytes) -> bool:
    while at < len(data):
        _, at = _read_number(data, at)
        at = _skip_bytes(data, at) + SYNC_SIZE
        if data[at - SYNC_SIZE : at] != mark:
            return False
    return at == len(data)


def _skip_bytes(data: bytes, at: int) -> int:
    size, at = _read_number(data, at)
    if not 0 <= size <= len(data) - at:
        raise IndexError
    return at + size


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long, and where the next value begins."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    number |= data[at] << shift
    return (number >> 1) ^ -(number & 1), at + 1


def remember_schemas() -> None:
    """From now on PyIceberg reads manifests and their lists so, in this process."""
    pyiceberg.manifest.AvroFile = RememberingAvroFile  # type: ignore[attr-defined]
