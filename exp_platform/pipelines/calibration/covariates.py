"""Adjustment by values from before exposure: level, coverage, and what it saves."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    most,
    uniform,
)
from exp_platform.pipelines.calibration.moments import Moments, draw_joint
from exp_platform.pipelines.calibration.quantities import (
    TRUE_P,
    both_misses,
    both_tails,
    misses,
    p_values_of,
    ratio_of_variances,
    tails_of,
)
from exp_platform.pipelines.calibration.totals import (
    MEAN,
    NAMES,
    columns,
    details,
    pair_up,
    totals_with_covariate,
)
from exp_platform.records import AdjustmentTotals, MetricTotals
from exp_platform.stats.adjustment import adjust_arms
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.regression import estimate_adjusted, estimate_lin
from exp_platform.stats.welch import compare_arms

SAVED = "variance of the estimate over that of Welch's"
STATED = "variance ratio as the row states it"


def draw_pair(
    random: Generator, runs: int, n: int, slope: float, *, mean: float = 0.0
) -> Moments:
    """A value of this mean and a covariate, both of variance 1, correlation = slope."""
    covariance = [[1.0, slope], [slope, 1.0]]
    return draw_joint(random, runs, n, mean=[mean, 0.0], covariance=covariance)


def _adjust(arms: tuple[Moments, Moments], theta: str = "within") -> Comparison:
    control, treatment = arms
    return adjust_arms(
        control.arm,
        treatment.arm,
        (control.covariates, treatment.covariates),
        alpha=0.05,
        theta="total" if theta == "total" else "within",
    ).comparison


def _plain(arms: tuple[Moments, Moments]) -> Array:
    return compare_arms(arms[0].arm, arms[1].arm, 0.05).inference.difference


def _equal_slopes(random: Generator, runs: int) -> Values:
    arms = (draw_pair(random, runs, 500, 0.6), draw_pair(random, runs, 500, 0.6))
    found = _adjust(arms).inference
    return {
        **tails_of(found),
        "p-values": found.p_value,
        SAVED: ratio_of_variances(found.difference, _plain(arms)),
    }


def _unequal_slopes(random: Generator, runs: int) -> Values:
    arms = (draw_pair(random, runs, 4500, 0.9), draw_pair(random, runs, 500, 0.3))
    found = _adjust(arms).inference
    pooled = _adjust(arms, "total").inference
    plain = _plain(arms)
    return {
        **tails_of(found),
        SAVED: ratio_of_variances(found.difference, plain),
        f"{SAVED}, theta over both arms": ratio_of_variances(pooled.difference, plain),
    }


def _saved_by(theta: float) -> float:
    """Variance that a theta leaves, 4,500 units with slope .9, 500 with slope .3."""
    left = [1 + theta**2 - 2 * theta * slope for slope in (0.9, 0.3)]
    return (left[0] / 4500 + left[1] / 500) / (1 / 4500 + 1 / 500)


def _useless(random: Generator, runs: int) -> Values:
    arms = (draw_pair(random, runs, 200, 0.0), draw_pair(random, runs, 200, 0.0))
    return tails_of(_adjust(arms).inference)


def _rows(random: Generator, runs: int) -> Values:
    arms = (
        draw_pair(random, runs, 400, 0.6),
        draw_pair(random, runs, 600, 0.6, mean=0.1),
    )
    control, treatment = map(totals_with_covariate, arms)
    rows = [estimate_cuped(c, t, MEAN) for c, t in pair_up(control, treatment)]
    limits = columns(rows, "ci_lower", "ci_upper")
    return {
        **misses(limits, 0.1),
        TRUE_P: p_values_of(rows, 0.1),
        STATED: details(rows, "variance_ratio"),
    }


def _new_units(random: Generator, runs: int) -> Values:
    """A fifth of the units is new: their x is 0 and their value lower."""
    arms = [_draw_with_new(random, runs, 400) for _ in range(2)]
    rows = [estimate_cuped(c, t, MEAN) for c, t in pair_up(arms[0], arms[1])]
    p_value, difference = columns(rows, "p_value", "difference")
    is_rejected = p_value < 0.05
    return {
        "false alarms": is_rejected,
        STATED: details(rows, "variance_ratio"),
        "estimates": difference,
    }


def _draw_with_new(random: Generator, runs: int, n: int) -> list[MetricTotals]:
    is_new = random.random((runs, n)) < 0.2
    x = np.where(is_new, 0.0, 5.0 + random.standard_normal((runs, n)))
    y = 0.6 * (x - 5) + 0.8 * random.standard_normal((runs, n)) + 1.0 * is_new
    table = np.stack([y, x, is_new.astype(float)], axis=1)
    means = table.mean(axis=2)
    centred = table - means[:, :, None]
    products = centred @ np.swapaxes(centred, 1, 2) / (n - 1)
    totals = totals_with_covariate(Moments(n, means, products))
    shares = zip(means[:, 2].tolist(), products[:, 0, 2].tolist(), strict=True)
    return [
        replace(one, new_share=share, new_covariance=covariance)
        for one, (share, covariance) in zip(totals, shares, strict=True)
    ]


RATIO_COVARIANCE = np.array(
    [
        [1.0, 0.5, 0.5, 0.3],
        [0.5, 0.6, 0.3, 0.2],
        [0.5, 0.3, 1.0, 0.2],
        [0.3, 0.2, 0.2, 1.0],
    ]
)
"""Value, denominator, and two covariates."""


def _adjustment_totals(
    moments: Moments, variant: str, *, is_ratio: bool
) -> list[AdjustmentTotals]:
    names = tuple("xyz"[: moments.means.shape[1] - 1 - is_ratio])
    return [
        AdjustmentTotals(
            *NAMES[:2],
            variant,
            n=moments.n,
            covariates=names,
            means=tuple(means),
            covariance=tuple(map(tuple, covariance)),
            is_ratio=is_ratio,
        )
        for means, covariance in zip(
            moments.means.tolist(), moments.covariances.tolist(), strict=True
        )
    ]


def _two_covariates(random: Generator, runs: int) -> Values:
    arms = []
    for n, effect in ((400, 0.0), (300, 0.2)):
        moments = draw_joint(
            random,
            runs,
            n,
            mean=[2.0 + effect, 4.0, 0.0, 0.0],
            covariance=RATIO_COVARIANCE,
        )
        arms.append(_adjustment_totals(moments, str(n), is_ratio=True))
    rows = [estimate_adjusted(c, t, MEAN) for c, t in pair_up(arms[0], arms[1])]
    limits = columns(rows, "ci_lower", "ci_upper")
    return {**misses(limits, 0.05), TRUE_P: p_values_of(rows, 0.05)}


def _many_arms(random: Generator, runs: int) -> Values:
    arms = []
    for n, slope, effect in ((600, 0.2, 0.0), (150, 0.9, 0.1), (200, 0.5, 0.0)):
        moments = draw_pair(random, runs, n, slope, mean=effect)
        arms.append(_adjustment_totals(moments, str(n), is_ratio=False))
    rows = [estimate_lin(one[0], one[1:], MEAN) for one in zip(*arms, strict=True)]
    quantities = {}
    for place, truth in enumerate((0.1, 0.0)):
        limits = columns([row[place] for row in rows], "ci_lower", "ci_upper")
        covers = (limits[0] <= truth) & (truth <= limits[1])
        quantities[f"coverage, arm {place + 1}"] = covers
    return quantities


NORMAL = "values and a covariate with correlation .6, jointly normal"

SIMULATIONS = (
    Simulation(
        "cuped",
        "CUPED",
        f"{NORMAL}; 500 against 500, no effect",
        (adjust_arms,),
        (*both_tails(), uniform("p-values"), equal(SAVED, 0.64)),
        100_000,
        20_000,
        _equal_slopes,
    ),
    Simulation(
        "cuped_unequal_slopes",
        "CUPED",
        "4,500 against 500; the covariate's slope is .9 in control and .3 in "
        "treatment; no effect",
        (adjust_arms,),
        (
            *both_tails(slack=0.001, why="slopes are estimated"),
            equal(SAVED, _saved_by(0.36), 0.005, "slopes are estimated"),
            disease(
                equal(
                    f"{SAVED}, theta over both arms",
                    _saved_by(0.84),
                    0.005,
                    "above 1: this theta harms",
                ),
                "theta comes from within the arms",
                "cuped_unequal_slopes",
            ),
        ),
        100_000,
        20_000,
        _unequal_slopes,
    ),
    Simulation(
        "cuped_useless_covariate",
        "CUPED",
        "200 against 200 values that the covariate does not explain, no effect",
        (adjust_arms,),
        both_tails(slack=0.001, why="slopes are estimated"),
        100_000,
        20_000,
        _useless,
    ),
    Simulation(
        "cuped_rows",
        "CUPED, whole rows",
        f"{NORMAL}; 400 against 600, effect .1",
        (estimate_cuped,),
        (
            *both_misses(),
            uniform(TRUE_P),
            equal(STATED, 0.64, 0.002, "slopes are estimated"),
        ),
        6_000,
        1_000,
        _rows,
    ),
    Simulation(
        "cuped_new_units",
        "CUPED with the indicator of new units",
        "400 against 400; a fifth is new, has no history and a higher value",
        (estimate_cuped,),
        (
            equal("false alarms", 0.05, 0.002, "slopes are estimated"),
            equal("estimates", 0.0),
            most(STATED, 0.62),
        ),
        6_000,
        600,
        _new_units,
    ),
    Simulation(
        "adjusted_ratio",
        "CUPED with two covariates for a ratio",
        "400 against 300 units, numerator, denominator and covariates jointly normal, "
        "effect .05",
        (estimate_adjusted,),
        (
            *both_misses(slack=0.002, why="normal quantiles, the bend of a ratio"),
            uniform(TRUE_P),
        ),
        6_000,
        1_000,
        _two_covariates,
    ),
    Simulation(
        "lin",
        "Lin's regression with interactions",
        "600 against 150 and 200 units, slopes .2, .9 and .5, effects .1 and 0",
        (estimate_lin,),
        tuple(
            equal(f"coverage, arm {k}", 0.95, 0.002, "slopes are estimated")
            for k in (1, 2)
        ),
        6_000,
        1_000,
        _many_arms,
    ),
)
