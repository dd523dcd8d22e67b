"""A remembered reader gives what PyIceberg's own gives, for every kind of file."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyiceberg.manifest
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

from exp_platform.errors import StorageError
from exp_platform.lake import avro


@pytest.fixture
def remembering(monkeypatch):
    """Remembered readers in use, none remembered yet, as before afterwards."""
    monkeypatch.setattr(pyiceberg.manifest, "AvroFile", AvroFile)
    monkeypatch.setattr(avro, "_resolved", {})
    monkeypatch.setattr(avro, "_lengths", {})
    avro.remember_schemas()
    return avro._resolved


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[list[Table]]:
    """Two tables, partitioned by a text and by a number, with three files each."""
    catalog = SqlCatalog(
        "iceberg", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=str(tmp_path)
    )
    catalog.create_namespace("exp")
    made = []
    for name, kind in (("texts", StringType()), ("numbers", LongType())):
        schema = Schema(NestedField(1, "own", kind), NestedField(2, "n", LongType()))
        spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "own"))
        table = catalog.create_table(("exp", name), schema, partition_spec=spec)
        for n in range(3):
            own = f"p{n}" if name == "texts" else n
            table.append(
                pa.table({"own": [own], "n": pa.array([n], pa.int64())}),
            )
        made.append(table)
    yield made
    catalog.close()


def _entries(table: Table) -> list[tuple[object, ...]]:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return [
        (entry.status, entry.data_file.partition[0], entry.data_file.file_path)
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
    ]


@pytest.mark.usefixtures("remembering")
def test_the_same_entries_as_pyiceberg_reads(tables, monkeypatch):
    remembered = [_entries(table) for table in tables]
    again = [_entries(table) for table in tables]
    monkeypatch.setattr(pyiceberg.manifest, "AvroFile", AvroFile)
    assert remembered == again == [_entries(table) for table in tables]
    assert [len(found) for found in remembered] == [3, 3]


def test_one_reader_for_each_schema_and_not_for_each_file(tables, remembering):
    _entries(tables[0])
    assert len(remembering) == 2, "the manifest list's and the manifests'"
    _entries(tables[0])
    assert len(remembering) == 2
    _entries(tables[1])
    assert len(remembering) == 3, "another partition, the same kind of list"


@pytest.mark.usefixtures("remembering")
def test_readers_are_shared_by_threads(tables):
    expected = [_entries(table) for table in tables]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(_entries, tables * 40))
    assert found == expected * 40


def test_no_more_than_a_bounded_number_is_kept(tables, remembering, monkeypatch):
    monkeypatch.setattr(avro, "_KEPT", 1)
    expected = [_entries(table) for table in tables]
    assert [_entries(table) for table in tables] == expected
    assert len(remembering) == 1


@pytest.mark.usefixtures("remembering")
def test_a_file_that_was_cut_off_is_refused_wherever_it_was_cut(tables):
    """The decoder read on behind the end: rows were lost, or it fell over."""
    table = tables[0]
    for name in (table.current_snapshot().manifest_list, *_manifests(table)):
        path = Path(name.removeprefix("file://"))
        whole = path.read_bytes()
        # at the end of its head or of a block a list cannot be told from a whole one
        ends = {found.end() for found in re.finditer(re.escape(whole[-16:]), whole)}
        sizes = {0, 3, 50, *range(len(whole) - 1, 0, -37)}
        is_list = name == table.current_snapshot().manifest_list
        for size in sizes - ends if is_list else sizes | (ends - {len(whole)}):
            path.write_bytes(whole[:size])
            with pytest.raises(StorageError, match="metadata file is damaged"):
                _entries(table)
        path.write_bytes(whole)
    assert len(_entries(table)) == 3


@pytest.mark.usefixtures("remembering")
def test_lengths_of_a_bounded_number_of_manifests_are_kept(tables, monkeypatch):
    monkeypatch.setattr(avro, "_KEPT_LENGTHS", 2)
    assert len(_entries(tables[0])) == 3
    assert len(avro._lengths) == 2


@pytest.mark.usefixtures("remembering")
def test_a_file_that_was_overwritten_or_removed_is_told(tables):
    table = tables[0]
    path = Path(_manifests(table)[0].removeprefix("file://"))
    path.write_bytes(b"x" * 300 + path.read_bytes()[300:])
    with pytest.raises(StorageError, match="metadata file is damaged"):
        _entries(table)
    path.unlink()
    with pytest.raises(StorageError, match="metadata file is missing"):
        _entries(table)


def _manifests(table: Table) -> list[str]:
    snapshot = table.current_snapshot()
    return [manifest.manifest_path for manifest in snapshot.manifests(table.io)]
