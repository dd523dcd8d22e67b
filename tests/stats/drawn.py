"""Two arms of units, drawn, and every kind of total that an estimator takes of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exp_platform.causal.cluster_sums import sum_clusters
from exp_platform.causal.did_adjusted import UnitChanges
from exp_platform.causal.observational import (
    ObservedUnits,
)
from exp_platform.causal.panel_data import NEVER, PanelData
from exp_platform.records import (
    Direction,
    GramTotals,
    MetricDefinition,
    MetricTotals,
    MetricType,
)
from exp_platform.stats.moments import merge_totals
from exp_platform.stats.settings import EstimateSettings

DAYS = tuple(range(-4, 4))
SEEDS = (1, 2, 3)
EXACT = 1e-9
"""The same sums in another order."""


def settings_of(kind: MetricType = MetricType.MEAN) -> EstimateSettings:
    definition = MetricDefinition("spend", 1, kind, Direction.INCREASE, "spend")
    return EstimateSettings(definition, min_units_per_arm=2)


MEAN, RATIO = settings_of(), settings_of(MetricType.RATIO)
SHARE = settings_of(MetricType.PROPORTION)


@dataclass(frozen=True)
class Arm:
    """Everything that is known of an arm's units; first axis: units.

    Attributes:
        y, x, z, d: value, two covariates, denominator. uptake: 0 or 1. days: values on
            the days of DAYS.
    """

    name: str
    y: Any
    x: Any
    z: Any
    d: Any
    uptake: Any
    days: Any

    def change(self, scale: float = 1.0, shift: float = 0.0) -> "Arm":
        """The same outcomes in another unit, or from another origin."""
        return replace(self, y=scale * self.y + shift, days=scale * self.days + shift)


def draw(seed: int) -> tuple[Arm, Arm]:
    """Two arms of unequal size; the treatment adds something."""
    random = np.random.default_rng(seed)
    arms = []
    for name, n, effect in (("control", 240, 0.0), ("treatment", 216, 0.6)):
        x, z = random.normal(5, 1, n), random.normal(0, 2, n)
        level = 10 + x + random.normal(0, 1, n)
        late = np.array(DAYS) >= 0
        arms.append(
            Arm(
                name,
                y=level + effect,
                x=x,
                z=z,
                d=1.0 + random.poisson(3, n),
                uptake=(random.random(n) < 0.8 * bool(effect) + 0.05) * 1.0,
                days=level[:, None]
                + random.normal(0, 1, (n, len(DAYS)))
                + effect * late,
            )
        )
    return arms[0], arms[1]


Totals = Callable[..., MetricTotals]


def covariance(one: Any, other: Any) -> float | None:
    """Divisor n - 1; a single unit has none."""
    return float(np.cov(one, other)[0, 1]) if len(one) > 1 else None


def total(arm: Arm, *, ratio: bool = False, covariate: bool = False) -> MetricTotals:
    """Moments of one arm."""
    y, moments = arm.y, {}
    if ratio:
        moments |= {
            "denominator_mean": float(arm.d.mean()),
            "denominator_variance": covariance(arm.d, arm.d),
            "denominator_covariance": covariance(y, arm.d),
        }
    if covariate:
        moments |= {
            "covariate_mean": float(arm.x.mean()),
            "covariate_variance": covariance(arm.x, arm.x),
            "covariate_covariance": covariance(y, arm.x),
            "covariate_denominator_covariance": covariance(arm.d, arm.x),
        }
    return MetricTotals(
        *("exp_1", "spend", arm.name),
        n=len(y),
        mean=float(y.mean()),
        variance=covariance(y, y),
        third_moment=float(((y - y.mean()) ** 3).mean()),
        min_value=float(y.min()),
        max_value=float(y.max()),
        **moments,
    )


def take(arm: Arm, rows: Any) -> Arm:
    """Some of the units."""
    parts = {f: getattr(arm, f)[rows] for f in ("y", "x", "z", "d", "uptake", "days")}
    return replace(arm, **parts)


def total_in_parts(arm: Arm, **kinds: bool) -> MetricTotals:
    """The same moments, merged from parts of unequal size in no particular order."""
    random = np.random.default_rng(len(arm.y))
    pieces = np.array_split(random.permutation(len(arm.y)), (7, 50, 51))
    return merge_totals(total(take(arm, p), **kinds) for p in pieces if len(p))


def gram(arm: Arm) -> GramTotals:
    centred = arm.days - arm.days.mean(axis=0)
    n = len(arm.days)
    return GramTotals(
        *("exp_1", "spend", arm.name, n, n, DAYS),
        tuple(arm.days.mean(axis=0).tolist()),
        tuple(map(tuple, (centred.T @ centred).tolist())),
    )


def periods(arm: Arm) -> tuple[Any, Any]:
    late = np.array(DAYS) >= 0
    return arm.days[:, ~late].mean(axis=1), arm.days[:, late].mean(axis=1)


def sums(arm: Arm):
    cluster = np.arange(len(arm.y)) * 12 // 456
    return sum_clusters(
        ("exp_1", "spend", arm.name), periods(arm), cluster, days=(4, 4)
    )


def both(control: Arm, treatment: Arm, name: str) -> Any:
    return np.concatenate([getattr(control, name), getattr(treatment, name)])


def is_treated(control: Arm, treatment: Arm) -> Any:
    return np.repeat([False, True], [len(control.y), len(treatment.y)])


def changes(control: Arm, treatment: Arm) -> UnitChanges:
    pre, post = np.hstack([periods(control), periods(treatment)])
    flags = is_treated(control, treatment)
    x = both(control, treatment, "x")[:, None]
    return UnitChanges("exp_1", "spend", "control", "treatment", flags, pre, post, x)


def observed(control: Arm, treatment: Arm) -> ObservedUnits:
    return ObservedUnits(
        *("exp_1", "spend", control.name, treatment.name),
        both(control, treatment, "y"),
        is_treated(control, treatment),
        np.column_stack([both(control, treatment, name) for name in ("x", "z")]),
        ("x", "z"),
    )


def panel(control: Arm, treatment: Arm) -> PanelData:
    days = both(control, treatment, "days")
    cohort = np.where(is_treated(control, treatment), 0.0, NEVER)
    unit, period = np.indices(days.shape)
    return PanelData(
        *("exp_1", "spend", unit.ravel(), np.array(DAYS, dtype=float)[period].ravel()),
        days.ravel(),
        np.repeat(cohort, days.shape[1]),
    )


def looks(arm: Arm, totals: Totals) -> list[MetricTotals]:
    """Cumulative totals at three looks."""
    n = len(arm.y)
    return [totals(take(arm, slice(0, end))) for end in (n // 2, 3 * n // 4, n)]


def strata(arm: Arm, totals: Totals) -> list[MetricTotals]:
    level = (arm.z > 0).astype(int)
    return [
        replace(totals(take(arm, level == s)), segment=f"z={s}")
        for s in np.unique(level)
    ]
