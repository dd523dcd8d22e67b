"""What a stopped group sequential test says about the effect.

Outcomes are ordered by the stage at which the test stopped: stopping earlier on the
upper side is more, stopping earlier on the lower side is less.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from exp_platform.stats.boundary import (
    LOWEST,
    Boundaries,
    Sides,
    exceed,
    repeat_paths,
    solve_boundaries,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.looks import Schedule, drop_repeated
from exp_platform.stats.spending import Spending, spend_alpha

REACH = 15.0
"""Effects farther than so many standard errors from the estimate are not searched."""

STEPS = 60
"""Most steps of the search; the secant needs about eight."""

CLOSE = 1e-10
"""Steps below this, in standard errors, end the search."""


@dataclass(frozen=True, slots=True)
class StopEstimate:
    """Estimate after a stop, in standard errors of the look at which it stopped.

    Attributes:
        median: median-unbiased estimate.
        lower, upper: interval at the level of the plan.
        p_value: two-sided for two-sided plans, else one-sided.
    """

    median: float
    lower: float
    upper: float
    p_value: float


def estimate_stopped(
    schedule: Schedule,
    spending: Spending,
    stop: tuple[int, float],
    *,
    alpha: float,
    sides: Sides = 2,
) -> StopEstimate:
    """How large is the effect, given that the test stopped here?

    Args:
        schedule: looks so far.
        spending: how the error rate was spent.
        stop: position of the look that crossed first or was the last one, and its z.
        alpha: error rate of the plan; the interval leaves out alpha / 2 on each side.
        sides: 1 or 2.

    References:
        Tsiatis, Rosner and Mehta (1984); Jennison and Turnbull (2000), chapter 8.
    """
    look, z = stop
    tested = schedule.tested
    is_last = schedule.is_repeated and look == tested[-1]
    looks = drop_repeated(schedule) if is_last else tested
    looks = looks[looks <= look]
    # A stop below is a stop above of the test turned round.
    turn = -1.0 if sides == 2 and z < 0 else 1.0
    spent = spend_alpha(spending, np.array([alpha]), schedule.times[looks], sides=sides)
    information = schedule.information[looks] / schedule.information[look]
    lowest = LOWEST + 5.0 + max(0.0, -z)
    solved = solve_boundaries(spent, information, sides=sides, lowest=lowest)
    chances = np.array([alpha / 2, 0.5, 1 - alpha / 2])
    roots = _find_drifts(solved, information, turn * z, chances)
    lower, median, upper = np.sort(turn * roots)
    at_zero = float(_chance_of_more(solved, information, turn * z, np.zeros(1))[0])
    p_value = 2 * min(at_zero, 1 - at_zero) if sides == 2 else at_zero
    return StopEstimate(float(median), float(lower), float(upper), p_value)


def _find_drifts(
    solved: Boundaries, information: Array, z: float, chances: Array
) -> Array:
    """Effects under which an outcome of at least this has the given probabilities."""
    wanted = ndtri(chances)
    low, high = np.full(chances.size, z - REACH), np.full(chances.size, z + REACH)
    drift, before = z + wanted, np.full(chances.size, np.nan)
    gap_before = before
    for _ in range(STEPS):
        with np.errstate(all="ignore"):
            # On the normal scale the chance is close to a line of slope 1.
            gap = ndtri(_chance_of_more(solved, information, z, drift)) - wanted
            slope = (gap - gap_before) / (drift - before)
            step = gap / np.where(slope > 0.1, slope, 1.0)
        low, high = np.where(gap < 0, drift, low), np.where(gap < 0, high, drift)
        before, gap_before = drift, gap
        drift = drift - step
        is_inside = (drift > low) & (drift < high)
        drift = np.where(is_inside, drift, (low + high) / 2)
        if np.all(np.abs(drift - before) < CLOSE * (1 + np.abs(drift))):
            break
    return np.asarray(drift)


def _chance_of_more(
    solved: Boundaries, information: Array, z: float, drift: Array
) -> Array:
    """Probability of this outcome or a larger one, shape (n_drifts,)."""
    total = np.zeros(drift.size)
    last = len(information) - 1
    for k, paths in enumerate(solved.paths):
        edge = z if k == last else float(solved.critical[0, k])
        if np.isfinite(edge):
            many = repeat_paths(paths, drift.size)
            total += exceed(
                many, np.full(drift.size, edge), float(information[k]), drift
            )
    return total
