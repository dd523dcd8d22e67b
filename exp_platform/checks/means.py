"""Two arms' means of a value that the treatment should not have moved."""

import math

import numpy as np

from exp_platform.checks.facts import MeanFacts
from exp_platform.stats.inference import Array
from exp_platform.stats.welch import Arm, compare_arms

_ALPHA = 0.05


def compare_value(facts: MeanFacts) -> tuple[float, float, float] | None:
    """Difference, standard error and two-sided p of two means by Welch's t.

    Args:
        facts: both arms' moments.

    Returns:
        None where the moments give no test: fewer than two units, no variance, or a
        number that is not finite.
    """
    if min(facts.n_control, facts.n_treatment) < 2:
        return None
    inference = compare_arms(
        Arm(
            _one(facts.n_control),
            _one(facts.mean_control),
            _one(facts.variance_control),
        ),
        Arm(
            _one(facts.n_treatment),
            _one(facts.mean_treatment),
            _one(facts.variance_treatment),
        ),
        _ALPHA,
    ).inference
    numbers = (
        float(inference.difference[0]),
        float(inference.standard_error[0]),
        float(inference.p_value[0]),
    )
    return numbers if all(math.isfinite(number) for number in numbers) else None


def _one(value: float) -> Array:
    return np.array([value], dtype=np.float64)
