"""The Poisson bootstrap: an interval for any statistic of weighted units."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.draft import (
    Refusal,
    draft_estimate,
    find_refusal,
    judge_spread,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.lift import withhold_interval
from exp_platform.stats.settings import EstimateSettings

Statistic = Callable[[Array, NDArray[np.uint8]], Array]

CHUNK = 4_000_000
"""Weights drawn at a time: memory stays at a few megabytes."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class UnitSample:
    """One arm's values, one row per independently assigned unit.

    Attributes:
        values: shape (n_units, n_columns).
    """

    experiment_id: str
    metric_name: str
    variant: str
    values: Array
    segment: str = "all"

    @property
    def n(self) -> int:
        """Units."""
        return int(self.values.shape[0])


def weighted_mean(values: Array, weights: NDArray[np.uint8]) -> Array:
    """Mean of the first column per resample; shape (n_resamples,).

    Args:
        values: shape (n_units, n_columns).
        weights: times each unit was drawn, shape (n_resamples, n_units).
    """
    drawn = weights.astype(np.float64)
    return np.asarray(drawn @ values[:, 0] / drawn.sum(axis=1))


def weighted_ratio(values: Array, weights: NDArray[np.uint8]) -> Array:
    """Sum of the first column over sum of the second per resample.

    Args:
        values: shape (n_units, 2).
        weights: times each unit was drawn, shape (n_resamples, n_units).
    """
    sums = weights.astype(np.float64) @ values[:, :2]
    return np.asarray(sums[:, 0] / sums[:, 1])


def weighted_quantile(share: float) -> Statistic:
    """The statistic "order statistic at this share" of the first column.

    Args:
        share: 0 to 1.
    """

    def find(values: Array, weights: NDArray[np.uint8]) -> Array:
        """The order statistic of each row of weights."""
        order = np.argsort(values[:, 0], kind="stable")
        counts = np.cumsum(weights[:, order], axis=1, dtype=np.int64)
        wanted = np.ceil(share * counts[:, -1:] - 1e-9)
        first = np.argmax(counts >= np.maximum(wanted, 1), axis=1)
        return np.asarray(values[order[first], 0])

    return find


def resample_statistic(
    values: Array,
    statistic: Statistic,
    random: np.random.Generator,
    *,
    n_resamples: int = RESAMPLES,
) -> Array:
    """The statistic under Poisson(1) weights, as if units had been drawn anew.

    Args:
        values: shape (n_units, n_columns).
        statistic: values and weights to one number per resample.
        random: source of the weights.
        n_resamples: how many.

    Returns:
        Shape (n_resamples,).

    References:
        Hanley and MacGibbon (2006); Chamandy and others (2012).
    """
    rows = max(1, CHUNK // max(len(values), 1))
    parts = []
    for start in range(0, n_resamples, rows):
        size = (min(rows, n_resamples - start), len(values))
        parts.append(statistic(values, _draw_poisson(random, size)))
    return np.concatenate(parts)


def estimate_bootstrap(
    control: UnitSample,
    treatment: UnitSample,
    settings: EstimateSettings,
    statistic: Statistic = weighted_mean,
    *,
    seed: int,
    n_resamples: int = RESAMPLES,
) -> Estimate:
    """By how much does any statistic of the units differ?

    Percentile intervals, for the difference and for the lift; the p-value is twice the
    smaller share of resampled differences on one side of 0, so that it is below alpha
    just where the interval leaves 0 out.

    Args:
        control: units of the baseline arm.
        treatment: units of the compared arm.
        settings: metric, role, alpha, least units.
        statistic: of values and weights.
        seed: the same seed gives the same row.
        n_resamples: resamples; the p-value is never below 2 / (n_resamples + 1).

    Estimand:
        Difference of the arms' statistic under assignment.

    Assumptions:
        Units were randomised one by one; the statistic varies smoothly with the
        weights (no maximum or minimum).

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, ZERO_VARIANCE or PRECISION_LOST;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Efron and Tibshirani (1993); Chamandy and others (2012).
    """
    draft = draft_estimate("poisson_bootstrap", control, treatment, settings)
    reason = find_refusal(draft, settings.min_units_per_arm, (), variances=())
    if reason is None and not _is_finite(control, treatment):
        reason = Refusal.INVALID_MOMENTS
    if reason is not None:
        return refuse_estimate(draft, reason)
    with np.errstate(all="ignore"):
        means = (_point(control, statistic), _point(treatment, statistic))
        seeds = np.random.SeedSequence(seed).spawn(2)
        draws = [
            resample_statistic(
                arm.values, statistic, np.random.default_rng(s), n_resamples=n_resamples
            )
            for arm, s in zip((control, treatment), seeds, strict=True)
        ]
        completed = _complete(draft, means, draws, settings.alpha)
    if completed.reason in {Refusal.ZERO_VARIANCE, Refusal.PRECISION_LOST}:
        lost = _judge_samples(control, treatment) or Refusal(completed.reason)
        return refuse_estimate(draft, lost, means=means)
    details = {**completed.details, "n_resamples": n_resamples, "seed": seed}
    return replace(completed, details=details)


def _point(arm: UnitSample, statistic: Statistic) -> float:
    """The statistic of the units as they are: every weight is 1."""
    return float(statistic(arm.values, np.ones((1, arm.n), np.uint8))[0])


def _complete(
    draft: Estimate, means: tuple[float, float], draws: list[Array], alpha: float
) -> Estimate:
    base, other = means
    gaps = draws[1] - draws[0]
    if not (np.isfinite(means).all() and np.isfinite(gaps).all()):
        return refuse_estimate(draft, Refusal.INVALID_MOMENTS, means=means)
    if np.ptp(gaps) == 0:
        return refuse_estimate(draft, Refusal.ZERO_VARIANCE, means=means)
    with np.errstate(all="ignore"):
        error = float(np.std(gaps, ddof=1))
    if not math.isfinite(error):
        return refuse_estimate(draft, Refusal.INVALID_MOMENTS, means=means)
    n = (draft.n_control or 0) + (draft.n_treatment or 0)
    lost = judge_spread(error, max(abs(base), abs(other)), n=n)
    if lost is not None:
        return refuse_estimate(draft, lost, means=means)
    lower, upper = _limits(gaps, alpha)
    has_lift = base > 0 and bool((draws[0] > 0).all())
    lifts = gaps / draws[0] if has_lift else gaps
    low, high = _limits(lifts, alpha)
    p = _two_sided(gaps)
    row = replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=base,
        treatment_mean=other,
        difference=other - base,
        standard_error=error,
        ci_lower=float(lower),
        ci_upper=float(upper),
        relative_lift=(other - base) / base if has_lift else None,
        relative_ci_lower=float(low) if has_lift else None,
        relative_ci_upper=float(high) if has_lift else None,
        relative_method="percentile" if has_lift else None,
        p_value=p,
        relative_p_value=p if has_lift else None,
    )
    is_constant = any(np.ptp(values) == 0 for values in draws)
    return withhold_interval(row) if is_constant else row


def _limits(values: Array, alpha: float) -> tuple[float, float]:
    """The resampled values that 0 must lie outside of for the p-value to be below alpha.

    Between two of them the interval could leave 0 out and p be above alpha.
    """
    beyond = max(math.ceil(alpha * (values.size + 1) / 2 - 1e-9) - 2, 0)
    ordered = np.sort(values)
    return float(ordered[beyond]), float(ordered[-1 - beyond])


def _two_sided(gaps: Array) -> float:
    """Twice the smaller share on one side of 0; ties count on both sides."""
    fewest = min(np.count_nonzero(gaps <= 0), np.count_nonzero(gaps >= 0))
    return float(min(1.0, 2 * (1 + fewest) / (1 + gaps.size)))


def _is_finite(*samples: UnitSample) -> bool:
    return all(bool(np.isfinite(sample.values).all()) for sample in samples)


_POISSON_CDF = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 13)]))


def _draw_poisson(
    random: np.random.Generator, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Poisson(1) draws by inversion; twelve and more has probability below 1e-9."""
    return np.searchsorted(_POISSON_CDF, random.random(size)).astype(np.uint8)


def _judge_samples(control: UnitSample, treatment: UnitSample) -> Refusal | None:
    """Why a statistic does not vary: neither do the values, or only in their rounding."""
    judged = [
        judge_spread(float(column.std()), float(column.mean()), extent=np.ptp(column))
        for sample in (control, treatment)
        for column in sample.values.T
    ]
    if Refusal.PRECISION_LOST in judged:
        return Refusal.PRECISION_LOST
    return Refusal.ZERO_VARIANCE if all(judged) else None
