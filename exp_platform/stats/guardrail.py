"""Guardrails: is the treatment proven to be no worse than an agreed margin?"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from exp_platform.records import (
    ClusterTotals,
    Direction,
    Estimate,
    MarginScale,
    MetricDefinition,
    MetricPlan,
    MetricTotals,
    PanelTotals,
)
from exp_platform.stats.harm import harm_p_value
from exp_platform.stats.lift import explain_no_baseline, read_baseline
from exp_platform.stats.proportion import count_events
from exp_platform.stats.relative import Baseline, fieller_limits
from exp_platform.stats.score import (
    Counts,
    bound_difference,
    bound_ratio,
    score_difference,
    score_ratio,
)

ALPHA = 0.025
"""One-sided error rate of a guardrail: a harmful arm is called harmless this often."""


GuardedTotals = MetricTotals | PanelTotals | ClusterTotals

DOUBLINGS, BISECTIONS = 20, 24
"""Steps of the search for a bound by resampling: to 1e-7 of its first distance."""

TINY = 1e-9
"""Distance kept from a difference of 1 or a ratio of 0, where score tests end."""


class GuardrailStatus(StrEnum):
    """What is known about a guardrail; only NON_INFERIOR lets an arm ship."""

    NON_INFERIOR = "NON_INFERIOR"
    NOT_SHOWN = "NOT_SHOWN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class GuardrailAssessment:
    """One guardrail of one arm against its margin.

    Attributes:
        reason: coded cause of UNKNOWN, or of a bound that is null: INTERVAL_UNBOUNDED,
            the test of the margin stands but a baseline that may be 0 bounds no share,
            or BOUND_NOT_FOUND by resampling; else "".
        bound: the most harmful change the data allow, one-sided, in units of the metric
            for an absolute margin and as a share of the baseline for a relative one.
        p_value: one-sided, of "the harm is at least the margin".
        harm_p_value: one-sided, of "there is no harm".
        is_degraded: significantly worse than zero, inside or outside the margin.
        test: `t`, `miettinen_nurminen` where an arm has no event or only events, or
            `wild_cluster_bootstrap`.
    """

    experiment_id: str
    metric_name: str
    treatment: str
    status: GuardrailStatus
    reason: str = ""
    margin: float | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    bound: float | None = None
    p_value: float | None = None
    harm_p_value: float | None = None
    is_degraded: bool = False
    alpha: float = ALPHA
    test: str = "t"


@dataclass(frozen=True, slots=True)
class _Margin:
    """A margin with its direction: `good` is 1 when an increase is good, else -1."""

    size: float
    is_relative: bool
    good: float
    alpha: float


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a test says about a margin."""

    p_value: float
    bound: float | None
    harm_p_value: float | None
    test: str


def assess_guardrail(
    control: GuardedTotals,
    treatment: GuardedTotals,
    estimate: Estimate,
    plan: MetricPlan,
    definition: MetricDefinition,
    *,
    alpha: float = ALPHA,
    margin_test: Callable[[float], float] | None = None,
) -> GuardrailAssessment:
    """Is the treatment proven to be less harmful than the planned margin?

    With an absolute margin M (increase is good) the test is of difference + M > 0, with
    the estimate's standard error. With a relative margin m it is of
    difference + m x baseline > 0, whose variance is
    SE^2 + 2 m cov(difference, baseline) + m^2 var(baseline): for Welch the same as
    s_T^2 / n_T + (1 - m)^2 s_C^2 / n_C. The baseline is the control mean, for CUPED the
    adjusted one, for DiD the counterfactual mean; its variance and covariance come in
    the estimate's details. Where a decrease is good the signs of difference and
    covariance turn. A proportion without events (or without non-events) in an arm is
    tested by Miettinen and Nurminen's score instead.

    Args:
        control: totals the estimate was made from.
        treatment: totals of the compared arm.
        estimate: row of any method; its degrees of freedom are used.
        plan: carries the margin, a positive number.
        definition: tells which direction is good and what type the metric has.
        alpha: one-sided error rate.
        margin_test: p-value of "the harm is at least this margin", by margin on the
            plan's scale, where t does not serve (few clusters); None = t.

    Outcomes:
        NON_INFERIOR; NOT_SHOWN; UNKNOWN with NO_MARGIN, MARGIN_NOT_POSITIVE,
        CONTROL_MEAN_NOT_POSITIVE, BASELINE_VARIANCE_MISSING, ARM_WITHOUT_VARIANCE (of a
        metric that is no proportion) or the estimate's reason.

    References:
        Miettinen and Nurminen (1985); Fieller (1954).
    """
    is_relative = plan.margin_scale is MarginScale.RELATIVE
    good = 1.0 if definition.direction is Direction.INCREASE else -1.0
    margin = _Margin(plan.margin or 0.0, is_relative, good, alpha)
    counts = _rare_events(control, treatment, estimate, definition)
    reason = _find_unknown(estimate, plan, counts)
    if reason:
        evidence = None
    elif counts is not None:
        evidence = _score_evidence(counts, margin)
    elif margin_test is not None:
        evidence = _resampled_evidence(margin_test, margin)
    else:
        evidence = _estimate_evidence(estimate, margin, definition.direction)
    return _assess(estimate, plan, alpha, reason, evidence)


def _rare_events(
    control: GuardedTotals,
    treatment: GuardedTotals,
    estimate: Estimate,
    definition: MetricDefinition,
) -> Counts | None:
    """Counts of a proportion where an arm has no event or only events."""
    if not (isinstance(control, MetricTotals) and isinstance(treatment, MetricTotals)):
        return None
    has_numbers = estimate.is_ok or estimate.reason == "ZERO_VARIANCE"
    if not definition.type.is_share or not has_numbers:
        return None
    is_extreme = any(arm.mean in (0, 1) for arm in (control, treatment))
    return count_events(control, treatment) if is_extreme else None


def _find_unknown(estimate: Estimate, plan: MetricPlan, counts: Counts | None) -> str:
    """Why the guardrail cannot be judged, "" when it can."""
    if plan.margin is None:
        return "NO_MARGIN"
    if not (math.isfinite(plan.margin) and plan.margin > 0):
        return "MARGIN_NOT_POSITIVE"
    if counts is None and not estimate.is_ok:
        return estimate.reason or estimate.status.value
    if plan.margin_scale is MarginScale.RELATIVE:
        return _find_no_baseline(estimate, counts)
    return ""


def _find_no_baseline(estimate: Estimate, counts: Counts | None) -> str:
    """Why a relative margin has nothing to be relative to, "" when it has."""
    if counts is not None:
        has_events = bool(counts.control_events[0] > 0)
        return "" if has_events else "CONTROL_MEAN_NOT_POSITIVE"
    return explain_no_baseline(estimate)


def _estimate_evidence(
    estimate: Estimate, margin: _Margin, direction: Direction
) -> _Evidence:
    """The t test of the margin from the estimate and its baseline."""
    df = math.inf if estimate.df is None else estimate.df
    difference, error = estimate.difference or 0.0, estimate.standard_error or 0.0
    quantile = float(stdtrit(df, 1 - margin.alpha))
    allowed, variance = margin.size, error * error
    bound = difference - margin.good * quantile * error
    if margin.is_relative:
        baseline = cast("Baseline", read_baseline(estimate))
        mean, own, shared = (
            float(part[0])
            for part in (baseline.mean, baseline.variance, baseline.covariance)
        )
        allowed *= mean
        limits = fieller_limits(
            np.array([difference]), np.array([variance]), baseline, quantile
        )
        variance += 2 * margin.good * margin.size * shared + margin.size**2 * own
        bound = float(limits[0 if margin.good > 0 else 1][0])
    excess = margin.good * difference + allowed
    spread = math.sqrt(max(variance, 0.0))
    statistic = excess / spread if spread > 0 else math.copysign(math.inf, excess)
    return _Evidence(
        p_value=float(stdtr(df, -statistic)),
        bound=bound if math.isfinite(bound) else None,
        harm_p_value=harm_p_value(estimate, direction),
        test="t",
    )


def _resampled_evidence(
    margin_test: Callable[[float], float], margin: _Margin
) -> _Evidence:
    """The test of the margin by resampling; its bound is where that p meets alpha."""
    # No harm reaches the whole baseline, and no gain is looked for beyond twice it.
    step = 0.5 if margin.is_relative else margin.size
    harm = _invert(margin_test, step, margin.alpha)
    bound = None if harm is None else -margin.good * harm
    return _Evidence(
        p_value=margin_test(margin.size),
        bound=bound,
        harm_p_value=1 - margin_test(0.0),
        test="wild_cluster_bootstrap",
    )


def _invert(p_of: Callable[[float], float], step: float, alpha: float) -> float | None:
    """The smallest margin with p up to alpha; None when there is none in reach."""
    low, high = -step, step
    for _ in range(DOUBLINGS):
        if p_of(low) > alpha:
            break
        low, high = 2 * low, low
    for _ in range(DOUBLINGS):
        if p_of(high) <= alpha:
            break
        low, high = high, 2 * high
    if p_of(low) <= alpha or p_of(high) > alpha:
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if p_of(middle) <= alpha else (middle, high)
    return high


def _score_evidence(counts: Counts, margin: _Margin) -> _Evidence:
    """Miettinen and Nurminen's test of the margin, and their bound."""
    is_upper = margin.good < 0
    if margin.is_relative:
        ratio = np.array([max(1 - margin.good * margin.size, TINY)])
        statistic = score_ratio(counts, ratio)
        bound = bound_ratio(counts, margin.alpha, is_upper=is_upper) - 1
    else:
        edge = 1 - TINY
        allowed = np.array([np.clip(-margin.good * margin.size, -edge, edge)])
        statistic = score_difference(counts, allowed)
        bound = bound_difference(counts, margin.alpha, is_upper=is_upper)
    harm = score_difference(counts, np.zeros(1))
    return _Evidence(
        p_value=float(ndtr(-margin.good * statistic[0])),
        bound=float(bound[0]),
        harm_p_value=float(ndtr(margin.good * harm[0])),
        test="miettinen_nurminen",
    )


def _assess(
    estimate: Estimate,
    plan: MetricPlan,
    alpha: float,
    reason: str,
    evidence: _Evidence | None,
) -> GuardrailAssessment:
    if evidence is not None and evidence.bound is None:
        is_t = evidence.test == "t"
        reason = "INTERVAL_UNBOUNDED" if is_t else "BOUND_NOT_FOUND"
    if evidence is None:
        harm, status = None, GuardrailStatus.UNKNOWN
    else:
        is_shown = evidence.p_value <= alpha
        harm = evidence.harm_p_value
        status = GuardrailStatus.NON_INFERIOR if is_shown else GuardrailStatus.NOT_SHOWN
    return GuardrailAssessment(
        experiment_id=estimate.experiment_id,
        metric_name=estimate.metric_name,
        treatment=estimate.treatment,
        status=status,
        reason=reason,
        margin=plan.margin,
        margin_scale=plan.margin_scale,
        bound=evidence.bound if evidence else None,
        p_value=evidence.p_value if evidence else None,
        harm_p_value=harm,
        is_degraded=harm is not None and harm <= alpha,
        alpha=alpha,
        test=evidence.test if evidence else "",
    )
