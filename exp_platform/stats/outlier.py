"""What one unit can do: the difference without the most extreme unit of an arm."""

import math
from dataclasses import dataclass, replace

from exp_platform.records import MetricTotals
from exp_platform.stats.draft import ROUNDING
from exp_platform.stats.welch import arm_of, compare_arms

ALPHA = 0.05
"""Of intervals that nobody reads here: only difference, error and p are handed on."""


@dataclass(frozen=True, slots=True)
class OutlierInfluence:
    """One arm's most extreme unit, and the comparison without it.

    Attributes:
        variant: arm of the unit.
        value: the unit's value.
        shift: change of the difference when the unit is left out, in standard errors
            of the estimate with it.
        difference, standard_error, p_value: Welch's without the unit; p null when
            nothing varies then.
    """

    variant: str
    value: float
    shift: float
    difference: float
    standard_error: float
    p_value: float | None


def assess_outliers(
    control: MetricTotals, treatment: MetricTotals
) -> tuple[OutlierInfluence, ...]:
    """How much of the difference hangs on a single unit?

    Moments suffice: a unit's value leaves mean and variance in closed form.

    Args:
        control: moments of the control arm with its smallest and largest value.
        treatment: moments of the treatment arm.

    Returns:
        One entry per arm, the larger shift first; empty where moments are missing or
        nothing varies.
    """
    arms = (control, treatment)
    if any(arm.n < 3 or None in _moments(arm) for arm in arms):
        return ()
    error = math.sqrt(sum((arm.variance or 0.0) / arm.n for arm in arms))
    if not (math.isfinite(error) and error > 0):
        return ()
    found = (_influence(arms, index, error=error) for index in range(len(arms)))
    return tuple(sorted(found, key=lambda influence: -abs(influence.shift)))


def _moments(arm: MetricTotals) -> tuple[float | None, ...]:
    return (arm.mean, arm.variance, arm.min_value, arm.max_value)


def _influence(
    arms: tuple[MetricTotals, MetricTotals], index: int, *, error: float
) -> OutlierInfluence:
    arm = arms[index]
    value = _most_extreme(arm)
    left = [_without(a, value) if i == index else a for i, a in enumerate(arms)]
    with_unit = (arms[1].mean or 0.0) - (arms[0].mean or 0.0)
    comparison = compare_arms(arm_of(left[0]), arm_of(left[1]), ALPHA).inference
    difference, p = float(comparison.difference[0]), float(comparison.p_value[0])
    return OutlierInfluence(
        variant=arm.variant,
        value=value,
        shift=(difference - with_unit) / error,
        difference=difference,
        standard_error=float(comparison.standard_error[0]),
        p_value=p if math.isfinite(p) else None,
    )


def _most_extreme(arm: MetricTotals) -> float:
    mean = arm.mean or 0.0
    ends = (arm.min_value or 0.0, arm.max_value or 0.0)
    return max(ends, key=lambda value: abs(value - mean))


def _without(arm: MetricTotals, value: float) -> MetricTotals:
    """The arm's first two moments without one unit of that value."""
    mean, variance = arm.mean or 0.0, arm.variance or 0.0
    deviation = value - mean
    squares = (arm.n - 1) * variance
    left = squares - arm.n / (arm.n - 1) * deviation**2
    left = left if left > ROUNDING * squares else 0.0
    return replace(
        arm,
        n=arm.n - 1,
        mean=mean - deviation / (arm.n - 1),
        variance=left / (arm.n - 2),
    )
