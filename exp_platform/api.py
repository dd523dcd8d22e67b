"""The public Python functions, for people who live in notebooks.

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
from exp_platform.pipelines.frames import MeanColumns, totals_of_frame
from exp_platform.pipelines.rows import from_rows
from exp_platform.records import (
    CheckResult,
    Decision,
    Direction,
    Estimate,
    EstimateRole,
    MetricDefinition,
    MetricTotals,
    MetricType,
)

if TYPE_CHECKING:
    from exp_platform.pipelines.interactions import Interactions
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


def compare(
    control: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """Compare arms on moments, or on a frame with one row per unit.

    Args:
        control: `MetricTotals` of the baseline arm, or a frame (pandas, Polars, Arrow
            or a DuckDB relation).
        treatment: `MetricTotals` of the other arm; None with a frame.
        metric: column of the frame with the unit's value.
        variant: column of the frame with the arm.
        baseline: the arm in that column that is control.
        alpha: two-sided error rate of the interval.

    Returns:
        One Welch estimate per treatment arm.

    Raises:
        UsageError: moments without a second arm, a frame without its columns, or an
            alpha that is no error rate.
    """
    from exp_platform.stats.settings import EstimateSettings
    from exp_platform.stats.welch import estimate_welch

    if not 0 < alpha < 1:
        raise UsageError("alpha must lie between 0 and 1", found=str(alpha))
    if isinstance(control, MetricTotals):
        if not isinstance(treatment, MetricTotals):
            raise UsageError("two arms' moments are needed, control and treatment")
        arms = {"": control, treatment.variant: treatment}
    else:
        if metric is None or variant is None or baseline is None:
            raise UsageError(
                "a frame needs metric, variant and baseline",
                allowed="compare(frame, metric=..., variant=..., baseline=...)",
            )
        arms = totals_of_frame(control, MeanColumns(metric, variant, baseline))
    base = arms.pop("")
    definition = MetricDefinition(
        base.metric_name, 1, MetricType.MEAN, Direction.INCREASE, base.metric_name
    )
    settings = EstimateSettings(
        definition, EstimateRole.PRIMARY, alpha, min_units_per_arm=2
    )
    return tuple(estimate_welch(base, arm, settings) for arm in arms.values())


def did(
    frame: Any,
    outcome: str,
    *,
    time: str,
    unit: str | None = None,
    cohort: str | None = None,
    treated: str | None = None,
    policy_date: str | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """What did a policy do, by every method that a panel allows?

    The same steps as `exp import --design did` and `exp run`, without a decision.

    Args:
        frame: one row per unit and period: pandas, Polars, Arrow, a DuckDB relation,
            or the path of a Parquet or CSV file, which is never whole in memory; an
            absent row is missing, not 0.
        outcome: column with the value.
        time: column with the period: dates, years, months, quarters or numbers.
        unit: column with the unit; None = repeated cross-sections.
        cohort: column with the first treated period; null or 0 = never.
        treated: column with 0 and 1, or `COL=VALUE`.
        policy_date: period or date from which the treated are treated.
        cluster: column with the level at which treatment was assigned.
        weight: column with the unit's weight.
        covariates: columns with facts from before treatment.
        alpha: two-sided error rate of the intervals.

    Returns:
        One row per method, refused ones with their reason; the primary one first.

    Raises:
        UsageError: a column, period or treatment that cannot be read.
        ContractError: rows that are no panel.
    """
    from exp_platform.pipelines.panel_frame import analyze_frame
    from exp_platform.pipelines.panel_request import PanelRequest

    if not 0 < alpha < 1:
        raise UsageError("alpha must lie between 0 and 1", found=str(alpha))
    column, _, value = (treated or "").partition("=")
    request = PanelRequest(
        time=time,
        outcomes={outcome: outcome},
        unit=unit,
        cohort=cohort,
        treated=column or None,
        treated_value=value or None,
        policy_date=None if policy_date is None else str(policy_date),
        cluster=cluster,
        weight=weight,
        covariates=tuple(covariates),
    )
    found = analyze_frame(frame, request, alpha=alpha)
    return tuple(sorted(found, key=lambda e: list(EstimateRole).index(e.role)))
