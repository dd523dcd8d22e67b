"""How likely was each unit's arm, and is there anyone to compare it with?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from exp_platform.causal.refusal import DesignRefusal
from exp_platform.stats.inference import Array

LEAST_CHANCE = 0.05
"""A unit whose chance of either arm is smaller has hardly a counterpart."""

MOST_OUTSIDE = 0.05
"""Share of such units above which the whole population has no estimate."""

LARGEST_WEIGHT = 0.1
"""Share of an arm's inverse-probability weights that one unit may carry."""

NEWTON_STEPS = 50

CONVERGED = 1e-10
"""Newton's step, per standard deviation of a covariate, that counts as none."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Chances of treatment, and what they leave to compare.

    Attributes:
        propensity: chance of treatment, shape (n_units,).
        share_outside: of units with a chance of either arm below 5 %.
        largest_weight: largest share of one unit in its arm's weights.
        reason: POOR_OVERLAP, or "" when there is enough.
    """

    propensity: Array
    share_outside: float
    largest_weight: float
    reason: str

    @property
    def lowest(self) -> float:
        """Smallest chance of treatment."""
        return float(self.propensity.min())

    @property
    def highest(self) -> float:
        """Largest chance of treatment."""
        return float(self.propensity.max())


def assess_overlap(
    design: Array, is_treated: NDArray[np.bool_], folds: NDArray[np.int64]
) -> Overlap:
    """Are units of every kind found in both arms?

    A logistic regression of the arm; covariates that tell the arms apart perfectly
    drive chances to 0 and 1 and are refused by the same rule.

    Args:
        design: intercept and standardised covariates, shape (n_units, 1 + k).
        is_treated: shape (n_units,).
        folds: each is predicted by the others; all equal = one fit for all.

    References:
        Crump, Hotz, Imbens and Mitnik (2009).
    """
    chance = np.empty(len(design))
    for fold in np.unique(folds):
        inside = folds == fold
        others = ~inside if not inside.all() else inside
        slopes = fit_logistic(design[others], is_treated[others])
        chance[inside] = expit(design[inside] @ slopes)
    outside = (chance < LEAST_CHANCE) | (chance > 1 - LEAST_CHANCE)
    # Chances of exactly 0 or 1 would divide by 0; the rule refuses them anyway.
    bounded = np.clip(chance, 1e-12, 1 - 1e-12)
    largest = max(
        float(weights.max() / weights.sum())
        for weights in (1 / bounded[is_treated], 1 / (1 - bounded[~is_treated]))
    )
    share = float(outside.mean())
    is_poor = share > MOST_OUTSIDE or largest > LARGEST_WEIGHT
    reason = DesignRefusal.POOR_OVERLAP.value if is_poor else ""
    return Overlap(bounded, share, largest, reason)


def fit_logistic(design: Array, is_treated: NDArray[np.bool_]) -> Array:
    """Slopes of a logistic regression by maximum likelihood (Newton's steps).

    Args:
        design: shape (n_units, 1 + k), of full rank.
        is_treated: shape (n_units,).

    Returns:
        Slopes, shape (1 + k,); large, but finite, where the arms are separated.
    """
    slopes = np.zeros(design.shape[1])
    target = is_treated.astype(float)
    for _ in range(NEWTON_STEPS):
        chance = expit(design @ slopes)
        spread = chance * (1 - chance)
        information = design.T @ (design * spread[:, None])
        # Separated arms leave no information; the slopes are then large enough.
        if np.linalg.cond(information) > 1 / np.finfo(float).eps:
            break
        step = np.linalg.solve(information, design.T @ (target - chance))
        slopes = slopes + step
        if float(np.abs(step).max()) < CONVERGED:
            break
    return slopes


def predict_across_folds(
    design: Array, outcome: Array, side: NDArray[np.bool_], folds: NDArray[np.int64]
) -> Array:
    """Outcome of every unit in one arm, by regressions that did not see its fold.

    Args:
        design: shape (n_units, 1 + k).
        outcome: shape (n_units,).
        side: units of the arm.
        folds: number of each unit's fold; all equal = one fit for all.
    """
    predicted = np.empty(len(outcome))
    for fold in np.unique(folds):
        inside = folds == fold
        others = side & ~inside if not inside.all() else side
        slopes = np.linalg.lstsq(design[others], outcome[others], rcond=None)[0]
        predicted[inside] = design[inside] @ slopes
    return predicted
