"""Manifests by a reader that is worked out once for each schema, not for each file.

PyIceberg parses the schema in the head of every Avro file and resolves it against its own.
For a manifest of a few files that is most of the work, and manifests of one table have one
schema. What it resolves has no state, so it serves every file, on any thread.
"""

from collections.abc import Hashable
from typing import Self, TypeVar

import pyiceberg.manifest
from pyiceberg.avro.decoder import new_decoder
from pyiceberg.avro.file import META_SCHEMA, AvroFile, AvroFileHeader
from pyiceberg.avro.reader import Reader
from pyiceberg.avro.resolver import construct_reader, resolve_reader
from pyiceberg.schema import Schema
from pyiceberg.typedef import StructProtocol

_Entry = TypeVar("_Entry", bound=StructProtocol)
_HEADER = construct_reader(META_SCHEMA, {-1: AvroFileHeader})
_KEPT = 1024
_resolved: dict[Hashable, tuple[Schema, Schema, Reader]] = {}


class RememberingAvroFile(AvroFile[_Entry]):
    """An Avro file that is read as others of the same schema were."""

    def __enter__(self) -> Self:
        with self.input_file.open() as stream:
            self.decoder = new_decoder(stream.read())
        self.header = _HEADER.read(self.decoder)
        self.schema, self.read_schema, self.reader = self._resolve()
        return self

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


def remember_schemas() -> None:
    """From now on PyIceberg reads manifests and their lists so, in this process."""
    pyiceberg.manifest.AvroFile = RememberingAvroFile  # type: ignore[attr-defined]
