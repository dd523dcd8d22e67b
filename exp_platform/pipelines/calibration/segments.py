"""Effects by segment, by day since exposure, and under another experiment."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.causal.event_study import assess_novelty
from exp_platform.causal.novelty import estimate_novelty, list_daily_effects
from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.quantities import both_misses, misses
from exp_platform.pipelines.calibration.series import draw_arms
from exp_platform.pipelines.calibration.totals import MEAN, columns, totals_of
from exp_platform.records import Estimate
from exp_platform.stats.heterogeneity import (
    adjust_segments,
    assess_segments,
    compare_effects,
    estimate_spread,
)
from exp_platform.stats.interaction import assess_interaction
from exp_platform.stats.welch import estimate_welch

SIZES = (400, 300, 200, 200, 100)
SPREAD = "alarms of the interaction test"


def _draw_rows(
    random: Generator, runs: int, effects: tuple[float, ...]
) -> list[list[Estimate]]:
    """Rows by segment of every run; segments have levels of their own."""
    by_segment = []
    for place, (n, effect) in enumerate(zip(SIZES, effects, strict=True)):
        control = draw_normal(random, runs, n, mean=5.0 + place)
        treatment = draw_normal(random, runs, n, mean=5.0 + place + effect)
        pairs = zip(totals_of(control), totals_of(treatment), strict=True)
        segment = f"platform={place}"
        by_segment.append(
            [
                estimate_welch(
                    replace(c, segment=segment), replace(t, segment=segment), MEAN
                )
                for c, t in pairs
            ]
        )
    return [list(rows) for rows in zip(*by_segment, strict=True)]


def _same_effect(random: Generator, runs: int) -> Values:
    drawn = _draw_rows(random, runs, (0.3,) * 5)
    p_values = columns([assess_segments(rows)[0] for rows in drawn], "p_value")[0]
    spread = columns([estimate_spread(rows)[0] for rows in drawn], "p_value")[0]
    return {
        SPREAD: p_values < 0.05,
        "rows that agree with the test": spread == p_values,
    }


def _some_effects(random: Generator, runs: int) -> Values:
    effects = (0.0, 0.0, 0.0, 0.0, 0.5)
    is_null = np.array(effects) == 0
    shares, found = [], []
    for rows in _draw_rows(random, runs, effects):
        adjusted = columns(adjust_segments(rows), "p_value_adjusted")[0] <= 0.05
        shares.append((adjusted & is_null).sum() / max(adjusted.sum(), 1))
        found.append(bool(adjusted[-1]))
    return {
        "share of false segments among those found": np.array(shares),
        "the one true segment found": np.array(found),
    }


def _known_errors(random: Generator, runs: int) -> Values:
    errors = np.array([0.1, 0.2, 0.3, 0.1])
    p_values, between = [], []
    for effects in 1.0 + errors * random.standard_normal((runs, 4)):
        p_values.append(compare_effects(effects, errors)[2])
        true = effects + 0.3 * random.standard_normal(4)
        between.append(compare_effects(true, errors)[3])
    return {SPREAD: np.array(p_values) < 0.05, "variance between": np.array(between)}


def _interaction(random: Generator, runs: int) -> Values:
    """Effects of .2 and .3 that add up."""
    cells = {}
    for first, up in (("A", 0.0), ("B", 0.2)):
        for second, more in (("A", 0.0), ("B", 0.3)):
            arm = draw_normal(random, runs, 300, mean=1 + up + more)
            cells[first, second] = totals_of(arm)
    tests = [
        assess_interaction({key: arm[run] for key, arm in cells.items()}, ("A", "A"))
        for run in range(runs)
    ]
    lower, upper = columns([one.contrasts[0] for one in tests], "ci_lower", "ci_upper")
    return {
        **misses((lower, upper), 0.0),
        SPREAD: columns(tests, "p_value")[0] < 0.05,
    }


def _novelty(random: Generator, runs: int) -> Values:
    drift = 0.3 - 0.02 * np.arange(7)
    moving = draw_arms(random, runs, (200, 150), range(7), drift=drift)
    rows = [estimate_novelty(*pair, MEAN) for pair in moving]
    limits = columns(rows, "ci_lower", "ci_upper")
    still = draw_arms(random, runs, (200, 150), range(7), drift=0.3)
    p_values = columns([assess_novelty(*pair) for pair in still], "p_value")[0]
    first = [list_daily_effects(*pair, 0.05)[0] for pair in still]
    covers = [
        (day["ci_lower"] or 0.0) <= 0.3 <= (day["ci_upper"] or 0.0) for day in first
    ]
    return {
        **misses(limits, -0.02),
        "alarms where the effect does not change": p_values < 0.05,
        "coverage of the first day's effect": np.array(covers),
    }


SIMULATIONS = (
    Simulation(
        "segments_same_effect",
        "Cochran's test over segments",
        "five segments of 100 to 400 units an arm, one effect in all",
        (assess_segments, estimate_spread),
        (
            equal(SPREAD, 0.05, 0.003, "errors are estimated"),
            equal("rows that agree with the test", 1.0),
        ),
        4_000,
        400,
        _same_effect,
    ),
    Simulation(
        "segments_one_effect",
        "Benjamini and Hochberg over segments",
        "five segments of 100 to 400 units an arm, an effect in one",
        (adjust_segments,),
        (
            most("share of false segments among those found", 0.05),
            least("the one true segment found", 0.7),
        ),
        4_000,
        400,
        _some_effects,
    ),
    Simulation(
        "cochran",
        "Cochran's test, known errors",
        "four effects that are the same; and four with variance .09 between them",
        (compare_effects,),
        (
            equal(SPREAD, 0.05),
            equal("variance between", 0.09, 0.005, "an estimate cut at 0"),
        ),
        20_000,
        4_000,
        _known_errors,
    ),
    Simulation(
        "interaction",
        "interaction of two experiments",
        "four cells of 300 units, effects that add up",
        (assess_interaction,),
        (*both_misses(), equal(SPREAD, 0.05, 0.002, "errors are estimated")),
        6_000,
        800,
        _interaction,
    ),
    Simulation(
        "novelty",
        "trend of the daily effect",
        "200 against 150 units over 7 days, AR(1) .8; the effect falls by .02 a day, "
        "or stays",
        (assess_novelty, estimate_novelty, list_daily_effects),
        (
            *both_misses(slack=0.002, why="few-sample covariance"),
            equal("alarms where the effect does not change", 0.05, 0.003),
            equal("coverage of the first day's effect", 0.95, 0.003),
        ),
        6_000,
        500,
        _novelty,
    ),
)
