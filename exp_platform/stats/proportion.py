"""Two proportions: pooled z test (chi-square) and Newcombe's interval."""

import numpy as np
from scipy.special import ndtr, ndtri

from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    refuse_estimate,
)
from exp_platform.stats.inference import Array, Inference
from exp_platform.stats.relative import Baseline, infer_relative
from exp_platform.stats.score import Counts
from exp_platform.stats.settings import EstimateSettings


def compare_proportions(counts: Counts, alpha: float) -> Comparison:
    """How do two shares of units differ?

    The test uses the pooled variance (z squared is Pearson's chi-square without
    continuity correction), the standard error the separate ones (Wald), the interval
    Newcombe's score limits, which stay inside [-1, 1] and need no events.

    Args:
        counts: events and units of both arms.
        alpha: two-sided error rate of the intervals.

    References:
        Newcombe (1998), method 10.
    """
    control, treatment = counts.control_rate, counts.treatment_rate
    pooled = (counts.control_events + counts.treatment_events) / counts.n
    b = control * (1 - control) / counts.control_n
    a = treatment * (1 - treatment) / counts.treatment_n
    difference = treatment - control
    with np.errstate(all="ignore"):
        spread = pooled * (1 - pooled) * (1 / counts.control_n + 1 / counts.treatment_n)
        z = difference / np.sqrt(np.where(spread > 0, spread, np.nan))
        lower, upper = _newcombe(counts, alpha)
        inference = Inference(
            difference=difference,
            standard_error=np.sqrt(a + b),
            df=np.full_like(z, np.inf),
            statistic=z,
            p_value=2 * ndtr(-np.abs(z)),
            ci_lower=lower,
            ci_upper=upper,
        )
        baseline = Baseline(control, b, -b)
        relative = infer_relative(inference, baseline, alpha)
    return Comparison(control, treatment, inference, baseline, relative)


def _newcombe(counts: Counts, alpha: float) -> tuple[Array, Array]:
    low0, high0 = _wilson(counts.control_rate, counts.control_n, alpha)
    low1, high1 = _wilson(counts.treatment_rate, counts.treatment_n, alpha)
    control, treatment = counts.control_rate, counts.treatment_rate
    difference = treatment - control
    return (
        difference - np.sqrt((treatment - low1) ** 2 + (high0 - control) ** 2),
        difference + np.sqrt((high1 - treatment) ** 2 + (control - low0) ** 2),
    )


def _wilson(rate: Array, n: Array, alpha: float) -> tuple[Array, Array]:
    z = ndtri(1 - alpha / 2)
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = (
        z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2)
    )
    return centre - half_width, centre + half_width


def count_events(control: MetricTotals, treatment: MetricTotals) -> Counts:
    """Events and units from a proportion's means, arrays of shape (1,)."""
    arms = ((totals.mean or 0.0, totals.n) for totals in (control, treatment))
    columns = (([mean * n], [n]) for mean, n in arms)
    return Counts(*(np.array(c, dtype=float) for pair in columns for c in pair))


def estimate_proportions(
    control: MetricTotals, treatment: MetricTotals, settings: EstimateSettings
) -> Estimate:
    """By how much does the share of units with the event differ?

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        One yes or no per independently randomised unit.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS or ZERO_VARIANCE (nobody or everybody
        in both arms); METRIC_ERRORED with INVALID_MOMENTS or NOT_A_PROPORTION.

    References:
        Pearson (1900); Newcombe (1998), method 10.
    """
    draft = draft_estimate("two_proportion_z", control, treatment, settings)
    means = (control.mean, treatment.mean)
    reason = find_refusal(draft, settings.min_units_per_arm, means, variances=())
    if reason is None and not all(0 <= (mean or 0) <= 1 for mean in means):
        reason = Refusal.NOT_A_PROPORTION
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    comparison = compare_proportions(count_events(control, treatment), settings.alpha)
    return complete_estimate(draft, comparison, details={"interval": "newcombe"})
