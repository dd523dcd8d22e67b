"""Stage did: differences in differences of units' daily values, clustered."""

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.sensitivity import assess_sensitivity, note_sensitivity
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
from exp_platform.records import Estimate, EstimateRole, GramTotals

METHODS = ("did_2x2",)


def estimate_did_all(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """2x2 DiD estimates of every additive metric and treatment."""
    found: list[Estimate] = []
    for comparison in compare_all(ingested, measured):
        name = comparison.definition.name
        choice = find_choice(choices, name, "did_2x2")
        if choice is None or comparison.segment != "all":
            continue
        control = measured.grams.get((name, ingested.spec.control))
        treatment = measured.grams.get((name, comparison.treatment))
        if choice.is_chosen and control is not None and treatment is not None:
            settings = settings_for(ingested, comparison, choice)
            estimate = estimate_did(panel_of(control), panel_of(treatment), settings)
            found.append(_bound(estimate, control, treatment))
        else:
            found.append(refuse(ingested, comparison, choice))
    return tuple(found)


def _bound(estimate: Estimate, control: GramTotals, treatment: GramTotals) -> Estimate:
    """How robust a deciding row is to unequal trends; others decide nothing."""
    if estimate.role is not EstimateRole.PRIMARY or not estimate.is_ok:
        return estimate
    bounds = assess_sensitivity(control, treatment, alpha=estimate.alpha)
    return note_sensitivity(estimate, bounds)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    estimates = estimate_did_all(ingested, measured, route(ingested, measured))
    store_methods(run, estimates, METHODS)
    run.stages["did"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_experiment_did --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_experiment_did", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
