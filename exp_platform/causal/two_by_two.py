"""One change, two groups, covariates: outcome regression, weighting, doubly robust.

Each estimator returns the ATT and every unit's influence on it, so that variances by
cluster and of functions of several estimates follow by summing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from exp_platform.stats.inference import Array

Adjustment = Literal["doubly_robust", "outcome_regression", "weighting"]

NEWTON_STEPS = 50
ROUNDING = 1e-12
"""A covariate that varies less than this, relatively, is a constant."""

TRIM = 0.995
"""Controls more likely treated than this have no counterpart and get no weight."""

MOST_UNMATCHED = 0.1
"""Share of treated units without a counterpart beyond which there is no answer."""


@dataclass(frozen=True, slots=True)
class AdjustedChange:
    """ATT of a change, and what each unit adds to its error.

    Attributes:
        influence: shape (n_units,); the variance is the sum of squares of its sums by
            cluster.
        unmatched: share of the treated, by weight, without a counterpart: controls
            as likely treated as they have no weight.
    """

    estimate: float
    influence: Array
    unmatched: float = 0.0


@dataclass(frozen=True, slots=True)
class _Regression:
    """Fitted values and each unit's influence on the coefficients."""

    fitted: Array
    influence: Array


def adjust_change(
    change: Array,
    is_treated: NDArray[np.bool_],
    covariates: Array,
    weight: Array,
    *,
    adjustment: Adjustment = "doubly_robust",
) -> AdjustedChange:
    """What would the treated units' change have been, given their covariates?

    Args:
        change: outcome after - before, shape (n_units,).
        is_treated: same shape.
        covariates: shape (n_units, n_covariates), without a constant; none = the plain
            difference of mean changes.
        weight: shape (n_units,), above 0.
        adjustment: outcome regression among controls, weighting by the odds of
            treatment (Hajek), or both (consistent if either is right).

    References:
        Sant'Anna and Zhao (2020), equations 2.2, 2.4, 3.1 and theorem A.1; Abadie
        (2005); Heckman, Ichimura and Todd (1997).
    """
    n = change.size
    design = np.column_stack([np.ones(n), _standardise(covariates, ~is_treated)])
    treated, outside = weight * is_treated, weight * ~is_treated
    line = _Regression(np.zeros(n), np.zeros((n, design.shape[1])))
    if adjustment != "weighting":
        line = _regress(change, design, outside)
    left = change - line.fitted
    goal = treated.sum()
    gain = float(treated @ left / goal)
    influence = (treated * (left - gain) - line.influence @ (treated @ design)) / goal
    if adjustment == "outcome_regression":
        return AdjustedChange(gain, influence)
    odds = _fit_odds(is_treated, design, weight)
    share = np.minimum(odds.fitted, 1 - 1e-6)
    matched = outside * share / (1 - share) * (share < TRIM)
    loss = float(matched @ left / matched.sum())
    rest = matched * (left - loss)
    influence -= (
        rest + odds.influence @ (rest @ design) - line.influence @ (matched @ design)
    ) / matched.sum()
    unmatched = float(treated @ (share >= TRIM) / goal)
    return AdjustedChange(gain - loss, influence, unmatched)


def _standardise(covariates: Array, is_control: NDArray[np.bool_]) -> Array:
    """Columns of spread 1: raw ones, as people by state, lose the intercept.

    Estimates do not depend on it. A column that does not vary is 0, among controls too:
    the regression then says nothing of it.
    """
    largest = np.max(np.abs(covariates), axis=0, initial=0.0)
    shares = covariates / np.where(largest > 0, largest, 1.0)
    centred = shares - shares[is_control].mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > ROUNDING
    return np.asarray(np.where(varies, centred / np.where(varies, spread, 1.0), 0.0))


def _invert(products: Array) -> Array:
    """Inverse; directions that only rounding fills are left out."""
    return np.asarray(
        np.linalg.pinv(products, rcond=ROUNDING, hermitian=True), dtype=float
    )


def _regress(change: Array, design: Array, weight: Array) -> _Regression:
    weighted = weight[:, None] * design
    inverse = _invert(weighted.T @ design)
    fitted = design @ (inverse @ (weighted.T @ change))
    return _Regression(fitted, (weighted * (change - fitted)[:, None]) @ inverse)


def _fit_odds(
    is_treated: NDArray[np.bool_], design: Array, weight: Array
) -> _Regression:
    """Logistic regression of treatment on covariates, by Newton's method."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        share = expit(design @ coefficients)
        score = design.T @ (weight * (is_treated - share))
        step = _invert(_curve(design, weight, share)) @ score
        coefficients += step
        if np.max(np.abs(step)) < 1e-12 * (1 + np.max(np.abs(coefficients))):
            break
    share = expit(design @ coefficients)
    scores = (weight * (is_treated - share))[:, None] * design
    return _Regression(share, scores @ _invert(_curve(design, weight, share)))


def _curve(design: Array, weight: Array, share: Array) -> Array:
    """Information of a logistic regression at these chances."""
    return np.asarray((design * (weight * share * (1 - share))[:, None]).T @ design)
