"""An experiment that one engine wrote is run again by each other one: same numbers.

Totals agree to 1e-12 and estimates to 1e-9, counts and the digest exactly, on ten
scenarios and on Cookie Cats. With DuckDB alone it is the rerun that agrees, exactly.
"""

import json
import math
import re
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

# moments, whose sums every engine orders as it likes
TOLERANCES = {
    "metric_aggregates_overall": 1e-12,
    "metric_aggregates_daily": 1e-12,
    "metric_aggregates_by_age": 1e-12,
    "metric_quantiles": 1e-12,
    "metric_adjustments": 1e-12,
    "fact_experiment_exposure": 1e-12,
    "sample_ratio_mismatch": 1e-9,
    "metric_anomalies": 1e-9,
    "experiment_results": 1e-9,
    "experiment_summary": 1e-9,
    "analysis_results": 1e-9,
    "did_pretrend_tests": 1e-9,
    "did_pretrend_delta": 1e-9,
    "check_results": 1e-9,
    "decisions": 1e-9,
}
VOLATILE = {"run_id", "computed_at"}
GAP = re.compile(r"the largest gap is \S+ of")
TOLD_GAP = re.compile(r"the largest gap is \S+ of([^|]*)\| \S+ \|")
# A moment is a difference of sums: what is lost is relative to the values, which are at
# least 1e-3 in these data.
NEAR_ZERO = 1e-15


@pytest.fixture
def pairs(workspace: Any, experiment: str) -> list[Any]:
    """Each engine's rows beside those of the engine before it."""
    return list(pairwise(workspace.history(experiment)))


def test_rerun_by_another_engine_gives_the_same_rows(pairs: list[Any]) -> None:
    for earlier, later in pairs:
        for table, rows in earlier.tables.items():
            is_same = earlier.engine == later.engine
            rtol = 0.0 if is_same else TOLERANCES.get(table, 0.0)
            where = f"{table}, {later.engine} after {earlier.engine}"
            assert_same(comparable(rows), comparable(later.tables[table]), rtol, where)
        assert later.tables["metric_aggregates_overall"]
        assert later.tables["analysis_results"]


def test_rerun_by_another_engine_adds_one_ledger_row(pairs: list[Any]) -> None:
    for earlier, later in pairs:
        before = {row["run_id"] for row in earlier.ledger}
        after = {row["run_id"] for row in later.ledger}
        assert after - before == {later.run["run_id"]}
        assert before < after
        told = later.run["engine"]
        by_another = f"metrics by {later.engine}"
        assert (by_another in told) is (later.engine != "duckdb"), told


def test_replay_gives_the_same_digest_from_the_same_files(pairs: list[Any]) -> None:
    for earlier, later in pairs:
        for fact in ("digest", "definition_hash", "seed", "verdict", "outcome"):
            assert earlier.run[fact] == later.run[fact], fact
        assert len(later.run["digest"]) == 64
        files, again = (json.loads(run["inputs"]) for run in (earlier.run, later.run))
        assert {"exposures.parquet", "outcomes.parquet"} <= {f["name"] for f in again}
        # files of events are read once
        assert all(file in files for file in again)


def test_every_row_is_of_the_last_run(pairs: list[Any]) -> None:
    for _, later in pairs:
        runs = {
            row["run_id"]
            for rows in later.tables.values()
            for row in rows
            if "run_id" in row
        }
        assert runs == {later.run["run_id"]}


def test_memo_is_the_same_but_for_run_facts(pairs: list[Any]) -> None:
    for earlier, later in pairs:
        before, after = (
            TOLD_GAP.sub("", w.memo.split("\n## 7")[0]) for w in (earlier, later)
        )
        assert before == after, (earlier.engine, later.engine)


def test_sql_and_python_agree(pairs: list[Any], experiment: str) -> None:
    """The twin passes wherever SQL can make the comparison at all."""
    expected = {"contract_trend": set(), "contract_small": {"NOT_RUN"}}
    for _, later in pairs:
        checks = later.tables["check_results"]
        found = {c["status"] for c in checks if c["check_name"] == "SQL_TWIN"}
        assert found == expected.get(experiment, {"PASSED"}), later.engine


def identity(row: Any) -> Any:
    """A row without its fractions: what it is about."""
    if isinstance(row, dict):
        return sorted((str(k), identity(v)) for k, v in row.items())
    if isinstance(row, list | tuple):
        return [identity(v) for v in row]
    return "" if isinstance(row, float) else str(row)


def assert_same(mine: Any, theirs: Any, rtol: float, path: str) -> None:
    if isinstance(mine, float) and isinstance(theirs, float):
        near = NEAR_ZERO if rtol else 0.0
        is_close = math.isclose(mine, theirs, rel_tol=rtol, abs_tol=near)
        assert is_close or mine == theirs, (path, mine, theirs)
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        assert set(mine) == set(theirs), path
        for name, value in mine.items():
            assert_same(value, theirs[name], rtol, f"{path}.{name}")
    elif isinstance(mine, list) and isinstance(theirs, list):
        assert len(mine) == len(theirs), path
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(one, other, rtol, f"{path}[{place}]")
    else:
        assert mine == theirs, (path, mine, theirs)


def plain(value: Any) -> Any:
    """JSON columns by what they say, maps in no order."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    if isinstance(value, Decimal):
        return float(value)
    return sorted(value) if isinstance(value, list) else value


def without_gap(row: dict[str, Any]) -> dict[str, Any]:
    """How far SQL and Python are apart is rounding, and each engine's own."""
    if row.get("check_name") != "SQL_TWIN":
        return row
    told = GAP.sub("", row["message"])
    return row | {"message": told, "value": None, "details": None}


def comparable(rows: list[dict[str, Any]]) -> list[Any]:
    kept = [
        {k: plain(v) for k, v in row.items() if k not in VOLATILE}
        for row in map(without_gap, rows)
    ]
    return sorted(kept, key=lambda row: (repr(identity(row)), repr(row)))
