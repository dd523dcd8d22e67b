"""Evidence that may be read at any time: confidence sequences and mSPRT."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.paths import (
    DAYS,
    FIXED_80,
    UNITS,
    draw_days,
    draw_paths,
    list_looks,
)
from exp_platform.pipelines.calibration.totals import MEAN, columns
from exp_platform.stats.boundary import Sides
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    critical_sequence,
    estimate_confidence_sequence,
    tune_mixture,
)
from exp_platform.stats.mixture import always_valid_p, critical_mixture, log_e_value
from exp_platform.stats.msprt import estimate_msprt

FALSE = "false alarms over all looks"
N = DAYS * UNITS
TUNINGS = (5_000, 20_000, 100_000)


def _tuned_to(planned: int) -> Simulation:
    def draw(random: Generator, runs: int) -> Values:
        """28 looks up to 100,000 units."""
        rho2 = tune_mixture(planned, 0.05)
        z = draw_paths(random, runs, DAYS)
        is_out = (np.abs(z) > critical_sequence(N, rho2, 0.05)).any(axis=1)
        p_values = always_valid_p(z, N * rho2)[:, -1]
        return {
            FALSE: is_out,
            "runs in which p-value and sequence agree": (p_values < 0.05) == is_out,
        }

    return Simulation(
        f"confidence_sequence_{planned}",
        f"asymptotic confidence sequence tuned to {planned:,} units",
        "28 daily looks up to 100,000 units, no effect",
        (tune_mixture, critical_sequence, always_valid_p),
        (
            most(FALSE, 0.02, why="reference values .0126 to .0176"),
            equal("runs in which p-value and sequence agree", 1.0),
        ),
        100_000,
        20_000,
        draw,
    )


def _every_unit(random: Generator, runs: int) -> Values:
    n = np.arange(100, 10_001)
    limits = {
        name: critical_sequence(
            n, tune_mixture(5000, 0.05, sides=sides), 0.05, sides=sides
        )
        for name, sides in _SIDES.items()
    }
    found: dict[str, list[bool]] = {f"{FALSE}, {name}": [] for name in limits}
    found["false alarms over all looks, fixed test"] = []
    for _ in range(runs):
        z = np.cumsum(random.standard_normal(10_000))[99:] / np.sqrt(n)
        found[f"{FALSE}, one-sided"].append(bool(np.any(z > limits["one-sided"])))
        size = np.abs(z)
        found[f"{FALSE}, two-sided"].append(bool(np.any(size > limits["two-sided"])))
        found[f"{FALSE}, fixed test"].append(bool(np.any(size > 1.959964)))
    return {name: np.array(flags) for name, flags in found.items()}


_SIDES: dict[str, Sides] = {"one-sided": 1, "two-sided": 2}


def _power(random: Generator, runs: int) -> Values:
    z = np.abs(draw_paths(random, runs, DAYS, drift=FIXED_80))
    quantities = {}
    for planned in TUNINGS:
        critical = critical_sequence(N, tune_mixture(planned, 0.05), 0.05)
        quantities[f"power, tuned to {planned:,}"] = (z > critical).any(axis=1)
    return quantities


def _msprt(random: Generator, runs: int) -> Values:
    # tau^2 = 1e-4 in units of variance 1; 100,000 units in two arms.
    ratio = 1e-4 * N / 4
    z = draw_paths(random, runs, DAYS)
    is_out = (np.abs(z) > critical_mixture(ratio, 0.05)).any(axis=1)
    # Early: later on the e-value's variance is infinite.
    e_values = np.exp(log_e_value(z[:, 3], ratio[3]))
    return {FALSE: is_out, "mean e-value after four days": e_values}


def _rows(random: Generator, runs: int) -> Values:
    """Cumulative totals of 7 days with 120 units an arm."""
    plan = SequencePlan((840, 840))
    found: dict[str, list[bool]] = {
        "all looks' intervals cover": [],
        f"{FALSE}, confidence sequence": [],
        f"{FALSE}, mSPRT": [],
    }
    controls = list_looks(draw_days(random, runs, 120, 7), "control")
    treatments = list_looks(draw_days(random, runs, 120, 7), "treatment")
    for ours, theirs in zip(controls, treatments, strict=True):
        rows = estimate_confidence_sequence(ours, theirs, MEAN, plan=plan)
        lower, upper = columns(rows, "ci_lower", "ci_upper")
        covers = bool(np.all((lower <= 0) & (upper >= 0)))
        found["all looks' intervals cover"].append(covers)
        last = rows[-1].p_value
        found[f"{FALSE}, confidence sequence"].append(last is not None and last <= 0.05)
        last = estimate_msprt(ours, theirs, MEAN, tau=0.1)[-1].p_value
        found[f"{FALSE}, mSPRT"].append(last is not None and last <= 0.05)
    return {name: np.array(flags) for name, flags in found.items()}


SIMULATIONS = (
    *map(_tuned_to, TUNINGS),
    Simulation(
        "confidence_sequence_every_unit",
        "asymptotic confidence sequence tuned to 5,000 units",
        "a look after every unit from 100 to 10,000, no effect",
        (critical_sequence,),
        (
            most(f"{FALSE}, one-sided", 0.05),
            most(f"{FALSE}, two-sided", 0.05),
            disease(
                least(f"{FALSE}, fixed test", 0.4, why="reference value .478"),
                "without a registered end only the confidence sequence speaks",
                "confidence_sequence_every_unit",
            ),
        ),
        20_000,
        1_500,
        _every_unit,
    ),
    Simulation(
        "confidence_sequence_power",
        "asymptotic confidence sequence",
        "28 daily looks up to 100,000 units, an effect that a fixed test finds in 80 %",
        (critical_sequence,),
        (
            least("power, tuned to 100,000", 0.45, why="tuning = planned n"),
            least("power, tuned to 5,000", 0.38, why="the price of a wrong tuning"),
        ),
        100_000,
        20_000,
        _power,
    ),
    Simulation(
        "msprt",
        "mSPRT with tau^2 = 1e-4",
        "28 daily looks up to 100,000 units, no effect",
        (log_e_value, critical_mixture),
        (most(FALSE, 0.05), equal("mean e-value after four days", 1.0)),
        100_000,
        20_000,
        _msprt,
    ),
    Simulation(
        "always_valid_rows",
        "confidence sequence and mSPRT, whole rows by Welch",
        "7 daily looks, 120 units an arm a day, no effect",
        (estimate_confidence_sequence, estimate_msprt),
        (
            least("all looks' intervals cover", 0.95),
            most(f"{FALSE}, confidence sequence", 0.05),
            most(f"{FALSE}, mSPRT", 0.05),
        ),
        2_000,
        150,
        _rows,
    ),
)
