"""A shop with a dbt project of its own, in which our package is installed and built."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.lake import Engine
from exp_platform.pipelines.metric_export import export_metrics

SHOP = Path(__file__).parent / "shop"
PACKAGE = SHOP.parents[3] / "dbt"
DAY_US = 86_400_000_000
START_US = 1_772_409_600_000_000  # 2026-03-02


def _rows(random: np.random.Generator) -> dict[str, pa.Table]:
    n = 500
    customers = np.array([f"c{number}" for number in range(n)])
    seen = START_US + (random.uniform(-1, 9, n) * DAY_US).astype(np.int64)
    again = random.choice(n, 60, replace=False)
    who = random.integers(0, n, 4000)
    at = START_US + (random.uniform(-9, 12, 4000) * DAY_US).astype(np.int64)
    is_order = random.random(4000) < 0.3
    amounts = np.round(random.lognormal(4, 1, 4000), 2)
    arms = random.choice(["old", "new"], n)
    countries = random.choice(["NL", "DE"], n)
    instant = pa.timestamp("us", tz="UTC")
    views = {
        "customer_id": np.concatenate([customers, customers[again]]),
        "arm": np.concatenate([arms, random.choice(["old", "new"], 60)]),
        "seen_at": pa.array(
            np.concatenate([seen, seen[again] + 3_600_000_001]), instant
        ),
        "country": np.concatenate([countries, countries[again]]),
    }
    orders = {
        "customer_id": customers[who[is_order]],
        "amount": amounts[is_order],
        "ordered_at": pa.array(at[is_order], instant),
    }
    visits = {
        "customer_id": customers[who[~is_order]],
        "visited_at": pa.array(at[~is_order], instant),
    }
    return {
        "arm_views": pa.table(views),
        "orders": pa.table(orders),
        "visits": pa.table(visits),
    }


@pytest.fixture(scope="session")
def shop(
    tmp_path_factory: pytest.TempPathFactory, lake_settings: Any, make_dbt: Any
) -> Path:
    """The database of a shop that has installed and built the package."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(SHOP, folder / "shop")
    (folder / "shop" / "packages.yml").write_text(
        f"packages:\n  - local: {PACKAGE}\n", "utf-8"
    )
    database = folder / "warehouse.duckdb"
    with Engine(lake_settings, database) as engine:
        engine.execute("create schema shop")
        for name, table in _rows(np.random.default_rng(11)).items():
            engine.register("exp_run.arriving", table)
            engine.execute(f"create table shop.{name} as from exp_run.arriving")
        for schema in ("exp", "exp_raw", "exp_run"):
            engine.execute(f"drop schema {schema} cascade")
    out = folder / "shop" / "models" / "metrics"
    export_metrics(SHOP / "metrics", out, output="dbt", segments=("country",))
    export_metrics(SHOP / "metrics", out, output="metricflow")
    dbt = make_dbt(folder, folder / "shop")
    assert dbt.run("deps", database=database).success
    outcome = dbt.run("build", database=database)
    assert outcome.exception is None, outcome.exception
    assert outcome.success, [
        (r.node.name, r.message)
        for r in outcome.result
        if str(r.status) in {"error", "fail"}
    ]
    # Only of a model that the shop names itself: it may stand in any package.
    told = [words for words in dbt.warnings if "exp_platform" in words]
    assert len(told) == 1, told
    assert "model.shop.shop_outcomes" in told[0]
    kinds = {str(result.node.resource_type) for result in outcome.result}
    assert kinds >= {"model", "test"}
    return database
