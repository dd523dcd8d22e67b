"""Build the SQL models with dbt instead of the kept SQL, tests included, and compare.

dbt is an extra: the embedded run never needs it. What is built stays in a DuckDB file
under the temp folder; no table of the lake is written.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exp_platform.config import Settings, load_settings
from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.scope import write_scope
from exp_platform.metrics.totals import (
    compare_adjustments,
    compare_quantiles,
    compare_totals,
    read_adjustments,
    read_quantiles,
    read_totals,
)
from exp_platform.pipelines.commands import guarded, stage_parser
from exp_platform.pipelines.compute_metric_aggregates import (
    fixed_point,
    generated_sql,
)
from exp_platform.pipelines.ingest_events import open_everything_raw
from exp_platform.pipelines.run import Run, nothing_stored, open_reader
from exp_platform.pipelines.run_ingest import load_ingested

_TOTALS = "metric_aggregates_overall"
_QUANTILES = "metric_quantiles"
_ADJUSTMENTS = "metric_adjustments"
_SCOPE = (
    "run_experiments",
    "run_variants",
    "run_metrics",
    "run_covariates",
    "run_events",
)


@dataclass(frozen=True, slots=True)
class DbtBuild:
    """What dbt built.

    Attributes:
        database: DuckDB file with the models in schema `exp_run`.
        results: kind of node (model, test, unit_test) -> how many succeeded.
        n_totals: rows of the totals that were compared.
    """

    database: Path
    results: Mapping[str, int]
    n_totals: int


def build_with_dbt(settings: Settings, experiment_id: str) -> DbtBuild:
    """Run `dbt build` on an experiment's published rows and compare its totals.

    Args:
        settings: a loaded configuration; the dbt project is the folder `dbt` beside it.
        experiment_id: an experiment that has been run.

    Raises:
        UsageError: dbt is not installed, or the project has no folder `dbt`.
        ContractError: nothing is published, a model or test failed, or the totals
            differ from the published ones.
    """
    runner = _import_runner()
    project = _find_project(settings)
    folder = settings.paths.temp / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / f"{experiment_id}.duckdb"
    database.unlink(missing_ok=True)
    with open_reader(settings, experiment_id) as run:
        stored = {
            table: run.lake.read(table, experiment_id=experiment_id).to_pylist()
            for table in (_TOTALS, _QUANTILES, _ADJUSTMENTS)
        }
        if not stored[_TOTALS]:
            raise nothing_stored(experiment_id, _TOTALS)
        generated = _prepare(run, database)
        results = _invoke(runner, project, generated, database=database, run=run)
        with Engine(run.lake.settings, database) as engine:
            built = {
                table: engine.records(f"select * from exp_run.{table}")
                for table in stored
            }
    differences = _compare(built, stored)
    if differences:
        raise ContractError(
            "dbt and the published run give different totals",
            where=f"{_TOTALS} of {experiment_id}",
            found=f"{len(differences)} differences, first {differences[0]}",
            next_step="run `make compile`, then the experiment again",
        )
    return DbtBuild(database, results, len(built[_TOTALS]))


def _compare(built: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """What an estimate is made from, as dbt and as the run computed it."""
    ranks, adjusted = _QUANTILES, _ADJUSTMENTS
    return [
        *compare_totals(read_totals(built[_TOTALS]), read_totals(stored[_TOTALS])),
        *compare_quantiles(read_quantiles(built[ranks]), read_quantiles(stored[ranks])),
        *compare_adjustments(
            read_adjustments(built[adjusted]), read_adjustments(stored[adjusted])
        ),
    ]


def _import_runner() -> Any:
    try:
        importlib.import_module("dbt.adapters.duckdb")
        return importlib.import_module("dbt.cli.main").dbtRunner
    except ImportError as error:
        raise UsageError(
            "dbt is not installed",
            found=str(error),
            next_step="pip install 'exp-platform[dbt]'",
        ) from error


def _find_project(settings: Settings) -> Path:
    project = settings.root / "dbt"
    if not (project / "dbt_project.yml").is_file():
        raise UsageError(
            "the project has no dbt models",
            where=str(project),
            next_step="lay them out with `exp init`",
        )
    return project


def _prepare(run: Run, database: Path) -> dict[str, str]:
    """Write sources and scope into the database; give the generated SELECTs."""
    with Engine(run.lake.settings, database) as engine:
        copy = replace(run, engine=engine)
        ingested = load_ingested(copy)
        write_scope(engine, ingested.spec, ingested.definitions)
        open_everything_raw(copy, ingested.spec.namespace)
        for name in _SCOPE:
            _keep_rows(engine, f"exp_run.{name}")
        return generated_sql(ingested, fixed_point(copy))


def _keep_rows(engine: Engine, name: str) -> None:
    """Turn a view over Arrow memory into a table of the file."""
    engine.execute(f"create temp table kept_rows as select * from {name}")
    engine.execute(f"drop view {name}")
    engine.execute(f"create table {name} as select * from kept_rows")
    engine.execute("drop table kept_rows")


def _invoke(
    runner: Any,
    project: Path,
    generated: Mapping[str, str],
    *,
    database: Path,
    run: Run,
) -> dict[str, int]:
    folder = str(database.parent)
    command = ["build", "--quiet", "--vars", json.dumps(dict(generated))]
    command += ["--project-dir", str(project), "--profiles-dir", str(project)]
    command += ["--target-path", f"{folder}/target", "--log-path", folder]
    # dbt would leave its log file open for the rest of the process
    command += ["--log-level-file", "none"]
    command += ["--no-partial-parse", "--no-send-anonymous-usage-stats"]
    with _environment(run.lake.settings, database):
        try:
            outcome = runner().invoke(command)
        finally:
            _disconnect()
    if outcome.exception is not None or not outcome.success:
        raise _failed(outcome, database)
    counts: dict[str, int] = {}
    for result in outcome.result:
        kind = str(result.node.resource_type)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@contextmanager
def _environment(settings: LakeSettings, database: Path) -> Iterator[None]:
    """What `profiles.yml` reads, for the length of one command."""
    wanted = {
        "EXP_DBT_DATABASE": str(database),
        "EXP_DBT_MEMORY": settings.memory_limit,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _disconnect() -> None:
    """Let go of the file: dbt keeps its connection open for the next command."""
    connections = importlib.import_module("dbt.adapters.duckdb.connections")
    connections.DuckDBConnectionManager.close_all_connections()


def _failed(outcome: Any, database: Path) -> ContractError:
    failed = [
        f"{result.node.name}: {' '.join(str(result.message).split())}"
        for result in getattr(outcome.result, "results", None) or ()
        if str(result.status) in {"error", "fail", "runtime error"}
    ]
    return ContractError(
        "dbt build failed",
        where=str(database),
        found="; ".join(failed)[:600] or str(outcome.exception),
        next_step="open the database file and run the failed test's SQL",
    )


def main() -> int:
    """`python -m exp_platform.pipelines.dbt_build --config ... --experiment-id ...`."""
    arguments = stage_parser("Build models and tests with dbt.").parse_args()

    def action() -> int:
        """Build, and say what was built."""
        settings = load_settings(arguments.config)
        built = build_with_dbt(settings, arguments.experiment_id)
        counts = ", ".join(f"{n} {kind}s" for kind, n in sorted(built.results.items()))
        sys.stdout.write(
            f"dbt build: {counts.replace('_', ' ')} succeeded in {built.database}\n"
            f"its {built.n_totals} rows of {_TOTALS} agree with the published ones "
            "(counts and sums equal, moments to 1e-12)\n"
        )
        return 0

    return guarded(action)


if __name__ == "__main__":
    raise SystemExit(main())
