import os
import time

import pytest
from pyiceberg.types import StringType

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake import states_from_json, states_to_json
from exp_platform.lake.catalog import LakeCatalog
from exp_platform.lake.sweeper import retained_runs

OLD = time.time() - 10 * 24 * 3600


def _run(lake, rows, experiment_id, n):
    """One run: new outcomes, one more ledger row."""
    with lake.begin(f"run{n}", experiment_id) as publication:
        publication.replace_experiment("outcomes", rows("outcomes", experiment_id, n))
        publication.publish(
            lambda states: rows(
                "analysis_runs",
                experiment_id,
                1,
                run_id=[f"run{n:02}"],
                snapshots=[states_to_json(states)],
            )
        )


def _age(settings):
    for path in settings.warehouse.rglob("*"):
        if path.is_file():
            os.utime(path, (OLD, OLD))


def _files(settings, table):
    return sorted((settings.warehouse / "exp" / table / "data").rglob("*.parquet"))


@pytest.fixture
def worn(lake, rows):
    """Two experiments with 12 and 3 runs behind them."""
    for n in range(1, 13):
        _run(lake, rows, "exp_a", n)
    for n in range(1, 4):
        _run(lake, rows, "exp_b", n)
    return lake


def _sorted(table):
    return sorted(map(repr, table.to_pylist()))


def test_keep_up_rewrites_only_fragmented_partitions(worn):
    before = {name: _sorted(worn.read(name)) for name in ("analysis_runs", "outcomes")}
    (ledger, outcomes) = worn.keep_up(min_files=8, keep_snapshots=10)
    assert ledger.table == "analysis_runs"
    assert ledger.partitions == (("exp_a",),)
    assert ledger.files_before == 12
    assert outcomes.partitions == ()
    for name, rows in before.items():
        assert _sorted(worn.read(name)) == rows
    assert worn.read("analysis_runs", "exp_a").num_rows == 12
    again = worn.keep_up(min_files=8, keep_snapshots=10)
    assert not any(upkeep.partitions for upkeep in again)


def test_keep_up_leaves_the_table_to_other_readers(worn, plain):
    worn.keep_up(min_files=2, keep_snapshots=10)
    table = plain().load_table("exp.analysis_runs")
    assert table.scan().to_arrow().num_rows == 15
    assert len(list(table.scan().plan_files())) == 2


def test_keep_up_leaves_files_with_a_column_of_another_program(worn, plain):
    with plain().load_table("exp.analysis_runs").update_schema() as update:
        update.add_column("note", StringType())
    (ledger, outcomes) = worn.keep_up(min_files=2, keep_snapshots=10)
    assert (ledger.table, ledger.partitions) == ("analysis_runs", ())
    table = plain().load_table("exp.analysis_runs")
    assert len(list(table.scan().plan_files())) == 15
    assert outcomes.snapshots_expired == 0


def test_keep_up_expires_all_but_the_newest_snapshots(worn):
    newest = [state.snapshot_id for state in worn.history("outcomes")][-3:]
    upkeeps = {u.table: u for u in worn.keep_up(min_files=99, keep_snapshots=3)}
    assert upkeeps["outcomes"].snapshots_expired == 7
    assert [s.snapshot_id for s in worn.history("outcomes")] == newest


def test_keep_up_rehearsal_changes_nothing(worn):
    states = worn.states()
    told = worn.keep_up(min_files=2, keep_snapshots=1, is_rehearsal=True)
    assert {u.table: len(u.partitions) for u in told} == {
        "analysis_runs": 2,
        "outcomes": 0,
    }
    assert all(u.snapshots_expired > 0 for u in told)
    assert worn.states() == states
    done = worn.keep_up(min_files=2, keep_snapshots=1)
    assert [u.partitions for u in done] == [u.partitions for u in told]


def test_sweep_lets_go_of_runs_that_are_not_retained(worn, settings):
    worn.keep_up(min_files=2, keep_snapshots=1)
    _age(settings)
    assert len(_files(settings, "outcomes")) == 15
    told = worn.sweep(keep_runs=2, is_rehearsal=True)
    assert len(_files(settings, "outcomes")) == 15
    assert worn.sweep(keep_runs=2) == told
    assert len(_files(settings, "outcomes")) == 4
    assert worn.read("outcomes", "exp_a").num_rows == 12
    assert worn.read("analysis_runs").num_rows == 15
    for row in worn.read("analysis_runs").to_pylist():
        (file,) = states_from_json(row["snapshots"])["outcomes"].files
        is_kept = row["run_id"] in {"run11", "run12"} or (
            row["experiment_id"] == "exp_b" and row["run_id"] != "run01"
        )
        assert (settings.warehouse / file.path).exists() == is_kept


def test_retained_runs_keeps_the_last_run_that_decided():
    rows = [
        {
            "experiment_id": "exp_a",
            "computed_at": n,
            "run_id": f"r{n}",
            "outcome": "SHIP" if n < 3 else None,
            "snapshots": str(n),
        }
        for n in range(5)
    ]
    assert retained_runs(rows, 1) == ["4", "2"]
    assert retained_runs(rows, 3) == ["2", "3", "4"]
    assert retained_runs(rows, None) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("is_committed", [True, False])
def test_keep_up_loses_no_row_when_a_commit_fails(worn, monkeypatch, is_committed):
    before = _sorted(worn.read("analysis_runs"))
    commit = LakeCatalog.commit_staged

    def break_off(catalog, staged):
        if is_committed:
            commit(catalog, staged)
        raise StorageError("the connection broke")

    monkeypatch.setattr(LakeCatalog, "commit_staged", break_off)
    with pytest.raises(StorageError, match="connection broke"):
        worn.keep_up(min_files=2, keep_snapshots=10)
    monkeypatch.undo()
    assert _sorted(worn.read("analysis_runs")) == before


def test_maintenance_refuses_to_keep_nothing(worn):
    with pytest.raises(UsageError):
        worn.keep_up(min_files=0, keep_snapshots=1)
    with pytest.raises(UsageError):
        worn.keep_up(min_files=1, keep_snapshots=0)
    with pytest.raises(UsageError):
        worn.sweep(keep_runs=0)


def test_keep_up_without_a_warehouse_does_nothing(lake):
    assert lake.keep_up(min_files=2, keep_snapshots=2) == []
