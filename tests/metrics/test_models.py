"""The compiled SQL itself: its dialects, its order and its sources."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exp_platform.metrics.compile_models import DIALECTS, compile_models
from exp_platform.metrics.models import (
    GENERATED,
    list_sources,
    model_order,
    model_sql,
    place_relations,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_model_sql_parses_in_its_dialect(dialect: str) -> None:
    import sqlglot

    generated = set(GENERATED)
    names = [name for name, _ in model_order(dialect)]
    assert generated < set(names)
    for name in set(names) - generated:
        assert sqlglot.parse_one(model_sql(name, dialect), read=dialect) is not None


def test_compiled_sql_is_not_stale() -> None:
    pytest.importorskip("dbt.cli.main", reason="needs the extra dbt")
    folder = ROOT / "exp_platform" / "metrics" / "compiled" / "duckdb"
    kept = {file.name: file.read_text("utf-8") for file in folder.glob("*.*")}
    assert compile_models(ROOT / "dbt") == kept, "run `make compile`"


def test_model_order_puts_parents_first() -> None:
    names = [name for name, _ in model_order()]
    for name in names:
        sql = _sql_or_nothing(name)
        for parent in names[names.index(name) + 1 :]:
            assert f"exp_run.{parent}\n" not in sql, (name, parent)
    folder = ROOT / "exp_platform" / "metrics" / "compiled" / "duckdb"
    listed = json.loads((folder / "models.json").read_text("utf-8"))
    assert [entry["name"] for entry in listed] == names


def _sql_or_nothing(name: str) -> str:
    return "" if name in GENERATED else model_sql(name)


def test_list_sources_names_what_no_model_makes() -> None:
    metrics, everything = list_sources(("metrics",)), list_sources()
    assert {"exp.exposures", "exp.outcomes", "exp_run.run_metrics"} <= set(metrics)
    assert "exp_raw.user_events" in set(everything) - set(metrics)
    made = {f"exp_run.{name}" for name, _ in model_order()}
    assert not made & set(everything)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_place_relations_leaves_texts_and_comments(dialect: str) -> None:
    escaped = r"'it\'s exp.b'" if dialect == "spark" else r"'it''s\exp.b'"
    sql = (
        f"/* a unit's exp.a */ select {escaped} -- the run's exp_run.c\nfrom exp_run.d"
    )
    placed = place_relations(sql, dialect, lambda name: f"<{name}>")
    assert placed == sql.replace("from exp_run.d", "from <exp_run.d>")
