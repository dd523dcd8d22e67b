import logging
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exp_platform.errors import ContractError, StorageError
from exp_platform.lake.areas import LocalArea
from exp_platform.lake.files import location_of
from exp_platform.lake.reading import Plan, attach_view, check_field_ids, read_arrow
from exp_platform.schemas import load_schema, table_names


@pytest.mark.parametrize("table", table_names())
def test_attach_without_a_warehouse_gives_empty_tables(lake, table, settings):
    with lake.engine() as engine:
        lake.attach(engine, table)
        assert engine.columns(f"exp.{table}") == load_schema(table).names
        assert engine.rows(f"select * from exp.{table}") == []
    assert lake.read(table).num_rows == 0
    assert not settings.catalog.exists()
    assert not settings.warehouse.exists()


def test_read_latest_by_leaves_out_files_without_the_latest_instant(lake, rows):
    for run, day in (("run1", 5), ("run2", 9), ("run3", 9), ("run4", 2)):
        # a bound is of all rows of a file, not of its first
        instants = [datetime(2026, 3, day, hour, tzinfo=UTC) for hour in (0, 12, 3)]
        made = rows("analysis_runs", run_id=[run] * 3, computed_at=instants)
        with lake.begin(run, "exp_a") as publication:
            publication.replace_experiment("outcomes", rows("outcomes"))
            publication.publish(ledger=lambda _, made=made: made)
    found = lake.read("analysis_runs", "exp_a", latest_by="computed_at")
    assert sorted(found["run_id"].to_pylist()) == ["run2"] * 3 + ["run3"] * 3
    assert lake.read("analysis_runs", "exp_a").num_rows == 12
    assert lake.read("analysis_runs", "exp_z", latest_by="computed_at").num_rows == 0


def test_attach_filters_by_experiment_and_snapshot(lake, rows):
    first = lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    lake.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b", 2))
    count = "select count(*) from exp.outcomes"
    with lake.engine() as engine:
        lake.attach(engine, "outcomes")
        assert engine.rows(count) == [(5,)]
        lake.attach(engine, "outcomes", experiment_id="exp_b")
        assert engine.rows(count) == [(2,)]
        lake.attach(engine, "outcomes", experiment_id="exp_none")
        assert engine.rows(count) == [(0,)]
        lake.attach(engine, "outcomes", snapshot_id=first.snapshot_id)
        assert engine.rows(count) == [(3,)]
    with pytest.raises(StorageError, match="unknown snapshot"):
        lake.read("outcomes", snapshot_id=1)


def test_attach_reads_what_read_reads(lake, rows):
    lake.replace_experiment("exposures", "exp_a", rows("exposures"))
    with lake.engine() as engine:
        lake.attach(engine, "exposures")
        through_sql = engine.arrow("select * from exp.exposures")
    assert through_sql.to_pylist() == lake.read("exposures").to_pylist()


def test_files_without_field_ids_are_refused(lake, rows, plain, tmp_path):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    path = tmp_path / "foreign.parquet"
    pq.write_table(rows("outcomes", "exp_b"), path)
    plain().load_table("exp.outcomes").add_files([f"file://{path}"])
    with lake.engine() as engine:
        with pytest.raises(ContractError, match="no Iceberg field ids"):
            lake.attach(engine, "outcomes")
        lake.attach(engine, "outcomes", experiment_id="exp_a")
    with pytest.raises(ContractError, match="no Iceberg field ids"):
        lake.read("outcomes")


def test_check_field_ids_names_missing_and_broken_files(tmp_path):
    area = LocalArea(tmp_path)
    with pytest.raises(StorageError, match="is missing"):
        check_field_ids(location_of(tmp_path / "gone.parquet"), area)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not really")
    with pytest.raises(ContractError, match="not readable Parquet"):
        check_field_ids(location_of(broken), area)


def test_read_names_a_file_that_broke_after_its_footer_was_seen(lake, rows, settings):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    assert lake.read("outcomes").num_rows == 3
    (file,) = settings.warehouse.rglob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + bytes(400) + whole[404:])
    with pytest.raises(ContractError, match="not readable Parquet"):
        lake.read("outcomes")
    file.unlink()
    with pytest.raises(StorageError, match="is missing"):
        lake.read("outcomes")


def test_a_file_with_other_rows_than_those_written_is_refused(lake, rows, settings):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    (file,) = settings.warehouse.rglob("*.parquet")
    pq.write_table(pq.ParquetFile(file).read().slice(1), file)
    with pytest.raises(ContractError, match="not the one that was written"):
        lake.read("outcomes")
    with lake.engine() as engine:
        for look in (lake.attach, lake.file_selects):
            with pytest.raises(ContractError, match="not the one that was written"):
                look(engine, "outcomes")


def test_delete_files_fall_back_to_arrow_and_say_so(lake, rows, caplog):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    table = lake._table("outcomes")
    from pyiceberg.expressions import AlwaysTrue

    plan = Plan(table, AlwaysTrue(), None, (), lake.area, has_deletes=True)
    schema = load_schema("outcomes")
    with caplog.at_level(logging.WARNING), lake.engine() as engine:
        attach_view(engine, schema, plan)
        assert engine.rows("select count(*) from exp.outcomes") == [(3,)]
    assert "reading it through Arrow" in caplog.text
    assert read_arrow(schema, plan).equals(lake.read("outcomes"))
    no_table = Plan(None, None, None, (), lake.area, has_deletes=True)
    assert read_arrow(schema, no_table).num_rows == 0


def test_position_deletes_of_another_engine_are_honoured(lake, rows, plain):
    """A delete file written by hand, as Spark would write it."""
    users = ["u1", "u2", "u3"]
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes", user_id=users))
    _delete_rows(plain().load_table("exp.outcomes"), positions=[1])
    assert lake.read("outcomes").column("user_id").to_pylist() == ["u1", "u3"]
    with lake.engine() as engine:
        lake.attach(engine, "outcomes")
        assert engine.rows("select user_id from exp.outcomes") == [("u1",), ("u3",)]
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    assert lake.read("outcomes").num_rows == 3


def _delete_rows(table, positions):
    from pyiceberg.manifest import (
        DataFile,
        DataFileContent,
        FileFormat,
        ManifestContent,
        ManifestEntry,
        ManifestEntryStatus,
        ManifestWriterV2,
    )
    from pyiceberg.table.update.snapshot import _FastAppendFiles

    (task,) = table.scan().plan_files()
    location = task.file.file_path.replace("/data/", "/data/deletes-", 1)
    path = location.removeprefix("file://").replace("experiment_id=exp_a/", "")
    schema = pa.schema(
        [
            pa.field(
                "file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}
            ),
            pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
        ]
    )
    content = pa.table(
        [[task.file.file_path] * len(positions), positions], schema=schema
    )
    pq.write_table(content, path)
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=f"file://{path}",
        file_format=FileFormat.PARQUET,
        partition=task.file.partition,
        record_count=len(positions),
        file_size_in_bytes=1,
    )

    class DeleteWriter(ManifestWriterV2):
        def content(self):
            return ManifestContent.DELETES

        @property
        def _meta(self):
            return {**super()._meta, "content": "deletes"}

    class RowDelta(_FastAppendFiles):
        def _manifests(self):
            metadata = self._transaction.table_metadata
            with DeleteWriter(
                metadata.spec(),
                metadata.schema(),
                self.new_manifest_output(),
                self._snapshot_id,
                "null",
            ) as writer:
                writer.add_entry(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self._snapshot_id,
                        sequence_number=None,
                        file_sequence_number=None,
                        data_file=file,
                    )
                )
            return [writer.to_manifest_file(), *self._existing_manifests()]

    from pyiceberg.table.snapshots import Operation

    with table.transaction() as transaction:
        RowDelta(Operation.APPEND, transaction, table.io).commit()
