"""Another dbt project installs ours and points it at its own tables.

The project is the folder `shop` beside this file: its rows have names of their own, its
schema is not ours, and it has no registry, no quarantine and no events.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from exp_platform.lake import Engine
from exp_platform.metrics.dbt_export import export_models
from exp_platform.metrics.definitions import load_definitions

pytestmark = pytest.mark.xdist_group("dbt_package")

SHOP = Path(__file__).parent / "shop"

# written from the words of shop/metrics/*.yml; 2026-03-12 is the watermark
NAIVE = """
with firsts as (
    select customer_id, arg_min(arm, seen_at) as arm, min(seen_at) as since,
        arg_min(country, seen_at) as country
    from shop.arm_views
    where seen_at >= timestamptz '2026-03-02 00:00:00+00'
        and seen_at < timestamptz '2026-03-09 00:00:00+00'
    group by customer_id
),
units as (
    select *,
        least((select coalesce(sum(amount), 0) from shop.orders
            where customer_id = firsts.customer_id and amount > 0 and ordered_at >= since
            and ordered_at < since + interval 3 day), 200) as capped,
        coalesce((select sum(amount) from shop.orders
            where customer_id = firsts.customer_id and ordered_at >= since
            and ordered_at < timestamptz '2026-03-12 00:00:00+00'), 0) as spent,
        (select count(*) from shop.visits
            where customer_id = firsts.customer_id and visited_at >= since
            and visited_at < timestamptz '2026-03-12 00:00:00+00') as visits,
        exists (select 1 from shop.visits inner join shop.orders using (customer_id)
            where customer_id = firsts.customer_id and visited_at >= since
            and ordered_at > visited_at and amount > 0
            and ordered_at < timestamptz '2026-03-12 00:00:00+00') as did_order,
        coalesce((select sum(amount) from shop.orders
            where customer_id = firsts.customer_id and amount > 0 and ordered_at < since
            and ordered_at >= since - interval 7 day), 0) as before
    from firsts
)
select 'orders_in_three_days' as metric_name, arm as variant, count(*) as n,
    sum(capped) as total, null as below, sum(before) as before
from units where since + interval 3 day <= timestamptz '2026-03-12 00:00:00+00' group by arm
union all
select 'order_value_per_visit', arm, count(*), sum(spent), sum(visits), null from units group by arm
union all
select 'visit_then_order', arm, count(*), sum(did_order::int), null, null from units group by arm
"""


@pytest.fixture(scope="module")
def engine(shop: Path, lake_settings: Any) -> Any:
    with Engine(lake_settings, shop) as opened:
        yield opened


def test_package_gives_the_totals_of_a_naive_query(engine: Engine) -> None:
    totals = {
        (row["metric_name"], row["variant"]): row
        for row in engine.records(
            "from exp_run.metric_aggregates_overall where segment = 'all'"
        )
    }
    naive = engine.records(NAIVE)
    assert len(naive) == 6
    for row in naive:
        found = totals[row["metric_name"], row["variant"]]
        assert found["n"] == row["n"] > 50
        # doubles summed in another order
        assert found["mean"] * found["n"] == pytest.approx(row["total"], rel=1e-12)
        if row["below"] is not None:
            below = found["denominator_mean"] * found["n"]
            assert below == pytest.approx(row["below"], rel=1e-12)
        if row["before"] is not None:
            before = found["covariate_mean"] * found["n"]
            assert before == pytest.approx(row["before"], rel=1e-12)


def test_package_drills_down_by_the_exported_segments(engine: Engine) -> None:
    found = engine.rows(
        "select segment, sum(n) from exp_run.metric_aggregates_overall"
        " where metric_name = 'visit_then_order' group by segment order by segment"
    )
    by_segment = {str(name): int(str(n)) for name, n in found}
    assert by_segment["country=DE"] + by_segment["country=NL"] == by_segment["all"]
    assert by_segment["population=without_crossover"] < by_segment["all"]


def test_package_goes_on_to_the_tests_and_the_ledger(engine: Engine) -> None:
    results = engine.records("from exp_run.experiment_results")
    assert {row["metric_name"] for row in results} >= {"order_value_per_visit"}
    assert all(row["treatment"] == "new" for row in results)
    # a quantile has an order statistic, no normal test
    tested = {row["metric_name"] for row in results if row["p_value_z"] is not None}
    assert tested == {
        "order_value_per_visit",
        "orders_in_three_days",
        "visit_then_order",
    }
    summary = engine.records("from exp_run.experiment_summary")
    # the guardrail of the definitions, and no goal
    assert [(row["treatment"], row["n_guardrails"]) for row in summary] == [("new", 1)]
    in_window = "from exp_run.unit_ledger where stage = 'in_window'"
    ((units,),) = engine.rows(f"select sum(n_units) {in_window}")
    assert engine.rows("select count(*) from exp_run.experiment_assignments") == [
        (int(str(units)),)
    ]


def test_package_writes_into_its_own_schema_alone(engine: Engine) -> None:
    schemas = {
        str(row[0])
        for row in engine.rows(
            "select distinct table_schema from information_schema.tables"
        )
    }
    assert schemas == {"shop", "analytics", "exp_run"}


def test_package_experiment_has_the_columns_of_a_run(
    engine: Engine, warehouse: Any, lake_settings: Any
) -> None:
    ours = "select column_name from information_schema.columns where table_name = '{}'"
    with Engine(lake_settings, warehouse.database) as built:
        for name in (
            "run_experiments",
            "run_variants",
            "run_metrics",
            "run_covariates",
        ):
            theirs = engine.rows(f"{ours.format(f'exp_{name}')} order by 1")
            assert theirs == built.rows(f"{ours.format(name)} order by 1"), name
        constants = (
            "guardrail_alpha, fewest_clusters, bootstrap_below, min_units_per_arm"
        )
        of_a_run = built.rows(
            f"select distinct {constants} from exp_run.run_experiments"
        )
    assert (
        engine.rows(f"select {constants} from analytics.exp_run_experiments")
        == of_a_run
    )


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_export_models_leaves_texts_as_they_are(dialect: str) -> None:
    definition = load_definitions(SHOP / "metrics")
    evil = "exp_run.int_unit_outcomes {{ env_var('HOME') }} it's"
    files = export_models(definition, segments=(evil,), dialect=dialect)
    assert "exp_run." not in files["exp_metric_observations.sql"]
    segments = files["exp_unit_segments.sql"]
    assert "{{ env_var" not in segments
    assert "exp_run.int_unit_outcomes {{ '{' }}{{ '{' }} env_var(" in segments


def test_package_without_its_inputs_says_which_one(
    shop: Path, make_dbt: Any, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    shutil.copytree(shop.parent / "shop", project, symlinks=True)
    text = (project / "dbt_project.yml").read_text("utf-8")
    short = text.replace("      outcomes: shop_outcomes\n", "")
    (project / "dbt_project.yml").write_text(short, "utf-8")
    outcome = make_dbt(tmp_path, project).run("parse", database=shop)
    assert not outcome.success
    assert "names no outcomes" in str(outcome.exception)
