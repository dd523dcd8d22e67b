"""Stage pretrends: event-study deltas by day, and whether trends ran parallel."""

from collections.abc import Sequence
from dataclasses import dataclass

from exp_platform.causal.did import panel_of
from exp_platform.causal.event_study import estimate_deltas
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.pipelines.analyze_experiment_did import estimate_did_all
from exp_platform.pipelines.compute_metric_aggregates import Measured, load_measured
from exp_platform.pipelines.routing import Choices, find_choice, route
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    Estimate,
    EstimateRole,
    GramTotals,
    PretrendDelta,
    PretrendTest,
)


@dataclass(frozen=True, slots=True)
class Pretrends:
    """What the pre-period says, day by day and in one test per metric and arm."""

    deltas: tuple[PretrendDelta, ...] = ()
    tests: tuple[PretrendTest, ...] = ()


def assess_all(
    ingested: Ingested,
    measured: Measured,
    choices: Choices,
    estimates: Sequence[Estimate],
) -> Pretrends:
    """Event study and pre-trend test of every metric with a chosen DiD.

    Args:
        ingested: experiment and definitions.
        measured: holds the panels.
        choices: the router's answer.
        estimates: DiD estimates, for the size that a bias has to reach to matter.
    """
    spec = ingested.spec
    deltas: list[PretrendDelta] = []
    tests: list[PretrendTest] = []
    for name in ingested.definitions:
        choice = find_choice(choices, name, "event_study")
        control = measured.grams.get((name, spec.control))
        if choice is None or not choice.is_chosen or control is None:
            continue
        for arm in spec.treatments:
            treatment = measured.grams.get((name, arm))
            if treatment is None:
                continue
            did = find_choice(choices, name, "did_2x2")
            deltas += estimate_deltas(control, treatment, alpha=spec.plan.alpha)
            tests.append(
                assess_pretrends(
                    control,
                    treatment,
                    planned_effect=_planned_effect(ingested, control, name),
                    estimate=_find_did(estimates, name, arm),
                    role=(did.role if did else None) or EstimateRole.DIAGNOSTIC,
                )
            )
    return Pretrends(tuple(deltas), tuple(tests))


def store_pretrends(run: Run, pretrends: Pretrends) -> None:
    """Stage both tables."""
    run.store("did_pretrend_delta", pretrends.deltas)
    run.store("did_pretrend_tests", pretrends.tests)
    run.stages["pretrends"] = "done"


def _find_did(estimates: Sequence[Estimate], name: str, arm: str) -> Estimate | None:
    return next(
        (
            e
            for e in estimates
            if e.method == "did_2x2" and (e.metric_name, e.treatment) == (name, arm)
        ),
        None,
    )


def _planned_effect(ingested: Ingested, control: GramTotals, name: str) -> float | None:
    """The planned MDE in units of a day's value, from its relative form."""
    mde = ingested.spec.plan.of(name).mde
    return None if mde is None else mde * abs(panel_of(control).mean_pre)


def run_alone(run: Run) -> None:
    """Load from the lake, test, store."""
    ingested = load_ingested(run)
    measured = load_measured(run, ingested)
    choices = route(ingested, measured)
    estimates = estimate_did_all(ingested, measured, choices)
    store_pretrends(run, assess_all(ingested, measured, choices, estimates))


def main() -> int:
    """`python -m exp_platform.pipelines.did_pretrends --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("did_pretrends", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
