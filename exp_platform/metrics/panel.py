"""Unit-day panels: daily means and their cross-products (ADR 0018).

The panel is every unit of the analysis that was followed for the whole post-period,
times every day; an absent day is 0.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.cohort_totals import CohortTotals, close_totals
from exp_platform.causal.period_totals import days_of_cohort
from exp_platform.causal.vector_moments import (
    VectorMoments,
    measure_vectors,
    merge_moments,
    no_moments,
)
from exp_platform.lake import Engine
from exp_platform.metrics.panel_cells import ClusterBlock, read_panel
from exp_platform.metrics.panel_window import PanelWindow
from exp_platform.records import ExperimentSpec, GramTotals, MetricDefinition
from exp_platform.stats.inference import Array


def build_panel(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow,
    definitions: Sequence[MetricDefinition],
    *,
    fixed_point: Collection[str] = (),
    most_cells: int | None = None,
) -> tuple[GramTotals, ...]:
    """Cross-products of daily values for every additive metric and arm.

    Args:
        engine: holds `exp_run.experiment_assignments` and `int_unit_outcomes`.
        spec: the experiment.
        window: days of the panel.
        definitions: metrics; those without a daily value are left out.
        fixed_point: outcome names whose values all have at most six decimals; their
            sums are exact.
        most_cells: clusters x days that may lie in memory at once; None = as many as
            fit beside the engine.
    """
    grams: list[GramTotals] = []
    for definition, blocks in read_panel(
        engine,
        spec,
        window,
        definitions,
        fixed_point=fixed_point,
        most_cells=most_cells,
    ):
        for variant, totals in _total(blocks).items():
            named = (spec.experiment_id, definition.name, variant)
            grams.append(days_of_cohort(totals, periods=window.days, totals_of=named))
    return tuple(grams)


def sum_panel_clusters(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow,
    definitions: Sequence[MetricDefinition],
    *,
    fixed_point: Collection[str] = (),
) -> tuple[ClusterSums, ...]:
    """Each cluster's averages before and after the event, for every arm and metric.

    What few clusters need beside the cross-products: they are bootstrapped.

    Args:
        engine: as for `build_panel`.
        spec: an experiment that assigned clusters.
        window: days of the panel, some of them before the event.
        definitions: metrics; ratios are left out.
        fixed_point: as for `build_panel`.
    """
    days, split = (window.pre_days, window.post_days), window.pre_days
    found: list[ClusterSums] = []
    for definition, blocks in read_panel(
        engine, spec, window, definitions, fixed_point=fixed_point
    ):
        arms: dict[str, list[Array]] = {}
        for block in blocks:
            columns = (
                block.units,
                block.sums[:, :split].mean(axis=1),
                block.sums[:, split:].mean(axis=1),
            )
            arms.setdefault(block.variant, []).append(np.vstack(columns))
        for variant, parts in arms.items():
            units, pre, post = np.hstack(parts)
            named = (spec.experiment_id, definition.name, variant)
            found.append(ClusterSums(*named, units, pre, post, *days))
    return tuple(found)


def _total(blocks: Iterable[ClusterBlock]) -> dict[str, CohortTotals]:
    """Totals of every arm; its blocks come and go."""
    found: dict[str, tuple[Array, VectorMoments, int, float]] = {}
    for block in blocks:
        units = block.units[:, None]
        pivot, before, n, fourth = found.get(block.variant) or (
            block.sums.sum(axis=0) / units.sum(),
            no_moments(block.sums.shape[1] + 1),
            0,
            0.0,
        )
        moments = measure_vectors(np.hstack([block.sums - units * pivot, units]))
        merged = merge_moments(before, moments)
        fourth += float(np.sum(block.units.astype(float) ** 4))
        found[block.variant] = pivot, merged, n + int(units.sum()), fourth
    return {
        variant: close_totals(np.nan, n, moments, pivot, fourth)
        for variant, (pivot, moments, n, fourth) in found.items()
    }
