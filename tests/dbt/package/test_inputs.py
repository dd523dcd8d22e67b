"""What another project gives the package: what is broken in it fails a test of ours."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from exp_platform.lake import Engine

pytestmark = pytest.mark.xdist_group("dbt_package")

FINITE = "expression_holds_stg_outcomes_value__value_between_1_7e308_and_1_7e308"

ARM = "found_in_input_stg_exposures_variant__variant__run__run_variants"

BROKEN: dict[str, tuple[str, str, set[str]]] = {
    "outcome that is no number": (
        "update shop.orders set amount = 'nan' where rowid = 0",
        "stg_outcomes",
        {FINITE},
    ),
    "outcome that is not finite": (
        "update shop.orders set amount = '-infinity' where rowid = 0",
        "stg_outcomes",
        {FINITE},
    ),
    "outcome without a value": (
        "update shop.orders set amount = null where rowid = 0",
        "stg_outcomes",
        {"not_null_stg_outcomes_value"},
    ),
    "exposure to an arm that only another experiment has": (
        (
            "create or replace view analytics.exp_run_variants as"
            " select 'checkout' as experiment_id, 'old' as variant"
            " union all select 'search', 'new'"
        ),
        "stg_exposures",
        {ARM},
    ),
}

# ids that are whole numbers, and columns named like those of exp_run_experiments
AWKWARD = (
    *(
        f"alter table shop.{table} alter customer_id type bigint"
        " using substr(customer_id, 2)::bigint"
        for table in ("arm_views", "orders", "visits")
    ),
    "alter table shop.arm_views rename arm to assignment",
    (
        "create table shop.given as select customer_id, assignment, seen_at as start_us"
        " from shop.arm_views"
    ),
    (
        "create table shop.clicks as select '' as namespace, rowid as alpha,"
        " customer_id, 'click' as event_name, visited_at as event_ts, 1.0 as value,"
        " map(['page'], ['/']) as properties, 'NL' as country, 'phone' as device,"
        " 'web' as platform, 'shop' as app, '1' as app_version from shop.visits"
    ),
    (
        "create table shop.refused as select 'NOT_A_NUMBER' as why, customer_id,"
        " 'click' as clicked, visited_at as event_ts from shop.visits limit 9"
    ),
)
INPUTS = {
    "exposures": "shop.arm_views",
    "outcomes": "shop_outcomes",
    "experiment_assignments": "shop.given",
    "fact_event": "shop.clicks",
    "event_quarantine": "shop.refused",
}
COLUMNS = {
    "outcomes": {"experiment_id": "experiment_id"},
    "experiment_assignments": {
        "experiment_id": "'checkout'",
        "user_id": "source.customer_id",
        "variant": "assignment",
        "assigned_ts": "start_us",
    },
    "fact_event": {
        "namespace": "namespace",
        "event_id": "alpha",
        "user_id": "customer_id",
    },
    "event_quarantine": {
        "namespace": "'shop'",
        "reason": "why",
        "user_id": "customer_id",
        "event_name": "clicked",
    },
}


@pytest.fixture(scope="module")
def shop_dbt(
    shop: Path, make_dbt: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The shop's project, parsed once."""
    dbt = make_dbt(tmp_path_factory.mktemp("inputs"), shop.parent / "shop")
    dbt.parse(shop, {})
    return dbt


@pytest.mark.parametrize("name", BROKEN)
def test_build_fails_in_the_test_of_the_broken_input(
    name: str, shop: Path, shop_dbt: Any, lake_settings: Any, tmp_path: Path
) -> None:
    statement, model, expected = BROKEN[name]
    # dbt knows a database by the name of its file
    database = tmp_path / shop.name
    shutil.copy(shop, database)
    with Engine(lake_settings, database) as engine:
        engine.execute(statement)
    assert shop_dbt.build(model, database=database, generated={}) == expected


@pytest.mark.parametrize("kind", ["integer", "decimal(10, 2)", "varchar"])
def test_amounts_of_any_type_are_doubles(
    kind: str, shop: Path, shop_dbt: Any, lake_settings: Any, tmp_path: Path
) -> None:
    database = tmp_path / shop.name
    shutil.copy(shop, database)
    with Engine(lake_settings, database) as engine:
        engine.execute("delete from shop.visits")
        engine.execute(f"alter table shop.orders alter amount type {kind}")
        # a column of the shop's own type, not what its model makes of two
        engine.execute(
            "create or replace view analytics.shop_outcomes as select 'checkout' as"
            " experiment_id, customer_id as user_id, 'order' as metric_name,"
            " amount as value, ordered_at as outcome_ts from shop.orders"
        )
    assert shop_dbt.build("stg_outcomes", database=database, generated={}) == set()
    with Engine(lake_settings, database) as engine:
        found = "select distinct typeof(value) from exp_run.stg_outcomes"
        assert engine.rows(found) == [("DOUBLE",)]


def test_build_warns_of_a_metric_whose_rows_never_came(
    shop: Path, shop_dbt: Any, lake_settings: Any, tmp_path: Path
) -> None:
    database = tmp_path / shop.name
    shutil.copy(shop, database)
    with Engine(lake_settings, database) as engine:
        engine.execute("delete from shop.visits")
    words = ("build", "--select", "stg_outcomes", "--exclude-resource-type")
    outcome = shop_dbt.run(*words, "unit_test", database=database, generated={})
    warned = {r.node.name: r.failures for r in outcome.result if r.status == "warn"}
    assert warned == {"metrics_have_rows": 1}


@pytest.mark.parametrize("shares", ["'old': 50, 'new': 50", "'old': 1.0, 'new': 0.0"])
def test_variants_refuse_shares_that_are_none(
    shares: str, shop: Path, make_dbt: Any, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    shutil.copytree(shop.parent / "shop", project, symlinks=True)
    model = project / "models" / "exp_run_variants.sql"
    text = "{{ exp_platform.variants('checkout', {%s}, control='old') }}"
    model.write_text(text % shares, "utf-8")
    outcome = make_dbt(tmp_path, project).run("parse", database=shop, generated={})
    assert "must be above 0 and add up to 1" in str(outcome.exception)


def _name_awkwardly(project: Path) -> None:
    """Point the project at the renamed columns, and at all the inputs there can be."""
    place = project / "dbt_project.yml"
    settings = yaml.safe_load(place.read_text("utf-8"))
    package = settings["vars"]["exp_platform"]
    package["inputs"] = INPUTS
    package["columns"] |= COLUMNS
    package["columns"]["exposures"]["variant"] = "assignment"
    place.write_text(yaml.safe_dump(settings), "utf-8")
    sources = project / "models" / "sources.yml"
    more = "      - name: given\n      - name: clicks\n      - name: refused\n"
    sources.write_text(sources.read_text("utf-8") + more, "utf-8")


def test_inputs_may_have_ids_that_are_numbers_and_names_that_the_package_has(
    shop: Path, make_dbt: Any, lake_settings: Any, tmp_path: Path
) -> None:
    project, database = tmp_path / "shop", tmp_path / shop.name
    shutil.copytree(shop.parent / "shop", project, symlinks=True)
    shutil.copy(shop, database)
    _name_awkwardly(project)
    with Engine(lake_settings, database) as engine:
        for statement in AWKWARD:
            engine.execute(statement)
    dbt = make_dbt(tmp_path, project)
    assert dbt.build("+unit_ledger", database=database, generated={}) == set()
    totals, stages = _read(lake_settings, database)
    its_totals, its_stages = _read(lake_settings, shop)
    assert [row[:-1] for row in totals] == [row[:-1] for row in its_totals]
    # doubles summed in another order
    means = [row[-1] for row in its_totals]
    assert [row[-1] for row in totals] == pytest.approx(means, rel=1e-12)
    assert [row for row in stages if row[0] != "assigned"] == its_stages
    assert sum(row[3] for row in stages if row[0] == "assigned") == 500


def _read(lake_settings: Any, database: Path) -> list[list[Any]]:
    with Engine(lake_settings, database) as engine:
        return [
            engine.rows(f"select {columns} from exp_run.{name} order by all")
            for name, columns in (
                ("metric_aggregates_overall", "metric_name, variant, segment, n, mean"),
                ("unit_ledger", "stage, metric_name, variant, n_units, n_rows"),
            )
        ]
