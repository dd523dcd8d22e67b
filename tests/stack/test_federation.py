"""A shop's exposures lie in its own database, its orders in the lake: one experiment.

The project is `tests/dbt/package/shop`, which installs ours. The variable `inputs` says
where the exposures are; nothing else differs between the two builds.
"""

import json
import math
import runpy
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from exp_platform.config import Settings
from exp_platform.lake import open_lake
from exp_platform.lake.scratch import ScratchWriter
from exp_platform.pipelines.metric_export import export_metrics

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "tests" / "dbt" / "package"
BUILT = ("metric_aggregates_overall", "experiment_results", "unit_ledger")
PROFILE = {
    "shop": {
        "target": "trino",
        "outputs": {
            "trino": {
                "type": "trino",
                "method": "none",
                "host": "{{ env_var('EXP_TRINO_HOST') }}",
                "port": "{{ env_var('EXP_TRINO_PORT') | int }}",
                "user": "shop",
                "database": "iceberg",
                "schema": "{{ var('run_schema') }}",
                "threads": 4,
            }
        },
    }
}
COLUMNS = {
    "experiment_id": "'checkout'",
    "user_id": "customer_id",
    "variant": "arm",
    "exposure_ts": "seen_at",
    "first_seen_ts": "cast(null as timestamp(6) with time zone)",
    "attributes": "map(array['country'], array[country])",
}


@pytest.fixture(scope="module")
def mark() -> str:
    return f"shop_{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def warehouses(
    shared: Any, mark: str, trino_rows: Callable[[str], list[Any]]
) -> Iterator[str]:
    """The shop's rows in the lake, and a copy of its exposures in PostgreSQL."""
    settings: Settings = shared.settings()
    rows = runpy.run_path(str(PACKAGE / "conftest.py"))["_rows"]
    trino_rows(f"create schema iceberg.{mark}")
    with open_lake(settings) as lake, closing(ScratchWriter(lake.settings)) as write:
        for name, table in rows(np.random.default_rng(11)).items():
            write(mark, name, table.schema, table.to_batches())
    trino_rows(
        f"create table shop.public.{mark} as select * from iceberg.{mark}.arm_views"
    )
    yield mark
    trino_rows(f"drop table shop.public.{mark}")
    for schema in (mark, f"{mark}_lake", f"{mark}_till"):
        trino_rows(f"drop schema if exists iceberg.{schema} cascade")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warehouses: str) -> Path:
    folder = tmp_path_factory.mktemp("federation") / "shop"
    shutil.copytree(PACKAGE / "shop", folder)
    tables = ("arm_views", "orders", "visits")
    sources = [
        {
            "name": "shop",
            "database": "iceberg",
            "schema": warehouses,
            "tables": [{"name": name} for name in tables],
        },
        {
            "name": "till",
            "database": "shop",
            "schema": "public",
            "tables": [{"name": "arm_views", "identifier": warehouses}],
        },
    ]
    files: dict[str, Any] = {
        "packages.yml": {"packages": [{"local": str(REPOSITORY / "dbt")}]},
        "profiles.yml": PROFILE,
        "models/sources.yml": {"version": 2, "sources": sources},
    }
    of_project = folder / "dbt_project.yml"
    settings = yaml.safe_load(of_project.read_text("utf-8"))
    settings["models"] = {"exp_platform": {"+schema": "{{ var('run_schema') }}"}}
    files["dbt_project.yml"] = settings
    for name, document in files.items():
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    for spine in (folder / "models").glob("metricflow_time_spine.*"):
        spine.unlink()
    out = folder / "models" / "metrics"
    export_metrics(
        folder / "metrics", out, output="dbt", segments=("country",), dialect="trino"
    )
    invoke(folder, "deps", {"run_schema": "none"})
    return folder


def invoke(project: Path, action: str, variables: dict[str, Any], *rest: str) -> None:
    from dbt.adapters.factory import cleanup_connections
    from dbt.cli.main import dbtRunner

    places = ("--project-dir", str(project), "--profiles-dir", str(project))
    logs = ("--log-path", str(project / "logs"), "--log-level-file", "none")
    try:
        outcome = dbtRunner().invoke(
            [action, "--quiet", "--vars", json.dumps(variables), *places, *logs, *rest]
        )
    finally:
        cleanup_connections()
    assert outcome.success, outcome.exception or [
        (result.node.name, result.message)
        for result in outcome.result
        if str(result.status) in {"error", "fail"}
    ]


# dbt's own macros say "\\w" in a plain text
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_experiment_joins_the_lake_with_a_database(
    project: Path, warehouses: str, trino_rows: Callable[[str], list[Any]]
) -> None:
    pytest.importorskip("dbt.adapters.trino")
    for place, exposures in (("lake", "shop.arm_views"), ("till", "till.arm_views")):
        variables = {
            "run_schema": f"{warehouses}_{place}",
            "inputs": {"exposures": exposures, "outcomes": "shop_outcomes"},
            "columns": {"exposures": COLUMNS},
        }
        wanted = [word for name in BUILT for word in ("--select", f"+{name}")]
        invoke(project, "run", variables, *wanted)

    for table in BUILT:
        one, other = (
            sorted(
                trino_rows(f"select * from iceberg.{warehouses}_{place}.{table}"),
                key=lambda row: repr([v for v in row if not isinstance(v, float)]),
            )
            for place in ("lake", "till")
        )
        assert len(one) == len(other) > 0
        for mine, theirs in zip(one, other, strict=True):
            for left, right in zip(mine, theirs, strict=True):
                if isinstance(left, float):
                    # Trino adds doubles in an order of its own, each time
                    assert math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
                else:
                    assert left == right
