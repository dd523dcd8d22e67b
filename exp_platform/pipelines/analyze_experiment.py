"""Stage ab: fixed-horizon A/B tests from moments, one row per comparison."""

from collections.abc import Sequence

from exp_platform.pipelines import analyze_clusters
from exp_platform.pipelines.analyze_clusters import estimate_by_cluster
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.estimators import AB_METHODS, find_estimator
from exp_platform.pipelines.routing import (
    Choices,
    compare_all,
    find_choice,
    refuse,
    route,
    settings_for,
)
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate

METHODS = (*AB_METHODS, *analyze_clusters.METHODS)


def estimate_ab(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """A/B estimates of every metric, treatment and segment."""
    return (
        *estimate_with(AB_METHODS, ingested, measured, choices),
        *estimate_by_cluster(ingested, measured, choices),
    )


def estimate_with(
    methods: Sequence[str],
    ingested: Ingested,
    measured: Measured,
    choices: Choices,
) -> tuple[Estimate, ...]:
    """Run the chosen ones of some methods; a refused one gets a row that says so."""
    found: list[Estimate] = []
    estimators = {m: find_estimator(m, measured, ingested.spec) for m in methods}
    for comparison in compare_all(ingested, measured):
        name = comparison.definition.name
        control, treatment = measured.pair(
            name, comparison.segment, ingested.spec, comparison.treatment
        )
        for method, estimate in estimators.items():
            choice = find_choice(choices, name, method)
            if choice is None:
                continue
            if choice.is_chosen and estimate is not None:
                settings = settings_for(ingested, comparison, choice)
                found.append(estimate(control, treatment, settings))
            elif comparison.segment == "all":
                found.append(refuse(ingested, comparison, choice))
    return tuple(found)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    store_methods(run, estimate_ab(ingested, measured, choices), METHODS)
    run.stages["ab"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_experiment --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_experiment", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
