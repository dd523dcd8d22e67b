"""Did both groups move alike before the event, and could we have seen it if not?"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from exp_platform.causal.contrasts import DayContrasts, contrast_days
from exp_platform.causal.trend import TrendTest, assess_trend
from exp_platform.records import (
    Estimate,
    EstimateRole,
    EstimateStatus,
    GramTotals,
    PretrendOutcome,
    PretrendTest,
)
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal, status_of

IMBALANCE_ALPHA = 0.001
"""On a randomised experiment the tests only look for an imbalance before exposure."""

POWER = 0.8

FLAT = 1e-9
"""A day without variance may be left out when its delta is so small, relatively."""


@dataclass(frozen=True, slots=True)
class _Stakes:
    """What a drift would do to the estimate.

    Attributes:
        reach: days between the centres of the pre- and the post-period; None without
            post days.
        tolerance: largest bias that would not matter; None when nothing says.
    """

    reach: float | None
    tolerance: float | None


def assess_pretrends(
    control: GramTotals,
    treatment: GramTotals,
    *,
    planned_effect: float | None,
    estimate: Estimate | None,
    role: EstimateRole = EstimateRole.DIAGNOSTIC,
    alpha: float = 0.05,
) -> PretrendTest:
    """Do pre-period trends run parallel, and could we have seen it if not?

    The gaps on the days before the event, against the last of them, are tested jointly
    (Hotelling) and for a slope; Holm over both. The slope projected over the distance
    between the centres of the two periods is the bias it would bring; half the smaller
    of planned effect and estimate is what could be tolerated.

    Args:
        control: daily means and cross-products of the untreated arm.
        treatment: the same days of the treated arm.
        planned_effect: effect the experiment was sized for, in units of the metric.
        estimate: of the effect on the same metric, where there is one.
        role: a diagnostic (randomised experiment) is an imbalance check: its alpha is
            at most .001.
        alpha: error rate of both tests together.

    Outcomes:
        HOLDS, UNDERPOWERED, NEGLIGIBLE or FAILED with status OK. Without a tolerance or
        a post-period nothing can HOLD or be NEGLIGIBLE, and the reason says so.
        INSUFFICIENT_DATA with NO_PRE_PERIOD (fewer than two days), TOO_FEW_CLUSTERS,
        ZERO_VARIANCE, PRECISION_LOST or SINGULAR_COVARIANCE; METRIC_ERRORED with
        INVALID_MOMENTS. Days on which nothing varies and nothing
        differs are left out.

    References:
        Roth (2022); Krishnamoorthy and Yu (2004).
    """
    blank = PretrendTest(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        control=control.variant,
        treatment=treatment.variant,
        status=EstimateStatus.INSUFFICIENT_DATA,
        role=role,
    )
    pre = sorted(day for day in control.days if day < 0)
    if len(pre) <= 1:
        return replace(blank, reason="NO_PRE_PERIOD", n_pre_days=len(pre))
    if min(control.n_clusters, treatment.n_clusters) < FEWEST_CLUSTERS:
        return replace(blank, reason="TOO_FEW_CLUSTERS", n_pre_days=len(pre))
    contrasts = contrast_days(control, treatment, pre[:-1], reference_day=pre[-1])
    return assess_contrasts(
        contrasts,
        replace(blank, n_pre_days=len(pre)),
        days=control.days,
        planned_effect=planned_effect,
        estimate=estimate,
        alpha=alpha,
    )


def assess_contrasts(
    contrasts: DayContrasts,
    blank: PretrendTest,
    *,
    days: tuple[int, ...],
    planned_effect: float | None,
    estimate: Estimate | None,
    alpha: float = 0.05,
) -> PretrendTest:
    """The same for gaps that were estimated in any way, e.g. for staggered adoption.

    Args:
        contrasts: gaps on the days before the event against the last of them.
        blank: row with names, role and the number of days before the event.
        days: all day numbers, for the centres of the two periods.
        planned_effect: effect the experiment was sized for, in units of the metric.
        estimate: of the effect on the same metric, where there is one.
        alpha: error rate of both tests together.
    """
    trend = _test_varying_days(contrasts)
    if isinstance(trend, str):
        return replace(blank, status=status_of(trend), reason=trend)
    is_diagnostic = blank.role is EstimateRole.DIAGNOSTIC
    level = min(alpha, IMBALANCE_ALPHA) if is_diagnostic else alpha
    return _conclude(blank, trend, _weigh(days, planned_effect, estimate), level)


def _test_varying_days(contrasts: DayContrasts) -> TrendTest | str:
    if not contrasts.is_finite:
        return Refusal.INVALID_MOMENTS.value
    is_flat = contrasts.variances == 0
    if np.any(np.abs(contrasts.deltas[is_flat]) > FLAT * contrasts.scale):
        return contrasts.flat_reason
    if np.all(is_flat):
        return contrasts.flat_reason
    return assess_trend(contrasts.keep(~is_flat))


def _weigh(
    days: tuple[int, ...], planned_effect: float | None, estimate: Estimate | None
) -> _Stakes:
    found = estimate.difference if estimate is not None else None
    effects = [abs(value) for value in (planned_effect, found) if value is not None]
    centres = [
        sum(period) / len(period) if period else None
        for period in ([d for d in days if d < 0], [d for d in days if d >= 0])
    ]
    before, after = centres
    reach = after - before if before is not None and after is not None else None
    return _Stakes(reach, min(effects) / 2 if effects else None)


def _conclude(
    blank: PretrendTest, trend: TrendTest, stakes: _Stakes, level: float
) -> PretrendTest:
    is_single = trend.df_numerator == 1
    smaller = min(trend.p_joint, trend.p_slope)
    p_adjusted = smaller if is_single else min(1.0, 2 * smaller)
    bias = detectable = None
    if stakes.reach is not None:
        bias = trend.slope * stakes.reach
        # The slope test alone must pass Holm's first step to be sure of a rejection.
        first_step = level if is_single else level / 2
        detectable = stakes.reach * _detectable_slope(trend, first_step)
    outcome, reason = _decide(
        is_rejected=p_adjusted < level,
        bias=bias,
        detectable=detectable,
        tolerance=stakes.tolerance,
    )
    return replace(
        blank,
        status=EstimateStatus.OK,
        outcome=outcome,
        reason=reason,
        f_statistic=trend.f_statistic,
        df_numerator=trend.df_numerator,
        df_denominator=trend.df_denominator,
        p_joint=trend.p_joint,
        slope=trend.slope,
        slope_se=trend.slope_se,
        p_slope=trend.p_slope,
        p_adjusted=p_adjusted,
        bias=bias,
        tolerance=stakes.tolerance,
        detectable_bias=detectable,
    )


def _detectable_slope(trend: TrendTest, level: float) -> float:
    """Drift per day that the slope test finds with 80 % power."""
    df = trend.df_denominator
    return float(trend.slope_se * (stdtrit(df, 1 - level / 2) + stdtrit(df, POWER)))


def _decide(
    *,
    is_rejected: bool,
    bias: float | None,
    detectable: float | None,
    tolerance: float | None,
) -> tuple[PretrendOutcome, str]:
    """The four outcomes of METHODS section 5; what is unknown counts against."""
    worse = PretrendOutcome.FAILED if is_rejected else PretrendOutcome.UNDERPOWERED
    if tolerance is None:
        return worse, "NO_TOLERANCE"
    if bias is None or detectable is None:
        return worse, "NO_POST_PERIOD"
    if is_rejected and abs(bias) <= tolerance:
        return PretrendOutcome.NEGLIGIBLE, ""
    if not is_rejected and detectable <= tolerance:
        return PretrendOutcome.HOLDS, ""
    return worse, ""
