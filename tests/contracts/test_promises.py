"""What a run promises about its rows, whichever engine computed them."""

import json
import time
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest

from exp_platform.schemas import load_schema

# the richest rows: every metric type, events, dirty deliveries
RICH = ("contract_plain", "contract_types", "contract_events", "contract_late")
PATIENCE_SECONDS = 300
GOALS = {
    "conversion": "conversion",
    "revenue_per_user": "revenue",
    "sessions_per_user": "sessions",
}


@pytest.mark.parametrize("name", RICH)
def test_keys_are_unique_and_required_columns_filled(
    workspace: Any, engine: str, name: str
) -> None:
    for table, rows in workspace.written(engine, name).tables.items():
        schema = load_schema(table)
        keys = Counter(tuple(map(str, (row[k] for k in schema.key))) for row in rows)
        assert not [key for key, n in keys.items() if n > 1], table
        for column in schema.required:
            assert all(row[column] is not None for row in rows), (table, column)
        if "experiment_id" in schema.names:
            assert {row["experiment_id"] for row in rows} <= {name}, table


def test_totals_are_what_a_recount_of_the_raw_files_gives(
    workspace: Any, engine: str
) -> None:
    """Counted in pandas from the delivered files: clean data, no window, no cap."""
    name = "contract_plain"
    files = delivered(workspace, name)
    exposures, outcomes = (files[n].to_pandas() for n in ("exposures", "outcomes"))
    units = exposures.groupby("user_id").agg({"variant": "first", "exposure_ts": "min"})
    after = outcomes.join(units, on="user_id", how="inner")
    after = after[after["outcome_ts"] >= after["exposure_ts"]]
    rows = workspace.written(engine, name).tables["metric_aggregates_overall"]
    seen = {(r["metric_name"], r["variant"]): r for r in rows if r["segment"] == "all"}
    for metric, outcome in GOALS.items():
        own = after[after["metric_name"] == outcome].groupby("user_id")["value"]
        values = own.max().clip(upper=1.0) if metric == "conversion" else own.sum()
        values = values.reindex(units.index, fill_value=0.0)
        for variant, of_arm in values.groupby(units["variant"]):
            total = seen[metric, variant]
            assert total["n"] == len(of_arm) > 500
            # the same doubles, summed in another order
            assert total["mean"] == pytest.approx(of_arm.mean(), rel=1e-12)
            assert total["variance"] == pytest.approx(of_arm.var(), rel=1e-12)


@pytest.mark.reads("contract_late")
@pytest.mark.parametrize("table", ["exposures", "outcomes"])
def test_every_delivered_row_is_kept_or_in_quarantine(
    workspace: Any, engine: str, table: str
) -> None:
    name = "contract_late"
    raw = delivered(workspace, name)[table]
    written = workspace.written(engine, name)
    bad = [r for r in written.tables["quarantine"] if r["table_name"] == table]
    assert len(bad) > 50
    assert {row["reason"] for row in bad} == {"DUPLICATE_ROW"}
    assert len(written.tables[table]) + len(bad) == raw.num_rows
    numbers = [row["row_number"] for row in bad]
    assert len(set(numbers)) == len(numbers)
    first = raw.slice(bad[0]["row_number"] - 1, 1).to_pylist()[0]
    payload = json.loads(bad[0]["payload"])
    assert payload["user_id"] == first["user_id"]


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("contract_small", "REVIEW", "INSUFFICIENT_DATA"),
        ("contract_trend", "REVIEW", "PRETREND_FAILED"),
        ("contract_guardrail", "ROLL_BACK", "GUARDRAIL_DEGRADED"),
        ("contract_lost", "REVIEW", "SRM_FAILED"),
    ],
)
def test_negative_result_is_a_recorded_outcome(
    workspace: Any, engine: str, name: str, outcome: str, reason: str
) -> None:
    written = workspace.written(engine, name)
    decisions = written.tables["decisions"]
    assert {row["treatment"] for row in decisions} == {"", "treatment"}
    for decision in decisions:
        assert decision["outcome"] == outcome
        assert reason in json.loads(decision["reasons"])
    estimates = written.tables["analysis_results"]
    not_ok = [row for row in estimates if row["status"] != "OK"]
    for row in not_ok:
        assert row["reason"]
        assert row["p_value"] is row["difference"] is row["ci_lower"] is None
    if reason == "INSUFFICIENT_DATA":
        assert not_ok
        assert reason in {row["status"] for row in not_ok}


def test_run_leaves_other_experiments_files_alone(workspace: Any) -> None:
    """Each engine ran the small experiment after all had run the plain one."""
    history = workspace.history("contract_small")
    files = workspace.files("contract_plain")
    assert len(files["outcomes"]) == len(files["metric_aggregates_overall"]) == 1
    for written in history:
        assert written.others == files, written.engine


def delivered(workspace: Any, name: str) -> dict[str, Any]:
    folder = workspace.settings().paths.raw / "exp_platform" / name
    return {file.stem: pq.read_table(file) for file in folder.glob("*.parquet")}


def test_trino_leaves_no_schema_behind(
    workspace: Any, readers: Any, engine: str
) -> None:
    """Those of a killed run go a day later; these runs ended, dbt's beside them may not."""
    if engine != "trino":
        pytest.skip("only Trino has schemas of a run")
    workspace.history("contract_plain")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        rows = readers.sql("trino", "show schemas from iceberg")
        names = {next(iter(row.values())) for row in rows}
        assert "exp" in names
        left = {name for name in names if name.startswith("exp_scratch_")}
        if not left or time.monotonic() > deadline:
            break
        time.sleep(2)
    assert not left
