"""Stage novelty: the effect by days since exposure, and whether it wears off."""

from exp_platform.causal.novelty import METHOD, estimate_novelty
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.routing import (
    Choices,
    compare_whole,
    lack,
    refuse,
    route,
    settings_for,
)
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate

METHODS = (METHOD,)


def estimate_trends(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """Daily effects and their trend for every metric with daily values."""
    spec = ingested.spec
    found: list[Estimate] = []
    for comparison, choice in compare_whole(ingested, measured, choices, METHODS):
        control, treatment = (
            measured.grams.get((comparison.definition.name, variant))
            for variant in (spec.control, comparison.treatment)
        )
        if not choice.is_chosen:
            found.append(refuse(ingested, comparison, choice))
        elif control is None or treatment is None:
            found.append(lack(ingested, comparison, choice, reason="TOO_FEW_DAYS"))
        else:
            settings = settings_for(ingested, comparison, choice)
            found.append(estimate_novelty(control, treatment, settings))
    return tuple(found)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    store_methods(run, estimate_trends(ingested, measured, choices), METHODS)
    run.stages["novelty"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_novelty --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_novelty", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
