import logging
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake import Lake, LakeSettings
from exp_platform.lake.catalog import CommitConflict, StagedTable
from exp_platform.lake.database import catalog_errors


def test_load_tables_leaves_out_absent_ones(lake, rows):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    catalog = lake._catalog()
    assert set(catalog.load_tables(["outcomes", "decisions"])) == {"outcomes"}
    assert set(catalog.load_tables()) == {"outcomes"}


def test_commit_staged_moves_no_pointer_on_a_conflict(lake, rows, plain):
    for table in ("exposures", "outcomes"):
        lake.replace_experiment(table, "exp_a", rows(table))
    catalog = lake._catalog()
    loaded = catalog.load_tables()
    staged = [
        StagedTable(name, table, table.metadata, f"file:///new/{name}.metadata.json")
        for name, table in loaded.items()
    ]
    foreign = plain().load_table("exp.outcomes")
    with foreign.transaction() as transaction:
        transaction.set_properties({"touched": "yes"})
    with pytest.raises(CommitConflict, match="changed a table"):
        catalog.commit_staged(staged)
    assert not catalog.any_current(staged)
    exposures = plain().load_table("exp.exposures")
    assert exposures.metadata_location == loaded["exposures"].metadata_location


def test_commit_staged_of_a_table_someone_else_created(lake, rows):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    catalog = lake._catalog()
    metadata = catalog.load_tables()["outcomes"].metadata
    with pytest.raises(CommitConflict, match="created a table first"):
        catalog.commit_staged([StagedTable("outcomes", None, metadata, "file:///x")])


def test_open_catalog_refuses_what_is_no_catalog(lake, settings):
    settings.catalog.write_bytes(b"this is not a database, not at all" * 40)
    with pytest.raises(StorageError, match="catalog cannot be used"):
        lake.read("outcomes")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
def test_open_catalog_lets_go_of_what_is_no_catalog(settings):
    settings.warehouse.mkdir(parents=True)
    settings.catalog.write_bytes(b"not a database, no" * 100)
    lake = Lake(settings)
    with pytest.raises(StorageError) as caught:
        lake.states()
    # the error still holds whatever was made on the way to it
    assert caught.traceback
    held = {str(link.resolve()) for link in Path("/proc/self/fd").iterdir()}
    assert str(settings.catalog.resolve()) not in held
    lake.close()


@pytest.mark.parametrize("name", ["50%#", "a\tb", "a\nb"])
def test_open_catalog_refuses_odd_folders(tmp_path, rows, name):
    odd = tmp_path / name
    lake = Lake(LakeSettings(odd / "w", odd / "c.db", odd / "raw", odd / "tmp"))
    with pytest.raises(UsageError, match="cannot lie in this folder"):
        lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))


def test_load_tables_refuses_the_catalog_of_another_folder(lake, rows, settings):
    """Its commits would remove metadata that the first one still needs."""
    lake.replace_experiment("exposures", "exp_a", rows("exposures"))
    lake.close()
    copy = settings.warehouse.with_name("copy")
    shutil.copytree(settings.warehouse, copy)
    with Lake(replace(settings, warehouse=copy)) as other:
        with pytest.raises(StorageError, match="that of another warehouse folder"):
            other.read("exposures")
        with pytest.raises(StorageError, match="that of another warehouse folder"):
            other.replace_experiment("exposures", "exp_a", rows("exposures"))
    link = settings.warehouse.with_name("link")
    link.symlink_to(settings.warehouse)
    with Lake(replace(settings, warehouse=link)) as same:
        assert same.read("exposures").num_rows == 3


def test_a_catalog_that_breaks_during_a_run_is_told(lake, rows, settings):
    """The look at what was published hid the error, with one of the database's own."""
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    with lake.begin("run1", "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes"))
        settings.catalog.write_bytes(b"x" * 8192)
        with pytest.raises(StorageError, match="the catalog cannot be used"):
            publication.publish()
    assert len(list(settings.warehouse.rglob("*.parquet"))) == 1


def test_a_commit_that_fails_in_a_folder_named_locked_is_no_conflict(
    rows, settings, monkeypatch
):
    """It was tried eight times, and then told as a busy catalog."""

    def fail(*_):
        raise OperationalError("update", {}, sqlite3.OperationalError("disk I/O error"))

    place = replace(settings, catalog=settings.catalog.with_name("locked.db"))
    with Lake(place) as lake:
        lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
        monkeypatch.setattr(lake._catalog(), "_move_pointer", fail)
        with pytest.raises(StorageError, match="disk I/O error") as caught:
            lake.replace_experiment("outcomes", "exp_a", rows("outcomes", n=2))
        assert not isinstance(caught.value, CommitConflict)
        assert lake.read("outcomes").num_rows == 3


def test_load_tables_names_a_missing_or_damaged_metadata_file(lake, rows, settings):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    (path,) = settings.warehouse.rglob("*.metadata.json")
    for left in (path.read_bytes()[:-20], b"", b"\xff"):
        path.write_bytes(left)
        with (
            Lake(settings) as other,
            pytest.raises(StorageError, match="metadata file is damaged"),
        ):
            other.read("outcomes")
    path.unlink()
    with (
        Lake(settings) as other,
        pytest.raises(StorageError, match="metadata file is missing"),
    ):
        other.read("outcomes")


def test_catalog_errors_tell_an_answer_that_did_not_come():
    with (
        pytest.raises(StorageError, match="catalog cannot be used") as caught,
        catalog_errors("the catalog"),
    ):
        raise TimeoutError("timed out")
    assert caught.value.parts["found"] == "timed out"


def test_broken_connection_prints_nothing_of_its_own(capfd):
    """Without a handler Python writes a library's traceback beside our message."""
    logging.getLogger("sqlalchemy.pool.impl.QueuePool").error("terminating connection")
    assert any(
        isinstance(handler, logging.NullHandler)
        for handler in logging.getLogger("sqlalchemy.pool").handlers
    )
    assert "terminating" not in capfd.readouterr().err
