"""A skipped stage leaves no old rows, its checks are NOT_RUN, and nothing ships."""

import pytest

from exp_platform.pipelines.run import STAGE_TABLES, STAGES

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("skips")]

METHODS = {
    "ab": {"welch_t", "two_proportion_z", "ratio_delta"},
    "cuped": {"cuped"},
    "did": {"did_2x2"},
    "bayes": {"bayes_normal", "bayes_beta_binomial"},
    "tails": {"tail_capped"},
    "novelty": {"novelty_trend"},
    "segments": {"segment_interaction"},
    "arms": {"dunnett"},
}
# Checks that need the stage; one of them, at least, blocks.
NEEDED = {
    "dq": {"CROSSOVER", "DUPLICATES", "KEYS", "OUT_OF_WINDOW", "QUARANTINE"},
    "metrics": {"SRM", "SQL_TWIN", "MINIMUM_DATA", "BOTS", "BOTS_BY_ARM"},
    "ab": {"SQL_TWIN"},
}
# Ships when everything runs.
CLEAR = """
  exp_clear:
    days: 14
    n_users: 4000
    base_conversion: 0.3
    effect_lift_conversion: 0.25
    pre_period_days: 7
    plan:
      accept_within_margin: true
      metrics:
        sessions_per_user: {margin: 0.3}
        support_contacts_per_user: {margin: 0.9}
"""


@pytest.fixture(scope="module")
def clear(tmp_path_factory, make_project):
    """A project whose experiment was run whole, with an unambiguous effect."""
    project = make_project(tmp_path_factory.mktemp("clear") / "project")
    text = project.config.read_text("utf-8")
    project.config.write_text(text + CLEAR, "utf-8")
    assert project.job("exp_clear", "--generate-synth").code == 0
    assert decision(project)["outcome"] == "SHIP"
    return project


def decision(project):
    (row,) = (r for r in project.tables("decisions")["decisions"] if not r["treatment"])
    return row


@pytest.mark.parametrize("stage", STAGES)
def test_skip_removes_old_rows_and_never_ships_without_a_required_check(clear, stage):
    answer = clear.job("exp_clear", f"--skip-{stage}")
    assert (answer.code, answer.err) == (0, "")
    tables = clear.tables()
    for table in STAGE_TABLES[stage]:
        assert tables[table] == []
    methods = {row["method"] for row in tables["analysis_results"]}
    assert not methods & METHODS.get(stage, set())
    not_run = {
        row["check_name"]
        for row in tables["check_results"]
        if row["status"] == "NOT_RUN"
    }
    assert NEEDED.get(stage, set()) <= not_run
    ledger = max(tables["analysis_runs"], key=lambda row: row["computed_at"])
    assert f'"{stage}": "skipped"' in ledger["stages"]
    if stage in {"dq", "metrics", "ab", "cuped"}:
        assert decision(clear)["outcome"] != "SHIP"
    if stage in NEEDED:
        assert decision(clear)["verdict"] != "TRUSTED"
    assert clear.exp("results", "exp_clear").code == (3 if stage == "metrics" else 0)


def test_skip_of_everything_is_a_recorded_outcome(clear):
    answer = clear.job("exp_clear", *(f"--skip-{stage}" for stage in STAGES))
    assert (answer.code, answer.err) == (0, "")
    assert decision(clear)["outcome"] in {"REVIEW", "KEEP_RUNNING"}
    assert clear.tables()["analysis_results"] == []
    assert clear.job("exp_clear").code == 0
    assert decision(clear)["outcome"] == "SHIP"


def test_skip_flag_of_the_command_line_is_checked(clear):
    assert clear.exp("run", "exp_clear", "--skip", "did").code == 0
    answer = clear.exp("run", "exp_clear", "--skip", "didd")
    assert answer.code == 2
    assert "did you mean 'did'?" in answer.err


def test_dry_run_writes_nothing_at_all(project):
    before = {p: p.stat().st_mtime_ns for p in project.root.rglob("*")}
    answer = project.job("exp_tiny", "--generate-synth", "--dry-run", "--skip-did")
    assert (answer.code, answer.err) == (0, "")
    assert "nothing is written" in answer.out
    assert "did" not in answer.out.split("stages:")[1].split("\n")[0].split(" -> ")
    assert {p: p.stat().st_mtime_ns for p in project.root.rglob("*")} == before


def test_dry_run_after_a_run_changes_no_table(project):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    before = {p: p.stat().st_mtime_ns for p in project.root.rglob("*")}
    assert project.job("exp_tiny", "--dry-run").code == 0
    assert {p: p.stat().st_mtime_ns for p in project.root.rglob("*")} == before
