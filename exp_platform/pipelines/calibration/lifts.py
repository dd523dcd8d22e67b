"""Relative lift: coverage of the four kinds of interval, on quiet and noisy controls."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.quantities import (
    DISAGREES,
    both_misses,
    disagrees,
    misses,
)
from exp_platform.pipelines.calibration.totals import (
    MEAN,
    columns,
    pair_up,
    totals_of,
)
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.lift import restate_lift
from exp_platform.stats.relative import RelativeMethod, fieller_limits, infer_relative
from exp_platform.stats.welch import compare_arms, estimate_welch

METHODS: tuple[RelativeMethod, ...] = ("delta", "log_delta", "fieller")
BEND = "the bend of a ratio"
DEFAULT = "the interval of a lift is Fieller's at every distance from 0"


def _covers(compared: Comparison, method: RelativeMethod, truth: float) -> Flags:
    found = infer_relative(compared.inference, compared.baseline, method=method)
    return np.asarray((found.ci_lower <= truth) & (truth <= found.ci_upper))


def _compare(
    random: Generator, runs: int, n: int, means: tuple[float, float]
) -> Comparison:
    arms = [draw_normal(random, runs, n, mean=mean) for mean in means]
    return compare_arms(arms[0], arms[1], 0.05)


def _noisy(random: Generator, runs: int) -> Values:
    # The control mean's error is 1 / sqrt(n) = .15 of the mean.
    compared = _compare(random, runs, 4444, (0.1, 0.12))
    return {f"coverage, {name}": _covers(compared, name, 0.2) for name in METHODS}


def _quiet(random: Generator, runs: int) -> Values:
    compared = _compare(random, runs, 400, (1.0, 1.1))
    return {f"coverage, {name}": _covers(compared, name, 0.1) for name in METHODS}


def _near_zero(random: Generator, runs: int) -> Values:
    compared = _compare(random, runs, 2500, (0.1, 0.1))
    lift, baseline = compared.relative, compared.baseline
    delta = infer_relative(compared.inference, baseline, method="delta")
    is_near = baseline.mean < 5 * np.sqrt(baseline.variance)
    return {
        "false alarms": lift.p_value < 0.05,
        DISAGREES: disagrees(compared.inference, lift),
        f"{DISAGREES}, delta": disagrees(compared.inference, delta),
        "false alarms, delta only from five errors on": (
            np.where(is_near, lift.p_value, delta.p_value) < 0.05
        ),
    }


def _p_values(random: Generator, runs: int) -> Values:
    compared = _compare(random, runs, 4000, (1.0, 1.0))
    quantities = {}
    for name in METHODS:
        found = infer_relative(compared.inference, compared.baseline, method=name)
        quantities[f"false alarms, {name}"] = found.p_value < 0.05
    return quantities


def _restated(random: Generator, runs: int) -> Values:
    control, treatment = (
        totals_of(draw_normal(random, runs, 400, mean=mean)) for mean in (1.0, 1.1)
    )
    pairs = pair_up(control, treatment)
    rows = [restate_lift(estimate_welch(c, t, MEAN), "fieller") for c, t in pairs]
    return misses(columns(rows, "relative_ci_lower", "relative_ci_upper"), 0.1)


def _limits(random: Generator, runs: int) -> Values:
    compared = _compare(random, runs, 2500, (0.1, 0.12))
    variance = compared.inference.standard_error**2
    difference, baseline = compared.inference.difference, compared.baseline
    lower, upper = fieller_limits(difference, variance, baseline, 1.959964)
    # A set without ends covers.
    return misses((lower, upper), 0.2)


SIMULATIONS = (
    Simulation(
        "lift_noisy_control",
        "interval of the relative lift",
        "4,444 against 4,444 normal values, control mean known to 15 %, lift .2",
        (infer_relative,),
        (
            equal("coverage, delta", 0.951, 0.001, "reference value of the method"),
            equal("coverage, log_delta", 0.960, 0.001, "reference value of the method"),
            equal("coverage, fieller", 0.950),
        ),
        200_000,
        40_000,
        _noisy,
    ),
    Simulation(
        "lift_quiet_control",
        "interval of the relative lift",
        "400 against 400 normal values, control mean known to 5 %, lift .1",
        (infer_relative,),
        (
            equal("coverage, delta", 0.95, 0.002, BEND),
            equal("coverage, log_delta", 0.95, 0.002, BEND),
            equal("coverage, fieller", 0.95),
        ),
        200_000,
        40_000,
        _quiet,
    ),
    Simulation(
        "lift_near_zero",
        "p-value and interval of the relative lift, by the default method",
        "2,500 against 2,500 normal values, control mean known to 20 %, no effect",
        (infer_relative,),
        (
            equal("false alarms", 0.05),
            most(DISAGREES, 0.0),
            disease(least(f"{DISAGREES}, delta", 0.04), DEFAULT, "lift_near_zero"),
            disease(
                least("false alarms, delta only from five errors on", 0.07),
                DEFAULT,
                "lift_near_zero",
            ),
        ),
        100_000,
        20_000,
        _near_zero,
    ),
    Simulation(
        "lift_p_value",
        "p-value of the relative lift",
        "4,000 against 4,000 normal values, control mean known to 1.6 %, no effect",
        (infer_relative,),
        (
            equal("false alarms, delta", 0.05, 0.001, BEND),
            equal("false alarms, log_delta", 0.05, 0.001, BEND),
            equal("false alarms, fieller", 0.05),
        ),
        100_000,
        20_000,
        _p_values,
    ),
    Simulation(
        "lift_restated",
        "Fieller's interval of a finished row",
        "400 against 400 normal values, control mean known to 5 %, lift .1",
        (restate_lift,),
        both_misses(),
        10_000,
        2_000,
        _restated,
    ),
    Simulation(
        "lift_fieller_limits",
        "Fieller's limits",
        "2,500 against 2,500 normal values, control mean known to 20 %, lift .2",
        (fieller_limits,),
        both_misses(),
        100_000,
        20_000,
        _limits,
    ),
)
