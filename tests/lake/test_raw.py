import contextlib
import errno
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from exp_platform.errors import ContractError, StorageError, UsageError
from exp_platform.lake.events import events_folder, list_event_files
from exp_platform.lake.raw import (
    MANIFEST,
    land_raw,
    raw_folder,
    read_manifest,
    validate_experiment_id,
    verify_raw,
)

TABLES = ("exposures", "outcomes", "experiment_registry")


@pytest.fixture
def tables(rows):
    return {name: rows(name) for name in TABLES}


@pytest.mark.parametrize("text", ["exp_checkout_button_001", "a", "A.b-c_9", "x" * 128])
def test_validate_experiment_id_accepts_names(text):
    assert validate_experiment_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "../etc", "a/b", "a..b", ".a", "-a", "x" * 129, "a b", "é", "a\n", "a'; drop"],
)
def test_validate_experiment_id_refuses_what_is_no_folder(text):
    with pytest.raises(UsageError, match="not an experiment id"):
        validate_experiment_id(text)


def test_land_raw_writes_what_verify_raw_finds(tmp_path, tables):
    folder = land_raw(tmp_path, "exp_a", tables, {"truth": {"effect": 0.1}})
    assert folder == raw_folder(tmp_path, "exp_a")
    found = verify_raw(tmp_path, "exp_a")
    assert [file.name for file in found] == sorted([*TABLES, "truth"])
    assert pq.read_table(folder / "outcomes.parquet").num_rows == 3
    assert not list(folder.glob(".*"))


def test_land_raw_twice_gives_the_same_bytes(tmp_path, tables):
    land_raw(tmp_path, "exp_a", tables)
    first = verify_raw(tmp_path, "exp_a")
    land_raw(tmp_path, "exp_a", tables)
    assert verify_raw(tmp_path, "exp_a") == first


def test_land_raw_again_drops_what_is_no_longer_delivered(tmp_path, tables):
    land_raw(tmp_path, "exp_a", tables, {"truth": {}})
    land_raw(tmp_path, "exp_a", tables)
    assert "truth" not in {file.name for file in verify_raw(tmp_path, "exp_a")}


def test_land_raw_replaces_what_was_put_there_by_hand(tmp_path, tables):
    """Assignments left behind would have been read as those of the new exposures."""
    folder = land_raw(
        tmp_path, "exp_a", {**tables, "experiment_assignments": tables["exposures"]}
    )
    (folder / MANIFEST).unlink()
    land_raw(tmp_path, "exp_a", tables)
    assert {file.name for file in verify_raw(tmp_path, "exp_a")} == set(TABLES)


@pytest.mark.parametrize("event", range(6))
def test_a_landing_that_was_cut_short_leaves_no_file_of_the_one_before(
    tmp_path, tables, monkeypatch, event
):
    folder = land_raw(
        tmp_path, "exp_a", {**tables, "experiment_assignments": tables["exposures"]}
    )
    left = iter(range(event))

    def dying(action):
        def act(*args, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return action(*args, **options)

        return act

    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    with contextlib.suppress(KeyboardInterrupt):
        land_raw(tmp_path, "exp_a", tables)
    monkeypatch.undo()
    try:
        found = {file.name for file in verify_raw(tmp_path, "exp_a")}
    except ContractError:
        return
    assert found == {Path(name).stem for name in read_manifest(folder)}


def test_verify_raw_names_what_is_missing(tmp_path, tables):
    with pytest.raises(ContractError, match="raw data is missing") as caught:
        verify_raw(tmp_path, "exp_a")
    assert "experiment_registry.parquet" in str(caught.value)
    assert "--generate-synth" in caught.value.parts["next"]
    folder = land_raw(tmp_path, "exp_a", tables, {"truth": {}})
    (folder / "truth.json").unlink()
    with pytest.raises(ContractError, match="raw data is missing"):
        verify_raw(tmp_path, "exp_a")


def test_verify_raw_refuses_a_changed_file(tmp_path, tables):
    folder = land_raw(tmp_path, "exp_a", tables)
    with (folder / "outcomes.parquet").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ContractError, match="not the one that was delivered"):
        verify_raw(tmp_path, "exp_a")
    (folder / "_manifest.json").write_text("{")
    with pytest.raises(ContractError, match="not JSON"):
        verify_raw(tmp_path, "exp_a")


@pytest.mark.parametrize("content", ["{", "null", "5", '["a"]', '{"a.parquet": 5}', ""])
def test_land_raw_replaces_a_damaged_manifest(tmp_path, tables, content):
    folder = land_raw(tmp_path, "exp_a", tables | {"assignments": tables["exposures"]})
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ContractError, match="generate or import the experiment again"):
        verify_raw(tmp_path, "exp_a")
    land_raw(tmp_path, "exp_a", tables)
    assert [file.name for file in verify_raw(tmp_path, "exp_a")] == sorted(TABLES)


def test_verify_raw_allows_files_put_there_by_hand(tmp_path, tables):
    folder = land_raw(tmp_path, "exp_a", tables)
    (folder / "_manifest.json").unlink()
    (folder / "notes.txt").write_text("ignored")
    assert len(verify_raw(tmp_path, "exp_a")) == 3


def test_land_raw_reports_a_folder_it_may_not_write(tmp_path, tables):
    (tmp_path / "exp_platform").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be read or written"):
        land_raw(tmp_path, "exp_a", tables)


@pytest.mark.parametrize(
    ("place", "is_read"),
    [
        ("event_date=2026-01-05/a.parquet", True),
        ("event_date=2026-01-05/_half.parquet", False),
        ("event_date=2026-01-05/_temporary/0/a.parquet", False),
        ("event_date=2026-01-05/hour=07/a.parquet", None),
        ("date=2026-01-05/a.parquet", None),
        ("a.parquet", None),
        ("event_date=2026-01-05/a.PARQUET", None),
        ("event_date=2026-01-05/a.jsonl", None),
        ("event_date=2026-01-05/a.csv.gz", None),
        ("event_date=2026-01-05/a.parquet.tmp", False),
        ("event_date=2026-01-05/README.md", False),
    ],
)
def test_events_lie_in_the_folder_of_a_day(tmp_path, tables, place, is_read):
    """Elsewhere they were passed over without a word."""
    path = events_folder(tmp_path, "shop") / place
    path.parent.mkdir(parents=True)
    pq.write_table(tables["exposures"], path)
    if is_read is None:
        with pytest.raises(ContractError, match="lies where no events are read"):
            list_event_files(tmp_path, "shop")
        return
    found = list_event_files(tmp_path, "shop")
    assert list(found.values()) == [path] * is_read


def test_a_day_may_be_a_link(tmp_path, tables):
    day = tmp_path / "elsewhere"
    day.mkdir()
    pq.write_table(tables["exposures"], day / "a.parquet")
    folder = events_folder(tmp_path, "shop")
    folder.mkdir(parents=True)
    (folder / "event_date=2026-01-05").symlink_to(day)
    assert len(list_event_files(tmp_path, "shop")) == 1


def test_what_cannot_be_read_is_told(tmp_path, tables, monkeypatch):
    """A day that may not be looked into was one without events."""
    land_raw(tmp_path, "exp_a", tables)
    day = events_folder(tmp_path, "shop") / "event_date=2026-01-05"
    day.mkdir(parents=True)
    pq.write_table(tables["exposures"], day / "a.parquet")
    assert list(list_event_files(tmp_path, "shop")) == [
        "events/namespace=shop/event_date=2026-01-05/a.parquet"
    ]

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "there")

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    for look in (
        lambda: verify_raw(tmp_path, "exp_a"),
        lambda: list_event_files(tmp_path, "shop"),
    ):
        with pytest.raises(StorageError, match="cannot be read"):
            look()
