"""Post-stratification: differences inside segments, weighted by the segments' sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exp_platform.errors import UsageError
from exp_platform.records import Estimate, MetricTotals, MetricType
from exp_platform.stats.comparison import Comparison, compare_means
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_constants,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms

FEWEST_PER_STRATUM = 10
"""Units of an arm below which a stratum is pooled with the other small ones."""

REST = "(rest)"


@dataclass(frozen=True, slots=True)
class _Strata:
    """Both arms by stratum, arrays of shape (n_strata,)."""

    control: Arm
    treatment: Arm
    names: tuple[str, ...]


def estimate_post_stratified(
    control: Sequence[MetricTotals],
    treatment: Sequence[MetricTotals],
    settings: EstimateSettings,
) -> Estimate:
    """By how much do the arms differ when their mixture of segments is made equal?

    The weight of a stratum is its share of the units of both arms. Strata with fewer
    than 10 units in an arm are pooled into one. `details` holds the strata's weights
    and the variance ratio against Welch.

    Args:
        control: moments by segment; the segments divide the arm's units.
        treatment: the same segments of the other arm.
        settings: metric, role, alpha, least units.

    Estimand:
        Average effect of being assigned to the treatment, over the population the
        exposed units were drawn from.

    Assumptions:
        Randomised units; a unit's segment was fixed before exposure.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS or ZERO_VARIANCE; METRIC_ERRORED with
        INVALID_MOMENTS.

    References:
        Miratrix, Sekhon and Yu (2013).

    Raises:
        UsageError: the metric is a ratio: its strata do not average.
    """
    if settings.definition.type is MetricType.RATIO:
        raise UsageError(
            "a ratio is not an average of its strata's ratios",
            where=f"metric {settings.definition.name}",
            next_step="regression adjustment with the strata as indicators",
        )
    pairs = _pair(control, treatment)
    draft = draft_estimate(
        "post_stratified", _whole(control), _whole(treatment), settings
    )
    totals = [arm for pair in pairs for arm in pair if arm.n > 0]
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [arm.mean for arm in totals],
        variances=[arm.variance for arm in totals if arm.n > 1],
        values=map(spread_of, totals),
    )
    if reason is not None:
        return refuse_estimate(draft, reason)
    strata = _pool_small(pairs)
    reason = _judge_strata(strata)
    if reason is not None:
        return refuse_estimate(draft, reason)
    return _complete(draft, strata)


def _judge_strata(strata: _Strata) -> Refusal | None:
    """Of the pooled strata: one of a single unit never varies, the pooled ones may."""
    if min(strata.control.n.min(), strata.treatment.n.min()) < 2:
        return Refusal.TOO_FEW_UNITS
    return refuse_constants(
        (float(mean), float(variance), None)
        for arm in (strata.control, strata.treatment)
        for mean, variance in zip(arm.mean, arm.variance, strict=True)
    )


def _complete(draft: Estimate, strata: _Strata) -> Estimate:
    """The row with its strata's weights, and what they spared."""
    comparison, weights = compare_strata(strata.control, strata.treatment, draft.alpha)
    plain = compare_arms(
        _merge(strata.control), _merge(strata.treatment), draft.alpha
    ).inference
    before = float(plain.standard_error[0])
    after = float(comparison.inference.standard_error[0])
    details = {
        "weights": dict(zip(strata.names, map(float, weights), strict=True)),
        "variance_ratio": (after / before) ** 2 if before > 0 else None,
        "difference_raw": float(plain.difference[0]),
    }
    return complete_estimate(draft, comparison, details=details)


@np.errstate(all="ignore")
def compare_strata(
    control: Arm, treatment: Arm, alpha: float
) -> tuple[Comparison, Array]:
    """One comparison out of many strata, and the strata's weights.

    Args:
        control: baseline arm by stratum, fields of shape (n_strata,).
        treatment: compared arm, same shape.
        alpha: two-sided error rate of the interval.
    """
    n = float(np.sum(control.n + treatment.n))
    weights = (control.n + treatment.n) / n
    effects = treatment.mean - control.mean
    base, effect = (float(weights @ values) for values in (control.mean, effects))
    b = weights**2 * control.variance_of_mean
    a = weights**2 * treatment.variance_of_mean
    # The weights are themselves a sample of the population's.
    drawn = float(weights @ (effects - effect) ** 2) / n
    shared = float(weights @ ((effects - effect) * (control.mean - base))) / n
    own = float(weights @ (control.mean - base) ** 2) / n
    df = (a.sum() + b.sum()) ** 2 / np.sum(
        a**2 / (treatment.n - 1) + b**2 / (control.n - 1)
    )
    comparison = compare_means(
        (np.array([base]), np.array([base + effect])),
        np.array([np.sqrt(a.sum() + b.sum() + drawn)]),
        np.array([df]),
        baseline=Baseline(
            np.array([base]), np.array([b.sum() + own]), np.array([shared - b.sum()])
        ),
        alpha=alpha,
    )
    return comparison, weights


def _whole(strata: Sequence[MetricTotals]) -> MetricTotals:
    """Names and units of the arm; its moments are not used."""
    return replace(strata[0], n=sum(arm.n for arm in strata), segment="all")


def _pair(
    control: Sequence[MetricTotals], treatment: Sequence[MetricTotals]
) -> list[tuple[MetricTotals, MetricTotals]]:
    """Both arms by segment; a segment that one arm lacks has no units there."""
    arms = [{arm.segment: arm for arm in side} for side in (control, treatment)]
    names = sorted(arms[0].keys() | arms[1].keys())

    def of(side: int, name: str, model: Sequence[MetricTotals]) -> MetricTotals:
        """The arm in that segment, empty where it has none."""
        blank = replace(model[0], segment=name, n=0, mean=None, variance=None)
        return arms[side].get(name, blank)

    return [(of(0, name, control), of(1, name, treatment)) for name in names]


def _pool_small(pairs: Sequence[tuple[MetricTotals, MetricTotals]]) -> _Strata:
    large = [p for p in pairs if min(arm.n for arm in p) >= FEWEST_PER_STRATUM]
    small = [p for p in pairs if min(arm.n for arm in p) < FEWEST_PER_STRATUM]
    names = [pair[0].segment for pair in large]
    sides: list[Arm] = []
    for side in (0, 1):
        columns = _columns([pair[side] for pair in large])
        if small:
            rest = _merge(_columns([pair[side] for pair in small]))
            columns = _join(columns, rest)
        sides.append(columns)
    return _Strata(sides[0], sides[1], (*names, *([REST] if small else [])))


def _columns(totals: Sequence[MetricTotals]) -> Arm:
    """Empty strata and single units count with variance 0."""
    rows = [(arm.n, arm.mean or 0.0, arm.variance or 0.0) for arm in totals]
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return Arm(table[:, 0], table[:, 1], table[:, 2])


def _join(arm: Arm, other: Arm) -> Arm:
    return Arm(
        np.append(arm.n, other.n),
        np.append(arm.mean, other.mean),
        np.append(arm.variance, other.variance),
    )


def _merge(arm: Arm) -> Arm:
    """Disjoint sets of units as one, shape (1,)."""
    n = arm.n.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(arm.n @ arm.mean) / max(n, 1.0)
        inside = float(np.maximum(arm.n - 1, 0) @ arm.variance)
        squares = inside + float(arm.n @ (arm.mean - mean) ** 2)
    return Arm(np.array([n]), np.array([mean]), np.array([squares / max(n - 1, 1.0)]))
