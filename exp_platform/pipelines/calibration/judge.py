"""Does every gate hold? One row of the table each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import kolmogi, ndtri

from exp_platform.pipelines.calibration.gate import (
    Drawn,
    Gate,
    Measured,
    Simulation,
    spread_of,
)

FAMILY = 0.01
"""Probability that any gate of the whole table fails although all methods are right."""

SPREAD_OF_DISTANCE = 0.2603
"""Standard deviation of sqrt(n) x Kolmogorov and Smirnov's distance."""


@dataclass(frozen=True, slots=True)
class Row:
    """One gate as it ended.

    Attributes:
        tolerance: Monte Carlo error allowed, corrected for the number of gates, and
            the slack of the gate.
        value, error: as simulated, with its Monte Carlo standard error.
        runs: experiments behind the value.
    """

    simulation: Simulation
    gate: Gate
    tolerance: float
    value: float
    error: float
    runs: int

    @property
    def name(self) -> str:
        """Of the row in the table."""
        return f"{self.simulation.name}: {self.gate.quantity}"

    @property
    def is_passed(self) -> bool:
        """The quantity is what it must be; one without runs is not."""
        gap = self.value - self.gate.nominal
        if self.gate.bound == "equal":
            gap = abs(gap)
        elif self.gate.bound == "least":
            gap = -gap
        # 1e-12: a rate that must be exactly 0 or 1 may carry rounding.
        return bool(gap <= self.tolerance + 1e-12)


def run_simulation(
    simulation: Simulation, n_gates: int, *, short: bool = False, seed: int = 0
) -> tuple[Row, ...]:
    """Draw one simulation's experiments and judge its gates.

    Args:
        simulation: what to draw.
        n_gates: of the whole table; the tolerance is corrected for them.
        short: fewer experiments, and so a wider tolerance.
        seed: 0 = the one that follows from the name alone.
    """
    runs = simulation.short if short else simulation.runs
    values = simulation.draw(simulation.source(seed), runs)
    return tuple(
        _judge(simulation, gate, _as_drawn(values[gate.quantity]), n_gates)
        for gate in simulation.gates
    )


def count_gates(simulations: Sequence[Simulation]) -> int:
    """Rows that the table of these simulations has."""
    return sum(len(simulation.gates) for simulation in simulations)


def _as_drawn(values: Drawn | np.bool_) -> Drawn:
    return values if isinstance(values, Measured) else np.asarray(values)


def _judge(
    simulation: Simulation,
    gate: Gate,
    values: Drawn,
    n_gates: int,
) -> Row:
    level = FAMILY / n_gates
    if gate.bound == "uniform":
        return _judge_distance(simulation, gate, values, level)
    sides = 2 if gate.bound == "equal" else 1
    reach = _reach_of(values, gate.nominal, -float(ndtri(level / sides)))
    value, runs = _value_of(values)
    error = spread_of(values, value)
    return Row(simulation, gate, reach + gate.slack, value, error, runs)


def _reach_of(values: Drawn, nominal: float, z: float) -> float:
    """Monte Carlo error allowed: z errors, and the skew of few yes among many no."""
    spread = spread_of(values, nominal)
    if isinstance(values, Measured) or values.dtype != np.bool_ or spread == 0:
        return z * spread
    return z * spread + (z**2 - 1) * abs(1 - 2 * nominal) / (6 * values.size)


def _value_of(values: Drawn) -> tuple[float, int]:
    if isinstance(values, Measured):
        return values.value, values.runs
    return float(values.mean()) if values.size else math.nan, values.size


def _judge_distance(
    simulation: Simulation, gate: Gate, values: Drawn, level: float
) -> Row:
    """The largest gap between the values' distribution and the uniform one."""
    if isinstance(values, Measured) or values.size == 0:
        return Row(simulation, gate, math.nan, math.nan, math.nan, 0)
    ordered = np.sort(values)
    n = ordered.size
    place = np.arange(1.0, n + 1)
    above = np.max(place / n - ordered)
    below = np.max(ordered - (place - 1) / n)
    reach = float(kolmogi(level)) / math.sqrt(n)
    error = SPREAD_OF_DISTANCE / math.sqrt(n)
    return Row(simulation, gate, reach, float(max(above, below)), error, n)
