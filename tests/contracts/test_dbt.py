"""dbt builds and tests the project's models on the engines that it runs on."""

import shutil
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = "contract_built"


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
    if not workspace.is_written(BUILT):
        workspace.write("duckdb", BUILT)
    settings = workspace.settings(engine)
    built = build_with_dbt(settings, BUILT, engine)
    assert built.n_totals > 0
    assert built.n_compared > 0
    assert built.results["model"] > 60
    assert built.results["test"] > 300
