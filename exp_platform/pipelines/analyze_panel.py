"""Stage panel: a ready-made panel to estimates, event-time effects and pre-trend tests.

It stands in the place of the metrics, ab, cuped, did and pretrends stages, which work
on rows by user and instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from exp_platform.causal.panel_rules import (
    choose_panel_methods,
)
from exp_platform.errors import UsageError
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.did_pretrends import Pretrends, store_pretrends
from exp_platform.pipelines.estimates import store_methods
from exp_platform.pipelines.frozen_caps import require_metrics_stage
from exp_platform.pipelines.panel_data import (
    PanelMetric,
    find_canonical_panel,
    load_panel,
)
from exp_platform.pipelines.panel_estimates import estimate_panel_metric, find_facts
from exp_platform.pipelines.panel_methods import (
    total_arms,
)
from exp_platform.pipelines.panel_request import PanelLayout
from exp_platform.pipelines.panel_runs import REPLACED_STAGES, find_layout
from exp_platform.pipelines.panel_trends import assess_panel_trends
from exp_platform.pipelines.provenance import digest
from exp_platform.pipelines.routing import Choices
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    Estimate,
    LedgerStage,
    MetricTotals,
    PretrendDelta,
    PretrendTest,
)


@dataclass(frozen=True, slots=True)
class PanelFound:
    """What a panel holds, before any estimate.

    Attributes:
        metrics: matrix of each metric.
        measured: counts of units and the totals of a panel with one treatment date.
        choices: methods chosen and refused, by metric.
    """

    metrics: Mapping[str, PanelMetric]
    measured: Measured
    choices: Choices


@dataclass(frozen=True, slots=True)
class PanelResults:
    """What the panel says, in the form that the other stages hand on."""

    measured: Measured
    choices: Choices
    estimates: tuple[Estimate, ...]
    pretrends: Pretrends


def open_panel(run: Run, ingested: Ingested, layout: PanelLayout) -> PanelFound:
    """Load a panel, count its units, and ask which methods it allows.

    Args:
        run: its engine holds the canonical tables.
        ingested: the experiment and its definitions.
        layout: of the panel.
    """
    sources = {name: d.numerator for name, d in ingested.definitions.items()}
    source = find_canonical_panel(layout, sources)
    metrics = load_panel(run.engine, ingested.spec, source)
    run.digest = _digest(run, ingested)
    return PanelFound(
        metrics,
        _measure(run, ingested, metrics),
        {name: choose_panel_methods(find_facts(m)) for name, m in metrics.items()},
    )


def analyze_panel(run: Run, ingested: Ingested, layout: PanelLayout) -> PanelResults:
    """Estimate every metric by every method the panel allows.

    Args:
        run: its engine holds the canonical tables.
        ingested: the experiment and its definitions.
        layout: of the panel.

    Raises:
        UsageError: a metric has a percentile cap.
    """
    require_metrics_stage(ingested.definitions.values())
    panel = open_panel(run, ingested, layout)
    metrics, choices = panel.metrics, panel.choices
    estimates: list[Estimate] = []
    deltas: list[PretrendDelta] = []
    tests: list[PretrendTest] = []
    for name, metric in metrics.items():
        found = estimate_panel_metric(metric, ingested.definitions[name], choices[name])
        estimates += found
        rows, test = assess_panel_trends(metric, found)
        deltas += rows
        tests += [test] if test is not None else []
    pretrends = Pretrends(tuple(deltas), tuple(tests))
    store_pretrends(run, pretrends)
    # An earlier import under this id may have left rows by user and instant.
    run.skip("metrics")
    for stage in REPLACED_STAGES:
        run.stages[stage] = "panel"
    return PanelResults(
        measured=panel.measured,
        choices=choices,
        estimates=tuple(estimates),
        pretrends=pretrends,
    )


def _count_arms(metric: PanelMetric) -> dict[str, int]:
    """Units analysed, by arm."""
    treated = int(metric.is_treated.sum())
    untreated = len(metric.units.cohort) - treated
    return {metric.spec.control: untreated, metric.spec.treatments[0]: treated}


def _count_missing(metric: PanelMetric) -> dict[str, int]:
    """Units that lack a value or a covariate, by arm.

    Those that were always treated lack nothing: no method could compare them.
    """
    arms = (metric.spec.control, metric.spec.treatments[0])
    lacking = ("missing_value", "missing_covariate")
    counts = [metric.units.left_out.get(reason, (0, 0)) for reason in lacking]
    return {arm: sum(count[i] for count in counts) for i, arm in enumerate(arms)}


def _measure(
    run: Run, ingested: Ingested, metrics: Mapping[str, PanelMetric]
) -> Measured:
    spec = ingested.spec
    counted = run.engine.rows("select variant, count(*) from exp.exposures group by 1")
    delivered = {str(variant): int(count) for variant, count in counted}
    counts = {name: _count_arms(metric) for name, metric in metrics.items()}
    missing = {name: _count_missing(metric) for name, metric in metrics.items()}
    names = [variant.name for variant in spec.variants]
    analysed = {arm: min(count[arm] for count in counts.values()) for arm in names}
    usable = {
        arm: max(counts[metric][arm] + missing[metric][arm] for metric in metrics)
        for arm in names
    }
    grams = {
        (arm.metric_name, arm.variant): arm
        for metric in metrics.values()
        for arm in total_arms(metric) or ()
    }
    totals = {
        (name, "all", variant): MetricTotals(
            spec.experiment_id,
            name,
            variant,
            n=n,
            mean=None,
            variance=None,
            n_missing=missing[name][variant],
        )
        for name, count in counts.items()
        for variant, n in count.items()
    }
    return Measured(
        totals=totals,
        grams=grams,
        window=None,
        ledger=tuple(
            LedgerStage(stage, order, arm, found.get(arm, 0))
            for stage, order, found in (
                ("exposed", 1, delivered),
                ("untreated_at_first", 2, usable),
                ("in_analysis", 3, analysed),
            )
            for arm in names
        ),
        split=(),
        twin=(),
        units=tuple(
            {
                "variant": variant,
                "n_units": delivered.get(variant, 0),
                "n_crossover": 0,
                "n_bots": 0,
                "n_in_analysis": count,
            }
            for variant, count in analysed.items()
        ),
    )


def _digest(run: Run, ingested: Ingested) -> str:
    """Exact counts and sums of the delivered values."""
    rows = run.engine.rows(
        "select o.metric_name, e.variant, count(*),\n"
        "    cast(sum(try_cast(o.value as decimal(38, 6))) as varchar)\n"
        "from exp.outcomes as o inner join exp.exposures as e on o.user_id = e.user_id\n"
        "group by all order by all"
    )
    return digest(
        MetricTotals(
            ingested.spec.experiment_id,
            str(metric),
            str(variant),
            int(count),
            None,
            None,
            exact_sum=total,
        )
        for metric, variant, count, total in rows
    )


def run_alone(run: Run) -> None:
    """Load from the lake, estimate, store."""
    ingested = load_ingested(run)
    layout = find_layout(run)
    if layout is None:
        raise UsageError(
            f"{run.experiment_id} is not a ready-made panel",
            next_step="run the stages for rows by user and instant, or `exp run`",
        )
    results = analyze_panel(run, ingested, layout)
    methods = {estimate.method for estimate in results.estimates}
    store_methods(run, results.estimates, methods)


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_panel --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_panel", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
