"""Sensitivity bounds: do they cover when trends diverge as much as allowed?"""

import numpy as np
from numpy.random import Generator

from exp_platform.causal.event_path import EventPath, path_of
from exp_platform.causal.relative_magnitudes import (
    bound_relative_magnitudes,
    excludes_zero,
)
from exp_platform.causal.sensitivity import assess_sensitivity, find_breakdown_mbar
from exp_platform.causal.smoothness import bound_smoothness
from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    least,
)
from exp_platform.pipelines.calibration.series import draw_arms
from exp_platform.records import GramTotals

TIME = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
ROOT = np.linalg.cholesky(0.3 + 0.7 * np.eye(6))
AGREE = 2
COVERS = "intervals that cover no effect"
PATH = "an event study of 3 + 3 periods, errors .1, no effect"


def _draw_path(random: Generator, drift: Array) -> EventPath:
    """Coefficients around the drift; only that is in the data."""
    covariance = 0.01 * (ROOT @ ROOT.T)
    noise = 0.1 * ROOT @ random.standard_normal(6)
    return EventPath(drift + noise, covariance, 3, np.full(3, 1 / 3))


def _magnitudes(random: Generator, runs: int) -> Values:
    """Changes of .2 before, and as large after; Mbar = 1 allows them, 0 does not."""
    drift = np.array([-0.2, 0.0, -0.2, 0.2, 0.4, 0.6])
    found, naive, agree = [], [], []
    for _ in range(runs):
        path = _draw_path(random, drift)
        one = bound_relative_magnitudes(path, 1.0)
        found.append(one.lower <= 0 <= one.upper)
        agree.append(excludes_zero(path, 1.0) == one.excludes_zero)
        naive.append(excludes_zero(path, 0.0))
    return {
        COVERS: np.array(found),
        "quick test agrees with the interval": np.array(agree),
        "false alarms at Mbar = 0": np.array(naive),
    }


def _breakdown(random: Generator, runs: int) -> Values:
    """The breakdown value is where the interval begins to cover 0."""
    drift = np.array([-0.1, 0.0, -0.1, 0.6, 0.7, 0.8])
    is_right = []
    for _ in range(runs):
        path = _draw_path(random, drift)
        value = find_breakdown_mbar(path)
        below = value == 0 or excludes_zero(path, 0.98 * value)
        is_right.append(below and not excludes_zero(path, 1.02 * value + 0.01))
    return {"breakdown values that agree with the test": np.array(is_right)}


def _bend(random: Generator, runs: int) -> Values:
    drift = 0.025 * TIME**2 + 0.1 * TIME
    found = [bound_smoothness(_draw_path(random, drift), 0.05) for _ in range(runs)]
    return {COVERS: np.array([one.lower <= 0 <= one.upper for one in found])}


def _straight(random: Generator, runs: int) -> Values:
    drift = 0.3 * TIME
    found = [bound_smoothness(_draw_path(random, drift), 0.0) for _ in range(runs)]
    return {COVERS: np.array([one.lower <= 0 <= one.upper for one in found])}


def _from_totals(random: Generator, runs: int) -> Values:
    """300 against 300 units, straight drift: totals, path, bounds."""
    days = range(-4, 4)
    trend = 0.05 * np.array(days)
    pairs = draw_arms(random, runs, (300, 300), days, rho=0.3, drift=trend)
    paths = [path_of(*pair, period_days=1) for pair in pairs]
    found = [bound_smoothness(path, 0.0) for path in paths]
    gaps = np.array(
        [path.estimate - _average(*p) for path, p in zip(paths, pairs, strict=True)]
    )
    few = [assess_sensitivity(*p, period_days=1).smoothness[0] for p in pairs[:AGREE]]
    return {
        COVERS: np.array([one.lower <= 0 <= one.upper for one in found]),
        "paths that average the daily gaps": np.abs(gaps) < 1e-9,
        "reports with the same interval": np.array(
            [
                a.lower == b.lower and a.upper == b.upper
                for a, b in zip(few, found, strict=False)
            ]
        ),
    }


def _average(control: GramTotals, treatment: GramTotals) -> float:
    gap = np.array(treatment.means) - np.array(control.means)
    return float(gap[4:].mean() - gap[3])


SIMULATIONS = (
    Simulation(
        "relative_magnitudes",
        "relative magnitudes, Mbar = 1",
        f"{PATH}; the gap changes by .2 a period before, and as fast after",
        (bound_relative_magnitudes, excludes_zero),
        (
            least(COVERS, 0.95),
            equal("quick test agrees with the interval", 1.0),
            disease(
                least("false alarms at Mbar = 0", 0.5),
                "SHIP needs the interval at Mbar = 1",
                "tests/decision/test_rules_of_panels.py::test_did_never_ships_without_a_sensitivity_interval",
            ),
        ),
        1_000,
        60,
        _magnitudes,
    ),
    Simulation(
        "breakdown",
        "breakdown value of Mbar",
        "an event study of 3 + 3 periods, errors .1, effect .5",
        (find_breakdown_mbar,),
        (equal("breakdown values that agree with the test", 1.0),),
        100,
        2,
        _breakdown,
    ),
    Simulation(
        "smoothness_bend",
        "smoothness, M = .05",
        f"{PATH}; the slope bends by .05 a period",
        (bound_smoothness,),
        (least(COVERS, 0.95),),
        2_000,
        300,
        _bend,
    ),
    Simulation(
        "smoothness_straight",
        "smoothness, M = 0",
        f"{PATH}; a straight drift of .3 a period",
        (bound_smoothness,),
        (equal(COVERS, 0.95),),
        4_000,
        300,
        _straight,
    ),
    Simulation(
        "sensitivity",
        "smoothness, M = 0, from daily totals",
        "300 against 300 units over 4 + 4 days, AR(1) .3, a straight drift, no effect",
        (assess_sensitivity, path_of),
        (
            equal(COVERS, 0.95, 0.003, "estimated covariance read as known"),
            equal("paths that average the daily gaps", 1.0),
            equal("reports with the same interval", 1.0),
        ),
        2_000,
        100,
        _from_totals,
    ),
)
