"""The whole flow, from raw data to a decision memo, published as one.

Read it from top to bottom: load, generate, ingest, check, measure, estimate, judge,
store, write.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exp_platform.config import Settings, load_settings
from exp_platform.lake import validate_experiment_id
from exp_platform.pipelines import (
    analyze_arms,
    analyze_bayes,
    analyze_compliance,
    analyze_experiment,
    analyze_experiment_cuped,
    analyze_experiment_did,
    analyze_novelty,
    analyze_observational,
    analyze_segments,
    analyze_tails,
    compute_metric_aggregates,
    did_pretrends,
    dq_report,
    routing,
    run_ingest,
    write_memo,
)
from exp_platform.pipelines.commands import stage_parser
from exp_platform.pipelines.frozen_caps import require_metrics_stage
from exp_platform.pipelines.interrupts import end_command
from exp_platform.pipelines.judge import Judgement, judge
from exp_platform.pipelines.panel_runs import find_layout
from exp_platform.pipelines.progress import Progress
from exp_platform.pipelines.run import STAGES, Run, open_run
from exp_platform.records import Decision, Estimate

ESTIMATE: Mapping[str, Callable[..., tuple[Estimate, ...]]] = {
    "ab": analyze_experiment.estimate_ab,
    "cuped": analyze_experiment_cuped.estimate_adjusted,
    "did": analyze_experiment_did.estimate_did_all,
    "bayes": analyze_bayes.estimate_beliefs,
    "tails": analyze_tails.estimate_tails,
    "novelty": analyze_novelty.estimate_trends,
    "compliance": analyze_compliance.estimate_compliers,
    "observational": analyze_observational.estimate_observational,
}
"""Totals and the router's choices to rows."""

COMPARE: Mapping[str, Callable[..., tuple[Estimate, ...]]] = {
    "segments": analyze_segments.compare_segments,
    "arms": analyze_arms.compare_arms,
}
"""Rows of the stages before to rows about several of them together."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to leave out, and whether to make the data first."""

    generate_synth: bool = False
    skip: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What one run concluded, and where its memo stands."""

    run_id: str
    judgement: Judgement
    memo: write_memo.MemoFiles


def run_end_to_end(
    settings: Settings, experiment_id: str, options: RunOptions | None = None
) -> RunOutcome:
    """Run every stage of one experiment and publish the result as one.

    Args:
        settings: a loaded configuration.
        experiment_id: the experiment.
        options: stages to skip, and whether to generate the data first.

    Raises:
        ExpPlatformError: a contract is broken; every table is as it was.
    """
    options = options or RunOptions()
    with open_run(settings, experiment_id, "run_end_to_end") as run:
        if options.generate_synth:
            from exp_platform.generate_synth import land_synth

            land_synth(settings, experiment_id)
        return _run_stages(run, options.skip)


def _ingest(run: Run, skip: frozenset[str]) -> run_ingest.Ingested:
    data = run_ingest.ingest(run)
    if "metrics" in skip:
        require_metrics_stage(data.definitions.values())
    return data


def _run_stages(run: Run, skip: frozenset[str]) -> RunOutcome:
    progress = Progress(run.experiment_id)
    progress.say("ingest")
    data = _ingest(run, skip)
    checks = measured = None
    if "dq" not in skip:
        progress.say("check the data")
        checks = dq_report.check_data(run, data)
    layout = find_layout(run, skip=skip)
    if layout is None and "metrics" not in skip:
        progress.say("compute the metrics")
        data = compute_metric_aggregates.freeze_caps(run, data)
        measured = compute_metric_aggregates.build_metrics(run, data)
    for stage in STAGES:
        if stage in skip:
            run.skip(stage)
    estimates: list[Estimate] = []
    pretrends = did_pretrends.Pretrends()
    choices = routing.route(data, measured)
    if layout is not None:
        from exp_platform.pipelines.analyze_panel import analyze_panel

        progress.say("estimate")
        panel = analyze_panel(run, data, layout)
        measured, choices = panel.measured, panel.choices
        estimates, pretrends = list(panel.estimates), panel.pretrends
    elif measured is not None:
        progress.say("estimate")
        estimates = _estimate(run, data, measured, choices, skip=skip)
        if "pretrends" not in skip:
            pretrends = did_pretrends.assess_all(data, measured, choices, estimates)
            did_pretrends.store_pretrends(run, pretrends)
    progress.say("judge")
    judgement = judge(
        data,
        measured,
        estimates,
        pretrends=pretrends.tests,
        data_checks=checks,
        previous=run.load("decisions", Decision),
    )
    write_memo.store_judgement(run, judgement)
    progress.say("publish")
    provenance = run.publish()
    progress.say("write the memo")
    memo = write_memo.write_memo(
        run,
        data,
        measured,
        judgement,
        pretrends=pretrends,
        choices=choices,
        provenance=provenance,
    )
    progress.close()
    return RunOutcome(run.run_id, judgement, memo)


def _estimate(
    run: Run,
    data: run_ingest.Ingested,
    measured: compute_metric_aggregates.Measured,
    choices: routing.Choices,
    *,
    skip: frozenset[str],
) -> list[Estimate]:
    """Every stage that estimates, then those that compare estimates."""
    found: list[Estimate] = []
    for stage in (stage for stage in ESTIMATE if stage not in skip):
        found += ESTIMATE[stage](data, measured, choices)
        run.stages[stage] = "done"
    for stage in (stage for stage in COMPARE if stage not in skip):
        found += COMPARE[stage](data, found)
        run.stages[stage] = "done"
    return found


def main() -> int:
    """`python -m exp_platform.pipelines.run_end_to_end --config ...`."""
    parser = stage_parser("Raw data to a decision memo, in one go.")
    parser.add_argument(
        "--generate-synth", action="store_true", help="make the raw data first"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, write nothing"
    )
    for stage in STAGES:
        parser.add_argument(f"--skip-{stage}", action="store_true")
    arguments = parser.parse_args()
    skip = frozenset(s for s in STAGES if getattr(arguments, f"skip_{s}"))

    def action() -> int:
        """Run, or describe the plan."""
        settings = load_settings(arguments.config)
        if arguments.dry_run:
            sys.stdout.write(describe_plan(settings, arguments.experiment_id, skip))
            return 0
        options = RunOptions(arguments.generate_synth, skip)
        outcome = run_end_to_end(settings, arguments.experiment_id, options)
        sys.stdout.write(describe_outcome(outcome))
        return 0

    return end_command(action)


def describe_plan(settings: Settings, experiment_id: str, skip: frozenset[str]) -> str:
    """What a run would do, for `--dry-run`.

    Raises:
        UsageError: not an experiment id.
    """
    validate_experiment_id(experiment_id)
    stages = ["ingest", *(s for s in STAGES if s not in skip), "judge", "memo"]
    left_out = f"  skipped:   {', '.join(sorted(skip))}\n" if skip else ""
    return (
        f"{experiment_id}: dry run, nothing is written\n"
        f"  stages:    {' -> '.join(stages)}\n{left_out}"
        f"  raw:       {settings.paths.raw / 'exp_platform' / experiment_id}\n"
        f"  warehouse: {settings.paths.warehouse}\n"
        f"  memo:      {settings.paths.memos / experiment_id}.md\n"
    )


def describe_outcome(outcome: RunOutcome) -> str:
    """The memo's path and its first lines."""
    path: Path = outcome.memo.markdown
    head = path.read_text("utf-8").split("\n## ")[:2]
    return (
        f"memo: {path}\npage: {outcome.memo.html}\n\n"
        + "\n## ".join(head).rstrip()
        + "\n"
    )


if __name__ == "__main__":
    raise SystemExit(main())
