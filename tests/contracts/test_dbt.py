"""dbt builds and tests the project's models on the engines that it runs on."""

import shutil
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


# dbt's own macros say "\\w" in a plain text
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_dbt_builds_and_tests_the_models(workspace: Any, engine: str) -> None:
    if engine == "duckdb":
        pytest.skip("tests/dbt does")
    pytest.importorskip(f"dbt.adapters.{engine}")
    from exp_platform.pipelines.dbt_build import build_with_dbt

    if not (workspace.root / "dbt").is_dir():
        ignored = shutil.ignore_patterns("target", "logs", ".*")
        shutil.copytree(REPOSITORY / "dbt", workspace.root / "dbt", ignore=ignored)
    workspace.history("contract_events")
    settings = workspace.settings(engine)
    built = build_with_dbt(settings, "contract_events", engine)
    assert built.n_totals > 0
    assert built.n_compared > 0
    assert built.results["model"] > 60
    assert built.results["test"] > 300


def test_trino_leaves_no_schema_behind(
    workspace: Any, readers: Any, engine: str
) -> None:
    """Those of a killed run go a day later; these runs ended."""
    if engine != "trino":
        pytest.skip("only Trino has schemas of a run")
    workspace.history("contract_plain")
    rows = readers.sql("trino", "show schemas from iceberg")
    names = {next(iter(row.values())) for row in rows}
    assert "exp" in names
    assert not {name for name in names if name.startswith("exp_scratch_")}
