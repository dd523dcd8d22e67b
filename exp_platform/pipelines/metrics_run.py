"""The run that computed an experiment's published metrics, and the rows it read."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.lake import TableState, states_from_json
from exp_platform.pipelines.run import STAGE_TABLES, Run

COMPUTED = ("done",)
WRITING = (*COMPUTED, "skipped", "panel")
"""States of a stage that replace what stood there, the last two by nothing."""

_LEDGER = "analysis_runs"
_DECIDING = ("ab", "cuped", "did")


def find_metrics_run(
    ledger: Iterable[Mapping[str, Any]], states: Collection[str] = COMPUTED
) -> dict[str, Any] | None:
    """The last run that computed metrics; a refresh or another stage alone does not.

    Args:
        ledger: rows of `analysis_runs` of one experiment.
        states: of the metrics stage that count.
    """
    return find_last_run(ledger, "metrics", states)


def find_last_run(
    ledger: Iterable[Mapping[str, Any]], stage: str, states: Collection[str]
) -> dict[str, Any] | None:
    """The last run that left a stage in one of some states.

    Args:
        ledger: rows of `analysis_runs` of one experiment.
        stage: as the ledger calls it.
        states: that count.
    """
    made = [row for row in ledger if json.loads(row["stages"]).get(stage) in states]
    last = max(made, key=lambda r: (r["computed_at"], r["run_id"]), default=None)
    return None if last is None else dict(last)


def holds_same(then: TableState | None, now: TableState | None) -> bool:
    """Whether two runs saw the same files, or ones of the same bytes."""
    if then is None or now is None:
        return then is now
    return _contents(then) == _contents(now)


def require_same_rows(run: Run) -> None:
    """Refuse stored totals of other rows than those that are there now.

    Args:
        run: of the experiment.

    Raises:
        ContractError: an ingest has changed them since.
    """
    ledger = run.lake.read(_LEDGER, run.experiment_id).to_pylist()
    made = find_metrics_run(ledger)
    if made is None or run.last_run is None:
        return
    then, now = (states_from_json(row["snapshots"]) for row in (made, run.last_run))
    for table in STAGE_TABLES["ingest"]:
        if not holds_same(then.get(table), now.get(table)):
            raise ContractError(
                "the totals were computed from other rows than those that are there now",
                where=f"{run.experiment_id}, table {table}",
                found=f"an ingest after run {made['run_id']}",
                next_step="compute the metrics again, or the whole flow with `exp run`",
            )


def require_same_totals(run: Run) -> None:
    """Refuse estimates that decide and were made of other totals than there are now.

    Args:
        run: of the experiment.

    Raises:
        ContractError: the metrics were computed again, and a stage was not.
    """
    ledger = run.lake.read(_LEDGER, run.experiment_id).to_pylist()
    made = find_metrics_run(ledger)
    for stage in _DECIDING:
        estimated = find_last_run(ledger, stage, WRITING)
        if not made or not estimated or not _is_done(estimated, stage):
            continue
        if estimated["digest"] != made["digest"]:
            raise ContractError(
                f"the estimates of stage {stage!r} are of other totals",
                where=run.experiment_id,
                found=f"estimates of run {estimated['run_id']}, totals of run "
                f"{made['run_id']}",
                next_step="run the stage again, or the whole flow with `exp run`",
            )


def _is_done(row: Mapping[str, Any], stage: str) -> bool:
    return json.loads(row["stages"])[stage] in COMPUTED


def _contents(state: TableState) -> list[str]:
    return sorted(file.sha256 or file.path for file in state.files)
