"""What is counted in every run: tails, misses, rates."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

from exp_platform.pipelines.calibration.gate import (
    Array,
    Flags,
    Gate,
    Measured,
    equal,
)
from exp_platform.pipelines.calibration.totals import columns
from exp_platform.records import Estimate
from exp_platform.stats.inference import Inference
from exp_platform.stats.relative import RelativeInference

TRUE_P = "p-values of the true effect"
LOWER, UPPER = "false alarms below 0", "false alarms above 0"
DISAGREES = "intervals of difference and lift disagree about 0"
TOO_HIGH, TOO_LOW = "intervals above the truth", "intervals below the truth"


def tails_of(found: Inference, alpha: float = 0.05) -> dict[str, Flags]:
    """Rejections on each side, of many tests."""
    return tails(found.p_value, found.difference, alpha)


def tails(p_value: Array, difference: Array, alpha: float = 0.05) -> dict[str, Flags]:
    """Rejections on each side of 0."""
    is_rejected = p_value < alpha
    return {
        LOWER: is_rejected & (difference < 0),
        UPPER: is_rejected & (difference > 0),
    }


def misses(limits: Sequence[Array], truth: Array | float) -> dict[str, Flags]:
    """Intervals that lie wholly above or below the truth.

    Args:
        limits: lower and upper.
        truth: of every run.
    """
    lower, upper = limits
    return {TOO_HIGH: np.asarray(lower > truth), TOO_LOW: np.asarray(upper < truth)}


def covers(limits: Sequence[Array], truth: Array | float) -> Flags:
    """Intervals that hold the truth.

    Args:
        limits: lower and upper.
        truth: of every run.
    """
    lower, upper = limits
    return np.asarray((lower <= truth) & (truth <= upper))


def disagrees(found: Inference, lift: RelativeInference) -> Flags:
    """One interval excludes 0 and the other does not; an unbounded one says nothing."""
    outside = found.ci_lower * found.ci_upper > 0
    is_lift_outside = lift.ci_lower * lift.ci_upper > 0
    return np.asarray((outside != is_lift_outside) & ~np.isnan(lift.ci_lower))


def p_values_of(rows: Sequence[Estimate], truth: float) -> Array:
    """Two-sided p-value of the hypothesis that the effect is what it is.

    Args:
        rows: by t with `df`, or normal without; refused ones have none.
        truth: the same in all rows.
    """
    names = ("difference", "standard_error", "df")
    difference, error, df = columns(rows, *names)
    is_told = ~np.isnan(error)
    spread = -np.abs(difference - truth)[is_told] / error[is_told]
    return np.asarray(2 * stdtr(np.where(np.isnan(df), np.inf, df)[is_told], spread))


def both_tails(
    alpha: float = 0.05, slack: float = 0.0, why: str = ""
) -> tuple[Gate, ...]:
    """Each tail has half of alpha."""
    return tuple(equal(name, alpha / 2, slack, why) for name in (LOWER, UPPER))


def both_misses(
    alpha: float = 0.05, slack: float = 0.0, why: str = ""
) -> tuple[Gate, ...]:
    """An interval misses on each side in half of alpha."""
    return tuple(equal(name, alpha / 2, slack, why) for name in (TOO_HIGH, TOO_LOW))


def ratio_of_variances(adjusted: Array, plain: Array) -> Measured:
    """Variance of one estimator over that of another on the same experiments.

    The error is that of the logarithm's delta method.
    """
    gaps = [(values - values.mean()) ** 2 for values in (adjusted, plain)]
    value = float(gaps[0].mean() / gaps[1].mean())
    influence = gaps[0] / gaps[0].mean() - gaps[1] / gaps[1].mean()
    error = value * float(influence.std(ddof=1)) / np.sqrt(adjusted.size)
    return Measured(value, float(error), adjusted.size)


def ratio_of_means(above: Array, below: Array) -> Measured:
    """Mean of one quantity over that of another on the same experiments."""
    value = float(above.mean() / below.mean())
    influence = (above - value * below) / below.mean()
    error = float(influence.std(ddof=1)) / np.sqrt(above.size)
    return Measured(value, float(error), above.size)
