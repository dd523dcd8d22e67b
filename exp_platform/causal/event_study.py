"""Event study: the effect day by day, and whether it wears off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exp_platform.causal.clusters import count_effective_arms, refuse_clusters
from exp_platform.causal.contrasts import contrast_days
from exp_platform.causal.trend import assess_trend
from exp_platform.records import EstimateStatus, GramTotals, PretrendDelta
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import status_of
from exp_platform.stats.inference import Inference, infer_difference

FEWEST_POST_DAYS = 3
"""Days of effect below which no trend is looked for."""


@dataclass(frozen=True, slots=True)
class NoveltyTrend:
    """Does the effect change over the days after the start?

    Attributes:
        slope: change of the daily effect per day, in units of the metric.
        change: slope x days between the first and the last post day.
        n_days: post days that were used.
        reason: why there is no number, when there is none.
    """

    experiment_id: str
    metric_name: str
    treatment: str
    status: EstimateStatus
    reason: str = ""
    slope: float | None = None
    slope_se: float | None = None
    p_value: float | None = None
    df: float | None = None
    change: float | None = None
    n_days: int = 0


def estimate_deltas(
    control: GramTotals,
    treatment: GramTotals,
    *,
    reference_day: int = -1,
    alpha: float = 0.05,
) -> tuple[PretrendDelta, ...]:
    """How large was the gap between the arms on each day, against the reference day?

    CR1 errors by cluster with the factor of the 2x2 estimate (each delta is one), and
    t(G - 1). Regression packages count unit x day rows instead of units in N and every
    delta in k: their errors differ by a common factor close to 1.

    Args:
        control: daily means and cross-products of the untreated arm.
        treatment: the same days of the treated arm.
        reference_day: day whose gap is taken as 0.
        alpha: two-sided error rate of each day's interval.

    Returns:
        One row per day, in the order of the totals. Without the reference day, or
        with an arm of one unit, all deltas are null; with fewer than 20 clusters in an
        arm, or effectively, as in `event_average`, or without variance, the errors are.

    Estimand:
        Daily ATT for days from 0 on; 0 before, if trends run parallel.

    Assumptions:
        As `did.estimate_did`.

    References:
        Freyaldenhoven, Hansen and Shapiro (2019).
    """
    days = control.days
    if reference_day not in days or min(control.n, treatment.n) <= 1:
        return tuple(_blank(control, treatment, day) for day in days)
    contrasts = contrast_days(control, treatment, days, reference_day=reference_day)
    g = control.n_clusters + treatment.n_clusters
    effective = count_effective_arms(control.cluster_shares, treatment.cluster_shares)
    reason = refuse_clusters(control.n_clusters, treatment.n_clusters, effective)
    is_enough = reason is None
    errors = np.sqrt(contrasts.variances) * (1.0 if is_enough else np.nan)
    with np.errstate(all="ignore"):
        inference = infer_difference(
            contrasts.deltas, errors, np.full(len(days), g - 1.0), alpha
        )
    return tuple(
        _row(control, treatment, inference, index, is_reference=day == reference_day)
        for index, day in enumerate(days)
    )


def assess_novelty(
    control: GramTotals, treatment: GramTotals, *, first_day: int = 0
) -> NoveltyTrend:
    """Does the effect grow or wear off over the days after the start?

    A generalised least-squares slope through the daily effects; the pre-period plays no
    part in it.

    Args:
        control: daily means and cross-products of the untreated arm.
        treatment: the same days of the treated arm.
        first_day: first post day that counts.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_DAYS, TOO_FEW_CLUSTERS, ZERO_VARIANCE,
        PRECISION_LOST or SINGULAR_COVARIANCE; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Rao (1967).
    """
    post = [day for day in control.days if day >= first_day]
    reason = ""
    if len(post) < FEWEST_POST_DAYS:
        reason = "TOO_FEW_DAYS"
    elif min(control.n_clusters, treatment.n_clusters) < FEWEST_CLUSTERS:
        reason = "TOO_FEW_CLUSTERS"
    if reason:
        return _no_trend(control, treatment, reason)
    return _fit_novelty(control, treatment, post)


def _fit_novelty(
    control: GramTotals, treatment: GramTotals, post: Sequence[int]
) -> NoveltyTrend:
    contrasts = contrast_days(control, treatment, post[1:], reference_day=post[0])
    if contrasts.is_finite and np.any(contrasts.variances == 0):
        return _no_trend(control, treatment, contrasts.flat_reason)
    trend = assess_trend(contrasts)
    if isinstance(trend, str):
        return _no_trend(control, treatment, trend)
    return NoveltyTrend(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        treatment=treatment.variant,
        status=EstimateStatus.OK,
        slope=trend.slope,
        slope_se=trend.slope_se,
        p_value=trend.p_slope,
        df=trend.df_denominator,
        change=trend.slope * (post[-1] - post[0]),
        n_days=len(post),
    )


def _no_trend(control: GramTotals, treatment: GramTotals, reason: str) -> NoveltyTrend:
    return NoveltyTrend(
        control.experiment_id,
        control.metric_name,
        treatment.variant,
        status_of(reason),
        reason,
    )


def _row(
    control: GramTotals,
    treatment: GramTotals,
    inference: Inference,
    index: int,
    *,
    is_reference: bool,
) -> PretrendDelta:
    tested = [
        inference.standard_error,
        inference.ci_lower,
        inference.ci_upper,
        inference.p_value,
    ]
    error, lower, upper, p_value = (float(values[index]) for values in tested)
    delta = 0.0 if is_reference else float(inference.difference[index])
    has_error = not is_reference and 0 < error < math.inf and math.isfinite(delta)
    return PretrendDelta(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        control=control.variant,
        treatment=treatment.variant,
        day=control.days[index],
        period="pre" if control.days[index] < 0 else "post",
        delta=delta if math.isfinite(delta) else None,
        standard_error=error if has_error else None,
        ci_lower=lower if has_error else None,
        ci_upper=upper if has_error else None,
        p_value=p_value if has_error else None,
        n_control=control.n,
        n_treatment=treatment.n,
        is_reference=is_reference,
    )


def _blank(control: GramTotals, treatment: GramTotals, day: int) -> PretrendDelta:
    return PretrendDelta(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        control=control.variant,
        treatment=treatment.variant,
        day=day,
        period="pre" if day < 0 else "post",
        delta=None,
        standard_error=None,
        ci_lower=None,
        ci_upper=None,
        p_value=None,
        n_control=control.n,
        n_treatment=treatment.n,
    )
