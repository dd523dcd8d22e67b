"""Trust checks over totals and estimates: facts from the stages, judged by `checks`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from exp_platform.causal.event_study import assess_novelty
from exp_platform.checks.anomaly import check_metric_anomaly
from exp_platform.checks.assignment import check_assignment
from exp_platform.checks.bots import check_bots, check_bots_by_arm
from exp_platform.checks.budget import apply_budget
from exp_platform.checks.catalogue import checks_not_run, required_checks
from exp_platform.checks.errors import check_errors
from exp_platform.checks.facts import (
    AnomalyFacts,
    ArmRate,
    BotFacts,
    MeanFacts,
    MinimumFacts,
    MissingFacts,
    PrePeriodFacts,
    SplitFacts,
    UnusualDay,
)
from exp_platform.checks.minimum import check_minimum_data
from exp_platform.checks.missing import check_missing_values, count_active
from exp_platform.checks.novelty import check_novelty
from exp_platform.checks.outlier import check_outlier
from exp_platform.checks.pre_period import (
    check_pre_period_balance,
    check_pre_period_present,
)
from exp_platform.checks.pretrend import check_pretrend
from exp_platform.checks.ratio import check_ratio_denominator
from exp_platform.checks.skewness import check_skewness
from exp_platform.checks.srm import check_srm, check_srm_by_segment
from exp_platform.checks.twin import check_sql_twin
from exp_platform.metrics.clusters import ClusterCounts
from exp_platform.pipelines.check_rows import sort_checks
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.dq_report import CHECKS as DATA_CHECKS
from exp_platform.pipelines.run_ingest import Ingested
from exp_platform.records import (
    Assignment,
    CheckResult,
    Estimate,
    EstimateRole,
    EstimateStatus,
    ExperimentSpec,
    MetricDefinition,
    MetricRole,
    MetricTotals,
    MetricType,
    PretrendTest,
)

UNIT_CHECKS = ("BOTS", "BOTS_BY_ARM", "MINIMUM_DATA")
_TWIN_METHODS = ("welch_t", "ratio_delta", "cluster_delta")
_TWIN_STATUSES = (EstimateStatus.OK, EstimateStatus.INSUFFICIENT_DATA)


def check_trust(
    ingested: Ingested,
    measured: Measured | None,
    estimates: Sequence[Estimate],
    *,
    pretrends: Sequence[PretrendTest],
    data_checks: Sequence[CheckResult] | None,
    looks: Sequence[CheckResult] = (),
) -> tuple[CheckResult, ...]:
    """All checks of a run, corrected as one family of warnings.

    Args:
        ingested: experiment and definitions.
        measured: totals; None = the stage was skipped.
        estimates: on all data so far, by all methods.
        pretrends: pre-trend tests.
        data_checks: results of `dq_report`; None = the stage was skipped.
        looks: what past looks say now and said before.
    """
    spec = ingested.spec
    is_did = any(
        e.method == "did_2x2" and e.role is EstimateRole.PRIMARY for e in estimates
    )
    required = required_checks(spec, is_did_primary=is_did)
    found: list[CheckResult] = []
    if spec.assignment is Assignment.SELF_SELECTED:
        found.append(check_assignment(spec))
    if data_checks is None:
        found += checks_not_run(DATA_CHECKS, spec.experiment_id, required=required)
    else:
        found += data_checks
    if measured is None:
        found += checks_not_run(UNIT_CHECKS, spec.experiment_id, required=required)
    else:
        found += _check_units(spec, measured)
        found += _check_metrics(ingested, measured)
        if spec.assignment is Assignment.RANDOMISED:
            found.append(check_twin(spec, measured.twin, estimates))
    found += _check_pretrends(spec, pretrends, estimates)
    found.append(check_errors(spec.experiment_id, estimates))
    found += looks
    told = {check.check_name for check in found}
    absent = [name for name in required if name not in told]
    found += checks_not_run(absent, spec.experiment_id, required=required)
    return tuple(sort_checks(apply_budget(found)))


def _check_pretrends(
    spec: ExperimentSpec,
    pretrends: Sequence[PretrendTest],
    estimates: Sequence[Estimate],
) -> list[CheckResult]:
    effects = {
        (e.metric_name, e.treatment): e.difference
        for e in estimates
        if e.role is EstimateRole.PRIMARY and e.segment == "all"
    }
    return [
        check_pretrend(
            test,
            period=spec.period_word,
            effect=effects.get((test.metric_name, test.treatment)),
        )
        for test in pretrends
    ]


def _check_units(spec: ExperimentSpec, measured: Measured) -> Iterator[CheckResult]:
    observed = {row["variant"]: row["n_in_analysis"] for row in measured.units}
    if spec.assignment is Assignment.RANDOMISED and measured.clusters is not None:
        yield check_srm(_split_clusters(spec, measured.clusters.counts))
    elif spec.assignment is Assignment.RANDOMISED:
        yield check_srm(_split_facts(spec, measured, observed))
        yield from _check_slices(spec, measured)
    arms = {v.name: observed.get(v.name, 0) for v in spec.variants}
    yield check_minimum_data(
        MinimumFacts(spec.experiment_id, arms, spec.plan.min_units_per_arm)
    )
    bots = BotFacts(
        spec.experiment_id,
        units={row["variant"]: row["n_units"] for row in measured.units},
        bots={row["variant"]: row["n_bots"] for row in measured.units},
        rows_per_day=spec.plan.bot_rows_per_day,
        is_excluded=spec.plan.exclude_bots,
    )
    if spec.has_events:  # rows of a day
        yield check_bots(bots)
        yield check_bots_by_arm(bots)
        yield check_metric_anomaly(_anomaly_facts(spec, measured))
    if spec.pre_period_days > 0:
        yield _check_registered_pre_period(spec, measured)


def _anomaly_facts(spec: ExperimentSpec, measured: Measured) -> AnomalyFacts:
    names = [one.name for one in fields(UnusualDay) if one.name != "day"]
    days = tuple(
        UnusualDay(day=f"{row['day']:%Y-%m-%d}", **{name: row[name] for name in names})
        for row in measured.anomalies
    )
    followed = {metric for metric, _, _ in measured.totals}
    return AnomalyFacts(spec.experiment_id, len(followed), days)


def _check_slices(spec: ExperimentSpec, measured: Measured) -> Iterator[CheckResult]:
    """Was each segment, and each stage that lost units, split as planned? Warns only.

    The stages stand in the order of the unit ledger; one with the units of the stage
    before would only repeat its test.
    """
    slices = _split_of(measured, "segment")
    stages = _split_of(measured, "stage")
    units = {row["variant"]: row["n_in_analysis"] for row in measured.units}
    before = {v.name: units.get(v.name, 0) for v in spec.variants}
    losing = (one.stage for one in measured.ledger if one.is_exclusion)
    for stage in reversed(dict.fromkeys(losing)):
        if stages.get(stage, before) != before:
            slices[f"stage={stage}"] = before = stages[stage]
    for subject, observed in slices.items():
        yield check_srm_by_segment(
            SplitFacts(
                spec.experiment_id,
                planned={v.name: v.weight for v in spec.variants},
                observed=observed,
                is_complete=spec.is_complete or not spec.is_dated,
                control=spec.control,
                subject=subject,
            )
        )


def _split_of(measured: Measured, sliced: str) -> dict[str, dict[str, int]]:
    """Units by arm of each level of one slice of `sample_ratio_mismatch`."""
    levels: dict[str, dict[str, int]] = {}
    for row in measured.split:
        if row["slice"] == sliced:
            levels.setdefault(row["level"], {})[row["variant"]] = row["observed"]
    return levels


def _split_facts(
    spec: ExperimentSpec, measured: Measured, observed: dict[str, int]
) -> SplitFacts:
    days = _split_of(measured, "cumulative_day")
    goals = spec.plan.names(MetricRole.GOAL)
    rates = tuple(
        ArmRate(t.metric_name, t.variant, t.mean)
        for (metric, segment, _), t in measured.totals.items()
        if metric in goals and segment == "all" and t.mean is not None
        if _is_share(t)
    )
    return SplitFacts(
        spec.experiment_id,
        planned={v.name: v.weight for v in spec.variants},
        observed=observed,
        is_complete=spec.is_complete or not spec.is_dated,
        control=spec.control,
        looks=tuple(days[day] for day in sorted(days)),
        rates=rates,
    )


def _split_clusters(spec: ExperimentSpec, counts: ClusterCounts) -> SplitFacts:
    """Clusters were split, and their sizes differ: units say nothing of the plan."""
    return SplitFacts(
        spec.experiment_id,
        planned={v.name: v.weight for v in spec.variants},
        observed=counts.n_clusters,
        is_complete=spec.is_complete or not spec.is_dated,
        control=spec.control,
        counted="clusters",
    )


def _is_share(totals: MetricTotals) -> bool:
    """Values are 0 and 1 only: their variance follows from their mean."""
    return totals.min_value in (0.0, 1.0) and totals.max_value in (0.0, 1.0)


def _check_registered_pre_period(
    spec: ExperimentSpec, measured: Measured
) -> CheckResult:
    """The panel's pre-period, promised in the registry, holds some value."""
    units = sum(row["n_in_analysis"] for row in measured.units)
    seen = any(
        mean != 0
        for gram in measured.grams.values()
        for day, mean in zip(gram.days, gram.means, strict=True)
        if day < 0
    )
    return check_pre_period_present(
        PrePeriodFacts(
            spec.experiment_id,
            subject="registered pre-period",
            units=units,
            units_with_data=units if seen else 0,
            days=float(spec.pre_period_days),
        )
    )


def _check_missing(
    ingested: Ingested, measured: Measured, definition: MetricDefinition
) -> CheckResult:
    arms = [
        t
        for (metric, segment, _), t in measured.totals.items()
        if metric == definition.name and segment == "all"
    ]
    spec = ingested.spec
    # who received the treatment differs by design; few clusters may differ by chance
    is_alike = (
        spec.assignment is Assignment.RANDOMISED
        and measured.clusters is None
        and definition.name != spec.plan.received
    )
    return check_missing_values(
        MissingFacts(
            spec.experiment_id,
            definition.name,
            units={t.variant: t.n + t.n_missing for t in arms},
            missing={t.variant: t.n_missing for t in arms},
            n_metrics=len(ingested.definitions),
            is_share=definition.type.is_share,
            active={t.variant: count_active(t) for t in arms} if is_alike else {},
        )
    )


def _check_metrics(ingested: Ingested, measured: Measured) -> Iterator[CheckResult]:
    spec = ingested.spec
    for name, definition in ingested.definitions.items():
        yield _check_missing(ingested, measured, definition)
        for treatment in spec.treatments:
            control, arm = measured.pair(name, "all", spec, treatment)
            is_small = min(control.n, arm.n) < spec.plan.min_units_per_arm
            # These take units for independent.
            if is_small or measured.clusters is not None:
                continue
            if definition.type is MetricType.RATIO:
                yield check_ratio_denominator(_means(control, arm, "denominator"))
            elif _has_tested_mean(spec, definition):
                yield check_skewness(control, arm)
                is_share = definition.type.is_share
                yield check_outlier(control, arm, is_share=is_share)
            if definition.covariate is None:
                continue
            if spec.plan.of(name).covariate:
                yield _check_covariate(spec, definition, control, arm)
            if spec.assignment is Assignment.RANDOMISED and _varies(control, arm):
                yield check_pre_period_balance(
                    replace(
                        _means(control, arm, "covariate"),
                        metric_name=_covariate_name(definition),
                    )
                )
        yield from _check_novelty(ingested, measured, name)


def _has_tested_mean(spec: ExperimentSpec, definition: MetricDefinition) -> bool:
    """A t test rests on the mean; a quantile has no use for one."""
    is_quantile = definition.type is MetricType.QUANTILE
    return spec.assignment is Assignment.RANDOMISED and not is_quantile


def _covariate_name(definition: MetricDefinition) -> str:
    """The metric, or the other outcome that stands for its past."""
    covariate = definition.covariate
    if covariate is None or covariate.metric_name == definition.numerator:
        return definition.name
    return covariate.metric_name


def _varies(*arms: MetricTotals) -> bool:
    return all((arm.covariate_variance or 0.0) > 0 for arm in arms)


def _is_set(*arms: MetricTotals) -> bool:
    """Units without a row count as 0: some value differs from that."""
    return any(arm.covariate_mean or arm.covariate_variance for arm in arms)


def _check_covariate(
    spec: ExperimentSpec,
    definition: MetricDefinition,
    control: MetricTotals,
    arm: MetricTotals,
) -> CheckResult:
    units = control.n + arm.n
    known = sum(round(t.n * (1 - (t.new_share or 0.0))) for t in (control, arm))
    return check_pre_period_present(
        PrePeriodFacts(
            spec.experiment_id,
            subject=f"{definition.name}:{arm.variant}",
            units=units,
            units_with_data=known if _is_set(control, arm) else 0,
            days=_lookback(spec, definition),
            is_constant=not _varies(control, arm),
        )
    )


def _lookback(spec: ExperimentSpec, definition: MetricDefinition) -> float | None:
    """Days before the exposure that a covariate is from; None = without dates."""
    covariate = definition.covariate
    return float(covariate.lookback_days) if spec.is_dated and covariate else None


def _means(control: MetricTotals, arm: MetricTotals, part: str) -> MeanFacts:
    numbers = [
        float(getattr(totals, f"{part}_{moment}") or 0.0)
        for moment in ("mean", "variance")
        for totals in (control, arm)
    ]
    return MeanFacts(
        control.experiment_id,
        control.metric_name,
        control.variant,
        arm.variant,
        control.n,
        arm.n,
        *numbers,
    )


def _check_novelty(
    ingested: Ingested, measured: Measured, name: str
) -> Iterator[CheckResult]:
    spec = ingested.spec
    control = measured.grams.get((name, spec.control))
    if control is None or measured.window is None or measured.window.is_calendar:
        return
    if spec.plan.of(name).role is MetricRole.MONITOR:
        return
    for treatment in spec.treatments:
        gram = measured.grams.get((name, treatment))
        if gram is None or min(control.n, gram.n) < spec.plan.min_units_per_arm:
            continue
        # day 0 is a visit by definition: an effect per visit is larger on it
        yield check_novelty(assess_novelty(control, gram, first_day=1))


def check_twin(
    spec: ExperimentSpec,
    twin: Iterable[Mapping[str, Any]],
    estimates: Iterable[Estimate],
) -> CheckResult:
    """SQL_TWIN of a randomised experiment.

    Args:
        spec: the experiment.
        twin: rows of `experiment_results`.
        estimates: on all data so far; those that SQL makes too are compared.
    """
    rows = {(row["metric_name"], row["segment"], row["treatment"]): row for row in twin}
    pairs = [
        (e, rows.get((e.metric_name, e.segment, e.treatment)))
        for e in estimates
        if e.method in _TWIN_METHODS and e.status in _TWIN_STATUSES
    ]
    goals = spec.plan.names(MetricRole.GOAL)
    return check_sql_twin(
        spec.experiment_id,
        pairs,
        goals=goals,
        family_size=len(goals) * len(spec.treatments),
    )
