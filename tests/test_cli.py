"""`exp`: exit codes, standard error, and formats that programs can read."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import fields

import pytest

from exp_platform.records import Estimate

FIELDS = [field.name for field in fields(Estimate)]


def no_constant(name):
    """JSON has no NaN and no Infinity."""
    raise ValueError(name)


def read_json(text):
    return json.loads(text, parse_constant=no_constant)


def test_run_as_json_is_one_object(project):
    answer = project.exp("run", "exp_tiny", "--generate-synth", "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    document = read_json(answer.out)
    assert list(document) == ["run_id", "verdict", "decision", "checks", "estimates"]
    assert [list(row) for row in document["estimates"]] == [FIELDS] * len(
        document["estimates"]
    )
    assert document["decision"]["outcome"] in {"SHIP", "REVIEW"}
    stored = read_json(project.exp("results", "exp_tiny", "--format", "json").out)
    key = ("metric_name", "method", "segment", "difference", "p_value", "status")
    assert sorted(repr([row[k] for k in key]) for row in stored) == sorted(
        repr([row[k] for k in key]) for row in document["estimates"]
    )


def test_run_as_memo_begins_with_its_path(project):
    answer = project.exp("run", "exp_tiny", "--generate-synth")
    path = project.root / "data" / "memos" / "exp_tiny.md"
    assert answer.out.startswith(f"memo: {path}\n")
    assert "Decision" in answer.out


def test_results_as_json_is_an_array_of_estimates(ready):
    answer = ready.exp("results", "exp_rollout", "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    rows = read_json(answer.out)
    assert rows
    assert all(list(row) == FIELDS for row in rows)
    assert all(isinstance(row["details"], dict) for row in rows)
    for row in rows:
        if row["status"] != "OK":
            assert row["p_value"] is None
            assert row["reason"]


def test_results_as_csv_has_a_header_and_the_same_rows(ready):
    text = ready.exp("results", "exp_tiny", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == FIELDS
    expected = read_json(ready.exp("results", "exp_tiny", "--format", "json").out)
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert row["metric_name"] == other["metric_name"]
        if other["difference"] is not None:
            assert float(row["difference"]) == other["difference"]


def test_results_as_table_names_the_metrics(ready):
    out = ready.exp("results", "exp_tiny").out
    for word in ("conversion", "revenue_per_user", "cuped", "95% interval"):
        assert word in out


def test_list_names_experiments_and_decisions(ready):
    out = ready.exp("list").out
    for word in ("exp_tiny", "exp_rollout", "REVIEW"):
        assert word in out


def test_list_before_any_run_says_what_to_do(project):
    answer = project.exp("list")
    assert answer.code == 0
    assert "exp run" in answer.out
    assert not (project.root / "data" / "warehouse").exists()


def test_memo_prints_the_markdown(ready):
    path = ready.root / "data" / "memos" / "exp_tiny.md"
    assert ready.exp("memo", "exp_tiny").out == path.read_text("utf-8") + "\n"


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
@pytest.mark.parametrize(
    "metric", ["conversion", "revenue_per_user", "revenue_per_session"]
)
def test_sql_of_a_metric_parses_in_its_dialect(ready, dialect, metric):
    import sqlglot

    answer = ready.exp("sql", "exp_tiny", metric, "--dialect", dialect)
    assert (answer.code, answer.err) == (0, "")
    assert f"-- {metric} version 1:" in answer.out
    (statement,) = sqlglot.parse(answer.out, read=dialect)
    assert statement.named_selects == [
        *("experiment_id", "metric_name", "unit_no"),
        *("value", "denominator", "covariate"),
    ]


def test_sql_without_a_metric_is_one_select_that_gives_the_totals(ready):
    from exp_platform.config import load_settings
    from exp_platform.metrics.scope import write_scope
    from exp_platform.pipelines.run import open_reader
    from exp_platform.pipelines.run_ingest import load_ingested

    answer = ready.exp("sql", "exp_tiny")
    assert (answer.code, answer.err) == (0, "")
    settings = load_settings(ready.root / "configs" / "dev.yaml")
    with open_reader(settings, "exp_tiny") as run:
        ingested = load_ingested(run)
        write_scope(run.engine, ingested.spec, ingested.definitions)
        shown = run.engine.records(answer.out)
        stored = run.lake.read("metric_aggregates_overall", experiment_id="exp_tiny")
    whole = {
        (row["metric_name"], row["variant"]): (row["n"], row["exact_sum"])
        for row in stored.to_pylist()
        if row["segment"] == "all"
    }
    found = {(r["metric_name"], r["variant"]): (r["n"], r["exact_sum"]) for r in shown}
    assert len(found) > 2
    assert found == {key: whole[key] for key in found}


def test_sql_without_a_metric_has_no_other_dialect(ready):
    answer = ready.exp("sql", "exp_tiny", "--dialect", "trino")
    assert answer.code == 2
    assert "name a metric" in answer.err


def test_doctor_of_a_good_project_is_well(ready):
    answer = ready.exp("doctor")
    assert answer.code == 0
    assert "PROBLEM" not in answer.out
    assert "2 experiments" in answer.out
    assert "data files" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("pattern", "place", "words"),
    [
        ("data/**/*.parquet", 5, "not the one that was written"),
        ("metadata/*-m0.avro", -1, "metadata file is damaged"),
    ],
)
def test_doctor_finds_a_file_that_changed_within_its_size(ready, pattern, place, words):
    files = (ready.warehouse / "exp" / "experiment_summary").glob(pattern)
    path = max(files, key=lambda file: file.stat().st_mtime_ns)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[place] ^= 1
    try:
        path.write_bytes(changed)
        answer = ready.exp("doctor")
    finally:
        path.write_bytes(whole)
    assert answer.code == 4
    assert words in " ".join(answer.out.split())
    assert ready.exp("doctor").code == 0


def test_doctor_finds_a_corrupt_catalog_and_a_broken_metric(project):
    project.warehouse.mkdir(parents=True)
    (project.warehouse / "catalog.db").write_bytes(b"not a database, no" * 100)
    (project.root / "metrics" / "odd.yml").write_text("name: [", "utf-8")
    answer = project.exp("doctor")
    assert answer.code == 4
    assert answer.out.count("PROBLEM") == 2


def test_init_lays_out_a_project_that_runs(tmp_path, call, monkeypatch):
    from exp_platform.cli import main

    folder = tmp_path / "new"
    answer = call(main, "exp", "init", folder)
    assert answer.code == 0
    for part in ("configs/dev.yaml", "metrics/conversion.yml", "dbt/dbt_project.yml"):
        assert (folder / part).is_file()
    again = call(main, "exp", "init", folder)
    assert again.code == 2
    assert "exists already" in again.err
    monkeypatch.chdir(folder)
    assert call(main, "exp", "doctor").code == 0


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (("results", "exp_none"), 3, "no published rows"),
        (("results", "exp_tiny", "--format", "xml"), 2, "table, json, csv"),
        (("run", "exp_tiny", "--format", "csv"), 2, "memo, json"),
        (("run", "exp_none"), 3, "raw data is missing"),
        (("run", "exp_none", "--generate-synth"), 2, "no scenario"),
        (("memo", "exp_none"), 3, "has no memo"),
        (("memo", "../../configs/dev"), 2, "not an experiment id"),
        (("sql", "exp_none", "conversion"), 3, "has no rows"),
        (("sql", "exp_tiny", "convers"), 2, "did you mean 'conversion'?"),
        (("sql", "exp_tiny", "conversion", "--dialect", "oracle"), 2, "duckdb, spark"),
        (("sql", "exp_tiny", "--dialect", "zzz"), 2, "no dialect 'zzz'"),
        (("results", "x" * 300), 2, "not an experiment id"),
        (("results", "a'; drop table b; --"), 2, "not an experiment id"),
    ],
    ids=str,
)
def test_error_goes_to_standard_error_with_its_exit_code(ready, words, code, found):
    answer = ready.exp(*words)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert found in answer.err
    assert "Traceback" not in answer.err


def test_init_where_there_is_a_file_is_a_storage_error(tmp_path, call):
    from exp_platform.cli import main

    (tmp_path / "taken").write_text("")
    answer = call(main, "exp", "init", tmp_path / "taken")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("error: a file cannot be read or written")


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("frobnicate",),
        ("results", "a", "--nope"),
        ("import", "x"),
        ("serve", "--port", "70000"),
    ],
)
def test_wrong_usage_is_exit_code_2(call, words):
    from exp_platform.cli import main

    answer = call(main, "exp", *words)
    assert (answer.code, answer.out) == (2, "")
    assert "Usage" in answer.err


def test_config_that_cannot_be_read_is_exit_code_2(call, tmp_path):
    from exp_platform.cli import main

    answer = call(main, "exp", "list", "--config", tmp_path / "none.yaml")
    assert answer.code == 2
    assert "cannot read the configuration" in answer.err


@pytest.mark.parametrize("content", [b"", b"not a database, no" * 100])
def test_corrupt_catalog_is_a_storage_error(project, content):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    catalog = project.warehouse / "catalog.db"
    whole = catalog.read_bytes()
    catalog.write_bytes(content or whole[: len(whole) // 2])
    for words in (("list",), ("results", "exp_tiny"), ("run", "exp_tiny")):
        answer = project.exp(*words)
        assert answer.code == 4, (words, answer)
        assert "catalog.db" in answer.err
        assert "Traceback" not in answer.err
    catalog.write_bytes(whole)
    assert project.exp("run", "exp_tiny").code == 0


def test_missing_data_file_is_a_storage_error(project):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    for file in (project.warehouse / "exp" / "analysis_results").rglob("*.parquet"):
        file.unlink()
    answer = project.exp("results", "exp_tiny")
    assert answer.code == 4
    assert ".parquet" in answer.err
    assert project.exp("run", "exp_tiny").code == 0


def test_exp_as_a_process_closes_quietly_when_its_reader_leaves(ready):
    words = (sys.executable, "-m", "exp_platform.cli", "results", "exp_tiny")
    with subprocess.Popen(
        [*words, "--format", "json", "--config", str(ready.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        error = process.stderr.read()
        process.wait(timeout=60)
    assert b"Traceback" not in error


def test_power_names_every_type_it_sizes(project):
    from exp_platform.pipelines.plan_power import KINDS

    words = project.exp("power", "--help").out
    assert [kind for kind in KINDS if kind not in words] == []


def test_table_shows_heads_as_they_are(capsys):
    from exp_platform.pipelines.shown import print_table

    print_table([{"arm [new]": "A", "[/b]": 2}])
    head = capsys.readouterr().out.strip().splitlines()[0]
    assert head.split() == ["arm", "[new]", "[/b]"]
