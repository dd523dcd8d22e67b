"""How far may trends diverge before the effect is in doubt?

Bounds after Rambachan and Roth: relative to what was seen before the event (Mbar), and
on the bend of the difference in trends (M). The breakdown value is where the robust
interval first contains 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from exp_platform.causal.clusters import count_effective_arms
from exp_platform.causal.event_path import (
    REFERENCE,
    EventPath,
    choose_period,
    gather_days,
    path_of,
)
from exp_platform.causal.relative_magnitudes import (
    RobustInterval,
    bound_relative_magnitudes,
    excludes_zero,
)
from exp_platform.causal.smoothness import bound_smoothness
from exp_platform.records import Estimate, EstimateStatus, GramTotals
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal, status_of

MBARS = (0.5, 1.0, 1.5, 2.0)

DECISIVE_MBAR = 1.0
"""SHIP from DiD needs an interval without 0 at this bound (METHODS section 5)."""

LARGEST_MBAR = 100.0
"""Breakdown values beyond this are reported as this."""

BISECTIONS = 16


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Robust intervals of the average effect and where they break down.

    Attributes:
        period_days: days that make one period of the event study.
        n_pre, n_post: periods before the reference one and after the event.
        estimate, standard_error: average effect after the event against the reference
            period, if trends ran parallel.
        relative_magnitudes: intervals at the asked Mbar. smoothness: at the asked M.
        breakdown_mbar: largest Mbar whose interval excludes 0, at most 100; 0 = not
            even with parallel trends.
        breakdown_m: the same for M; None when even a straight line (M = 0) is enough
            for 0 to be possible.
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    status: EstimateStatus
    reason: str = ""
    period_days: int = 1
    n_pre: int = 0
    n_post: int = 0
    estimate: float | None = None
    standard_error: float | None = None
    relative_magnitudes: tuple[RobustInterval, ...] = ()
    smoothness: tuple[RobustInterval, ...] = ()
    breakdown_mbar: float | None = None
    breakdown_m: float | None = None

    @property
    def is_robust(self) -> bool:
        """The interval at Mbar = 1 is known and does not contain 0."""
        return any(
            one.bound == DECISIVE_MBAR and one.excludes_zero
            for one in self.relative_magnitudes
        )


def assess_sensitivity(
    control: GramTotals,
    treatment: GramTotals,
    *,
    alpha: float = 0.05,
    period_days: int | None = None,
    bends: Sequence[float] = (0.0,),
) -> Sensitivity:
    """How large a violation of parallel trends would overturn the effect?

    Args:
        control: daily means and cross-products of the untreated arm.
        treatment: the same days of the treated arm.
        alpha: error rate of the intervals, two-sided.
        period_days: days per period; None = weeks when two whole ones lie before the
            event, else days.
        bends: values of M, largest bend of the trend per period, in units of the
            metric.

    Estimand:
        ATT averaged over the days after the event, against the last period before it.

    Assumptions:
        Violations of parallel trends obey the bound; enough clusters for the
        coefficients to be normal with known covariance.

    Outcomes:
        OK; INSUFFICIENT_DATA with NO_PRE_PERIOD (no period before the reference one),
        NO_POST_PERIOD, TOO_FEW_CLUSTERS, ZERO_VARIANCE or PRECISION_LOST;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Rambachan and Roth (2023).
    """
    period = period_days or choose_period(control.days)
    blank = Sensitivity(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        control=control.variant,
        treatment=treatment.variant,
        status=EstimateStatus.INSUFFICIENT_DATA,
        period_days=period,
    )
    reason = _refuse(control, treatment, period)
    if reason is not None:
        return replace(blank, status=status_of(reason), reason=reason.value)
    path = path_of(control, treatment, period_days=period)
    return bound_path(blank, path, alpha=alpha, bends=bends)


def bound_path(
    blank: Sensitivity,
    path: EventPath,
    *,
    alpha: float = 0.05,
    bends: Sequence[float] = (0.0,),
) -> Sensitivity:
    """The bounds of a path that was estimated in any way, e.g. for staggered adoption.

    Args:
        blank: names of experiment, metric and arms.
        path: with at least one coefficient before the reference period.
        alpha: error rate of the intervals, two-sided.
        bends: values of M.
    """
    reason = _refuse_path(path)
    if reason is not None:
        return replace(blank, status=status_of(reason), reason=reason.value)
    return replace(
        blank,
        status=EstimateStatus.OK,
        n_pre=path.n_pre,
        n_post=path.n_post,
        estimate=path.estimate,
        standard_error=path.standard_error,
        relative_magnitudes=tuple(
            bound_relative_magnitudes(path, mbar, alpha=alpha) for mbar in MBARS
        ),
        smoothness=tuple(bound_smoothness(path, m, alpha=alpha) for m in bends),
        breakdown_mbar=find_breakdown_mbar(path, alpha=alpha),
        breakdown_m=find_breakdown_m(path, alpha=alpha),
    )


def note_sensitivity(estimate: Estimate, found: Sensitivity) -> Estimate:
    """The row that rests on parallel trends, with its bounds in `details`.

    Args:
        estimate: the row.
        found: the bounds, or why there are none; as JSON values under `sensitivity`.
    """
    names = (
        "reason",
        "period_days",
        "n_pre",
        "n_post",
        "estimate",
        "standard_error",
        "breakdown_mbar",
        "breakdown_m",
    )
    noted = {
        "status": found.status.value,
        **{name: getattr(found, name) for name in names},
        "relative_magnitudes": [asdict(one) for one in found.relative_magnitudes],
        "smoothness": [asdict(one) for one in found.smoothness],
    }
    return replace(estimate, details={**estimate.details, "sensitivity": noted})


def find_breakdown_mbar(path: EventPath, *, alpha: float = 0.05) -> float:
    """Largest Mbar at which no effect is still rejected; 0 when it never is."""

    def is_robust(mbar: float) -> bool:
        """Does the interval of this Mbar exclude 0?"""
        return excludes_zero(path, mbar, alpha=alpha)

    return _bisect(is_robust, LARGEST_MBAR) if is_robust(0.0) else 0.0


def find_breakdown_m(path: EventPath, *, alpha: float = 0.05) -> float | None:
    """Largest M at which the smoothness interval excludes 0; None when none does."""

    def is_robust(bend: float) -> bool:
        """Does the interval of this bend exclude 0?"""
        return bound_smoothness(path, bend, alpha=alpha).excludes_zero

    if not is_robust(0.0):
        return None
    # A bend beyond the effect itself always leaves 0 possible.
    largest = 10 * (abs(path.estimate) + path.standard_error)
    return largest * _bisect(lambda share: is_robust(share * largest), 1.0)


def _bisect(is_robust: Callable[[float], bool], largest: float) -> float:
    low, high = 0.0, min(1.0, largest)
    while high < largest and is_robust(high):
        low, high = high, min(2 * high, largest)
    if high == largest and is_robust(high):
        return high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_robust(middle) else (low, middle)
    return low


def _refuse(control: GramTotals, treatment: GramTotals, period: int) -> Refusal | None:
    effective = count_effective_arms(control.cluster_shares, treatment.cluster_shares)
    if min(control.n_clusters, treatment.n_clusters, effective) < FEWEST_CLUSTERS:
        return Refusal.TOO_FEW_CLUSTERS
    blocks = gather_days(control, period).days
    if REFERENCE not in blocks or min(blocks) == REFERENCE:
        return Refusal.NO_PRE_PERIOD
    return Refusal.NO_POST_PERIOD if max(blocks) == REFERENCE else None


def _refuse_path(path: EventPath) -> Refusal | None:
    is_finite = np.all(np.isfinite(path.coefficients))
    if not is_finite or not np.all(np.isfinite(path.covariance)):
        return Refusal.INVALID_MOMENTS
    if path.flat_reason:
        return Refusal(path.flat_reason)
    sizes = np.sqrt(np.diag(path.covariance))
    if math.isclose(float(np.min(sizes)), 0.0, abs_tol=1e-300):
        return Refusal.ZERO_VARIANCE
    least = np.linalg.eigvalsh(path.covariance / np.outer(sizes, sizes))[0]
    return Refusal.ZERO_VARIANCE if least < 1e-10 else None
