"""How much of a difference do the most extreme units carry?"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MetricTotals, TailTotals
from exp_platform.stats.draft import (
    ROUNDING,
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.quantile import rank_of
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, arm_of, compare_arms

METHOD = "tail_capped"

TOP_SHARE = 0.001

Pair = tuple[MetricTotals, MetricTotals]
"""Moments of control and treatment."""


@dataclass(frozen=True, slots=True)
class TailInfluence:
    """A comparison with and without what lies above a common threshold.

    Attributes:
        threshold: units above it count as the threshold in the capped comparison.
        n_above: units above it in control and treatment.
        difference, p_value: of the values as they are.
        capped_difference, capped_p_value: of the capped values.
        carried: part of the difference that lies above the threshold, in units of the
            metric.
        carried_share: the same as a share of the difference; null when that is 0. Above
            1 or below 0 the tail speaks against the rest.
        shift: carried, in standard errors of the difference.
        error_ratio: standard error of the capped over the plain difference.
    """

    threshold: float
    n_above: tuple[int, int]
    difference: float
    p_value: float
    capped_difference: float
    capped_p_value: float | None
    carried: float
    carried_share: float | None
    shift: float
    error_ratio: float


def find_threshold(values: Array, *, top_share: float = TOP_SHARE) -> float:
    """The order statistic that leaves so large a share of all arms' units above it.

    Args:
        values: of all arms pooled, zeros included.
        top_share: 0 to 1.
    """
    ordered = np.sort(values)
    return float(ordered[ordered.size - 1 - count_top(ordered.size, top_share)])


def count_top(n: int, top_share: float = TOP_SHARE) -> int:
    """How many of n units, at most, lie above the order statistic of that share.

    Args:
        n: units of all arms.
        top_share: 0 to 1.
    """
    return min(n - rank_of(1 - top_share, n), max(n - 1, 0))


def summarise_tail(
    names: tuple[str, str, str], values: Array, threshold: float
) -> TailTotals:
    """The units of one arm above a threshold.

    Args:
        names: experiment, metric and variant.
        values: one per unit.
        threshold: common to all arms.
    """
    above = values[values > threshold]
    mean, variance = (
        (float(above.mean()), float(above.var())) if above.size else (None, None)
    )
    return TailTotals(*names, threshold, int(above.size), mean, variance)


def assess_tail(
    control: MetricTotals,
    treatment: MetricTotals,
    tails: tuple[TailTotals, TailTotals],
    *,
    alpha: float = 0.05,
    capped: Pair | None = None,
) -> TailInfluence | None:
    """What is left of the difference when the tail is capped?

    Args:
        control: moments of the control arm.
        treatment: moments of the treatment arm.
        tails: of control and treatment, with one threshold.
        alpha: error rate of the intervals inside; only p-values are handed on.
        capped: moments of the capped values where units are at hand; else they follow
            from the tails.

    Returns:
        None where moments are missing or nothing varies, or the tails are so large that
        no digits are left below them.

    References:
        Dixon (1960), winsorised means.

    Raises:
        ContractError: the two thresholds differ.
    """
    if tails[0].threshold != tails[1].threshold:
        raise ContractError(
            "the arms' tails have different thresholds",
            where=f"{control.experiment_id}, metric {control.metric_name}",
            found=f"{tails[0].threshold} and {tails[1].threshold}",
            allowed="one order statistic of all arms pooled",
        )
    arms = (control, treatment)
    if any(a.mean is None or a.variance is None or a.n < 2 for a in arms):
        return None
    plain = compare_arms(arm_of(control), arm_of(treatment), alpha).inference
    error = float(plain.standard_error[0])
    if not (math.isfinite(error) and error > 0):
        return None
    found = _cap_arms(arms, tails, capped)
    if found is None:
        return None
    below = compare_arms(*found, alpha=alpha).inference
    difference, left = float(plain.difference[0]), float(below.difference[0])
    p = float(below.p_value[0])
    return TailInfluence(
        threshold=tails[0].threshold,
        n_above=(tails[0].n_above, tails[1].n_above),
        difference=difference,
        p_value=float(plain.p_value[0]),
        capped_difference=left,
        capped_p_value=p if math.isfinite(p) else None,
        carried=difference - left,
        carried_share=(difference - left) / difference if difference else None,
        shift=(difference - left) / error,
        error_ratio=float(below.standard_error[0]) / error,
    )


def estimate_capped(
    control: MetricTotals,
    treatment: MetricTotals,
    tails: tuple[TailTotals, TailTotals],
    settings: EstimateSettings,
    *,
    top_share: float = TOP_SHARE,
    capped: Pair | None = None,
) -> Estimate:
    """By how much do the arms differ when the most extreme units are put on a cap?

    The row's numbers are Welch's on the capped values; `details` holds the threshold,
    the units above it, and how much of the plain difference they carry.

    Args:
        control: moments of the control arm.
        treatment: moments of the treatment arm.
        tails: of control and treatment, with one threshold.
        settings: metric, role, alpha, least units.
        top_share: that the threshold was chosen for; stored.
        capped: as `assess_tail`.

    Estimand:
        Average effect on the capped value: another one than on the value itself. The
        cap is chosen from the data, so the row explains and does not decide.

    Assumptions:
        As `estimate_welch`; the threshold varies little from sample to sample.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS (also when the share is not one unit),
        ZERO_VARIANCE or PRECISION_LOST (also when moments have no digits left below
        the tail); METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Dixon (1960).

    Raises:
        ContractError: the two thresholds differ.
    """
    draft = draft_estimate(METHOD, control, treatment, settings)
    means = (control.mean, treatment.mean)
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        means,
        variances=(control.variance, treatment.variance),
        values=map(spread_of, (control, treatment)),
    )
    if reason is None and count_top(control.n + treatment.n, top_share) == 0:
        reason = Refusal.TOO_FEW_UNITS
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    found = assess_tail(control, treatment, tails, alpha=settings.alpha, capped=capped)
    arms = _cap_arms((control, treatment), tails, capped)
    if found is None or arms is None:
        lacking = _find_lack(control, treatment) if arms else Refusal.PRECISION_LOST
        return refuse_estimate(draft, lacking, means=means)
    comparison = compare_arms(*arms, alpha=settings.alpha)
    return complete_estimate(draft, comparison, details=_describe(found, top_share))


def _find_lack(*arms: MetricTotals) -> Refusal:
    """Why there is no influence of a tail: as the plain comparison would say."""
    control, treatment = map(arm_of, arms)
    plain = compare_arms(control, treatment, alpha=0.05).inference
    is_flat = float(plain.standard_error[0]) == 0
    return Refusal.ZERO_VARIANCE if is_flat else Refusal.INVALID_MOMENTS


def _describe(found: TailInfluence, top_share: float) -> dict[str, Any]:
    return {
        "top_share": top_share,
        "threshold": found.threshold,
        "n_above": list(found.n_above),
        "plain_difference": found.difference,
        "plain_p_value": found.p_value,
        "carried": found.carried,
        "carried_share": found.carried_share,
        "shift": found.shift,
        "error_ratio": found.error_ratio,
    }


def _cap_arms(
    arms: Pair, tails: tuple[TailTotals, TailTotals], capped: Pair | None
) -> tuple[Arm, Arm] | None:
    """Both arms on the cap; None where their moments have no digits left for it."""
    if capped is not None:
        return arm_of(capped[0]), arm_of(capped[1])
    first, second = (_cap(arm, tail) for arm, tail in zip(arms, tails, strict=True))
    return None if first is None or second is None else (first, second)


def _cap(totals: MetricTotals, tail: TailTotals) -> Arm | None:
    """The arm's moments with every unit above the threshold put on it.

    Sums of squares are about the threshold, so that nothing large cancels but the
    tail's own.
    """
    share = tail.n_above / totals.n
    mean, variance = totals.mean or 0.0, totals.variance or 0.0
    excess = (tail.mean_above or 0.0) - tail.threshold if tail.n_above else 0.0
    below = mean - tail.threshold
    # products, not powers: these overflow to infinity instead of raising
    whole = variance * (totals.n - 1) / totals.n + below * below
    squares = whole - share * ((tail.variance_above or 0.0) + excess * excess)
    capped_mean = mean - share * excess
    left = squares - (capped_mean - tail.threshold) * (capped_mean - tail.threshold)
    least = totals.min_value
    if tail.n_above == totals.n or (least is not None and least >= tail.threshold):
        capped_mean, left = tail.threshold, 0.0
    elif tail.n_above and left <= ROUNDING * whole:
        return None
    return Arm(
        n=np.array([float(totals.n)]),
        mean=np.array([capped_mean]),
        variance=np.array([left * totals.n / (totals.n - 1)]),
    )
