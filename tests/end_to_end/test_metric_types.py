"""Every type of metric through a whole run: estimates, memo, SQL and dbt."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlglot

from exp_platform.config import load_settings
from exp_platform.pipelines.dbt_build import build_with_dbt
from exp_platform.stats.quantile import summarise_quantile
from exp_platform.stats.regression import summarise_adjustment

pytestmark = pytest.mark.end_to_end

DEFINITIONS = {
    "big_orders": """
type: mean
source: {outcome: revenue, filter: value > 10}
window: {days: 4}
covariate: {}""",
    "back_in_days_3_and_4": """
type: retention
source: {outcome: sessions}
retention: {from_days: 3, to_days: 5}""",
    "visit_then_order": """
type: funnel
steps: [{outcome: sessions}, {outcome: conversion}]
window: {days: 5}""",
    "sessions_p75": """
type: quantile
source: {outcome: sessions}
quantile: 0.75""",
    "order_median": """
type: quantile
source: {outcome: revenue}
quantile: 0.5
of: rows
window: {days: 5}""",
    "revenue_per_visit": """
type: ratio
numerator: {outcome: revenue}
denominator: {outcome: sessions}
covariate: {}""",
    "revenue_two_pasts": """
type: mean
source: {outcome: revenue}
covariates: [{}, {outcome: sessions, lookback_days: 7}]""",
}
PLAN = """
    plan:
      segments: [platform]
      metrics:
        order_median: {role: guardrail, margin: 0.5}
        big_orders: {covariate: true}
        back_in_days_3_and_4: {}
        visit_then_order: {}
        sessions_p75: {}
        revenue_per_visit: {covariate: true}
        revenue_two_pasts: {covariate: true}
"""


@pytest.fixture(scope="module")
def typed(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a metric of each type, and one experiment that was run."""
    project = make_project(tmp_path_factory.mktemp("types") / "project")
    for name, text in DEFINITIONS.items():
        file = project.root / "metrics" / f"{name}.yml"
        file.write_text(f"name: {name}{text}\n")
    config = project.config.read_text()
    tiny = "    plan: {segments: [platform]}\n"
    assert config.count(tiny) == 1
    scenario = config.replace(tiny, PLAN).replace("n_users: 400", "n_users: 1200")
    project.config.write_text(scenario)
    assert project.exp("metrics", "lint").code == 0
    assert project.job("exp_tiny", "--generate-synth").code == 0
    return project


def _estimates(project: Any, metric: str) -> dict[str, dict[str, Any]]:
    found = json.loads(project.exp("results", "exp_tiny", "--format", "json").out)
    return {
        e["method"]: e
        for e in found
        if (e["metric_name"], e["segment"]) == (metric, "all")
    }


@pytest.mark.parametrize(
    ("metric", "method"),
    [
        ("order_median", "quantile_woodruff"),
        ("sessions_p75", "quantile_woodruff"),
        ("back_in_days_3_and_4", "welch_t"),
        ("visit_then_order", "welch_t"),
        ("big_orders", "cuped"),
        ("revenue_per_visit", "cuped"),
        ("revenue_two_pasts", "cuped"),
    ],
)
def test_each_type_has_a_deciding_estimate(
    typed: Any, metric: str, method: str
) -> None:
    rows = _estimates(typed, metric)
    assert rows[method]["role"] == "primary"
    if rows[method]["reason"] != "TIED_QUANTILE":
        assert rows[method]["status"] == "OK"
        assert rows[method]["standard_error"] > 0
    primary = [name for name, row in rows.items() if row["role"] == "primary"]
    assert primary == [method]


def _units(project: Any, metric: str) -> pd.DataFrame:
    rows = pd.DataFrame(project.tables("metric_calculations")["metric_calculations"])
    return rows[(rows.experiment_id == "exp_tiny") & (rows.metric_name == metric)]


def _stored(project: Any, table: str, metric: str, arm: str) -> list[dict[str, Any]]:
    key = ("exp_tiny", metric, arm, "all")
    names = ("experiment_id", "metric_name", "variant", "segment")
    return [
        row
        for row in project.tables(table)[table]
        if tuple(row[name] for name in names) == key
    ]


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_quantile_of_units_is_that_of_the_stored_values(typed: Any, arm: str) -> None:
    units = _units(typed, "sessions_p75")
    values = units[units.variant == arm]["value"].to_numpy()
    names = ("exp_tiny", "sessions_p75", arm)
    expected = summarise_quantile(names, values, 0.75)
    (row,) = _stored(typed, "metric_quantiles", "sessions_p75", arm)
    assert (row["n"], row["n_values"]) == (expected.n, expected.n_values)
    assert (row["lower"], row["value"], row["upper"]) == (
        expected.lower,
        expected.value,
        expected.upper,
    )


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_quantile_of_rows_is_that_of_the_delivered_rows(typed: Any, arm: str) -> None:
    tables = typed.tables("outcomes", "experiment_assignments")
    rows = pd.DataFrame(tables["outcomes"])
    rows = rows[(rows.experiment_id == "exp_tiny") & (rows.metric_name == "revenue")]
    exposed = pd.DataFrame(tables["experiment_assignments"])
    exposed = exposed[["user_id", "variant", "exposure_ts"]]
    counted = _units(typed, "order_median")[["user_id", "variant"]]
    counted = counted[counted.variant == arm].merge(exposed, on=["user_id", "variant"])
    counted["number"] = range(len(counted))
    rows = rows.merge(counted, on="user_id")
    after = rows.outcome_ts - rows.exposure_ts
    inside = (after >= pd.Timedelta(0)) & (after < pd.Timedelta(days=5))
    names = ("exp_tiny", "order_median", arm)
    expected = summarise_quantile(
        names,
        rows[inside]["value"].to_numpy(),
        0.5,
        units=rows[inside]["number"].to_numpy(),
        n_units=len(counted),
    )
    (row,) = _stored(typed, "metric_quantiles", "order_median", arm)
    assert (row["n"], row["n_values"]) == (expected.n, expected.n_values)
    assert (row["lower"], row["value"], row["upper"]) == (
        expected.lower,
        expected.value,
        expected.upper,
    )
    # the same squares, summed by unit in another order
    assert row["share_error"] == pytest.approx(expected.share_error, rel=1e-12)


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_adjustment_has_the_covariances_of_all_columns(typed: Any, arm: str) -> None:
    tables = typed.tables("outcomes", "exposures")
    outcomes = pd.DataFrame(tables["outcomes"])
    outcomes = outcomes[outcomes.experiment_id == "exp_tiny"]
    units = _units(typed, "revenue_two_pasts")
    units = units[units.variant == arm][["user_id", "value"]]
    exposed = pd.DataFrame(tables["exposures"])
    exposed = exposed[exposed.experiment_id == "exp_tiny"]
    assert exposed.user_id.is_unique
    units = units.merge(exposed[["user_id", "exposure_ts", "first_seen_ts"]])
    covariates = {}
    for name, days in (("revenue", 14), ("sessions", 7)):
        mine = outcomes[outcomes.metric_name == name].merge(
            units[["user_id", "exposure_ts"]], on="user_id"
        )
        before = mine.exposure_ts - mine.outcome_ts
        inside = (before > pd.Timedelta(0)) & (before <= pd.Timedelta(days=days))
        sums = mine[inside].groupby("user_id")["value"].sum()
        x = units.user_id.map(sums).fillna(0.0).to_numpy()
        is_new = units.first_seen_ts >= units.exposure_ts - pd.Timedelta(days=days)
        covariates[f"{name}_{days}d"] = np.where(is_new, np.nan, x)
    expected = summarise_adjustment(
        ("exp_tiny", "revenue_two_pasts", arm),
        units["value"].to_numpy(),
        covariates,
        may_miss=tuple(covariates),
    )
    order = {name: i + 1 for i, name in enumerate(expected.covariates)}
    order["value"] = 0
    rows = _stored(typed, "metric_adjustments", "revenue_two_pasts", arm)
    assert len(rows) == 15
    for row in rows:
        i, j = order[row["column_name"]], order[row["other_column_name"]]
        # moments of the same numbers, summed in another order
        assert row["mean"] == pytest.approx(expected.means[i], rel=1e-9)
        assert row["covariance"] == pytest.approx(
            expected.covariance[i][j], rel=1e-9, abs=1e-12
        )


def test_covariates_take_noise_away_from_means_and_ratios(typed: Any) -> None:
    for metric in ("revenue_per_visit", "revenue_two_pasts"):
        rows = _estimates(typed, metric)
        plain = "ratio_delta" if metric == "revenue_per_visit" else "welch_t"
        assert rows["cuped"]["standard_error"] < rows[plain]["standard_error"]
        assert set(rows["cuped"]["details"]["theta"]) > {"revenue_14d"}


def test_memo_tells_every_type(typed: Any) -> None:
    memo = typed.exp("memo", "exp_tiny").out
    assert "A/B (quantile, Woodruff)" in memo
    for name in DEFINITIONS:
        assert f"| {name} |" in memo
    assert "each later than the one before: outcome sessions, then outcome" in memo


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
@pytest.mark.parametrize("metric", DEFINITIONS)
def test_sql_of_every_type_parses_in_its_dialect(
    typed: Any, metric: str, dialect: str
) -> None:
    answer = typed.exp("sql", "exp_tiny", metric, "--dialect", dialect)
    assert answer.code == 0
    for block in answer.out.split("\n\n"):
        (statement,) = sqlglot.parse(block, read=dialect)
        assert "unit_no" in statement.named_selects


def test_full_sql_ends_in_what_the_estimate_reads(typed: Any) -> None:
    last = {
        "order_median": "metric_quantiles",
        "revenue_two_pasts": "metric_adjustments",
        "visit_then_order": "metric_aggregates_overall",
    }
    for metric, model in last.items():
        out = typed.exp("sql", "exp_tiny", metric, "--full").out
        assert f"create table exp_run.{model} as" in out.split(";")[-2]
        assert "unit_ledger" not in out


def test_dbt_builds_the_same_totals_of_every_type(typed: Any) -> None:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    source = Path(__file__).resolve().parents[2] / "dbt"
    ignore = shutil.ignore_patterns("target", "logs", ".*")
    shutil.copytree(source, typed.root / "dbt", ignore=ignore)
    built = build_with_dbt(load_settings(typed.config), "exp_tiny")
    stored = typed.tables("metric_aggregates_overall")["metric_aggregates_overall"]
    assert built.n_totals == len(stored)


def test_power_sizes_a_quantile_from_past_data(typed: Any) -> None:
    words = ("--from-experiment", "exp_tiny", "--metric", "order_median")
    answer = typed.exp("power", *words, "--format", "json")
    assert answer.code == 0
    (row,) = json.loads(answer.out)["sizes"]
    assert row["metric"] == "order_median"
    assert row["n_total"] > 0
