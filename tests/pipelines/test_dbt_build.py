"""dbt builds the same totals as the kept SQL, and passes its own tests."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from exp_platform.config import load_settings
from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine, open_lake
from exp_platform.pipelines.dbt_build import build_with_dbt
from exp_platform.schemas import load_schema

DBT = Path(__file__).resolve().parents[2] / "dbt"
TOTALS = "metric_aggregates_overall"
TRACKED = "exp_tracked"  # has events
BUILT_FROM_EVENTS = (
    "fact_event",
    "event_quarantine",
    "dim_user",
    "dim_feature",
    "fact_experiment_exposure",
)


@pytest.fixture
def modelled(project: Any) -> Any:
    """A project with the dbt models in it."""
    ignore = shutil.ignore_patterns("target", "logs", ".*")
    shutil.copytree(DBT, project.root / "dbt", ignore=ignore)
    return project


def _lose_values(project: Any, n: int) -> None:
    """Make the value of the file's last revenue rows null."""
    folder = project.raw / TRACKED
    (folder / "_manifest.json").unlink()
    table = pq.read_table(folder / "outcomes.parquet")
    is_revenue = pc.equal(table["metric_name"], "revenue").to_pylist()
    lost = [i for i, yes in enumerate(is_revenue) if yes][-n:]
    values = table["value"].to_pylist()
    for i in lost:
        values[i] = None
    place = table.column_names.index("value")
    table = table.set_column(place, "value", pa.array(values, pa.float64()))
    pq.write_table(table, folder / "outcomes.parquet")


@pytest.mark.end_to_end
def test_build_with_dbt_agrees_with_what_was_published(modelled: Any) -> None:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    assert modelled.job(TRACKED, "--generate-synth").code == 0
    _lose_values(modelled, 10)
    assert modelled.job(TRACKED).code == 0
    rows = modelled.tables(TOTALS)[TOTALS]
    missing = {r["metric_name"] for r in rows if r["n_missing"]}
    assert missing == {"revenue_per_user", "revenue_per_session"}

    settings = load_settings(modelled.config)
    built = build_with_dbt(settings, TRACKED)

    assert built.n_totals == len(rows)
    assert built.results["unit_test"] >= 15
    assert built.results["test"] > built.results["model"]
    lake = open_lake(settings)
    with Engine(lake.settings, built.database) as engine:
        for table in BUILT_FROM_EVENTS:
            lake.attach(engine, table, name="exp_run.published")
            columns = ", ".join(load_schema(table).names)
            ours = f"select {columns} from exp_run.{table}"
            theirs = f"select {columns} from exp_run.published"
            for one, other in ((ours, theirs), (theirs, ours)):
                assert engine.rows(f"({one}) except all ({other})") == [], table
            is_empty = table == "event_quarantine"
            assert bool(engine.rows(f"{ours} limit 1")) is not is_empty
    lake.close()


def test_build_with_dbt_needs_a_run(modelled: Any) -> None:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    with pytest.raises(ContractError, match="no rows in metric_aggregates_overall"):
        build_with_dbt(load_settings(modelled.config), "exp_tiny")


def test_build_with_dbt_needs_the_models(project: Any) -> None:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    with pytest.raises(UsageError, match="exp init"):
        build_with_dbt(load_settings(project.config), "exp_tiny")


def test_build_with_dbt_names_the_extra(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dbt.adapters.duckdb", None)
    with pytest.raises(UsageError, match=r"exp-platform\[dbt\]"):
        build_with_dbt(load_settings(project.config), "exp_tiny")
