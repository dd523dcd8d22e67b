"""Drawn moments as the records that estimators of one comparison take."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from exp_platform.pipelines.calibration.gate import Array
from exp_platform.pipelines.calibration.moments import Moments, Skewed
from exp_platform.records import (
    Direction,
    MetricDefinition,
    MetricTotals,
    MetricType,
)
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm

T = TypeVar("T")

NAMES = ("simulated", "metric", "arm")


def settings_of(kind: MetricType) -> EstimateSettings:
    """Settings for a metric of this type; more is better, 2 units are enough."""
    definition = MetricDefinition("metric", 1, kind, Direction.INCREASE, "metric")
    return EstimateSettings(definition, min_units_per_arm=2)


MEAN = settings_of(MetricType.MEAN)
PROPORTION = settings_of(MetricType.PROPORTION)
RATIO = settings_of(MetricType.RATIO)
CLUSTERED = replace(MEAN, is_clustered=True)


def totals_of(arm: Arm) -> list[MetricTotals]:
    """One record per experiment."""
    rows = zip(arm.n.tolist(), arm.mean.tolist(), arm.variance.tolist(), strict=True)
    return [MetricTotals(*NAMES, int(n), mean, variance) for n, mean, variance in rows]


def totals_of_events(events: Array, n: int) -> list[MetricTotals]:
    """One record per experiment of a proportion."""
    rates = events / n
    variances = rates * (1 - rates) * n / (n - 1)
    return totals_of(Arm(np.full(rates.size, float(n)), rates, variances))


def skewed_totals(arm: Skewed) -> list[MetricTotals]:
    """One record per experiment, with its third moment."""
    return [
        replace(totals, third_moment=third)
        for totals, third in zip(totals_of(arm.arm), arm.third.tolist(), strict=True)
    ]


def totals_with_covariate(moments: Moments) -> list[MetricTotals]:
    """One record per experiment; the second column is from before exposure."""
    columns_ = (
        moments.means[:, 1],
        moments.covariances[:, 1, 1],
        moments.covariances[:, 0, 1],
    )
    rows = zip(totals_of(moments.arm), *(c.tolist() for c in columns_), strict=True)
    return [
        replace(
            totals,
            covariate_mean=mean,
            covariate_variance=variance,
            covariate_covariance=covariance,
        )
        for totals, mean, variance, covariance in rows
    ]


def pair_up(control: Sequence[T], treatment: Sequence[T]) -> list[tuple[T, T]]:
    """Both arms' records of every experiment."""
    return list(zip(control, treatment, strict=True))


def columns(rows: Iterable[Any], *names: str) -> tuple[Array, ...]:
    """Fields of records as arrays, NaN where a record has no number."""
    listed = list(rows)
    return tuple(
        np.array([_number(getattr(row, name)) for row in listed]) for name in names
    )


def details(rows: Sequence[Any], name: str) -> Array:
    """One number out of every row's details."""
    return np.array([_number(row.details.get(name)) for row in rows])


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
