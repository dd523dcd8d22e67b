"""The stages one by one end where the whole run ends."""

import importlib
import json
import subprocess
import sys

import pytest

from exp_platform.config import load_settings
from exp_platform.errors import StorageError
from exp_platform.generate_synth import generate_synth
from exp_platform.lake import open_lake
from exp_platform.lake.locks import FileLocks

pytestmark = pytest.mark.end_to_end

STAGES = (
    "run_ingest",
    "dq_report",
    "compute_metric_aggregates",
    "analyze_experiment",
    "analyze_experiment_cuped",
    "analyze_experiment_did",
    "analyze_bayes",
    "analyze_tails",
    "analyze_novelty",
    "analyze_segments",
    "analyze_arms",
    "did_pretrends",
    "write_memo",
)


@pytest.fixture(name="stage")
def _stage(call):
    """Run one stage's module in this process."""

    def run(project, name, experiment_id):
        main = importlib.import_module(f"exp_platform.pipelines.{name}").main
        options = ("--config", project.config, "--experiment-id", experiment_id)
        return call(main, name, *options)

    return run


def plain(row):
    """A row without its stamps, JSON read, floats rounded to 10 digits.

    Rows read back from a table may be joined in another order than the delivered ones,
    and a sum of doubles depends on its order in the last bits.
    """
    kept = {k: v for k, v in row.items() if k not in {"run_id", "computed_at"}}
    for name in ("details", "definition"):
        if name in kept:
            kept[name] = json.loads(kept[name])
    return rounded(kept)


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value


def ledger_of(project, experiment_id):
    rows = project.tables("analysis_runs")["analysis_runs"]
    rows = [row for row in rows if row["experiment_id"] == experiment_id]
    return sorted(rows, key=lambda row: row["computed_at"])


@pytest.mark.parametrize("experiment_id", ["exp_tiny", "exp_messy", "exp_rollout"])
def test_stages_one_by_one_equal_the_whole_run(
    project, make_project, stage, experiment_id
):
    whole = make_project(project.root.with_name("whole"))
    assert whole.job(experiment_id, "--generate-synth").code == 0
    generate_synth(load_settings(project.config), experiment_id)
    for name in STAGES:
        answer = stage(project, name, experiment_id)
        assert (answer.code, answer.err) == (0, "")
    expected, found = whole.tables(), project.tables()
    assert found.keys() == expected.keys()
    for table in expected.keys() - {"analysis_runs"}:
        assert sorted(map(repr, map(plain, found[table]))) == sorted(
            map(repr, map(plain, expected[table]))
        ), table
    runs = ledger_of(project, experiment_id)
    assert [run["command"] for run in runs] == list(STAGES)
    (reference,) = ledger_of(whole, experiment_id)
    for name in ("digest", "definition_hash", "config_hash", "verdict", "outcome"):
        assert runs[-1][name] == reference[name], name


def test_generation_waits_for_a_run_of_the_experiment(project, monkeypatch):
    settings = load_settings(project.config)
    hold = FileLocks.hold
    with open_lake(settings) as lake, lake.experiment_lock("exp_tiny"):
        monkeypatch.setattr(
            FileLocks, "hold", lambda self, name, **_: hold(self, name, seconds=0.1)
        )
        with pytest.raises(StorageError, match="another run holds the lock"):
            generate_synth(settings, "exp_tiny")
    assert not (project.raw / "exp_tiny").exists()


def test_stage_alone_inherits_the_other_snapshots(project, stage):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    assert stage(project, "analyze_experiment", "exp_tiny").code == 0
    first, second = ledger_of(project, "exp_tiny")
    before, after = (json.loads(row["snapshots"]) for row in (first, second))
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"analysis_results"}
    assert second["digest"] == first["digest"]


@pytest.mark.parametrize("name", ["analyze_experiment", "write_memo"])
def test_stage_alone_refuses_totals_of_another_definition(project, stage, name):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    before = project.snapshots()
    file = project.root / "metrics" / "conversion.yml"
    file.write_text(file.read_text("utf-8").replace("increase", "decrease"), "utf-8")
    answer = stage(project, name, "exp_tiny")
    assert answer.code == 3
    assert "totals of metric 'conversion' are not of the definition" in answer.err
    past = ("power", "--from-experiment", "exp_tiny", "--mde", "0.1", "--metric")
    assert "are not of the definition" in project.exp(*past, "conversion").err
    assert project.exp(*past, "revenue_per_user").code == 0
    assert project.snapshots() == before
    assert stage(project, "compute_metric_aggregates", "exp_tiny").code == 0
    file.write_text(file.read_text("utf-8").replace("growth", "others"), "utf-8")
    answer = stage(project, "write_memo", "exp_tiny")
    assert answer.code == 3
    assert "estimate of metric 'conversion' is not of the definition" in answer.err
    assert stage(project, "analyze_experiment", "exp_tiny").code == 0


def test_stage_alone_refuses_totals_of_other_rows(project, stage):
    """A memo would tell the new data's end beside the totals of the old ones."""
    assert project.job("exp_tiny", "--generate-synth").code == 0
    assert stage(project, "run_ingest", "exp_tiny").code == 0
    assert stage(project, "write_memo", "exp_tiny").code == 0
    text = project.config.read_text("utf-8")
    project.config.write_text(text.replace("n_users: 400", "n_users: 300", 1), "utf-8")
    generate_synth(load_settings(project.config), "exp_tiny")
    assert stage(project, "run_ingest", "exp_tiny").code == 0
    before = project.snapshots()
    for name in ("analyze_experiment", "write_memo"):
        answer = stage(project, name, "exp_tiny")
        assert answer.code == 3
        assert "computed from other rows than those that are there now" in answer.err
    assert project.snapshots() == before
    assert stage(project, "compute_metric_aggregates", "exp_tiny").code == 0
    answer = stage(project, "write_memo", "exp_tiny")
    assert answer.code == 3
    assert "estimates of stage 'ab' are of other totals" in answer.err
    for name in STAGES[3:]:
        assert stage(project, name, "exp_tiny").code == 0
    project.config.write_text(text, "utf-8")
    assert project.job("exp_tiny", "--generate-synth", "--skip-ab").code == 0
    assert stage(project, "write_memo", "exp_tiny").code == 0


@pytest.mark.parametrize("name", STAGES[1:])
def test_stage_before_its_input_is_an_error(project, stage, name):
    answer = stage(project, name, "exp_tiny")
    assert answer.code == 3
    assert "has no rows in experiment_registry" in answer.err
    assert "exp run" in answer.err
    assert project.snapshots() == {}


def test_stage_as_a_process(project):
    words = ("--config", str(project.config), "--experiment-id", "exp_tiny")
    for module in ("generate_synth", "pipelines.run_ingest"):
        done = subprocess.run(
            [sys.executable, "-m", f"exp_platform.{module}", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert "exposures" in project.tables()
