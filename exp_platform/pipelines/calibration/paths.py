"""Test statistics at many looks, and the looks they belong to."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from exp_platform.pipelines.calibration.gate import Array
from exp_platform.records import MetricTotals
from exp_platform.stats.looks import Look, Schedule, SequentialPlan, schedule_looks
from exp_platform.stats.welch import Arm

DAYS: Array = np.arange(1, 29) / 28
"""Shares of a plan of 28 days."""

FIXED_80 = 2.8015852
"""Effect, in errors of the last look, that a fixed test finds in 80 %."""

UNITS = 100_000
"""Units of an arm at the end of a plan."""


def draw_paths(
    random: Generator, runs: int, shares: Array, *, drift: float = 0.0
) -> Array:
    """Statistics at each look; drift is its mean at share 1, shape (runs, n_looks)."""
    steps = np.diff(shares, prepend=0.0)
    noise = random.standard_normal((runs, shares.size)) * np.sqrt(steps)
    walk = np.cumsum(noise + drift * steps, axis=1)
    return np.asarray(walk / np.sqrt(shares))


def schedule_at(
    shares: Array, elapsed: Array, plan: SequentialPlan | None = None
) -> Schedule:
    """Looks at these shares of UNITS and of the registered duration."""
    looks = [
        Look(int(UNITS * share), int(UNITS * share), float(time))
        for share, time in zip(shares, elapsed, strict=True)
    ]
    return schedule_looks(looks, plan or SequentialPlan())


def draw_days(
    random: Generator, runs: int, n: int, days: int, *, mean: float = 0.0
) -> Arm:
    """Cumulative moments of n normal values a day, fields of shape (runs, days)."""
    means = mean + random.standard_normal((runs, days)) / np.sqrt(n)
    inside = random.chisquare(n - 1, (runs, days))
    units = n * np.arange(1, days + 1.0)
    total = np.cumsum(n * means, axis=1)
    squares = np.cumsum(inside + n * means**2, axis=1)
    cumulative = total / units
    variance = (squares - units * cumulative**2) / (units - 1)
    return Arm(np.broadcast_to(units, means.shape), cumulative, variance)


def list_looks(arm: Arm, variant: str) -> list[list[MetricTotals]]:
    """One record per look of every run."""
    table: NDArray[np.float64] = np.stack([arm.n, arm.mean, arm.variance], axis=-1)
    return [
        [
            MetricTotals("simulated", "metric", variant, int(n), mean, variance)
            for n, mean, variance in run
        ]
        for run in table.tolist()
    ]
