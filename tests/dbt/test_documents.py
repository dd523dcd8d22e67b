"""What the project says about itself: nothing is without a description."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from exp_platform.lake import Engine

pytestmark = pytest.mark.xdist_group("dbt")

QUESTIONS = Path(__file__).resolve().parents[2] / "docs" / "metrics-questions.md"


@pytest.fixture(scope="module")
def manifest(warehouse: Any, dbt: Any) -> dict[str, Any]:
    """What dbt read, and wrote for its documentation pages."""
    generated = {"generated": warehouse.generated, "database": warehouse.database}
    outcome = dbt.run("docs", "generate", "--static", **generated)
    assert outcome.success, outcome.exception
    target = dbt.folder / "target"
    assert "{% docs" not in (target / "static_index.html").read_text("utf-8")
    read: dict[str, Any] = json.loads((target / "manifest.json").read_text("utf-8"))
    return read


def _models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    nodes = manifest["nodes"].values()
    return {node["name"]: node for node in nodes if node["resource_type"] == "model"}


def test_every_model_and_column_has_a_description(
    manifest: dict[str, Any], warehouse: Any, lake_settings: Any
) -> None:
    with Engine(lake_settings, warehouse.database) as engine:
        built = engine.rows(
            "select table_name, list(column_name) from information_schema.columns"
            " where table_schema = 'exp_run' group by table_name"
        )
    columns = {str(name): set(names) for name, names in built}  # type: ignore[call-overload]
    silent = []
    for name, model in _models(manifest).items():
        if not model["description"]:
            silent.append(name)
        told = {c for c, text in model["columns"].items() if text["description"]}
        silent += [f"{name}.{column}" for column in sorted(columns[name] - told)]
        # a column that is described and not there would be as wrong
        silent += [f"{name}.{column} is not there" for column in told - columns[name]]
    assert silent == []


def test_every_source_column_has_a_description(manifest: dict[str, Any]) -> None:
    silent = [
        f"{source['name']}.{column['name']}"
        for source in manifest["sources"].values()
        for column in source["columns"].values()
        if not (source["description"] and column["description"])
    ]
    assert silent == []


def test_every_mart_is_read_by_a_mart_or_an_exposure(manifest: dict[str, Any]) -> None:
    parents = {
        parent
        for node in (*manifest["nodes"].values(), *manifest["exposures"].values())
        if node["resource_type"] in {"model", "exposure"}
        for parent in node["depends_on"]["nodes"]
    }
    unread = {
        name
        for name, model in _models(manifest).items()
        if model["unique_id"] not in parents
    }
    # published for people to query, or read by the run in Python
    assert unread == {
        "dim_feature",
        "dim_user",
        "event_quarantine",
        "fact_event",
        "fact_experiment_exposure",
        "int_maturity_totals",
    }


def test_marts_have_an_enforced_contract_and_a_key(manifest: dict[str, Any]) -> None:
    tests = [n for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    keyed = {
        parent
        for test in tests
        if (test.get("test_metadata") or {}).get("name")
        in {"unique_combination", "unique"}
        for parent in test["depends_on"]["nodes"]
    }
    marts = [m for m in _models(manifest).values() if "marts" in m["fqn"]]
    assert len(marts) > 10
    for mart in marts:
        assert mart["contract"]["enforced"], mart["name"]
        assert mart["unique_id"] in keyed, mart["name"]


def test_questions_name_what_there_is(manifest: dict[str, Any]) -> None:
    text = QUESTIONS.read_text("utf-8")
    assert re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE) == [
        str(number) for number in range(1, 11)
    ]
    models = _models(manifest)
    known = {*models, *(c for model in models.values() for c in model["columns"])}
    known |= {
        column for name in manifest["sources"] for column in _columns(manifest, name)
    }
    named = set(
        re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", " ".join(re.findall("`[^`]+`", text)))
    )
    # a shipped metric, functions of SQL, names inside a model, a segment
    named -= {"three_day_revenue", "row_number", "exposure_order", "new_flag"}
    named -= {"not_bot", "without_bots"}
    assert named <= known


def _columns(manifest: dict[str, Any], source: str) -> list[str]:
    return list(manifest["sources"][source]["columns"])


def test_exposures_are_the_memo_the_dashboard_and_the_api(
    manifest: dict[str, Any],
) -> None:
    exposures = manifest["exposures"].values()
    assert {e["name"] for e in exposures} == {
        "decision_memo",
        "live_monitoring",
        "metrics_api",
    }
    assert all(len(e["depends_on"]["nodes"]) > 2 for e in exposures)
