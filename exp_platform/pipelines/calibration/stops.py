"""What group sequential rows say: repeated intervals, and estimates after a stop."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    equal,
    least,
)
from exp_platform.pipelines.calibration.paths import (
    draw_days,
    draw_paths,
    list_looks,
    schedule_at,
)
from exp_platform.pipelines.calibration.totals import MEAN, columns, details
from exp_platform.stats.group_sequential import (
    estimate_group_sequential,
    find_crossing,
)
from exp_platform.stats.looks import SequentialPlan, critical_values
from exp_platform.stats.spending import Spending
from exp_platform.stats.stagewise import estimate_stopped

LOOKS = np.array([0.25, 0.5, 0.75, 1.0])
BELOW = "median-unbiased estimates below the truth"


def _stopped(random: Generator, runs: int) -> Values:
    """An effect of two errors, spent early at the 10 % level so that many stop."""
    schedule, truth = schedule_at(LOOKS, LOOKS), 2.0
    critical = critical_values(schedule, Spending("pocock"), np.array([0.1]))[0]
    found = []
    for path in draw_paths(random, runs, LOOKS, drift=truth):
        look = (find_crossing(path, critical) or LOOKS.size) - 1
        stop = (look, float(path[look]))
        estimate = estimate_stopped(schedule, Spending("pocock"), stop, alpha=0.1)
        scale = np.sqrt(LOOKS[look])
        found.append(
            np.array([estimate.lower, estimate.median, estimate.upper]) / scale
        )
    lower, median, upper = np.array(found).T
    return {
        BELOW: median < truth,
        "intervals above the truth": lower > truth,
        "intervals below the truth": upper < truth,
    }


def _rows(random: Generator, runs: int) -> Values:
    """Cumulative totals of 7 days with 100 units an arm, effect .12."""
    elapsed = [day / 7 for day in range(1, 8)]
    found: dict[str, list[bool]] = {
        "all looks' repeated intervals cover": [],
        "false alarms over all looks": [],
    }
    quiet = list_looks(draw_days(random, runs, 100, 7), "treatment")
    controls = list_looks(draw_days(random, runs, 100, 7), "control")
    last = []
    for control, treatment in zip(controls, quiet, strict=True):
        rows = estimate_group_sequential(
            control, treatment, MEAN, plan=SequentialPlan(), elapsed=elapsed
        )
        lower, upper = columns(rows, "ci_lower", "ci_upper")
        # Before anything may be spent there is no interval, which misses nothing.
        misses = bool(np.any((lower > 0) | (upper < 0)))
        found["all looks' repeated intervals cover"].append(not misses)
        p_value = rows[-1].p_value
        found["false alarms over all looks"].append(
            p_value is not None and p_value <= 0.05
        )
        last.append(rows[-1])
    stop_lower, stop_upper = (
        details(last, "stop_ci_lower"),
        details(last, "stop_ci_upper"),
    )
    covers = (stop_lower <= 0) & (stop_upper >= 0)
    quantities = {name: np.array(flags) for name, flags in found.items()}
    return {**quantities, "intervals after the stop cover": covers}


SIMULATIONS = (
    Simulation(
        "stopped_estimate",
        "stagewise ordering after a stop, Pocock's spending",
        "4 looks, an effect of two errors, level .1",
        (estimate_stopped, find_crossing),
        (
            equal(BELOW, 0.5),
            equal("intervals above the truth", 0.05),
            equal("intervals below the truth", 0.05),
        ),
        2_500,
        200,
        _stopped,
    ),
    Simulation(
        "group_sequential_rows",
        "group sequential test, whole rows by Welch",
        "7 daily looks, 100 units an arm a day, no effect",
        (estimate_group_sequential,),
        (
            least("all looks' repeated intervals cover", 0.95),
            equal("false alarms over all looks", 0.05, 0.002, "t read as normal z"),
            equal("intervals after the stop cover", 0.95, 0.002, "t read as normal z"),
        ),
        1_000,
        40,
        _rows,
    ),
)
