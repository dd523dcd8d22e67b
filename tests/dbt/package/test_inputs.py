"""What another project gives the package: what is broken in it fails a test of ours."""

import shutil
from pathlib import Path
from typing import Any

import pytest

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
