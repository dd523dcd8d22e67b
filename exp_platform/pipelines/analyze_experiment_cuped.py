"""Stage cuped: the same comparisons, adjusted for what units did before exposure."""

from exp_platform.pipelines.analyze_experiment import estimate_with
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.routing import Choices, route
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate

METHODS = ("cuped",)


def estimate_adjusted(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """CUPED estimates of every metric, treatment and segment."""
    return estimate_with(METHODS, ingested, measured, choices)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    estimates = estimate_adjusted(ingested, measured, route(ingested, measured))
    store_methods(run, estimates, METHODS)
    run.stages["cuped"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_experiment_cuped --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_experiment_cuped", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
