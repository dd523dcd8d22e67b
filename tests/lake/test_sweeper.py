import os
import time
from dataclasses import replace

import pytest

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake import Lake, areas, states_to_json
from exp_platform.lake.files import location_of

OLD = time.time() - 10 * 24 * 3600


def _age(settings):
    for path in settings.warehouse.rglob("*"):
        if path.is_file():
            os.utime(path, (OLD, OLD))


def _run(lake, rows, run, n, *, in_ledger):
    with lake.begin(run, "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes", n=n))
        if not in_ledger:
            return publication.publish()
        return publication.publish(
            lambda states: rows(
                "analysis_runs", "exp_a", 1, snapshots=[states_to_json(states)]
            )
        )


def test_sweep_removes_old_orphans_only(lake, rows, settings):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    folder = settings.warehouse / "exp" / "outcomes"
    orphans = [folder / "data" / "left.parquet", folder / "metadata" / "left.avro"]
    for path in orphans:
        path.write_bytes(b"x")
    assert lake.sweep() == []
    _age(settings)
    young = folder / "data" / "young.parquet"
    young.write_bytes(b"x")
    assert lake.sweep() == list(map(location_of, orphans))
    assert young.exists()
    assert lake.read("outcomes").num_rows == 3
    assert lake.sweep() == []


def test_sweep_keeps_every_readable_snapshot_and_ledger_file(
    lake, rows, settings, plain
):
    kept = [_run(lake, rows, f"run{n}", n, in_ledger=True) for n in range(1, 4)]
    lost = _run(lake, rows, "run4", 4, in_ledger=False)
    for n in range(1, 13):
        _run(lake, rows, f"later{n}", n, in_ledger=False)
    _age(settings)
    removed = lake.sweep()
    (gone,) = lost["outcomes"].files
    assert location_of(settings.warehouse / gone.path) in removed
    for states in kept:
        for file in states["outcomes"].files:
            assert (settings.warehouse / file.path).is_file()
    table = plain().load_table("exp.outcomes")
    for state in lake.history("outcomes"):
        rows_then = table.scan(snapshot_id=state.snapshot_id).to_arrow().num_rows
        assert rows_then == state.n_rows


def test_sweep_refuses_when_the_ledger_is_unreadable(lake, rows, settings):
    with lake.begin("run1", "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes"))
        publication.publish(
            lambda _: rows("analysis_runs", "exp_a", 1, snapshots=["[]"])
        )
    _age(settings)
    with pytest.raises(StorageError, match="nothing is swept"):
        lake.sweep()


@pytest.mark.parametrize("is_empty", [True, False])
def test_sweep_refuses_tables_of_another_catalog(lake, rows, settings, is_empty):
    """The catalog was lost, or another configuration names another one."""
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    with Lake(replace(settings, catalog=settings.catalog.with_name("b.db"))) as other:
        other.settings.catalog.touch()
        if not is_empty:
            other.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b"))
        _age(settings)
        with pytest.raises(StorageError, match="this catalog does not know"):
            other.sweep()
    assert lake.read("outcomes").num_rows == 3


@pytest.fixture
def moved(lake, rows, settings):
    """The same warehouse, where a link from its old name leads now."""
    _run(lake, rows, "run1", 3, in_ledger=False)
    lake.close()
    _age(settings)
    place = settings.warehouse.with_name("moved")
    settings.warehouse.rename(place)
    settings.warehouse.symlink_to(place)
    with Lake(replace(settings, warehouse=place)) as moved:
        yield moved


def test_sweep_finds_files_again_under_another_name_of_the_folder(moved, settings):
    folder = moved.settings.warehouse / "exp" / "outcomes" / "data"
    left = folder / "left.parquet"
    left.write_bytes(b"x")
    os.utime(left, (OLD, OLD))
    assert moved.sweep() == [location_of(left)]
    for place in (moved.settings, settings):
        with Lake(place) as again:
            assert again.read("outcomes").num_rows == 3


def test_sweep_refuses_a_table_with_files_elsewhere(moved, rows, settings):
    moved.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b"))
    _age(moved.settings)
    settings.warehouse.unlink()
    areas._under.cache_clear()
    before = sorted(moved.settings.warehouse.rglob("*"))
    with pytest.raises(StorageError, match="outside the warehouse folder"):
        moved.sweep()
    assert sorted(moved.settings.warehouse.rglob("*")) == before


def test_sweep_passes_over_a_file_that_goes_meanwhile(lake, rows, settings):
    """A run that ends unpublished beside it takes its files away; no lock is held."""
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    (settings.warehouse / "exp" / "gone.parquet").symlink_to(settings.raw / "none")
    _age(settings)
    assert lake.sweep() == []


def test_sweep_without_a_warehouse_does_nothing(lake, settings):
    assert lake.sweep() == []
    assert not settings.catalog.exists()
    for age in (-1.0, float("nan")):
        with pytest.raises(UsageError, match="from 0 on"):
            lake.sweep(min_age_seconds=age)
