"""The public functions on stored experiments, for people who live in notebooks.

>>> import exp_platform
>>> exp_platform.run("exp_checkout_button_001")      # doctest: +SKIP
>>> exp_platform.results("exp_checkout_button_001")  # doctest: +SKIP
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.config import DEFAULT_CONFIG, Settings, load_settings
from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.lake import open_lake, validate_experiment_id
from exp_platform.pipelines.rows import from_rows
from exp_platform.records import CheckResult, Decision, Estimate

if TYPE_CHECKING:
    from exp_platform.pipelines.interactions import Interactions
    from exp_platform.pipelines.refresh import RefreshOutcome
    from exp_platform.pipelines.run_end_to_end import RunOutcome


def settings_of(config: str | Path | None = None) -> Settings:
    """The configuration: the one named, `$EXP_CONFIG`, or `configs/dev.yaml`."""
    return load_settings(config or os.environ.get("EXP_CONFIG") or DEFAULT_CONFIG)


def run(
    experiment_id: str,
    *,
    config: str | Path | None = None,
    generate_synth: bool = False,
    skip: tuple[str, ...] = (),
) -> "RunOutcome":
    """Raw data of one experiment to a published decision and its memo.

    Args:
        experiment_id: generated, imported or landed by hand before.
        config: configuration file.
        generate_synth: make the raw data from the configuration's scenario first.
        skip: stages to leave out: dq, metrics, ab, cuped, did, bayes, tails, novelty,
            compliance, observational, segments, arms, pretrends.

    Raises:
        ExpPlatformError: a contract is broken; every table is as it was.
    """
    from exp_platform.pipelines.run import STAGES
    from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

    for stage in skip:
        if stage not in STAGES:
            raise UsageError(
                f"no stage named {stage!r}", allowed=did_you_mean(stage, STAGES)
            )
    options = RunOptions(generate_synth, frozenset(skip))
    return run_end_to_end(settings_of(config), experiment_id, options)


def refresh(
    experiment_id: str,
    *,
    config: str | Path | None = None,
    watermark: str | None = None,
    full: bool = False,
    ingest: bool = False,
) -> "RefreshOutcome":
    """An experiment's totals brought up to date from what is new in the lake.

    Args:
        experiment_id: was ingested before.
        config: configuration file.
        watermark: ISO instant up to which the lake is complete; None = the registry's.
        full: read everything again.
        ingest: take in what was delivered first.

    Raises:
        ExpPlatformError: a contract is broken; the last refresh stands.
    """
    from exp_platform.pipelines.refresh import refresh_experiment
    from exp_platform.pipelines.refresh_words import read_watermark

    return refresh_experiment(
        settings_of(config),
        experiment_id,
        watermark=read_watermark(watermark),
        is_full=full,
        takes_in=ingest,
    )


def results(
    experiment_id: str, *, config: str | Path | None = None
) -> tuple[Estimate, ...]:
    """The published estimates of an experiment, refused methods included.

    Raises:
        ContractError: the experiment has no published results.
    """
    rows = read_rows("analysis_results", experiment_id, config=config)
    return tuple(from_rows("analysis_results", Estimate, rows))


def check_results(
    experiment_id: str, *, config: str | Path | None = None
) -> tuple[CheckResult, ...]:
    """The published trust checks of an experiment."""
    rows = read_rows("check_results", experiment_id, config=config)
    return tuple(from_rows("check_results", CheckResult, rows))


def decisions(
    experiment_id: str, *, config: str | Path | None = None
) -> tuple[Decision, ...]:
    """The published decisions of an experiment, one per arm and the overall one."""
    rows = read_rows("decisions", experiment_id, config=config)
    return tuple(from_rows("decisions", Decision, rows))


def read_rows(
    table: str, experiment_id: str, *, config: str | Path | None = None
) -> list[dict[str, Any]]:
    """An experiment's published rows of one table.

    Raises:
        ContractError: there are none.
    """
    validate_experiment_id(experiment_id)
    with open_lake(settings_of(config)) as lake:
        rows: list[dict[str, Any]] = lake.read(
            table, experiment_id=experiment_id
        ).to_pylist()
        if rows:
            return rows
        known = lake.experiment_ids()
    raise ContractError(
        f"experiment {experiment_id!r} has no published rows in {table}",
        where=str(lake.settings.warehouse),
        allowed=did_you_mean(experiment_id, known) if known else "none yet",
        next_step=f"exp run {experiment_id}",
    )


def interactions(
    first: str,
    second: str,
    *,
    metrics: Sequence[str] = (),
    config: str | Path | None = None,
) -> "Interactions":
    """Do two experiments that ran on the same units disturb each other?

    Args:
        first: an experiment that was run.
        second: another one.
        metrics: names of either plan; none = all.
        config: configuration file.

    Raises:
        UsageError: the same experiment twice, or an unknown metric.
        ContractError: nothing stored, different kinds of units, assignment not by
            chance and by unit, or no unit in both.
    """
    from exp_platform.pipelines.interactions import assess_experiments

    return assess_experiments(settings_of(config), first, second, metrics=metrics)
