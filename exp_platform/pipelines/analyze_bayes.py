"""Stage bayes: what to believe about each comparison, beside the test that decides."""

from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.estimators import find_estimator
from exp_platform.pipelines.routing import (
    Choices,
    compare_whole,
    find_deciding,
    lack,
    refuse,
    route,
    settings_for,
)
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate
from exp_platform.stats.bayes import METHOD as NORMAL
from exp_platform.stats.bayes import estimate_bayes_normal
from exp_platform.stats.bayes_binomial import METHOD as BETA_BINOMIAL
from exp_platform.stats.bayes_binomial import estimate_bayes_proportions

METHODS = (NORMAL, BETA_BINOMIAL)


def estimate_beliefs(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """Posteriors of every metric and treatment, on all units.

    The normal one rests on the estimate that decides, CUPED's where CUPED is primary.
    """
    found: list[Estimate] = []
    for comparison, choice in compare_whole(ingested, measured, choices, METHODS):
        name = comparison.definition.name
        arms = measured.pair(name, "all", ingested.spec, comparison.treatment)
        deciding = find_deciding(choices, name)
        base = find_estimator(deciding, measured, ingested.spec)
        if not choice.is_chosen:
            found.append(refuse(ingested, comparison, choice))
        elif choice.method == BETA_BINOMIAL:
            settings = settings_for(ingested, comparison, choice)
            found.append(estimate_bayes_proportions(*arms, settings))
        elif base is not None:
            settings = settings_for(ingested, comparison, choice)
            found.append(estimate_bayes_normal(*arms, settings, estimator=base))
        else:
            found.append(lack(ingested, comparison, choice, reason="NO_NORMAL_EFFECT"))
    return tuple(found)


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    store_methods(run, estimate_beliefs(ingested, measured, choices), METHODS)
    run.stages["bayes"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_bayes --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_bayes", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
