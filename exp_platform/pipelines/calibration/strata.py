"""Post-stratification: level, coverage, and what it saves."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    equal,
    uniform,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.quantities import (
    TRUE_P,
    both_misses,
    misses,
    p_values_of,
    ratio_of_variances,
)
from exp_platform.pipelines.calibration.totals import MEAN, columns, details
from exp_platform.records import MetricTotals
from exp_platform.stats.stratification import compare_strata, estimate_post_stratified
from exp_platform.stats.welch import Arm

SHARES = (0.5, 0.3, 0.15, 0.05)
LEVELS = (0.0, 1.0, 2.0, 4.0)
EFFECTS = (0.1, 0.2, 0.0, 0.4)
TRUTH = float(np.dot(SHARES, EFFECTS))
BETWEEN = float(np.dot(SHARES, np.square(LEVELS)) - np.dot(SHARES, LEVELS) ** 2)


def _draw_arm(
    random: Generator, n: int, variant: str, effects: tuple[float, ...]
) -> list[MetricTotals]:
    sizes = random.multinomial(n, SHARES)
    rows = []
    for place, size in enumerate(sizes):
        level = LEVELS[place] + effects[place]
        arm = draw_normal(random, 1, int(size), mean=level)
        moments = (float(arm.mean[0]), float(arm.variance[0]))
        names = ("simulated", "metric", variant)
        rows.append(MetricTotals(*names, int(size), *moments, segment=f"s={place}"))
    return rows


def _rows(random: Generator, runs: int) -> Values:
    rows = []
    for _ in range(runs):
        control = _draw_arm(random, 800, "control", (0.0,) * 4)
        treatment = _draw_arm(random, 600, "treatment", EFFECTS)
        rows.append(estimate_post_stratified(control, treatment, MEAN))
    difference, lower, upper = columns(rows, "difference", "ci_lower", "ci_upper")
    plain = details(rows, "difference_raw")
    return {
        **misses((lower, upper), TRUTH),
        TRUE_P: p_values_of(rows, TRUTH),
        "variance of the estimate over that of Welch's": ratio_of_variances(
            difference, plain
        ),
    }


def _few_units(random: Generator, runs: int) -> Values:
    p_values = []
    for _ in range(runs):
        arms = [_stack(random, n) for n in ((30, 12), (25, 10))]
        found, _ = compare_strata(arms[0], arms[1], 0.05)
        p_values.append(found.inference.p_value[0])
    return {"false alarms": np.array(p_values) < 0.05}


def _stack(random: Generator, sizes: tuple[int, ...]) -> Arm:
    arms = [
        draw_normal(random, 1, n, mean=3.0 * place) for place, n in enumerate(sizes)
    ]
    return Arm(
        np.concatenate([arm.n for arm in arms]),
        np.concatenate([arm.mean for arm in arms]),
        np.concatenate([arm.variance for arm in arms]),
    )


SIMULATIONS = (
    Simulation(
        "post_stratified",
        "post-stratification, whole rows",
        "800 against 600 units in four segments of unlike level and effect",
        (estimate_post_stratified,),
        (
            *both_misses(),
            uniform(TRUE_P),
            equal(
                "variance of the estimate over that of Welch's",
                1 / (1 + BETWEEN),
                0.03,
                "effects differ, too",
            ),
        ),
        6_000,
        1_000,
        _rows,
    ),
    Simulation(
        "strata_of_few_units",
        "post-stratification",
        "30 and 12 against 25 and 10 units in two segments, no effect",
        (compare_strata,),
        (equal("false alarms", 0.05, 0.004, "Welch's degrees of freedom, few units"),),
        10_000,
        2_000,
        _few_units,
    ),
)
