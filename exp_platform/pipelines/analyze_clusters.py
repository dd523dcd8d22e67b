"""Arms that were assigned by cluster: means compared on clusters, part of stage ab."""

from exp_platform.causal.cluster_means import estimate_means_by_cluster
from exp_platform.metrics.clusters import ClusterMeasures
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.routing import (
    Choices,
    Comparison,
    compare_all,
    find_choice,
    lack,
    refuse,
    seed_for,
    settings_for,
)
from exp_platform.pipelines.run_ingest import Ingested
from exp_platform.records import Estimate, MethodChoice
from exp_platform.stats.cluster import METHOD

METHODS = (METHOD,)


def estimate_by_cluster(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """`cluster_delta` of every metric, treatment and segment; none by single units."""
    if measured.clusters is None:
        return ()
    found: list[Estimate] = []
    for comparison in compare_all(ingested, measured):
        choice = find_choice(choices, comparison.definition.name, METHOD)
        if choice is None:
            continue
        if choice.is_chosen:
            found.append(_estimate(ingested, measured.clusters, comparison, choice))
        elif comparison.segment == "all":
            found.append(refuse(ingested, comparison, choice))
    return tuple(found)


def _estimate(
    ingested: Ingested,
    clusters: ClusterMeasures,
    comparison: Comparison,
    choice: MethodChoice,
) -> Estimate:
    """A segment with few clusters has no number: its sums stay in the engine."""
    name, segment = comparison.definition.name, comparison.segment
    arms = (ingested.spec.control, comparison.treatment)
    control, treatment = (clusters.totals.get((name, segment, arm)) for arm in arms)
    if control is None or treatment is None:
        return lack(ingested, comparison, choice, reason="TOO_FEW_UNITS")
    sums = [clusters.sums.get((name, arm)) for arm in arms]
    first, second = sums if segment == "all" else (None, None)
    pair = None if first is None or second is None else (first, second)
    return estimate_means_by_cluster(
        (control, treatment),
        pair,
        settings_for(ingested, comparison, choice),
        seed=seed_for(ingested, comparison),
    )
