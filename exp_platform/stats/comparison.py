"""Two arms beside each other: what every estimator of means ends in."""

from dataclasses import dataclass

import numpy as np

from exp_platform.stats.inference import Array, Inference, infer_difference
from exp_platform.stats.relative import Baseline, RelativeInference, infer_relative


@dataclass(frozen=True, slots=True)
class Comparison:
    """Absolute and relative effects of many comparisons at once.

    Attributes:
        control_mean, treatment_mean: shape (n_comparisons,), adjusted where the method
            adjusts, so that their difference is the estimate.
        baseline: what the relative lift is divided by.
    """

    control_mean: Array
    treatment_mean: Array
    inference: Inference
    baseline: Baseline
    relative: RelativeInference


def compare_means(
    means: tuple[Array, Array],
    standard_error: Array,
    df: Array,
    *,
    baseline: Baseline,
    alpha: float,
) -> Comparison:
    """What is the effect on two pairs of means with known sampling errors?

    Args:
        means: control and treatment, each of shape (n_comparisons,).
        standard_error: of treatment - control, same shape.
        df: degrees of freedom of t, same shape; infinite = normal.
        baseline: denominators of the relative lift.
        alpha: two-sided error rate of the intervals.
    """
    control_mean, treatment_mean = means
    with np.errstate(all="ignore"):
        inference = infer_difference(
            treatment_mean - control_mean, standard_error, df, alpha
        )
        relative = infer_relative(inference, baseline)
    return Comparison(control_mean, treatment_mean, inference, baseline, relative)
