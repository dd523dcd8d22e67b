"""Sample sizes of panels: is the power of a DiD that of the formula for two means?

A unit's change is one value per unit, so that `exp power` takes its variance. Where
treatment begins on several dates the average is a sum of changes with known weights.
"""

import numpy as np
from numpy.random import Generator

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.panel_data import PanelData
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    equal,
)
from exp_platform.pipelines.calibration.series import (
    ar1_covariance,
    draw_ar1,
    draw_arms,
)
from exp_platform.pipelines.calibration.totals import MEAN, columns
from exp_platform.stats.design import Design, Noise, Target
from exp_platform.stats.power import MetricDesign, find_power, find_units

DAYS = range(-7, 7)
POWER = "power at the planned size"
LESS = "power, less the predicted"

PERIODS = np.arange(1.0, 8.0)
STARTS = (4, 6)
EACH = 60
RHO = 0.5


def _change_variance() -> float:
    """Of a unit's mean after less its mean before."""
    weights = np.where(np.array(DAYS) >= 0, 1 / 7, -1 / 7)
    return float(weights @ ar1_covariance(len(DAYS)) @ weights)


def _two_by_two(random: Generator, runs: int) -> Values:
    """Sized for a change of .3."""
    noise, target, design = Noise(0.0, _change_variance()), Target(0.3), Design()
    size = find_units(MetricDesign("metric", noise, target), design)
    sizes = size.n_control or 0, size.n_treatment or 0
    drift = target.difference * (np.array(DAYS) >= 0)
    pairs = draw_arms(random, runs, sizes, DAYS, drift=drift)
    rows = [estimate_did(panel_of(c), panel_of(t), MEAN) for c, t in pairs]
    found = columns(rows, "p_value")[0] <= design.alpha
    return {POWER: found, LESS: found - find_power(noise, target, design, sum(sizes))}


def _average_weights() -> tuple[Array, ...]:
    """What the simple average makes of each group's period means, controls last.

    Every cell under treatment counts alike, less the last period before treatment.
    """
    cells = sum(len(PERIODS) - start + 1 for start in STARTS)
    treated = []
    for start in STARTS:
        weights = (start <= PERIODS) / cells
        weights[start - 2] = -weights.sum()
        treated.append(weights)
    return (*treated, -np.sum(treated, axis=0))


def _staggered(random: Generator, runs: int) -> Values:
    """60 units in each of two cohorts and never treated; one effect for all."""
    covariance = ar1_covariance(PERIODS.size, RHO)
    variance = sum(float(w @ covariance @ w) / EACH for w in _average_weights())
    effect, n_total = 2.8 * variance**0.5, 3 * EACH
    # Two equal arms of this spread have the average's own standard error.
    noise = Noise(0.0, variance * n_total / 4)
    predicted = find_power(noise, Target(effect), Design(), n_total)
    start = np.repeat([*STARTS, np.inf], EACH)
    is_treated = start[:, None] <= PERIODS
    found = []
    for noise_of_units in draw_ar1(random, (runs, n_total, PERIODS.size), rho=RHO):
        data = PanelData(
            "simulated",
            "metric",
            np.repeat(np.arange(n_total), PERIODS.size),
            np.tile(PERIODS, n_total),
            (noise_of_units + effect * is_treated).ravel(),
            np.repeat(start, PERIODS.size),
        )
        row = estimate_staggered(data, MEAN, control_group="never").estimates[0]
        found.append((row.p_value or 1.0) <= MEAN.alpha)
    return {LESS: np.array(found) - predicted}


SIMULATIONS = (
    Simulation(
        "power_did",
        "sample size for a 2x2 difference",
        "AR(1) .8 over 7 + 7 days, the variance of a unit's change, the planned effect",
        (find_units, find_power, estimate_did),
        (
            equal(POWER, 0.8, 0.01, "whole units, t(G - 1)"),
            equal(LESS, 0.0, 0.01, "t(G - 1), CR1 has one factor"),
        ),
        10_000,
        1_000,
        _two_by_two,
    ),
    Simulation(
        "power_staggered",
        "power of Callaway and Sant'Anna's simple average",
        "60 units in each of two cohorts and never treated, AR(1) .5 over 7 periods; "
        "predicted from the average's weights",
        (find_power, estimate_staggered),
        (equal(LESS, 0.0, 0.02, "errors without a small-sample factor"),),
        1_500,
        60,
        _staggered,
    ),
)
