"""What a pip user gets."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_wheel_carries_configs_metrics_and_the_dbt_project(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "project/configs/dev.yaml",
        "project/metrics/conversion.yml",
        "project/dbt/dbt_project.yml",
        "project/dbt/models/marts/unit_ledger.sql",
        "metrics/compiled/duckdb/models.json",
        "report/templates/memo.html.j2",
        "schemas/exposures.schema.json",
    ):
        assert f"exp_platform/{part}" in names
    assert not [name for name in names if name.startswith("tests/") or "/logs/" in name]
