"""Equivalence: is the effect proven to be too small to matter, in either direction?"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MarginScale
from exp_platform.stats.inference import Array
from exp_platform.stats.lift import explain_no_baseline, read_baseline
from exp_platform.stats.relative import Baseline, fieller_limits
from exp_platform.stats.score import (
    Counts,
    bound_difference,
    bound_ratio,
    score_difference,
    score_ratio,
)

ALPHA = 0.05
"""Error rate of calling a change of the margin's size equivalent; the interval that
decides has 1 - 2 alpha."""

NO_TEST = "NO_TEST"
"""The row has no test, as a posterior."""

NOT_ADJUSTED_FOR_LOOKS = "NOT_ADJUSTED_FOR_LOOKS"
"""The row is of one look among several: a test at each has no common error rate."""

TINY = 1e-9
"""Distance kept from a difference of 1, where score tests end."""


class EquivalenceStatus(StrEnum):
    """What is known about equivalence."""

    EQUIVALENT = "EQUIVALENT"
    NOT_SHOWN = "NOT_SHOWN"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Margins:
    """The range of effects that do not matter.

    Attributes:
        lower, upper: in units of the metric, or shares of the baseline; lower < upper.
    """

    lower: float
    upper: float
    scale: MarginScale = MarginScale.RELATIVE

    def __post_init__(self) -> None:
        is_range = -math.inf < self.lower < self.upper < math.inf
        if is_range and (self.scale is MarginScale.ABSOLUTE or self.lower > -1):
            return
        raise ContractError(
            "the margins of an equivalence test are not a range",
            found=f"{self.lower} to {self.upper}, {self.scale.value}",
            allowed="a finite lower margin below the upper one; above -1 when relative",
            next_step="correct the margins in the plan",
        )


@dataclass(frozen=True, slots=True)
class EquivalenceAssessment:
    """Two one-sided tests of one comparison.

    Attributes:
        reason: coded cause of UNKNOWN, or INTERVAL_UNBOUNDED where the tests stand but
            a relative interval has no ends (a control mean that may be 0); else "".
        p_lower: one-sided, of "the effect is at or below the lower margin".
        p_upper: of "the effect is at or above the upper margin".
        p_value: the larger of the two.
        ci_lower, ci_upper: interval of 1 - 2 alpha on the margins' scale.
        test: `t`, or `miettinen_nurminen` of a proportion where an arm has no event or
            only events.
    """

    status: EquivalenceStatus
    margins: Margins
    alpha: float = ALPHA
    reason: str = ""
    p_lower: float | None = None
    p_upper: float | None = None
    p_value: float | None = None
    ci_lower: float | None = None
    ci_upper: float | None = None
    test: str = "t"


def compare_margin(
    difference: Array,
    variance: Array,
    margin: float,
    *,
    baseline: Baseline | None = None,
) -> Array:
    """How many standard errors does each effect lie above a margin?

    Args:
        difference: treatment - control, shape (n_comparisons,).
        variance: its sampling variance.
        margin: in units of the metric, or as a share of the baseline.
        baseline: given for a relative margin.
    """
    if baseline is None:
        return np.asarray((difference - margin) / np.sqrt(variance))
    spread = variance - 2 * margin * baseline.covariance + margin**2 * baseline.variance
    return np.asarray((difference - margin * baseline.mean) / np.sqrt(spread))


def assess_equivalence(
    estimate: Estimate, margins: Margins, *, alpha: float = ALPHA
) -> EquivalenceAssessment:
    """Is the effect proven to lie inside the margins?

    Two one-sided t tests with the estimate's degrees of freedom. A relative margin m is
    a test of difference - m x baseline, whose variance takes the baseline's from the
    estimate's details; the interval is Fieller's, and so agrees with the tests. A
    proportion without events (or without non-events) in an arm is tested by Miettinen
    and Nurminen's score instead.

    Args:
        estimate: row of any method of means.
        margins: what does not matter.
        alpha: of each one-sided test, and of the two together.

    Outcomes:
        EQUIVALENT; NOT_SHOWN; UNKNOWN with CONTROL_MEAN_NOT_POSITIVE,
        BASELINE_VARIANCE_MISSING, ARM_WITHOUT_VARIANCE, NO_TEST (a posterior),
        NOT_ADJUSTED_FOR_LOOKS (a row of a sequential test), INVALID_MOMENTS or the
        estimate's reason.

    References:
        Schuirmann (1987); Berger and Hsu (1996); Miettinen and Nurminen (1985).
    """
    counts = _rare_events(estimate)
    reason = _find_unknown(estimate, margins, counts)
    if reason:
        return EquivalenceAssessment(
            EquivalenceStatus.UNKNOWN, margins, alpha, reason=reason
        )
    if counts is None:
        p_lower, p_upper, limits = _test_by_t(estimate, margins, alpha)
    else:
        p_lower, p_upper, limits = _test_by_score(counts, margins, alpha)
    if math.isnan(p_lower) or math.isnan(p_upper):
        return EquivalenceAssessment(
            EquivalenceStatus.UNKNOWN, margins, alpha, reason="INVALID_MOMENTS"
        )
    is_inside = max(p_lower, p_upper) <= alpha
    return EquivalenceAssessment(
        EquivalenceStatus.EQUIVALENT if is_inside else EquivalenceStatus.NOT_SHOWN,
        margins,
        alpha,
        reason="INTERVAL_UNBOUNDED" if limits[0] is None else "",
        p_lower=p_lower,
        p_upper=p_upper,
        p_value=max(p_lower, p_upper),
        ci_lower=limits[0],
        ci_upper=limits[1],
        test="t" if counts is None else "miettinen_nurminen",
    )


_Evidence = tuple[float, float, tuple[float | None, float | None]]
"""One-sided p-values at the lower and the upper margin, and the interval."""


def _rare_events(estimate: Estimate) -> Counts | None:
    """Counts of a proportion where an arm has no event or only events."""
    means = (estimate.control_mean, estimate.treatment_mean)
    has_numbers = estimate.is_ok or estimate.reason == "ZERO_VARIANCE"
    if estimate.method != "two_proportion_z" or not has_numbers or None in means:
        return None
    if not any(mean in (0, 1) for mean in means):
        return None
    units = (estimate.n_control, estimate.n_treatment)
    arms = [(m or 0.0, n or 0) for m, n in zip(means, units, strict=True)]
    columns = (np.array([x], dtype=float) for m, n in arms for x in (m * n, n))
    return Counts(*columns)


def _find_unknown(estimate: Estimate, margins: Margins, counts: Counts | None) -> str:
    """Why nothing can be said, "" when it can."""
    is_relative = margins.scale is MarginScale.RELATIVE
    if _is_of_looks(estimate):
        return NOT_ADJUSTED_FOR_LOOKS
    if counts is not None:
        has_events = bool(counts.control_events[0] > 0)
        return "" if has_events or not is_relative else "CONTROL_MEAN_NOT_POSITIVE"
    # A posterior is drawn towards its prior: a test of it has no error rate.
    if estimate.is_ok and estimate.p_value is None:
        return NO_TEST
    if not estimate.is_ok or not estimate.standard_error:
        return estimate.reason or estimate.status.value
    return explain_no_baseline(estimate) if is_relative else ""


def _is_of_looks(estimate: Estimate) -> bool:
    bound = estimate.details.get("sequential", {}).get("critical_value")
    return estimate.is_ok and (estimate.look is not None or bound is not None)


def _test_by_t(estimate: Estimate, margins: Margins, alpha: float) -> _Evidence:
    difference = np.array([estimate.difference], dtype=float)
    df = math.inf if estimate.df is None else estimate.df
    is_relative = margins.scale is MarginScale.RELATIVE
    baseline = read_baseline(estimate) if is_relative else None
    with np.errstate(all="ignore"):
        variance = np.array([estimate.standard_error], dtype=float) ** 2
        above, below = (
            float(compare_margin(difference, variance, m, baseline=baseline)[0])
            for m in (margins.lower, margins.upper)
        )
    quantile = -float(stdtrit(df, alpha))
    limits = _limits(difference, variance, baseline, quantile)
    return float(stdtr(df, -above)), float(stdtr(df, below)), limits


def _test_by_score(counts: Counts, margins: Margins, alpha: float) -> _Evidence:
    """Wald's error is that of one arm alone: Miettinen and Nurminen's tests instead."""
    ends = np.array([margins.lower, margins.upper])
    if margins.scale is MarginScale.RELATIVE:
        scores = [score_ratio(counts, np.array([1 + end])) for end in ends]
        bounds = [bound_ratio(counts, alpha, is_upper=i) - 1 for i in (False, True)]
    else:
        ends = np.clip(ends, TINY - 1, 1 - TINY)
        scores = [score_difference(counts, np.array([end])) for end in ends]
        bounds = [bound_difference(counts, alpha, is_upper=i) for i in (False, True)]
    above, below = (float(score[0]) for score in scores)
    lower, upper = (float(bound[0]) for bound in bounds)
    return float(ndtr(-above)), float(ndtr(below)), (lower, upper)


def _limits(
    difference: Array, variance: Array, baseline: Baseline | None, quantile: float
) -> tuple[float | None, float | None]:
    if baseline is None:
        half_width = quantile * np.sqrt(variance)
        found = (difference - half_width, difference + half_width)
    else:
        with np.errstate(all="ignore"):
            found = fieller_limits(difference, variance, baseline, quantile)
    lower, upper = (float(values[0]) for values in found)
    is_bounded = math.isfinite(lower) and math.isfinite(upper)
    return (lower, upper) if is_bounded else (None, None)
