"""`exp metrics`: lint, list, show, diff, impact, export."""

import json
import shutil
from pathlib import Path

import pytest

GOOD = "name: m\ntype: mean\nowner: o\ndescription: d\nsource: {outcome: orders}\n"


def test_lint_of_the_shipped_definitions_is_clean(ready):
    answer = ready.exp("metrics", "lint", "--strict")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "8 files, 0 errors, 0 advice\n"


def test_lint_tells_every_problem_and_fails(project):
    folder = project.root / "metrics"
    (folder / "broken.yml").write_text("name: b\ntype: men\nsource: {outcome: 3}\n")
    (folder / "conversion2.yml").write_text(GOOD.replace("name: m", "name: conversion"))
    answer = project.exp("metrics", "lint")
    assert answer.code == 2
    errors = [line for line in answer.out.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert f"{folder / 'broken.yml'}:2:7: type: Input should be 'mean'" in errors[0]
    assert f"{folder / 'broken.yml'}:3:19: source.outcome" in errors[1]
    assert "defined twice" in errors[2]


def test_lint_tells_files_that_cannot_be_read_with_the_others(project):
    folder = project.root / "metrics"
    (folder / "gone.yml").symlink_to("nowhere")
    (folder / "loop.yml").symlink_to("loop.yml")
    (folder / "folder.yml").mkdir()
    (folder / ".#conversion.yml").symlink_to("me@host.1234:99")
    answer = project.exp("metrics", "lint")
    assert (answer.code, answer.err) == (2, "")
    errors = [line for line in answer.out.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1:3] for line in errors] == [
        [str(folder / name), "not a readable file; found " + reason]
        for name, reason in (
            ("folder.yml", "Is a directory"),
            ("gone.yml", "No such file or directory"),
            ("loop.yml", "Too many levels of symbolic links"),
        )
    ]
    assert answer.out.endswith("11 files, 3 errors, 0 advice\n")


def test_lint_gives_advice_that_only_strict_minds(project, tmp_path):
    file = tmp_path / "other.yml"
    file.write_text("name: m\ntype: mean\nsource: {outcome: orders}\n")
    answer = project.exp("metrics", "lint", file)
    assert answer.code == 0
    assert answer.out.count("advice: ") == 3
    assert project.exp("metrics", "lint", file, "--strict").code == 2


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_lint_of_nothing_is_an_error(project, tmp_path, where):
    answer = project.exp("metrics", "lint", tmp_path / where)
    assert answer.code == 2
    assert "no metric definition there" in answer.err


def test_list_shows_tags_and_versions(project):
    tagged = GOOD + "tags: [money, core]\n"
    (project.root / "metrics" / "m.yml").write_text(tagged)
    answer = project.exp("metrics", "list", "--format", "json", "--tag", "core")
    (row,) = json.loads(answer.out)
    assert (row["metric"], row["type"], row["tags"]) == ("m", "mean", "money, core")
    assert row["version"].startswith("1:")
    assert len(project.exp("metrics", "list").out.splitlines()) >= 6


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_show_has_words_and_sql(ready, dialect):
    answer = ready.exp("metrics", "show", "revenue_per_user", "--dialect", dialect)
    assert answer.code == 0
    assert "sum of outcome revenue" in answer.out
    assert "-- metric_observations" in answer.out
    assert "-- metric_row_values" not in answer.out


def test_show_suggests_a_near_name(ready):
    answer = ready.exp("metrics", "show", "conversoin")
    assert answer.code == 2
    assert "did you mean 'conversion'" in answer.err


def _call_diff(call, *words):
    from exp_platform.cli import main

    return call(main, "exp", "metrics", "diff", *words)


def test_diff_of_folders_finds_an_unmarked_change(project, tmp_path, call):
    old, new = project.root / "metrics", tmp_path / "new"
    shutil.copytree(old, new)
    file = new / "revenue_per_user.yml"
    file.write_text(file.read_text() + "window: {days: 7}\n")
    (new / "m.yml").write_text(GOOD)
    answer = _call_diff(call, old, new, "--check")
    assert answer.code == 3
    assert "revenue_per_user: THE MEANING CHANGED" in answer.out
    assert "+ from the first exposure until 7 days after it" in answer.out
    assert "offset_us < 7 * 86400000000" in answer.out
    assert "m: added" in answer.out
    assert answer.out.endswith("2 changes, 1 without a new version\n")


def test_diff_of_files_accepts_a_new_version(tmp_path, call):
    old, new = tmp_path / "old.yml", tmp_path / "new.yml"
    old.write_text(GOOD)
    new.write_text(GOOD + "version: 2\ncap: 5\n")
    answer = _call_diff(call, old, new, "--check")
    assert answer.code == 0
    assert "the meaning changed, the version went up" in answer.out
    new.write_text(GOOD)
    assert _call_diff(call, old, new).out == "0 changes, 0 without a new version\n"


def test_diff_of_a_broken_file_says_where(tmp_path, call):
    old, new = tmp_path / "old.yml", tmp_path / "new.yml"
    old.write_text(GOOD)
    new.write_text("name: m\ntype: mean\n")
    answer = _call_diff(call, old, new)
    assert answer.code == 2
    assert f"{new}:2:7" in answer.err


@pytest.mark.end_to_end
def test_impact_names_results_of_an_older_definition(project):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    nothing = project.exp("metrics", "impact")
    assert nothing.code == 0
    assert nothing.out.startswith("0 results used another definition")
    file: Path = project.root / "metrics" / "conversion.yml"
    file.write_text(file.read_text().replace("lookback_days: 14", "lookback_days: 7"))
    (row,) = json.loads(project.exp("metrics", "impact", "--format", "json").out)
    assert (row["metric"], row["experiment"]) == ("conversion", "exp_tiny")
    assert row["used"] != row["now"]
    assert row["decision"] in {"SHIP", "REVIEW", "KEEP_RUNNING", "ROLL_BACK"}
    told = project.exp("metrics", "impact", "conversion")
    assert "THE MEANING CHANGED AND THE VERSION DID NOT GO UP" in told.out
    assert "1 result used another definition" in told.out
    assert project.exp("metrics", "impact", "revenue_per_user").out.startswith("0 ")
    assert project.exp("metrics", "impact", "nonsense").code == 2
    file.unlink()
    (gone,) = json.loads(project.exp("metrics", "impact", "--format", "json").out)
    assert gone["now"] == "not defined"


def test_export_writes_models_for_dbt(project, tmp_path):
    answer = project.exp("metrics", "export", tmp_path / "m", "--segment", "platform")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("wrote ") == len(list((tmp_path / "m").iterdir())) == 9
    text = (tmp_path / "m" / "exp_metric_observations.sql").read_text("utf-8")
    assert "{{ ref('exp_platform', 'int_unit_outcomes') }}" in text
    assert "exp_run." not in text


def test_export_for_metricflow_tells_what_is_left_out(project, tmp_path):
    slow = "name: slow\ntype: quantile\nquantile: 0.9\nof: rows\nsource: {outcome: o}\n"
    (project.root / "metrics" / "slow.yml").write_text(slow, "utf-8")
    answer = project.exp("metrics", "export", tmp_path, "--format", "metricflow")
    assert answer.code == 0
    assert "left out slow: a quantile of single rows" in answer.out
    assert {path.name for path in tmp_path.iterdir()} >= {"exp_unit_values.yml"}
    answer = project.exp("metrics", "export", tmp_path, "--format", "cube")
    assert answer.code == 2
    assert "dbt, metricflow" in answer.err
