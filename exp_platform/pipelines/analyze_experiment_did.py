"""Stage did: differences in differences of units' daily values, clustered."""

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.identification import DID, RANDOMISATION
from exp_platform.causal.sensitivity import assess_sensitivity, note_sensitivity
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.routing import (
    Choices,
    Comparison,
    compare_whole,
    lack,
    refuse,
    route,
    seed_for,
    settings_for,
)
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate, EstimateRole, GramTotals

METHODS = (DID, RANDOMISATION)


def estimate_did_all(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """2x2 DiD estimates of every additive metric and treatment.

    Where clusters were assigned they are the observations: few of them are
    bootstrapped, and compared with other choices of treated clusters.
    """
    found: list[Estimate] = []
    for comparison, choice in compare_whole(ingested, measured, choices, METHODS):
        if not choice.is_chosen:
            found.append(refuse(ingested, comparison, choice))
            continue
        grams, sums = _find_arms(ingested, measured, comparison)
        settings = settings_for(ingested, comparison, choice)
        seed = seed_for(ingested, comparison)
        if grams is None or (choice.method == RANDOMISATION and sums is None):
            found.append(lack(ingested, comparison, choice, reason="TOO_FEW_UNITS"))
        elif sums is None:
            panels = (panel_of(grams[0]), panel_of(grams[1]))
            found.append(_bound(estimate_did(*panels, settings), *grams))
        elif choice.method == RANDOMISATION:
            found.append(estimate_by_randomisation(*sums, settings, seed=seed))
        else:
            row = estimate_did_by_cluster(*sums, settings, seed=seed)
            found.append(_bound(row, *grams))
    return tuple(found)


def _find_arms(
    ingested: Ingested, measured: Measured, comparison: Comparison
) -> tuple[
    tuple[GramTotals, GramTotals] | None, tuple[ClusterSums, ClusterSums] | None
]:
    """Both arms' daily totals, and their clusters' sums where those were assigned."""
    arms = (ingested.spec.control, comparison.treatment)
    grams = [measured.grams.get((comparison.definition.name, arm)) for arm in arms]
    panel = measured.clusters.panel if measured.clusters else {}
    sums = [panel.get((comparison.definition.name, arm)) for arm in arms]
    return (
        (grams[0], grams[1]) if grams[0] and grams[1] else None,
        (sums[0], sums[1]) if sums[0] and sums[1] else None,
    )


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
