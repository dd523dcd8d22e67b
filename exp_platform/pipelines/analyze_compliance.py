"""Stage compliance: the effect on those who took what they were assigned."""

from exp_platform.causal.adjusted_rules import COMPLIERS
from exp_platform.causal.instrument import estimate_cace
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

METHODS = (COMPLIERS,)


def estimate_compliers(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """`cace` of every metric and treatment, where it is known who was treated."""
    spec = ingested.spec
    found: list[Estimate] = []
    for comparison, choice in compare_whole(ingested, measured, choices, METHODS):
        name, arm = comparison.definition.name, comparison.treatment
        control, treatment = (
            measured.uptake.get((name, variant)) for variant in (spec.control, arm)
        )
        if not choice.is_chosen:
            found.append(refuse(ingested, comparison, choice))
        elif control is None or treatment is None:
            found.append(lack(ingested, comparison, choice, reason="TOO_FEW_UNITS"))
        else:
            settings = settings_for(ingested, comparison, choice)
            found.append(estimate_cace(control, treatment, settings))
    return tuple(found)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    store_methods(run, estimate_compliers(ingested, measured, choices), METHODS)
    run.stages["compliance"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_compliance --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_compliance", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
