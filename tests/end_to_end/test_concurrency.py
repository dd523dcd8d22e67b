"""Two processes at once: different experiments lose nothing, the same one serialises."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.end_to_end

JOB = (sys.executable, "-m", "exp_platform.pipelines.run_end_to_end")


def start(project, experiment_id):
    words = (*JOB, "--config", project.config, "--experiment-id", experiment_id)
    return subprocess.Popen(
        [*map(str, words), "--generate-synth"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("memo: ")


def by_experiment(project, comparable):
    """Rows of every table but the ledger, by experiment."""
    found = {}
    for table, rows in project.tables().items():
        for row in rows:
            if table != "analysis_runs":
                found.setdefault((table, row["experiment_id"]), []).append(row)
    return {key: comparable(rows) for key, rows in found.items()}


def test_different_experiments_at_once_lose_nothing(
    project, make_project, tmp_path, comparable
):
    names = ("exp_tiny", "exp_other", "exp_messy")
    alone = make_project(tmp_path / "alone")
    for name in names:
        assert alone.job(name, "--generate-synth").code == 0
    for process in [start(project, name) for name in names]:
        finish(process)
    assert by_experiment(project, comparable) == by_experiment(alone, comparable)
    ledger = project.tables("analysis_runs")["analysis_runs"]
    assert sorted(row["experiment_id"] for row in ledger) == sorted(names)


def test_the_same_experiment_at_once_serialises(project, comparable):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    expected = by_experiment(project, comparable)
    for process in [start(project, "exp_tiny"), start(project, "exp_tiny")]:
        finish(process)
    tables = project.tables()
    ledger = sorted(tables.pop("analysis_runs"), key=lambda row: row["computed_at"])
    assert len({row["run_id"] for row in ledger}) == 3
    assert len({row["digest"] for row in ledger}) == 1
    assert by_experiment(project, comparable) == expected
    seen = {
        row["run_id"] for rows in tables.values() for row in rows if "run_id" in row
    }
    assert seen == {ledger[-1]["run_id"]}


def test_a_second_run_waits_for_the_lock_of_the_first(project):
    from exp_platform.config import load_settings
    from exp_platform.pipelines.run import open_lake

    assert project.job("exp_tiny", "--generate-synth").code == 0
    lake = open_lake(load_settings(project.config))
    with lake.experiment_lock("exp_tiny"):
        process = start(project, "exp_tiny")
        other = start(project, "exp_other")
        finish(other)
        assert process.poll() is None
        ledger = project.tables("analysis_runs")["analysis_runs"]
        assert [r["experiment_id"] for r in ledger].count("exp_tiny") == 1
    finish(process)
    ledger = project.tables("analysis_runs")["analysis_runs"]
    assert [r["experiment_id"] for r in ledger].count("exp_tiny") == 2
