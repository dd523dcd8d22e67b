"""The same command twice: equal rows, the same digest, one more line in the ledger."""

import hashlib

import pytest

pytestmark = pytest.mark.end_to_end

LEDGER = "analysis_runs"


def _content(project, comparable):
    tables = project.tables()
    tables.pop(LEDGER)
    return {name: comparable(rows) for name, rows in tables.items()}


def _ledger(project, experiment_id):
    rows = project.tables(LEDGER)[LEDGER]
    rows = [row for row in rows if row["experiment_id"] == experiment_id]
    # a run_id tells the second only, and two runs may share one
    return sorted(rows, key=lambda row: row["computed_at"])


def _files(project, experiment_id):
    found = project.warehouse.rglob(f"experiment_id={experiment_id}/*")
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.mark.parametrize("experiment_id", ["exp_tiny", "exp_messy", "exp_rollout"])
def test_rerun_gives_equal_rows_and_one_more_ledger_row(
    project, comparable, experiment_id
):
    assert project.job("exp_other", "--generate-synth").code == 0
    assert project.job(experiment_id, "--generate-synth").code == 0
    first = _content(project, comparable)
    others = _files(project, "exp_other")
    assert len(first) == 22
    assert first["analysis_results"]
    for flags in (["--generate-synth"], []):
        assert project.job(experiment_id, *flags).code == 0
        assert _content(project, comparable) == first
    runs = _ledger(project, experiment_id)
    assert len(runs) == 3
    assert len({run["run_id"] for run in runs}) == 3
    assert len({run["digest"] for run in runs}) == 1
    assert len(_ledger(project, "exp_other")) == 1
    assert others
    assert _files(project, "exp_other") == others


def test_rerun_stamps_every_row_with_the_last_run(project):
    for _ in range(2):
        assert project.job("exp_tiny", "--generate-synth").code == 0
    last = _ledger(project, "exp_tiny")[-1]["run_id"]
    seen = {
        name: {row["run_id"] for row in rows}
        for name, rows in project.tables().items()
        if rows and "run_id" in rows[0] and name != LEDGER
    }
    assert {"analysis_results", "check_results", "decisions"} <= seen.keys()
    assert all(runs == {last} for runs in seen.values())


def test_rerun_of_changed_data_leaves_no_old_row(project, comparable):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    text = project.config.read_text("utf-8")
    smaller = text.replace("n_users: 400", "n_users: 300", 1)
    project.config.write_text(smaller, "utf-8")
    assert project.job("exp_tiny", "--generate-synth").code == 0
    changed = _content(project, comparable)
    assert len(changed["experiment_assignments"]) <= 300
    project.config.write_text(text, "utf-8")
    assert project.job("exp_tiny", "--generate-synth").code == 0
    assert _content(project, comparable) != changed
    project.config.write_text(smaller, "utf-8")
    assert project.job("exp_tiny", "--generate-synth").code == 0
    assert _content(project, comparable) == changed
