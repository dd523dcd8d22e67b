"""From a difference, its standard error and its degrees of freedom to p and interval.

Arrays in, arrays out; NaN means "no number" here and never leaves this room.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inference:
    """Tests and intervals of many differences, each field of shape (n_comparisons,).

    Attributes:
        df: degrees of freedom of t; infinite for the normal distribution.
        p_value: two-sided.
        quantile: of the statistic, so many standard errors the interval reaches.
    """

    difference: Array
    standard_error: Array
    df: Array
    statistic: Array
    p_value: Array
    ci_lower: Array
    ci_upper: Array
    quantile: Array


def infer_difference(
    difference: Array, standard_error: Array, df: Array, alpha: float
) -> Inference:
    """How far is each difference from 0, in standard errors, and how sure is that?

    Args:
        difference: treatment - control, shape (n_comparisons,).
        standard_error: same unit and shape; 0 or NaN gives NaN tests and intervals.
        df: degrees of freedom of t, same shape; infinite = normal.
        alpha: two-sided error rate of the interval.
    """
    error = np.where(standard_error > 0, standard_error, np.nan)
    statistic = difference / error
    quantile = stdtrit(df, 1 - alpha / 2)
    half_width = quantile * error
    return Inference(
        difference=difference,
        standard_error=standard_error,
        df=df,
        statistic=statistic,
        # The lower tail of -|t|: 1 - cdf would underflow beyond |t| = 8.3.
        p_value=2 * stdtr(df, -np.abs(statistic)),
        ci_lower=difference - half_width,
        ci_upper=difference + half_width,
        quantile=quantile,
    )
