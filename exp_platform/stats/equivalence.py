"""Equivalence: is the effect proven to be too small to matter, in either direction?"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtr, stdtrit

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MarginScale
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline, fieller_limits

ALPHA = 0.05
"""Error rate of calling a change of the margin's size equivalent; the interval that
decides has 1 - 2 alpha."""


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
        reason: coded cause of UNKNOWN, else "".
        p_lower: one-sided, of "the effect is at or below the lower margin".
        p_upper: of "the effect is at or above the upper margin".
        p_value: the larger of the two.
        ci_lower, ci_upper: interval of 1 - 2 alpha on the margins' scale; null where
            a relative one is unbounded.
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
    estimate's details; the interval is Fieller's, and so agrees with the tests.

    Args:
        estimate: row of any method of means.
        margins: what does not matter.
        alpha: of each one-sided test, and of the two together.

    Outcomes:
        EQUIVALENT; NOT_SHOWN; UNKNOWN with CONTROL_MEAN_NOT_POSITIVE,
        BASELINE_VARIANCE_MISSING, INVALID_MOMENTS or the estimate's reason.

    References:
        Schuirmann (1987); Berger and Hsu (1996).
    """
    reason = _find_unknown(estimate, margins)
    if reason:
        return EquivalenceAssessment(
            EquivalenceStatus.UNKNOWN, margins, alpha, reason=reason
        )
    difference = np.array([estimate.difference], dtype=float)
    with np.errstate(over="ignore"):
        variance = np.array([estimate.standard_error], dtype=float) ** 2
    df = math.inf if estimate.df is None else estimate.df
    baseline = None
    if margins.scale is MarginScale.RELATIVE:
        baseline = Baseline(
            *(np.array([estimate.details[name]], dtype=float) for name in _BASELINE)
        )
    with np.errstate(all="ignore"):
        above, below = (
            float(compare_margin(difference, variance, m, baseline=baseline)[0])
            for m in (margins.lower, margins.upper)
        )
    p_lower, p_upper = float(stdtr(df, -above)), float(stdtr(df, below))
    if math.isnan(p_lower) or math.isnan(p_upper):
        return EquivalenceAssessment(
            EquivalenceStatus.UNKNOWN, margins, alpha, reason="INVALID_MOMENTS"
        )
    quantile = -float(stdtrit(df, alpha))
    limits = _limits(difference, variance, baseline, quantile)
    is_inside = max(p_lower, p_upper) <= alpha
    return EquivalenceAssessment(
        EquivalenceStatus.EQUIVALENT if is_inside else EquivalenceStatus.NOT_SHOWN,
        margins,
        alpha,
        p_lower=p_lower,
        p_upper=p_upper,
        p_value=max(p_lower, p_upper),
        ci_lower=limits[0],
        ci_upper=limits[1],
    )


_BASELINE = ("baseline_mean", "baseline_variance", "baseline_covariance")


def _find_unknown(estimate: Estimate, margins: Margins) -> str:
    """Why nothing can be said, "" when it can."""
    if not estimate.is_ok or not estimate.standard_error:
        return estimate.reason or estimate.status.value
    if margins.scale is MarginScale.ABSOLUTE:
        return ""
    moments = [estimate.details.get(name) for name in _BASELINE]
    if moments[0] is not None and moments[0] <= 0:
        return "CONTROL_MEAN_NOT_POSITIVE"
    return "BASELINE_VARIANCE_MISSING" if None in moments else ""


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
