"""Two experiments on the same units: are they independent, and do effects interact?"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, stdtr, stdtrit

from exp_platform.records import MetricTotals
from exp_platform.stats.contingency import TableTest, assess_table
from exp_platform.stats.inference import Array
from exp_platform.stats.ratio import has_denominator, ratio_arm
from exp_platform.stats.welch import Arm, arm_of

Cells = Mapping[tuple[str, str], MetricTotals]


@dataclass(frozen=True, slots=True)
class Contrast:
    """How the effect of one arm changes under an arm of the other experiment.

    Attributes:
        treatment, other: arms of the first and of the second experiment.
        difference: effect of `treatment` under `other` less the one under the other
            experiment's control; `effect_under` less `effect_alone`.
    """

    treatment: str
    other: str
    difference: float
    standard_error: float
    df: float
    ci_lower: float
    ci_upper: float
    p_value: float
    effect_alone: float
    effect_under: float


@dataclass(frozen=True, slots=True)
class InteractionTest:
    """Two experiments beside each other.

    Attributes:
        assignment: test that the joint assignment is independent.
        contrasts: one per pair of treatment arms.
        statistic, df, p_value: joint Wald test that all contrasts are 0; None where a
            cell has too few units.
        reason: coded cause of no test, else "".
    """

    assignment: TableTest
    contrasts: tuple[Contrast, ...] = ()
    statistic: float | None = None
    df: int | None = None
    p_value: float | None = None
    reason: str = ""


def assess_interaction(
    cells: Cells,
    controls: tuple[str, str],
    *,
    alpha: float = 0.05,
    min_units: int = 100,
) -> InteractionTest:
    """Does one experiment change what the other one finds?

    Args:
        cells: moments of the units in both experiments, by (arm of the first, arm of
            the second); of a ratio where they have a denominator.
        controls: control arms of the first and the second.
        alpha: two-sided error rate of the contrasts' intervals.
        min_units: units below which a cell is too small.

    Estimand:
        Difference of two average effects: of the first experiment's arm under an arm
        of the second, and under its control.

    Assumptions:
        Both experiments are randomised; units are independent.

    Outcomes:
        A test, or none with MISSING_CELL, TOO_FEW_UNITS, INVALID_MOMENTS,
        DENOMINATOR_NEAR_ZERO or ZERO_VARIANCE.

    References:
        Welch (1947), degrees of freedom of a contrast; Wald (1943); Deng, Knoblich and
        Lu (2018) for ratios.
    """
    first = _arms(controls[0], (key[0] for key in cells))
    second = _arms(controls[1], (key[1] for key in cells))
    table = [[cells[a, b].n if (a, b) in cells else 0 for b in second] for a in first]
    assignment = assess_table(table)
    reason = _find_reason(cells, (first, second), min_units)
    if reason:
        return InteractionTest(assignment, reason=reason)
    order = [cells[a, b] for a in first for b in second]
    arm = _stack(order)
    variances = arm.variance_of_mean
    pairs = [(i, j) for i in range(1, len(first)) for j in range(1, len(second))]
    rows = np.array([_contrast(i, j, len(first), len(second)) for i, j in pairs])
    with np.errstate(all="ignore"):
        spread = rows * variances @ rows.T
    if not np.isfinite(spread).all():
        return InteractionTest(assignment, reason="INVALID_MOMENTS")
    if np.any(np.diag(spread) <= 0) or np.linalg.matrix_rank(spread) < len(pairs):
        return InteractionTest(assignment, reason="ZERO_VARIANCE")
    contrasts = [
        _infer_at(row, arm, (i, j), arms=(first, second), alpha=alpha)
        for row, (i, j) in zip(rows, pairs, strict=True)
    ]
    gaps = rows @ arm.mean
    with np.errstate(all="ignore"):
        statistic = float(gaps @ np.linalg.solve(spread, gaps))
    if not (math.isfinite(statistic) and all(map(_is_finite, contrasts))):
        return InteractionTest(assignment, reason="INVALID_MOMENTS")
    p_value = float(chdtrc(len(pairs), statistic))
    return InteractionTest(assignment, tuple(contrasts), statistic, len(pairs), p_value)


def _infer_at(
    row: Array,
    arm: Arm,
    place: tuple[int, int],
    *,
    arms: tuple[list[str], list[str]],
    alpha: float,
) -> Contrast:
    """The change of one arm's effect under one arm of the other experiment."""
    (i, j), (first, second) = place, arms
    means = arm.mean.reshape(len(first), len(second))
    with np.errstate(all="ignore"):
        effects = float(means[i, 0] - means[0, 0]), float(means[i, j] - means[0, j])
    return _infer(row, arm, (first[i], second[j]), effects=effects, alpha=alpha)


def _arms(control: str, names: Iterable[str]) -> list[str]:
    others = sorted(set(names) - {control})
    return [control, *others]


def _stack(cells: Iterable[MetricTotals]) -> Arm:
    """Moments of all cells, each field of shape (n_cells,)."""
    arms = [arm_of(c) if c.denominator_mean is None else ratio_arm(c) for c in cells]
    columns = ([getattr(a, name) for a in arms] for name in ("n", "mean", "variance"))
    return Arm(*(np.concatenate(column) for column in columns))


def _find_reason(
    cells: Cells, arms: tuple[list[str], list[str]], min_units: int
) -> str:
    first, second = arms
    if len(first) < 2 or len(second) < 2 or len(cells) < len(first) * len(second):
        return "MISSING_CELL"
    if min(totals.n for totals in cells.values()) < max(2, min_units):
        return "TOO_FEW_UNITS"
    known = [v for t in cells.values() for v in _moments(t)]
    spreads = [v for t in cells.values() for v in (t.variance, t.denominator_variance)]
    is_negative = any(spread is not None and spread < 0 for spread in spreads)
    if is_negative or not all(v is not None and math.isfinite(v) for v in known):
        return "INVALID_MOMENTS"
    ratios = [t for t in cells.values() if t.denominator_mean is not None]
    return "" if all(map(has_denominator, ratios)) else "DENOMINATOR_NEAR_ZERO"


def _moments(totals: MetricTotals) -> tuple[float | None, ...]:
    own = (totals.mean, totals.variance)
    if totals.denominator_mean is None:
        return own
    below = (totals.denominator_mean, totals.denominator_variance)
    return (*own, *below, totals.denominator_covariance)


def _contrast(i: int, j: int, n_first: int, n_second: int) -> Array:
    """Weights of the cells: (i, j) - (0, j) - (i, 0) + (0, 0)."""
    weights = np.zeros((n_first, n_second))
    weights[i, j], weights[0, j], weights[i, 0], weights[0, 0] = 1, -1, -1, 1
    return weights.ravel()


def _is_finite(contrast: Contrast) -> bool:
    numbers = (contrast.difference, contrast.standard_error, contrast.df)
    return all(map(math.isfinite, (*numbers, contrast.ci_lower, contrast.ci_upper)))


def _infer(
    row: Array,
    arm: Arm,
    names: tuple[str, str],
    *,
    effects: tuple[float, float],
    alpha: float,
) -> Contrast:
    parts = row**2 * arm.variance_of_mean
    error, difference = float(np.sqrt(parts.sum())), float(row @ arm.mean)
    # Shares of the variance instead of their squares: no under- or overflow.
    df = float(1 / np.sum((parts / parts.sum()) ** 2 / (arm.n - 1)))
    half_width = float(stdtrit(df, 1 - alpha / 2)) * error
    return Contrast(
        *names,
        difference=difference,
        standard_error=error,
        df=df,
        ci_lower=difference - half_width,
        ci_upper=difference + half_width,
        p_value=float(2 * stdtr(df, -abs(difference) / error)),
        effect_alone=effects[0],
        effect_under=effects[1],
    )
