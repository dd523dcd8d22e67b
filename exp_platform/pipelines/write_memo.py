"""Stage memo: what people read, as Markdown, HTML and JSON beside each other."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exp_platform.config import Settings, load_settings
from exp_platform.errors import StorageError
from exp_platform.pipelines.check_rows import TABLE as CHECK_TABLE
from exp_platform.pipelines.check_rows import sort_checks
from exp_platform.pipelines.commands import stage_parser
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.did_pretrends import Pretrends
from exp_platform.pipelines.dq_report import CHECKS as DATA_CHECKS
from exp_platform.pipelines.estimates import load_estimates, store_estimates
from exp_platform.pipelines.interrupts import end_command
from exp_platform.pipelines.judge import Judgement, judge
from exp_platform.pipelines.metrics_run import require_same_totals
from exp_platform.pipelines.panel_runs import find_layout
from exp_platform.pipelines.published_definitions import require_same_estimates
from exp_platform.pipelines.routing import Choices, route
from exp_platform.pipelines.run import Run, open_run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    CheckResult,
    Decision,
    PretrendDelta,
    PretrendTest,
    Provenance,
)


@dataclass(frozen=True, slots=True)
class MemoFiles:
    """The three forms of one memo."""

    markdown: Path
    html: Path
    document: Path


def write_memo(
    run: Run,
    ingested: Ingested,
    measured: Measured | None,
    judgement: Judgement,
    *,
    pretrends: Pretrends,
    choices: Choices,
    provenance: Provenance,
) -> MemoFiles:
    """Render the memo and put its files in place, each one whole or not at all.

    Raises:
        StorageError: the disk refuses; an earlier memo stays as it was.
    """
    from exp_platform.report import MemoFacts, render_memo

    memo = render_memo(
        MemoFacts(
            spec=ingested.spec,
            decisions=judgement.decisions,
            verdict=judgement.verdict,
            checks=judgement.checks,
            estimates=judgement.estimates,
            definitions=ingested.definitions,
            choices=choices,
            deltas=pretrends.deltas,
            pretrends=pretrends.tests,
            ledger=measured.ledger if measured else (),
            quarantine=_quarantine(ingested),
            provenance=provenance,
            computed_at=run.computed_at,
            commands=_commands(run),
        )
    )
    files = memo_files(run.settings.paths.memos, run.experiment_id)
    texts = {
        files.markdown: memo.markdown,
        files.html: memo.html,
        files.document: json.dumps(memo.document, indent=2) + "\n",
    }
    try:
        _write(texts)
    except OSError as error:
        raise StorageError(
            "the memo cannot be written; the tables are published",
            where=str(error.filename or files.markdown.parent),
            found=error.strerror or str(error),
            next_step="make room or mend the permissions, then run the stage write_memo",
        ) from error
    return files


def memo_files(folder: Path, experiment_id: str) -> MemoFiles:
    """Where an experiment's memo stands."""
    return MemoFiles(
        folder / f"{experiment_id}.md",
        folder / f"{experiment_id}.html",
        folder / f"{experiment_id}.json",
    )


def _write(texts: Mapping[Path, str]) -> None:
    """All files or none: they get their names once the last one is written."""
    moves = {p: p.with_name(f".{p.name}.{os.getpid()}.tmp") for p in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            moves[path].write_text(text, "utf-8")
        for path, temporary in moves.items():
            temporary.replace(path)
    except BaseException:
        for temporary in moves.values():
            temporary.unlink(missing_ok=True)
        raise


def _quarantine(ingested: Ingested) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for delivery in ingested.deliveries:
        for reason, rows in delivery.rejected.items():
            counts[reason] = counts.get(reason, 0) + rows
    return counts


def _commands(run: Run) -> tuple[str, ...]:
    return (f"exp run {run.experiment_id}", f"exp results {run.experiment_id}")


@dataclass(frozen=True, slots=True)
class JudgedAgain:
    """What is stored, judged, with all that a memo of it needs."""

    ingested: Ingested
    measured: Measured
    choices: Choices
    judgement: Judgement
    pretrends: Pretrends


def judge_stored(run: Run) -> JudgedAgain:
    """Judge what the single stages have stored, and stage the judgement."""
    ingested = load_ingested(run)
    measured, choices = _measure_again(run, ingested)
    estimates = load_estimates(run)
    require_same_estimates(run, estimates, ingested.definitions)
    require_same_totals(run)
    pretrends = Pretrends(
        tuple(run.load("did_pretrend_delta", PretrendDelta)),
        tuple(run.load("did_pretrend_tests", PretrendTest)),
    )
    stored = run.load(CHECK_TABLE, CheckResult)
    data_checks = [check for check in stored if check.check_name in DATA_CHECKS]
    judgement = judge(
        ingested,
        measured,
        estimates,
        pretrends=pretrends.tests,
        data_checks=data_checks or None,
        previous=run.load("decisions", Decision),
    )
    store_judgement(run, judgement)
    return JudgedAgain(ingested, measured, choices, judgement, pretrends)


def _measure_again(run: Run, ingested: Ingested) -> tuple[Measured, Choices]:
    """Counts and the router's answer, of rows by user or of a ready-made panel."""
    layout = find_layout(run)
    if layout is None:
        measured = load_measured(run, ingested)
        return measured, route(ingested, measured)
    from exp_platform.pipelines.analyze_panel import open_panel

    panel = open_panel(run, ingested, layout)
    return panel.measured, panel.choices


def store_judgement(run: Run, judgement: Judgement) -> None:
    """Stage estimates, checks and decisions."""
    store_estimates(run, judgement.estimates)
    run.store(CHECK_TABLE, sort_checks(judgement.checks))
    run.store("decisions", judgement.decisions)
    run.stages["judge"] = "done"
    run.verdict = judgement.verdict.value
    run.outcome = judgement.overall.outcome.value
    run.look = judgement.overall.details.get("look") or {}


def write_stored_memo(settings: Settings, experiment_id: str) -> MemoFiles:
    """Judge what the single stages have stored, publish the judgement, write it up."""
    with open_run(settings, experiment_id, "write_memo") as run:
        found = judge_stored(run)
        return write_memo(
            run,
            found.ingested,
            found.measured,
            found.judgement,
            pretrends=found.pretrends,
            choices=found.choices,
            provenance=run.publish(),
        )


def main() -> int:
    """`python -m exp_platform.pipelines.write_memo --config ... --experiment-id ...`."""
    arguments = stage_parser("Judge what is stored and write the memo.").parse_args()

    def action() -> int:
        """Write the memo, and say where."""
        settings = load_settings(arguments.config)
        files = write_stored_memo(settings, arguments.experiment_id)
        sys.stdout.write(f"memo: {files.markdown}\n")
        return 0

    return end_command(action)


if __name__ == "__main__":
    raise SystemExit(main())
