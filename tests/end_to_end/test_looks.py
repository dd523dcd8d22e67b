"""An experiment read day by day: what is published does not depend on when it was run."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("looks")]

NAME = "exp_looks"
CONFIG = """\
environment: test
engine: {{memory_limit: 1GB, threads: 1}}
experiments:
  exp_looks:
    days: 14
    observed_days: {day}
    n_users: 2400
    exposure_rate: 0.95
    base_conversion: 0.3
    effect_lift_conversion: 0.3
    pre_period_days: 7
    plan:
      metrics:
        - {{metric_name: three_day_conversion, role: goal}}
        - {{metric_name: three_day_revenue, role: goal, covariate: true}}
        - {{metric_name: three_day_sessions, role: guardrail, margin: 0.2}}
        - {{metric_name: {extra}}}
"""


def run(project, day, extra="sessions_per_user, role: monitor"):
    """The experiment as it stood after so many days."""
    project.config.write_text(CONFIG.format(day=day, extra=extra), "utf-8")
    assert project.job(NAME, "--generate-synth").code == 0
    return project.tables("analysis_results", "decisions", "check_results")


def looks_of(tables, metric):
    rows = [
        row
        for row in tables["analysis_results"]
        if row["metric_name"] == metric and row["look"] is not None
    ]
    return sorted(rows, key=lambda row: row["look"])


def overall(tables):
    (row,) = [row for row in tables["decisions"] if row["treatment"] == ""]
    return row


@pytest.fixture(scope="module")
def by_day(tmp_path_factory, make_project):
    """Tables after runs on days 3, 8 and 14, and after a run on day 14 alone."""
    often = make_project(tmp_path_factory.mktemp("often") / "project")
    once = make_project(tmp_path_factory.mktemp("once") / "project")
    found = {day: run(often, day) for day in (3, 8, 14)}
    return {**found, "once": run(once, 14), "project": often}


def test_looks_do_not_depend_on_the_days_that_were_run(by_day, comparable):
    for name in ("analysis_results", "decisions", "check_results"):
        assert comparable(by_day[14][name]) == comparable(by_day["once"][name]), name


@pytest.mark.parametrize("metric", ["three_day_conversion", "three_day_revenue"])
def test_looks_are_recomputed_as_they_were(by_day, metric):
    early, late = looks_of(by_day[8], metric), looks_of(by_day[14], metric)
    assert [row["look"] for row in early] == list(range(1, 9))
    assert [row["look"] for row in late] == list(range(1, 15))
    names = (
        "n_control",
        "difference",
        "sequential_p_value",
        "harm_p_value",
        "ci_lower",
    )
    for one, other in zip(early, late, strict=False):
        for name in names:
            if other[name] is None:
                assert one[name] is None
            else:
                # Boundaries are integrated anew: 1e-9 of z.
                assert one[name] == pytest.approx(other[name], rel=1e-7)


def test_looks_read_matured_units_only(by_day):
    rows = looks_of(by_day[14], "three_day_conversion")
    assert [row["n_control"] for row in rows[:3]] == [0, 0, 0]
    counts = [row["n_control"] for row in rows]
    assert counts == sorted(counts)
    assert rows[0]["reason"] == "TOO_FEW_UNITS"
    assert rows[0]["difference"] is None


def test_one_row_is_primary_per_metric_and_arm(by_day):
    for day in (3, 8, 14):
        primary = [
            (row["metric_name"], row["treatment"])
            for row in by_day[day]["analysis_results"]
            if row["role"] == "primary" and row["segment"] == "all"
        ]
        assert len(primary) == len(set(primary)) == 4


def test_decisions_follow_the_looks(by_day):
    first, early, last = (overall(by_day[day]) for day in (3, 8, 14))
    assert (first["outcome"], first["rule"]) == ("KEEP_RUNNING", "b")
    assert (early["outcome"], early["rule"]) == ("SHIP", "d")
    assert "At look 8 of 14" in early["rationale"]
    assert last["outcome"] == "SHIP"
    assert json.loads(last["details"])["look"]["look"] == 14


def test_results_and_list_say_which_look_it_is(by_day):
    project = by_day["project"]
    shown = project.exp("results", NAME).out
    assert "look 14 of 14" in shown
    assert "rows of other looks" in shown
    assert "14 of 14, 100%" in project.exp("list").out
    memo = project.exp("memo", NAME).out
    assert "Look 14 of 14" in memo
    document = json.loads(project.exp("results", NAME, "--format", "json").out)
    assert {row["look"] for row in document if row["look"]} == set(range(1, 15))


def test_growing_values_wait_for_the_end(project):
    """Everybody is there and the effect is plain, but nobody's value is final."""
    tables = run(project, 8, extra="conversion, role: goal")
    decision = overall(tables)
    assert decision["outcome"] == "SHIP"  # the goals with a window may
    (row,) = [
        row
        for row in tables["analysis_results"]
        if row["metric_name"] == "conversion" and row["role"] == "primary"
    ]
    assert row["look"] is None
    assert row["p_value"] < 0.05
    assert (row["sequential_p_value"], row["p_value_adjusted"]) == (1.0, 1.0)
    growing = run(project, 8, extra="sessions_per_user, role: guardrail, margin: 0.2")
    decision = overall(growing)
    assert decision["outcome"] == "KEEP_RUNNING"
    assert "sessions_per_user is tested at the end alone" in decision["rationale"]


def exposure_times(exposures):
    return [row["exposure_ts"] for row in exposures]


def deliver(project, is_late):
    """Raw data of a small project; late, half of the treatment's orders are missing."""
    folder = project.raw / NAME
    outcomes = pq.read_table(project.root / "all.parquet")
    if is_late:
        exposures = pq.read_table(folder / "exposures.parquet").to_pylist()
        treated = pa.array(
            [
                row["user_id"]
                for row in exposures
                if row["variant"] == "treatment" and int(row["user_id"][1:]) % 2
            ]
        )
        is_order = pc.is_in(
            outcomes["metric_name"], pa.array(["conversion", "revenue"])
        )
        is_after = pc.greater(outcomes["outcome_ts"], min(exposure_times(exposures)))
        is_lost = pc.and_(is_order, pc.is_in(outcomes["user_id"], treated))
        is_lost = pc.and_(is_lost, is_after)
        outcomes = outcomes.filter(pc.invert(is_lost))
    pq.write_table(outcomes, folder / "outcomes.parquet")
    assert project.job(NAME).code == 0
    return project.tables("check_results", "decisions", "analysis_results")


def restated(tables):
    return sorted(
        (row["subject"], row["status"], row["reason"])
        for row in tables["check_results"]
        if row["check_name"] == "LOOK_RESTATED"
    )


def test_late_data_that_move_a_crossing_are_told(project, comparable):
    run(project, 10)
    folder = project.raw / NAME
    (folder / "_manifest.json").unlink()
    (folder / "outcomes.parquet").rename(project.root / "all.parquet")
    first = deliver(project, is_late=False)
    assert restated(first) == [("", "PASSED", "AS_TOLD")]
    moved = deliver(project, is_late=True)
    found = restated(moved)
    assert ("three_day_conversion:treatment", "WARNED", "LATE_DATA") in found
    assert overall(first)["verdict"] == "TRUSTED"
    assert overall(moved)["verdict"] == "CAUTION"
    again = deliver(project, is_late=True)
    for name, rows in moved.items():
        assert comparable(again[name]) == comparable(rows), name
    back = deliver(project, is_late=False)
    assert restated(back) == [("", "PASSED", "AS_TOLD")]


def test_planned_units_end_the_test_before_the_schedule(project):
    extra = "sessions_per_user, role: monitor"
    text = (
        CONFIG.format(day=12, extra=extra) + "      sequential: {planned_units: 900}\n"
    )
    project.config.write_text(text, "utf-8")
    assert project.job(NAME, "--generate-synth").code == 0
    tables = project.tables("analysis_results", "decisions")
    rows = looks_of(tables, "three_day_conversion")
    last = json.loads(rows[-1]["details"])["sequential"]
    assert last["is_final"]
    assert last["information_share"] >= 1
    assert len(rows) < 12
    assert rows[-1]["role"] == "primary"
    before = json.loads(rows[-2]["details"])["sequential"]
    assert before["information_share"] < 1
    start = rows[0]["look_ts"] - timedelta(days=1)
    assert rows[-1]["look_ts"] - start == timedelta(days=len(rows))
