"""Compile the dbt project and keep the plain SQL: `make compile` (needs the dbt extra).

The embedded tier runs the kept DuckDB SQL without dbt; a test fails when it is stale.
The SQL of the other engines is kept to be read: it comes from the same models with
those engines' macros, without their adapters.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from exp_platform.errors import StorageError
from exp_platform.metrics.models import GENERATED

_PACKAGE = Path(__file__).parent
_PROJECT = _PACKAGE.parent.parent / "dbt"
DIALECTS = ("duckdb", "spark", "trino")
_DATABASE = re.compile(r'"[^"\s]+"\."(exp|exp_raw|exp_run)"\."([a-z_]+)"')
# Groups that a run builds only when it has raw events; a model is in one at most.
_GROUPS = ("raw_events", "users", "events")


def compile_models(project: Path, dialect: str = "duckdb") -> dict[str, str]:
    """Compile every model of a dbt project.

    Args:
        project: folder of `dbt_project.yml`.
        dialect: engine whose macros are used, one of DIALECTS.

    Returns:
        File name -> text: one `.sql` for each static model, and `models.json` with
        names, materialisations and groups in the order of the DAG.

    Raises:
        StorageError: dbt failed; its message is on the terminal.
    """
    from dbt.cli.main import dbtRunner

    with tempfile.TemporaryDirectory() as folder:
        command = ["compile", "--no-populate-cache", "--no-introspect", "--quiet"]
        command += ["--target-path", folder]
        if dialect != "duckdb":
            command += ["--vars", json.dumps({"dialect": dialect})]
        command += ["--project-dir", str(project), "--profiles-dir", str(project)]
        # dbt would leave its log file open for the rest of the process
        command += ["--log-path", folder, "--log-level-file", "none"]
        outcome = dbtRunner().invoke(command)
        if not outcome.success:
            raise StorageError("dbt could not compile the models", where=str(project))
        manifest = json.loads(Path(folder, "manifest.json").read_text("utf-8"))
    models = [n for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    ordered = _in_dag_order(models)
    files = {
        f"{node['name']}.sql": _plain(node["compiled_code"])
        for node in ordered
        if node["name"] not in GENERATED
    }
    listing = [
        {
            "name": node["name"],
            "materialized": node["config"]["materialized"],
            "group": next((g for g in _GROUPS if g in node["tags"]), "metrics"),
        }
        for node in ordered
    ]
    files["models.json"] = json.dumps(listing, indent=2) + "\n"
    return files


def _plain(sql: str) -> str:
    """Relation names without quotes and database: the same in every engine."""
    return _DATABASE.sub(r"\1.\2", sql).strip() + "\n"


def _in_dag_order(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = {node["unique_id"]: node for node in models}
    done: dict[str, dict[str, Any]] = {}

    def visit(node: dict[str, Any]) -> None:
        """Put the node behind everything it reads."""
        for parent in sorted(node["depends_on"]["nodes"]):
            if parent in by_id and parent not in done:
                visit(by_id[parent])
        done.setdefault(node["unique_id"], node)

    for key in sorted(by_id):
        visit(by_id[key])
    return list(done.values())


def main() -> int:
    """Write the compiled models, or with --check say whether they are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = [name for dialect in DIALECTS for name in _refresh(dialect, check=check)]
    if check and stale:
        sys.stderr.write(f"stale, run `make compile`: {', '.join(stale)}\n")
    return 1 if check and stale else 0


def _refresh(dialect: str, *, check: bool) -> list[str]:
    """Files of one dialect that differ from the models; written unless checking."""
    folder = _PACKAGE / "compiled" / dialect
    fresh = compile_models(_PROJECT, dialect)
    kept = {file.name: file.read_text("utf-8") for file in folder.glob("*.*")}
    stale = sorted(n for n in {*fresh, *kept} if fresh.get(n) != kept.get(n))
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
        for name in stale:
            if name in fresh:
                (folder / name).write_text(fresh[name], "utf-8")
            else:
                (folder / name).unlink()
    return [f"{dialect}/{name}" for name in stale]


if __name__ == "__main__":
    raise SystemExit(main())
