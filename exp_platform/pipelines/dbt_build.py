"""Build the SQL models with dbt instead of the kept SQL, tests included, and compare.

dbt is an extra: the embedded run never needs it. What is built stays in a DuckDB file
under the temp folder, or on Spark and Trino in schemas that are dropped; no table of the
lake is written.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp_platform.config import Settings, load_settings
from exp_platform.errors import ContractError, UsageError
from exp_platform.metrics.totals import (
    compare_adjustments,
    compare_quantiles,
    compare_totals,
    read_adjustments,
    read_quantiles,
    read_totals,
)
from exp_platform.pipelines.commands import stage_parser
from exp_platform.pipelines.dbt_targets import TARGETS, DbtTarget, open_target
from exp_platform.pipelines.estimates import load_estimates
from exp_platform.pipelines.interrupts import end_command
from exp_platform.pipelines.run import Run, nothing_stored, open_reader
from exp_platform.pipelines.run_ingest import load_ingested
from exp_platform.pipelines.trust import check_twin
from exp_platform.records import Assignment, CheckResult, CheckStatus

_TOTALS = "metric_aggregates_overall"
_QUANTILES = "metric_quantiles"
_ADJUSTMENTS = "metric_adjustments"
_TWIN = "experiment_results"


@dataclass(frozen=True, slots=True)
class DbtBuild:
    """What dbt built.

    Attributes:
        database: DuckDB file with the models in schema `exp_run`; on another engine,
            what it was.
        results: kind of node (model, test, unit_test) -> how many succeeded.
        n_totals: rows of the totals that were compared.
        n_compared: comparisons whose test in SQL gives what Python published.
    """

    database: Path | str
    results: Mapping[str, int]
    n_totals: int
    n_compared: int


def build_with_dbt(
    settings: Settings, experiment_id: str, target: str = "duckdb"
) -> DbtBuild:
    """Run `dbt build` on an experiment's published rows and compare what it made.

    Args:
        settings: a loaded configuration; the dbt project is the folder `dbt` beside it.
        experiment_id: an experiment that has been run.
        target: duckdb, spark or trino, of the project's profile.

    Raises:
        UsageError: dbt is not installed, or the project has no folder `dbt`.
        ContractError: nothing is published, a model or test failed, the totals differ
            from the published ones, or a test in SQL from Python's.
    """
    runner = _import_runner(target)
    project = _find_project(settings)
    folder = settings.paths.temp / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    with open_reader(settings, experiment_id) as run:
        stored = {
            table: run.lake.read(table, experiment_id=experiment_id).to_pylist()
            for table in (_TOTALS, _QUANTILES, _ADJUSTMENTS)
        }
        if not stored[_TOTALS]:
            raise nothing_stored(experiment_id, _TOTALS)
        with open_target(run, target, folder) as opened:
            results = _invoke(runner, project, opened, folder)
            built = {table: opened.records(table) for table in stored}
            twin = _check_twin(run, opened.records(_TWIN))
    differences = _compare(built, stored)
    if differences:
        raise ContractError(
            "dbt and the published run give different totals",
            where=f"{_TOTALS} of {experiment_id}",
            found=f"{len(differences)} differences, first {differences[0]}",
            next_step="run `make compile`, then the experiment again",
        )
    if twin is not None and twin.status is CheckStatus.FAILED:
        raise ContractError(
            "SQL and Python give different results",
            where=f"{_TWIN} of {experiment_id}",
            found=twin.message,
            next_step="run `make compile`, then the experiment again",
        )
    n_compared = twin.details.get("compared", 0) if twin else 0
    return DbtBuild(opened.place, results, len(built[_TOTALS]), n_compared)


def _check_twin(run: Run, rows: Iterable[Mapping[str, Any]]) -> CheckResult | None:
    """The test in SQL beside the published one; only a randomised experiment has it."""
    spec = load_ingested(run).spec
    if spec.assignment is not Assignment.RANDOMISED:
        return None
    return check_twin(spec, rows, load_estimates(run))


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


def _import_runner(target: str) -> Any:
    try:
        importlib.import_module(f"dbt.adapters.{target}")
        return importlib.import_module("dbt.cli.main").dbtRunner
    except ImportError as error:
        extra = "dbt" if target == "duckdb" else f"dbt,{target}"
        raise UsageError(
            f"dbt for {target} is not installed",
            found=str(error),
            next_step=f"pip install 'exp-platform[{extra}]'",
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


def _invoke(
    runner: Any, project: Path, target: DbtTarget, folder: Path
) -> dict[str, int]:
    command = ["build", "--quiet", "--target", target.name]
    command += ["--vars", json.dumps(dict(target.variables))]
    command += ["--project-dir", str(project), "--profiles-dir", str(project)]
    command += ["--target-path", f"{folder}/target", "--log-path", str(folder)]
    # dbt would leave its log file open for the rest of the process
    command += ["--log-level-file", "none"]
    command += ["--no-partial-parse", "--no-send-anonymous-usage-stats"]
    if target.name != "duckdb":
        # their inputs are written in DuckDB's SQL
        command += ["--exclude-resource-type", "unit_test"]
    with _environment(target.environment):
        try:
            outcome = runner().invoke(command)
        finally:
            _disconnect(target.name)
    if outcome.exception is not None or not outcome.success:
        raise _failed(outcome, str(target.place))
    counts: dict[str, int] = {}
    for result in outcome.result:
        kind = str(result.node.resource_type)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """What `profiles.yml` reads, for the length of one command."""
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


def _disconnect(target: str) -> None:
    """Let go of the database: dbt keeps its connections open for the next command."""
    if target == "duckdb":
        connections = importlib.import_module("dbt.adapters.duckdb.connections")
        connections.DuckDBConnectionManager.close_all_connections()
    else:
        importlib.import_module("dbt.adapters.factory").cleanup_connections()


def _failed(outcome: Any, place: str) -> ContractError:
    failed = [
        f"{result.node.name}: {' '.join(str(result.message).split())}"
        for result in getattr(outcome.result, "results", None) or ()
        if str(result.status) in {"error", "fail", "runtime error"}
    ]
    return ContractError(
        "dbt build failed",
        where=place,
        found="; ".join(failed)[:600] or str(outcome.exception),
        next_step="run the failed test's SQL there",
    )


def main() -> int:
    """`python -m exp_platform.pipelines.dbt_build --config ... --experiment-id ...`."""
    parser = stage_parser("Build models and tests with dbt.")
    parser.add_argument("--target", choices=TARGETS, default=TARGETS[0])
    arguments = parser.parse_args()

    def action() -> int:
        """Build, and say what was built."""
        settings = load_settings(arguments.config)
        built = build_with_dbt(settings, arguments.experiment_id, arguments.target)
        counts = ", ".join(f"{n} {kind}s" for kind, n in sorted(built.results.items()))
        sys.stdout.write(
            f"dbt build: {counts.replace('_', ' ')} succeeded in {built.database}\n"
            f"its {built.n_totals} rows of {_TOTALS} agree with the published ones "
            "(counts and sums equal, moments to 1e-12)\n"
            f"its {built.n_compared} comparisons in {_TWIN} are Python's\n"
        )
        return 0

    return end_command(action)


if __name__ == "__main__":
    raise SystemExit(main())
