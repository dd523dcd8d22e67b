"""The semantic model exported from the definitions, and what MetricFlow makes of it."""

import csv
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from exp_platform.errors import UsageError
from exp_platform.lake import Engine
from exp_platform.metrics.definitions import load_definitions
from exp_platform.metrics.metricflow import export_semantic_model
from exp_platform.pipelines.metric_export import export_metrics

pytestmark = pytest.mark.xdist_group("dbt_package")

SHOP = Path(__file__).parent / "shop"
GOLDEN = Path(__file__).parents[2] / "golden" / "metricflow"
METRICFLOW = Path(sys.executable).with_name("mf")


def _answers(path: Path) -> dict[tuple[str, str], float]:
    """Metric and arm -> number, of MetricFlow's CSV."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (name, row["unit_value__variant"]): float(number)
        for row in rows
        for name, number in row.items()
        if not name.startswith("unit_value__")
    }


def _expected(engine: Engine) -> dict[tuple[str, str], float]:
    """The same numbers from our totals."""
    expected: dict[tuple[str, str], float] = {}
    totals = "from exp_run.metric_aggregates_overall where segment = 'all'"
    for row in engine.records(totals):
        name, arm, n = row["metric_name"], row["variant"], row["n"]
        expected[f"{name}_units", arm] = n
        expected[f"{name}_total", arm] = row["mean"] * n
        expected[name, arm] = row["mean"]
        if row["denominator_mean"] is not None:
            expected[f"{name}_denominator", arm] = row["denominator_mean"] * n
            expected[name, arm] = row["mean"] / row["denominator_mean"]
    quantiles = "from exp_run.metric_quantiles where segment = 'all'"
    for row in engine.records(quantiles):
        expected[row["metric_name"], row["variant"]] = row["value"]
    return expected


def _compare(engine: Engine, answers: dict[tuple[str, str], float]) -> None:
    expected = _expected(engine)
    assert len(answers) == 24
    for key, number in answers.items():
        # doubles summed in another order
        assert expected[key] == pytest.approx(number, rel=1e-12), key
        assert number > 0


def test_totals_are_those_metricflow_gave(shop: Path, lake_settings: Any) -> None:
    with Engine(lake_settings, shop) as engine:
        _compare(engine, _answers(GOLDEN / "answers.csv"))


def test_metricflow_validates_and_gives_our_totals(
    shop: Path, lake_settings: Any, tmp_path: Path
) -> None:
    place = GOLDEN / "ask_metricflow.py"
    spec = importlib.util.spec_from_file_location("ask_metricflow", place)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.ask(str(METRICFLOW), shop.parent / "shop", shop, tmp_path / "answers.csv")
    with Engine(lake_settings, shop) as engine:
        _compare(engine, _answers(tmp_path / "answers.csv"))


def test_semantic_model_says_what_is_not_in_it() -> None:
    semantic = export_semantic_model(load_definitions(SHOP / "metrics"))
    reason = "a quantile of single rows is not made of units' values"
    assert semantic.left_out == {"order_rows_p90": reason}
    text = semantic.files["exp_unit_values.yml"]
    assert f"# Not here: 'order_rows_p90', because {reason}.\n" in text
    document = yaml.safe_load(text)
    names = [metric["name"] for metric in document["metrics"]]
    assert len(names) == len(set(names))
    assert not any(name.startswith("order_rows") for name in names)
    types = {metric["name"]: metric["type"] for metric in document["metrics"]}
    assert types["orders_in_three_days"] == "ratio"
    assert types["orders_in_three_days_total"] == "simple"
    assert types["order_p80"] == "simple"


@pytest.mark.parametrize(
    "name",
    [
        "Revenue",
        "a__b",
        "x' or 1 = 1 --",
        "{{ env_var('HOME') }}",
        "day",
        "a" * 101,
        "ab\n",
    ],
)
def test_semantic_model_leaves_out_names_that_metricflow_refuses(name: str) -> None:
    good = next(iter(load_definitions(SHOP / "metrics").values()))
    semantic = export_semantic_model({name: replace(good, name=name)})
    assert set(semantic.left_out) == {name}
    assert yaml.safe_load(semantic.files["exp_unit_values.yml"])["metrics"] == []


@pytest.mark.parametrize("words", ["{{ orders }}", "{% if %} {#", "{{{%", "{a} {"])
def test_semantic_model_keeps_words_that_look_like_a_template(words: str) -> None:
    good = load_definitions(SHOP / "metrics")["visit_then_order"]
    described = replace(good, description=words)
    semantic = export_semantic_model({good.name: described})
    document = yaml.safe_load(semantic.files["exp_unit_values.yml"])
    written = document["metrics"][0]["description"]
    # as dbt reads it
    assert jinja2.Template(written).render() == words


def test_semantic_model_leaves_out_a_metric_named_as_a_part_of_another() -> None:
    good = load_definitions(SHOP / "metrics")["visit_then_order"]
    both = {n: replace(good, name=n) for n in ("paid", "paid_units")}
    semantic = export_semantic_model(both)
    assert semantic.left_out == {"paid_units": "its name is the one of a part of paid"}


@pytest.mark.parametrize("wrong", [{"output": "cube"}, {"dialect": "oracle"}])
def test_export_metrics_refuses_what_it_does_not_know(
    wrong: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"no (format|dialect)"):
        export_metrics(SHOP / "metrics", tmp_path, **{"output": "dbt", **wrong})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'population' cannot be told from"):
        export_metrics(
            SHOP / "metrics", tmp_path, output="dbt", segments=["population"]
        )
    with pytest.raises(UsageError, match="no metric definition"):
        export_metrics(tmp_path, tmp_path, output="dbt")
