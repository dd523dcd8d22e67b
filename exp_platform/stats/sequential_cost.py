"""What looking before the end costs: units at most, and units on average."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.special import ndtri

from exp_platform.errors import UsageError
from exp_platform.records import LookMethod
from exp_platform.stats.boundary import Sides, exit_probabilities, solve_boundaries
from exp_platform.stats.confidence_sequence import critical_sequence, tune_mixture
from exp_platform.stats.inference import Array
from exp_platform.stats.spending import Spending, spend_alpha

MOST_LOOKS = 120
"""More looks than these cost the same to the fourth digit, and are counted as these."""

_MOST_STEPS = 30
_CLOSE = 1e-11


@dataclass(frozen=True, slots=True)
class LookRule:
    """How a plan looks.

    Attributes:
        method: how error is held over the looks; `fixed` has a single one.
        n_looks: evenly spaced on both clocks, the last at the planned units.
    """

    method: LookMethod = LookMethod.FIXED
    n_looks: int = 1
    spending: Spending = field(default_factory=Spending)


@dataclass(frozen=True, slots=True)
class SequentialCost:
    """Units of a test with looks.

    Attributes:
        inflation: units at most, over those of one test at the end with the same power.
        expected: units on average where the target is true, as a share of those at most.
        expected_null: the same where there is no effect.
    """

    inflation: float = 1.0
    expected: float = 1.0
    expected_null: float = 1.0


def find_cost(
    rule: LookRule, alpha: float, power: float, *, sides: Sides = 2
) -> SequentialCost:
    """How many more units does looking take, and how many does stopping early save?

    Args:
        rule: how the plan looks.
        alpha: error rate of the test over all looks.
        power: wanted at the last look.
        sides: 2 for a goal, 1 for a guardrail.

    Assumptions:
        Means are normal; looks are evenly spaced and units arrive evenly, so that both
        clocks agree. Data collection stops at the first look that crosses: no harm
        boundary of another metric, no wait for others.

    Raises:
        UsageError: a rule that cannot be sized.

    References:
        Jennison and Turnbull (2000), chapters 2, 3 and 7; Lan and DeMets (1983).
    """
    looks = min(rule.n_looks, MOST_LOOKS)
    if rule.method is LookMethod.FIXED or looks == 1:
        return SequentialCost()
    if rule.method not in (LookMethod.GROUP_SEQUENTIAL, LookMethod.CONFIDENCE_SEQUENCE):
        raise UsageError(
            f"{rule.method.value} has no planned end to size for",
            allowed="fixed, group_sequential, confidence_sequence",
        )
    critical = _critical(rule, looks, alpha, sides)
    return _weigh(tuple(critical.tolist()), alpha, power, sides)


def _critical(rule: LookRule, looks: int, alpha: float, sides: Sides) -> Array:
    times = np.arange(1, looks + 1) / looks
    if rule.method is LookMethod.CONFIDENCE_SEQUENCE:
        rho2 = tune_mixture(1.0, alpha, sides=sides)
        return critical_sequence(times, rho2, alpha, sides=sides)
    spent = spend_alpha(rule.spending, [alpha], times, sides=sides)
    return np.asarray(solve_boundaries(spent, times, sides=sides).critical[0])


@cache
def _weigh(
    critical: tuple[float, ...], alpha: float, power: float, sides: Sides
) -> SequentialCost:
    bounds = np.array(critical)
    times = np.arange(1, bounds.size + 1) / bounds.size
    fixed = float(ndtri(1 - alpha / sides) + ndtri(power))

    def excess(drift: float) -> float:
        """Power above the wanted one on the normal scale, nearly straight in drift."""
        above, _ = exit_probabilities(bounds, times, drift, sides=sides)
        return float(ndtri(above.sum()) - ndtri(power))

    drift = _find_drift(excess, fixed)
    above, below = exit_probabilities(
        bounds, times, np.array([drift, 0.0]), sides=sides
    )
    expected, expected_null = 1 - (above + below) @ (1 - times)
    return SequentialCost((drift / fixed) ** 2, float(expected), float(expected_null))


def _find_drift(excess: Callable[[float], float], start: float) -> float:
    """By secants, which a nearly straight line takes few of."""
    last, drift = start, 1.05 * start
    below, above = excess(last), excess(drift)
    for _ in range(_MOST_STEPS):
        step = above * (drift - last) / (above - below)
        last, drift, below = drift, drift - step, above
        if abs(step) <= _CLOSE * drift:
            break
        above = excess(drift)
    return drift
