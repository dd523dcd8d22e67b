"""Sample ratio mismatch: false alarms at one look and at many, and power."""

import numpy as np
from numpy.random import Generator

from exp_platform.checks.facts import SplitFacts
from exp_platform.checks.srm import check_srm
from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.records import CheckStatus
from exp_platform.stats.contingency import assess_table
from exp_platform.stats.srm import (
    assess_split,
    chi_square_split,
    log_e_split,
    track_split,
)

HALF = (0.5, 0.5)
UNITS = 100_000
DAYS = 28


def _draw(random: Generator, runs: int, share: float) -> Array:
    """Units of two arms at the end, shape (runs, 2)."""
    treated = random.binomial(UNITS, share, runs)
    return np.column_stack([UNITS - treated, treated]).astype(float)


def _draw_days(random: Generator, runs: int, share: float) -> Array:
    """Cumulative units of two arms, shape (runs, DAYS, 2)."""
    daily = UNITS // DAYS
    treated = np.cumsum(random.binomial(daily, share, (runs, DAYS)), axis=1)
    total = daily * np.arange(1, DAYS + 1)
    return np.stack([total - treated, treated], axis=-1).astype(float)


def _once(random: Generator, runs: int) -> Values:
    p_values = chi_square_split(_draw(random, runs, 0.5), HALF)[1]
    return {f"alarms at p < {level}": p_values < level for level in (0.001, 0.01, 0.05)}


def _three_arms(random: Generator, runs: int) -> Values:
    observed = random.multinomial(50_000, (0.6, 0.2, 0.2), runs)
    return {"alarms at p < 0.001": chi_square_split(observed, (3, 1, 1))[1] < 0.001}


def _power(random: Generator, runs: int) -> Values:
    return {
        f"power, true share {share}": (
            chi_square_split(_draw(random, runs, share), HALF)[1] < 0.001
        )
        for share in (0.505, 0.51)
    }


def _daily(random: Generator, runs: int) -> Values:
    looks = _draw_days(random, runs, 0.5)
    p_values = chi_square_split(looks, HALF)[1].min(axis=1)
    largest = log_e_split(looks, HALF).max(axis=1)
    return {
        "alarms of a daily chi-square at .001": p_values < 0.001,
        "alarms of a daily chi-square at .01": p_values < 0.01,
        "alarms of the e-value at .01": largest >= np.log(100),
        "alarms of the e-value at .001": largest >= np.log(1000),
    }


def _daily_power(random: Generator, runs: int) -> Values:
    looks = _draw_days(random, runs, 0.51)
    return {"power": log_e_split(looks, HALF).max(axis=1) >= np.log(1000)}


def _mean_evidence(random: Generator, runs: int) -> Values:
    treated = random.binomial(500, 0.5, runs)
    observed = np.column_stack([500 - treated, treated])
    return {"mean e-value": np.exp(log_e_split(observed, HALF))}


def _few_units(random: Generator, runs: int) -> Values:
    drawn = random.multinomial(15, (0.7, 0.2, 0.1), runs)
    found = {
        row: assess_split(row, (7, 2, 1)) for row in set(map(tuple, drawn.tolist()))
    }
    p_values = np.array([found[tuple(row)].p_value or 1.0 for row in drawn.tolist()])
    return {"alarms at p < 0.05": p_values < 0.05, "alarms at p < 0.2": p_values < 0.2}


def _check(random: Generator, runs: int) -> Values:
    statuses = []
    sequential = []
    for looks in _draw_days(random, runs, 0.5).astype(int).tolist():
        counts = tuple({"A": a, "B": b} for a, b in looks)
        facts = SplitFacts(
            "simulated", {"A": 0.5, "B": 0.5}, counts[-1], True, "A", looks=counts
        )
        statuses.append(check_srm(facts).status)
        sequential.append(track_split(looks, HALF).p_value)
    return {
        "clean experiments FAILED": np.array(
            [s is CheckStatus.FAILED for s in statuses]
        ),
        "sequential p-values below .05": np.array(sequential) < 0.05,
    }


def _table(random: Generator, runs: int) -> Values:
    """Arms by platform, independent."""
    shares = np.outer((0.5, 0.3, 0.2), (0.4, 0.6)).ravel()
    tables = random.multinomial(3000, shares, runs).reshape(runs, 3, 2)
    p_values = {
        name: np.array(
            [assess_table(t, likelihood=name == "G").p_value for t in tables]
        )
        for name in ("Pearson", "G")
    }
    return {f"alarms at p < 0.05, {name}": p < 0.05 for name, p in p_values.items()}


SIMULATIONS = (
    Simulation(
        "srm_chi_square",
        "chi-square of the split",
        "100,000 units, planned half and half, as planned",
        (chi_square_split,),
        tuple(
            equal(
                f"alarms at p < {level}", level, 0.001 * (level > 0.001), "whole units"
            )
            for level in (0.001, 0.01, 0.05)
        ),
        1_000_000,
        200_000,
        _once,
    ),
    Simulation(
        "srm_three_arms",
        "chi-square of the split",
        "50,000 units, planned 60 / 20 / 20, as planned",
        (chi_square_split,),
        (equal("alarms at p < 0.001", 0.001),),
        1_000_000,
        200_000,
        _three_arms,
    ),
    Simulation(
        "srm_power",
        "chi-square of the split at .001",
        "100,000 units, planned half and half, a share of .505 or .51",
        (chi_square_split,),
        (
            equal("power, true share 0.505", 0.449, 0.005, "normal theory"),
            equal("power, true share 0.51", 0.9988, 0.0005, "reference value"),
        ),
        200_000,
        40_000,
        _power,
    ),
    Simulation(
        "srm_daily",
        "chi-square against e-value, read every day",
        "28 days, 100,000 units, as planned",
        (log_e_split,),
        (
            disease(
                equal(
                    "alarms of a daily chi-square at .001",
                    0.0102,
                    0.001,
                    "reference value",
                ),
                "while running the e-value decides, chi-square only warns",
                "srm_check",
            ),
            disease(
                equal(
                    "alarms of a daily chi-square at .01",
                    0.0755,
                    0.003,
                    "reference value",
                ),
                "while running the e-value decides, chi-square only warns",
                "srm_check",
            ),
            most("alarms of the e-value at .01", 0.01, why="reference value .0017"),
            most("alarms of the e-value at .001", 0.001),
        ),
        100_000,
        10_000,
        _daily,
    ),
    Simulation(
        "srm_daily_power",
        "e-value of 1,000 on any day",
        "28 days, 100,000 units, planned half and half, a share of .51",
        (log_e_split,),
        (least("power", 0.95),),
        20_000,
        4_000,
        _daily_power,
    ),
    Simulation(
        "srm_evidence",
        "e-value",
        "500 units, planned half and half, as planned",
        (log_e_split,),
        (equal("mean e-value", 1.0),),
        500_000,
        100_000,
        _mean_evidence,
    ),
    Simulation(
        "srm_few_units",
        "exact multinomial test",
        "15 units, planned 70 / 20 / 10, as planned",
        (assess_split,),
        (most("alarms at p < 0.05", 0.05), most("alarms at p < 0.2", 0.2)),
        200_000,
        40_000,
        _few_units,
    ),
    Simulation(
        "srm_check",
        "check SRM at the registered end",
        "28 days, 100,000 units, as planned",
        (check_srm, track_split),
        (
            most("clean experiments FAILED", 0.002, why="its part of the budget"),
            most("sequential p-values below .05", 0.05),
        ),
        20_000,
        1_500,
        _check,
    ),
    Simulation(
        "contingency",
        "chi-square of a table",
        "3,000 units in 3 x 2 cells, independent",
        (assess_table,),
        tuple(
            equal(f"alarms at p < 0.05, {name}", 0.05, 0.001, "whole units")
            for name in ("Pearson", "G")
        ),
        50_000,
        5_000,
        _table,
    ),
)
