"""Two proportions: chi-square or an exact test, and an interval of the difference."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
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
from exp_platform.stats.exact import fisher_p_value, mid_p_value
from exp_platform.stats.inference import Array, Inference
from exp_platform.stats.rate_lift import infer_rate_lift, wilson
from exp_platform.stats.relative import Baseline, infer_relative
from exp_platform.stats.score import Counts, bound_difference
from exp_platform.stats.settings import EstimateSettings

ProportionTest = Literal["auto", "pooled_z", "wald", "yates", "fisher", "mid_p"]
ProportionInterval = Literal["newcombe", "wald", "miettinen_nurminen"]

POOLED_ERROR = "pooled"
"""`details["standard_error"]` of a row whose arms do not vary though they differ."""

EXACT_BELOW = 5.0
"""Expected count below which `auto` takes the mid-p value instead of chi-square."""

SHARE_SLACK = 1e-6
"""How far the variance of a yes or no may be from that of its mean, relative."""


def compare_proportions(
    counts: Counts,
    alpha: float,
    *,
    test: ProportionTest = "pooled_z",
    interval: ProportionInterval = "newcombe",
) -> Comparison:
    """How do two shares of units differ?

    The statistic of the default test uses the pooled variance (z squared is Pearson's
    chi-square without continuity correction), the standard error the separate ones
    (Wald), the interval Newcombe's score limits, which stay inside [-1, 1] and need no
    events. Everybody in one arm and nobody in the other leaves Wald no variance; the
    error is that of the pooled test then, unless Wald's was asked for.
    The lift's interval is the counterpart on its scale and excludes 0 with it.

    Args:
        counts: events and units of both arms.
        alpha: two-sided error rate of the intervals.
        test: where the p-value comes from; the statistic is the pooled z, or Wald's.
            `auto` = mid-p where an expected count is below 5, else the pooled z.
        interval: of the difference.

    References:
        Newcombe (1998), method 10; Miettinen and Nurminen (1985).
    """
    control, treatment = counts.control_rate, counts.treatment_rate
    pooled = (counts.control_events + counts.treatment_events) / counts.n
    b = control * (1 - control) / counts.control_n
    a = treatment * (1 - treatment) / counts.treatment_n
    difference = treatment - control
    with np.errstate(all="ignore"):
        spread = pooled * (1 - pooled) * (1 / counts.control_n + 1 / counts.treatment_n)
        is_wald = test == "wald" or interval == "wald"
        own = a + b if is_wald else np.where(a + b > 0, a + b, spread)
        spread = a + b if test == "wald" else spread
        z = difference / np.sqrt(np.where(spread > 0, spread, np.nan))
        lower, upper = _interval(counts, alpha, interval)
        quantile = np.full_like(z, ndtri(1 - alpha / 2))
        inference = Inference(
            difference=difference,
            standard_error=np.sqrt(own),
            df=np.full_like(z, np.inf),
            statistic=z,
            p_value=_p_value(counts, z, test),
            ci_lower=lower,
            ci_upper=upper,
            quantile=quantile,
        )
        baseline = Baseline(control, b, -b)
        relative = infer_relative(inference, baseline)
        if interval != "wald":
            relative = infer_rate_lift(counts, inference, alpha, interval=interval)
    return Comparison(control, treatment, inference, baseline, relative)


def expect_least(counts: Counts) -> Array:
    """Smallest expected number of events or non-events in an arm, without an effect.

    Args:
        counts: events and units of both arms.
    """
    pooled = (counts.control_events + counts.treatment_events) / counts.n
    smaller = np.minimum(counts.control_n, counts.treatment_n)
    return np.asarray(smaller * np.minimum(pooled, 1 - pooled))


def _p_value(counts: Counts, z: Array, test: ProportionTest) -> Array:
    normal = 2 * ndtr(-np.abs(z))
    if test in {"pooled_z", "wald"}:
        return np.asarray(normal)
    if test == "yates":
        return _yates_p_value(counts)
    is_exact = ~np.isnan(z)
    if test == "auto":
        is_exact &= expect_least(counts) < EXACT_BELOW
    exact = fisher_p_value if test == "fisher" else mid_p_value
    normal[is_exact] = exact(_select(counts, is_exact))
    return np.asarray(normal)


def _yates_p_value(counts: Counts) -> Array:
    """Chi-square with continuity correction, the gap never turned round."""
    gap = np.abs(counts.treatment_rate - counts.control_rate)
    weight = 1 / counts.control_n + 1 / counts.treatment_n
    pooled = (counts.control_events + counts.treatment_events) / counts.n
    error = np.sqrt(pooled * (1 - pooled) * weight)
    return np.asarray(2 * ndtr(-np.maximum(gap - weight / 2, 0) / error))


def _select(counts: Counts, chosen: NDArray[np.bool_]) -> Counts:
    return Counts(
        counts.control_events[chosen],
        counts.control_n[chosen],
        counts.treatment_events[chosen],
        counts.treatment_n[chosen],
    )


def _interval(
    counts: Counts, alpha: float, interval: ProportionInterval
) -> tuple[Array, Array]:
    if interval == "miettinen_nurminen":
        lower, upper = (
            bound_difference(counts, alpha / 2, is_upper=side) for side in (False, True)
        )
        return lower, upper
    if interval == "wald":
        return _wald(counts, alpha)
    return _newcombe(counts, alpha)


def _wald(counts: Counts, alpha: float) -> tuple[Array, Array]:
    control, treatment = counts.control_rate, counts.treatment_rate
    variance = control * (1 - control) / counts.control_n
    variance = variance + treatment * (1 - treatment) / counts.treatment_n
    half_width = ndtri(1 - alpha / 2) * np.sqrt(variance)
    difference = treatment - control
    return difference - half_width, difference + half_width


def _newcombe(counts: Counts, alpha: float) -> tuple[Array, Array]:
    low0, high0 = wilson(counts.control_rate, counts.control_n, alpha)
    low1, high1 = wilson(counts.treatment_rate, counts.treatment_n, alpha)
    control, treatment = counts.control_rate, counts.treatment_rate
    difference = treatment - control
    return (
        difference - np.sqrt((treatment - low1) ** 2 + (high0 - control) ** 2),
        difference + np.sqrt((high1 - treatment) ** 2 + (control - low0) ** 2),
    )


def count_events(control: MetricTotals, treatment: MetricTotals) -> Counts:
    """Events and units from a proportion's means, arrays of shape (1,)."""
    arms = ((totals.mean or 0.0, totals.n) for totals in (control, treatment))
    columns = (([mean * n], [n]) for mean, n in arms)
    return Counts(*(np.array(c, dtype=float) for pair in columns for c in pair))


def estimate_proportions(
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
    *,
    test: ProportionTest = "auto",
    interval: ProportionInterval = "newcombe",
) -> Estimate:
    """By how much does the share of units with the event differ?

    Args:
        control: moments of the control arm.
        treatment: moments of the treatment arm.
        settings: metric, role, alpha, least units.
        test: where the p-value comes from; `details["test"]` names the one used.
        interval: of the difference.

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        One yes or no per independently randomised unit.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS or ZERO_VARIANCE (nobody or everybody
        in both arms; with Wald's test or interval also nobody in one and everybody in
        the other); METRIC_ERRORED with INVALID_MOMENTS or NOT_A_PROPORTION.

    References:
        Pearson (1900); Newcombe (1998), method 10; Lancaster (1961), mid-p.
    """
    draft = draft_estimate("two_proportion_z", control, treatment, settings)
    means = (control.mean, treatment.mean)
    reason = find_refusal(draft, settings.min_units_per_arm, means, variances=())
    if reason is None and not all(map(is_share, (control, treatment))):
        reason = Refusal.NOT_A_PROPORTION
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    counts = count_events(control, treatment)
    chosen = test
    if test == "auto":
        is_exact = expect_least(counts)[0] < EXACT_BELOW or _is_all_or_none(counts)
        chosen = "mid_p" if is_exact else "pooled_z"
    comparison = compare_proportions(
        counts, settings.alpha, test=chosen, interval=interval
    )
    details: dict[str, str] = {"interval": interval, "test": chosen}
    if _is_all_or_none(counts) and "wald" not in (chosen, interval):
        details["standard_error"] = POOLED_ERROR
    return complete_estimate(draft, comparison, details=details)


def is_share(totals: MetricTotals) -> bool:
    """Can the arm's values all be 0 or 1, by its mean and variance?

    A yes or no has the variance p (1 - p) n / (n - 1); other values from 0 to 1 have
    less, and tests of counts would be wrong for them.

    Args:
        totals: moments of one arm; without a variance its mean alone is judged.
    """
    mean, n = totals.mean or 0.0, totals.n
    if not 0 <= mean <= 1:
        return False
    if totals.variance is None or n < 2:
        return True
    expected = mean * (1 - mean) * n / (n - 1)
    return abs(totals.variance - expected) <= SHARE_SLACK * max(expected, 1 / n)


def _is_all_or_none(counts: Counts) -> bool:
    """Everybody in one arm, nobody in the other: the clearest difference there is."""
    rates = {float(counts.control_rate[0]), float(counts.treatment_rate[0])}
    return rates == {0.0, 1.0}
