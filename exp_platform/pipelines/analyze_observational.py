"""Stage observational: arms that units chose, compared after adjustment.

Nothing here is an experiment: the rows are secondary at most and never decide.
"""

from collections.abc import Callable

from exp_platform.causal.adjusted_rules import AIPW, OBSERVATIONAL, REGRESSION
from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
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
from exp_platform.stats.settings import EstimateSettings

METHODS = OBSERVATIONAL
_ESTIMATORS: dict[str, Callable[[ObservedUnits, EstimateSettings], Estimate]] = {
    REGRESSION: estimate_regression_adjustment,
    AIPW: estimate_aipw,
}


def estimate_observational(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """Both adjusted estimates of every metric and treatment, on all units."""
    found: list[Estimate] = []
    for comparison in compare_all(ingested, measured):
        name, units = comparison.definition.name, None
        if comparison.segment != "all":
            continue
        for method, estimate in _ESTIMATORS.items():
            choice = find_choice(choices, name, method)
            if choice is None:
                continue
            if not choice.is_chosen or measured.observe is None:
                found.append(refuse(ingested, comparison, choice))
                continue
            units = units or measured.observe(name, comparison.treatment)
            found.append(estimate(units, settings_for(ingested, comparison, choice)))
    return tuple(found)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    store_methods(run, estimate_observational(ingested, measured, choices), METHODS)
    run.stages["observational"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_observational --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_observational", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
