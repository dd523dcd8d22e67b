"""Stage compliance: the effect on those who took what they were assigned."""

from dataclasses import replace

from exp_platform.causal.adjusted_rules import COMPLIERS
from exp_platform.causal.instrument import estimate_cace
from exp_platform.decision.looks import choose_look_method
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
from exp_platform.records import (
    Estimate,
    ExperimentSpec,
    LookMethod,
    MetricDefinition,
)

METHODS = (COMPLIERS,)


def estimate_compliers(
    ingested: Ingested, measured: Measured, choices: Choices
) -> tuple[Estimate, ...]:
    """`cace` of every metric and treatment, where it is known who was treated.

    While an experiment is looked at before its end the rows have an effect and its
    error, but no test: the looks' error rate is shared by the rows that decide.
    """
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
            row = estimate_cace(control, treatment, settings)
            is_early = is_looked_at_early(spec, comparison.definition)
            found.append(withhold_test(row) if is_early else row)
    return tuple(found)


def is_looked_at_early(spec: ExperimentSpec, definition: MetricDefinition) -> bool:
    """Are there looks before the end, and is this one of them?

    Args:
        spec: registry row with the plan.
        definition: of the metric.
    """
    method = choose_look_method(spec, definition)
    return method is not LookMethod.FIXED and not spec.is_complete


def withhold_test(row: Estimate) -> Estimate:
    """The effect on compliers without a test: its p would hold for a single look only.

    Args:
        row: of `estimate_cace`.
    """
    if not row.is_ok:
        return row
    tests = ("wald_p_value", "wald_ci_lower", "wald_ci_upper", "interval")
    details = {k: value for k, value in row.details.items() if k not in tests}
    return replace(
        row,
        p_value=None,
        statistic=None,
        ci_lower=None,
        ci_upper=None,
        details={**details, "test_withheld": "NOT_ADJUSTED_FOR_LOOKS"},
    )


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
