"""Which estimator a method is, and which totals it reads."""

from collections.abc import Callable, Mapping

from exp_platform.causal.identification import CUPED, PROPORTION, RATIO, WELCH
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.records import (
    Estimate,
    ExperimentSpec,
    MetricTotals,
    QuantileTotals,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.quantile import METHOD as QUANTILE
from exp_platform.stats.quantile import Z, estimate_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.regression import estimate_adjusted
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

Estimator = Callable[[MetricTotals, MetricTotals, EstimateSettings], Estimate]

ON_MOMENTS: Mapping[str, Estimator] = {
    WELCH: estimate_welch,
    PROPORTION: estimate_proportions,
    RATIO: estimate_ratio,
    CUPED: estimate_cuped,
}
"""Estimators that need no more than the moments of a metric."""

AB_METHODS = (WELCH, PROPORTION, RATIO, QUANTILE)


def find_estimator(
    method: str, measured: Measured, spec: ExperimentSpec
) -> Estimator | None:
    """The estimator of a method; it looks up what the moments do not hold.

    A quantile needs order statistics. A metric with several covariates, and a ratio
    with any, needs the moments of all of them together; where an arm has none of these,
    the plain moments say why there is no estimate.

    Args:
        method: as the router names it.
        measured: totals of the run.
        spec: the experiment.
    """
    if method == QUANTILE:
        return _read_quantiles(measured, spec)
    if method == CUPED:
        return _read_adjustments(measured)
    return ON_MOMENTS.get(method)


def _read_quantiles(measured: Measured, spec: ExperimentSpec) -> Estimator:
    def estimate(
        control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
    ) -> Estimate:
        """Of two arms' order statistics."""
        arms = [_quantile_of(measured, spec, arm) for arm in (control, treatment)]
        return estimate_quantile(arms[0], arms[1], settings)

    return estimate


def _quantile_of(
    measured: Measured, spec: ExperimentSpec, arm: MetricTotals
) -> QuantileTotals:
    found = measured.quantiles.get((arm.metric_name, arm.segment, arm.variant))
    if found is not None:
        return found
    return QuantileTotals(
        experiment_id=spec.experiment_id,
        metric_name=arm.metric_name,
        variant=arm.variant,
        n=arm.n,
        n_values=0,
        quantile=0.5,
        value=None,
        share_error=None,
        z=Z,
        lower=None,
        upper=None,
        segment=arm.segment,
    )


def _read_adjustments(measured: Measured) -> Estimator:
    def estimate(
        control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
    ) -> Estimate:
        """Of two arms' moments with all covariates."""
        arms = [
            measured.adjustments.get((arm.metric_name, arm.segment, arm.variant))
            for arm in (control, treatment)
        ]
        if arms[0] is None or arms[1] is None:
            return estimate_cuped(control, treatment, settings)
        return estimate_adjusted(arms[0], arms[1], settings)

    return estimate
