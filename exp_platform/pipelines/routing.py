"""From the registry and the data to the router's facts, and from its answer to rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exp_platform.causal.identification import choose_methods
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.run_ingest import Ingested
from exp_platform.records import (
    AssignmentFacts,
    Estimate,
    EstimateRole,
    EstimateStatus,
    MethodChoice,
    MetricDefinition,
)
from exp_platform.stats.seeds import derive_seed
from exp_platform.stats.settings import EstimateSettings

Choices = Mapping[str, tuple[MethodChoice, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric, one treatment against control, one subset of units."""

    definition: MetricDefinition
    treatment: str
    segment: str


def route(ingested: Ingested, measured: Measured | None) -> Choices:
    """The methods chosen and refused, by metric.

    Args:
        ingested: the experiment and its definitions.
        measured: says what the data really hold; None = nobody measured, so nothing
            is chosen.
    """
    if measured is None:
        return {}
    return {
        name: choose_methods(_facts(ingested, measured, definition))
        for name, definition in ingested.definitions.items()
    }


def compare_all(ingested: Ingested, measured: Measured) -> Iterator[Comparison]:
    """Every metric x treatment x segment, all units first."""
    for definition in ingested.definitions.values():
        for treatment in ingested.spec.treatments:
            for segment in measured.segments:
                yield Comparison(definition, treatment, segment)


def compare_whole(
    ingested: Ingested, measured: Measured, choices: Choices, methods: Iterable[str]
) -> Iterator[tuple[Comparison, MethodChoice]]:
    """Each comparison on all units with the router's line on each of some methods."""
    listed = tuple(methods)
    for comparison in compare_all(ingested, measured):
        if comparison.segment != "all":
            continue
        for method in listed:
            choice = find_choice(choices, comparison.definition.name, method)
            if choice is not None:
                yield comparison, choice


def find_choice(choices: Choices, metric: str, method: str) -> MethodChoice | None:
    """The router's line about a method, or None when it does not apply."""
    return next((c for c in choices[metric] if c.method == method), None)


def find_deciding(choices: Choices, metric: str) -> str:
    """The method whose estimate decides on a metric, "" when none does."""
    primary = EstimateRole.PRIMARY
    return next((c.method for c in choices[metric] if c.role is primary), "")


def settings_for(
    ingested: Ingested, comparison: Comparison, choice: MethodChoice
) -> EstimateSettings:
    """Settings of one estimate; a subset of units never decides."""
    role = choice.role or EstimateRole.DIAGNOSTIC
    if comparison.segment != "all":
        role = EstimateRole.DIAGNOSTIC
    return EstimateSettings(
        definition=comparison.definition,
        role=role,
        alpha=ingested.spec.plan.alpha,
        min_units_per_arm=ingested.spec.plan.min_units_per_arm,
        is_clustered=ingested.spec.cluster is not None,
    )


def seed_for(ingested: Ingested, comparison: Comparison) -> int:
    """The seed of one comparison's resampling: the same in every run."""
    names = (comparison.definition.name, comparison.treatment)
    return derive_seed(ingested.spec.experiment_id, *names)


def refuse(
    ingested: Ingested, comparison: Comparison, choice: MethodChoice
) -> Estimate:
    """The row of a method that the router refused: a reason, no numbers."""
    definition = comparison.definition
    return Estimate(
        experiment_id=ingested.spec.experiment_id,
        metric_name=definition.name,
        method=choice.method,
        control=ingested.spec.control,
        treatment=comparison.treatment,
        status=EstimateStatus.NOT_IDENTIFIED,
        alpha=ingested.spec.plan.alpha,
        role=EstimateRole.DIAGNOSTIC,
        metric_version=definition.metric_version,
        reason=choice.reason,
        details={"explanation": choice.explanation},
    )


def lack(
    ingested: Ingested, comparison: Comparison, choice: MethodChoice, *, reason: str
) -> Estimate:
    """The row of a method that was chosen but has too little to work on."""
    return replace(
        refuse(ingested, comparison, choice),
        status=EstimateStatus.INSUFFICIENT_DATA,
        reason=reason,
        details={},
    )


def _facts(
    ingested: Ingested, measured: Measured, definition: MetricDefinition
) -> AssignmentFacts:
    spec = ingested.spec
    totals = [
        t
        for (metric, segment, _), t in measured.totals.items()
        if metric == definition.name and segment == "all"
    ]
    found = measured.clusters.counts if measured.clusters else None
    clusters = found.n_clusters if found else {}
    arms = [clusters.get(name, 0) for name in spec.treatments]
    return AssignmentFacts(
        assignment=spec.assignment,
        metric_type=definition.type,
        n_arms=len(spec.variants),
        has_policy_date=spec.policy_ts is not None,
        has_pre_period=_has_pre_period(measured, definition),
        has_covariate_data=any((t.covariate_variance or 0.0) > 0 for t in totals),
        declared_covariate=spec.plan.of(definition.name).covariate,
        is_dated=spec.is_dated,
        n_clusters_control=clusters.get(spec.control, 0) if found else None,
        n_clusters_treatment=min(arms, default=0) if found else None,
        share_astray=found.share_astray if found else 0.0,
        has_uptake=spec.plan.received not in (None, definition.name),
        share_uptake_unknown=_share_unknown(measured, spec.plan.received),
        n_covariates=len(spec.plan.adjust_by),
    )


def _share_unknown(measured: Measured, metric: str | None) -> float:
    """Share of the units that have no value of a metric."""
    arms = [
        total
        for (name, segment, _), total in measured.totals.items()
        if (name, segment) == (metric, "all")
    ]
    missing = sum(arm.n_missing for arm in arms)
    return missing / max(1, missing + sum(arm.n for arm in arms))


def _has_pre_period(measured: Measured, definition: MetricDefinition) -> bool:
    """Some unit had a value before the event."""
    return any(
        mean != 0
        for (metric, _), gram in measured.grams.items()
        if metric == definition.name
        for day, mean in zip(gram.days, gram.means, strict=True)
        if day < 0
    )
