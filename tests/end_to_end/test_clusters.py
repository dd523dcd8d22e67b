"""Experiments that assigned whole clusters, through the command line."""

import json

import numpy as np
import pytest

from exp_platform.config import load_settings
from exp_platform.metrics.query import MetricQuery
from exp_platform.pipelines.ask import answer_query, find_subject

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("clusters")]

SHIPS = """\
  exp_policy:
    days: 28
    n_users: 1200
    base_conversion: 0.05
    effect_lift_conversion: 0.5
    pre_period_days: 14
    assignment: policy
    policy_day: 14
    n_clusters: {n_clusters}
    plan:
      metrics: [{{metric_name: conversion, role: goal}}]
"""


@pytest.fixture(scope="module")
def cities(tmp_path_factory, make_project):
    """80 cities, 24 of them, and the first again with units out of their city's arm."""
    project = make_project(tmp_path_factory.mktemp("cities") / "project")
    for name, n, astray in (("many", 80, 0), ("few", 24, 0), ("broken", 80, 0.1)):
        random = np.random.default_rng(11)
        lines = ["id,city,arm,os,spend,visits,bought"]
        for city in range(n):
            mood = random.normal(0, 0.5)
            for unit in range(int(random.integers(20, 60))):
                arm = city % 2 if random.random() >= astray else 1 - city % 2
                spend = 20 + mood + 1.5 * (city % 2) + random.normal(0, 2)
                row = [f"{city}-{unit}", city, "AB"[arm], ("ios", "web")[unit % 2]]
                row += [f"{spend:.4f}", 1 + random.poisson(3)]
                row.append(int(random.random() < 0.5))
                lines.append(",".join(map(str, row)))
        path = project.root / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        answer = project.exp(
            *("import", path, "--experiment-id", name, "--unit", "id"),
            *("--variant", "arm", "--control", "A", "--cluster", "city"),
            *("--metric", "spend", "--metric", "visits", "--metric", "bought"),
            *("--ratio", "per_visit=spend/visits", "--segment", "os"),
            *("--guardrail", "visits=0.15", "--guardrail-absolute", "bought=0.2"),
        )
        assert (answer.code, answer.err) == (0, "")
        assert "by cluster: city" in answer.out
    return project


def run(project, name):
    answer = project.exp("run", name, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    outcome = json.loads(answer.out)
    rows = {
        (e["metric_name"], e["method"]): e
        for e in outcome["estimates"]
        if e["segment"] == "all"
    }
    return outcome, rows, {c["check_name"]: c for c in outcome["checks"]}


def test_many_clusters_are_compared_by_their_sums(cities):
    outcome, rows, checks = run(cities, "many")
    assert outcome["verdict"] == "TRUSTED"
    assert outcome["decision"]["outcome"] == "SHIP"
    for metric in ("spend", "visits", "bought", "per_visit"):
        row = rows[metric, "cluster_delta"]
        assert (row["status"], row["role"], row["n_clusters"]) == ("OK", "primary", 80)
        assert row["df"] < 80
        assert "inference" not in row["details"]
    # Nothing that takes units for independent has a number.
    numbers = {method for (_, method), row in rows.items() if row["difference"]}
    assert numbers == {"cluster_delta"}
    assert rows["spend", "welch_t"]["reason"] == "NEEDS_CLUSTER_TOTALS"
    assert "Clusters: A 40, B 40" in checks["SRM"]["message"]
    assert "all of 12 comparisons" in checks["SQL_TWIN"]["message"]
    assert not {"OUTLIER", "SKEWNESS", "SRM_BY_SEGMENT"} & checks.keys()
    assert "by cluster, delta method" in cities.exp("memo", "many").out
    # The metrics API tells no error that takes them for independent either.
    settings = load_settings(str(cities.config))
    subject = find_subject(settings, "many")
    answer = answer_query(settings, subject, MetricQuery(("spend", "per_visit")))
    assert answer.table["standard_error"].null_count == 4
    # Units were not split one by one: no slice of theirs has a p in SQL either.
    splits = cities.tables("sample_ratio_mismatch")["sample_ratio_mismatch"]
    splits = [row for row in splits if row["experiment_id"] == "many"]
    assert {row["slice"] for row in splits} >= {"overall", "segment", "stage"}
    assert {row["p_value"] for row in splits} == {None}


def test_few_clusters_are_bootstrapped_by_a_seed_of_their_own(cities, comparable):
    outcome, rows, checks = run(cities, "few")
    assert outcome["verdict"] == "TRUSTED"
    seeds = set()
    for metric in ("spend", "visits", "bought", "per_visit"):
        row = rows[metric, "cluster_delta"]
        assert (row["status"], row["n_clusters"]) == ("OK", 24)
        assert row["details"]["inference"] == "wild_cluster_bootstrap"
        assert 0 < row["details"]["randomisation_p_value"] <= 1
        assert row["relative_ci_lower"] is None
        seeds.add(row["details"]["seed"])
    assert len(seeds) == 4
    assert "all of 12 comparisons" in checks["SQL_TWIN"]["message"]
    # Both kinds of margin are tested by the bootstrap too.
    for metric, scale in (("visits", "relative"), ("bought", "absolute")):
        found = rows[metric, "cluster_delta"]["details"]["noninferiority"]
        assert (found["test"], found["margin_scale"]) == (
            "wild_cluster_bootstrap",
            scale,
        )
        assert found["is_noninferior"] is (found["p_value"] <= 0.025)
    before = comparable(cities.tables("analysis_results")["analysis_results"])
    run(cities, "few")
    assert comparable(cities.tables("analysis_results")["analysis_results"]) == before


def test_a_cluster_that_was_not_assigned_decides_nothing(cities):
    outcome, rows, _ = run(cities, "broken")
    assert rows["spend", "cluster_delta"]["reason"] == "CLUSTERS_BROKEN"
    assert not any(row["difference"] for row in rows.values())
    assert outcome["decision"]["outcome"] == "REVIEW"


def run_stored(project, name):
    rows = json.loads(project.exp("results", name, "--format", "json").out)
    found = {(e["metric_name"], e["method"]): e for e in rows}
    decisions = [
        row
        for row in project.tables("decisions")["decisions"]
        if row["experiment_id"] == name and not row["treatment"]
    ]
    return decisions[0]["reasons"], found, rows


@pytest.mark.parametrize(("n_clusters", "inference"), [(60, None), (24, "bootstrap")])
def test_a_policy_ships_on_trends_that_bear_violations(project, n_clusters, inference):
    text = project.config.read_text("utf-8")
    project.config.write_text(text + SHIPS.format(n_clusters=n_clusters), "utf-8")
    assert project.job("exp_policy", "--generate-synth").code == 0
    reasons, rows, _ = run_stored(project, "exp_policy")
    row = rows["conversion", "did_2x2"]
    assert (row["status"], row["n_clusters"]) == ("OK", n_clusters)
    assert ("inference" in row["details"]) is (inference is not None)
    bounds = row["details"]["sensitivity"]
    assert (bounds["period_days"], bounds["n_pre"], bounds["n_post"]) == (7, 1, 2)
    assert bounds["relative_magnitudes"][1]["lower"] > 0
    assert json.loads(reasons) == ["GOAL_SUPERIOR"]
    assert "keeps its sign" in project.exp("memo", "exp_policy").out


def test_units_without_a_cluster_do_not_make_few_clusters_many(project):
    random = np.random.default_rng(5)
    moods = (0, 1, 0.2, 1.1)
    lines = ["id,city,arm,spend"]
    for unit in range(2000):
        city = int(random.integers(0, 4))
        name = "" if unit % 125 == 0 else f"c{city}"
        spend = 10 + moods[city] + random.normal(0, 2)
        lines.append(f"{unit},{name},{'AB'[city % 2]},{spend:.4f}")
    path = project.root / "four.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    answer = project.exp(
        *("import", path, "--experiment-id", "four", "--unit", "id"),
        *("--variant", "arm", "--control", "A", "--cluster", "city"),
        *("--metric", "spend"),
    )
    assert (answer.code, answer.err) == (0, "")
    outcome, rows, _ = run(project, "four")
    assert rows["spend", "cluster_delta"]["reason"] == "TOO_FEW_CLUSTERS"
    assert outcome["decision"]["outcome"] == "REVIEW"


def test_clusters_prove_nothing_before_the_end(project):
    random = np.random.default_rng(5)
    lines = ["id,city,arm,at,spend,visits"]
    for unit in range(1200):
        arm, day = unit % 60 % 2, 1 + unit % 14
        spend, visits = 20 + arm + random.normal(0, 1), 5 - arm + random.normal(0, 1)
        row = f"{unit},{unit % 60},{'AB'[arm]},2026-03-{day:02}"
        lines.append(f"{row},{spend:.4f},{visits:.4f}")
    path = project.root / "running.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    flags = [
        *("--experiment-id", "running", "--unit", "id", "--variant", "arm"),
        *("--control", "A", "--cluster", "city", "--exposure-ts", "at"),
        *("--metric", "spend", "--metric", "visits", "--guardrail", "visits=0.02"),
        *("--start", "2026-03-01", "--end", "2026-03-15", "--watermark"),
    ]
    readings = []
    for watermark in ("2026-03-10", "2026-03-15"):
        assert project.exp("import", path, *flags, watermark).code == 0
        _, rows, _ = run(project, "running")
        goal, guardrail = (rows[m, "cluster_delta"] for m in ("spend", "visits"))
        assert goal["p_value"] < 1e-9
        readings.append(
            (
                goal["p_value_adjusted"],
                guardrail["harm_p_value"],
                guardrail["details"]["noninferiority"]["is_degraded"],
                "Whole clusters are compared once, at the end. No look yet"
                in project.exp("memo", "running").out,
            )
        )
    open_reading, final = readings
    assert open_reading == (1.0, 1.0, False, True)
    assert final[0] < 1e-9
    assert final[1:] == (None, True, False)
