"""What a simulation is, and what each of the numbers it finds must be."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

Bound = Literal["equal", "most", "least", "uniform"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A number that is not a mean over runs, e.g. a ratio of variances.

    Attributes:
        error: its Monte Carlo standard error. runs: behind it.
    """

    value: float
    error: float
    runs: int


Drawn = NDArray[Any] | Measured

Values = Mapping[str, Drawn | np.bool_]
"""By quantity: one value per run, of which the mean is judged, or a measured number."""

Draw = Callable[[Generator, int], Values]


@dataclass(frozen=True, slots=True)
class Guard:
    """What the platform does about a failure that a gate shows.

    Attributes:
        action: in words.
        shown_by: a simulation, or a test as `tests/room/test_module.py::test_case`.
    """

    action: str
    shown_by: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One quantity of a simulation and what it must be.

    Attributes:
        quantity: in words; the key of the simulation's values.
        bound: `equal` to the nominal value, at `most`, at `least`; or values that must
            be `uniform` between 0 and 1 (Kolmogorov and Smirnov's distance).
        slack: known error of an approximation, allowed beside the Monte Carlo error.
        why: where a slack or a nominal value comes from.
        guard: of a gate that shows how a method fails.
    """

    quantity: str
    bound: Bound
    nominal: float
    slack: float = 0.0
    why: str = ""
    guard: Guard | None = None


def equal(quantity: str, nominal: float, slack: float = 0.0, why: str = "") -> Gate:
    """The quantity must be the nominal value."""
    return Gate(quantity, "equal", nominal, slack, why)


def most(quantity: str, nominal: float, slack: float = 0.0, why: str = "") -> Gate:
    """The quantity must not exceed the nominal value."""
    return Gate(quantity, "most", nominal, slack, why)


def least(quantity: str, nominal: float, slack: float = 0.0, why: str = "") -> Gate:
    """The quantity must not fall below the nominal value."""
    return Gate(quantity, "least", nominal, slack, why)


def uniform(quantity: str, why: str = "") -> Gate:
    """The values, one per run, must be uniform between 0 and 1."""
    return Gate(quantity, "uniform", 0.0, 0.0, why)


def disease(gate: Gate, action: str, shown_by: str) -> Gate:
    """The gate shows what happens without the method, or where a method fails.

    Args:
        gate: must show it.
        action: what the platform does about it, in words.
        shown_by: the simulation or test that proves that it does.
    """
    return replace(gate, guard=Guard(action, shown_by))


@dataclass(frozen=True, slots=True)
class Simulation:
    """Experiments drawn many times, and the gates they must pass.

    Attributes:
        name: its seed follows from it.
        method: what is put to the test, in words.
        data: how an experiment is drawn, in words.
        covers: functions of `stats`, `causal`, `checks` and `decision` that are put to
            the test.
        runs, short: experiments drawn in full and in the tests.
        draw: experiments to values.
    """

    name: str
    method: str
    data: str
    covers: tuple[Callable[..., object], ...]
    gates: tuple[Gate, ...]
    runs: int
    short: int
    draw: Draw

    def source(self, seed: int = 0) -> Generator:
        """Random numbers of this simulation alone.

        Args:
            seed: another one draws other experiments; 0 = those of the page.
        """
        text = self.name if seed == 0 else f"{self.name}:{seed}"
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def spread_of(values: Drawn, nominal: float) -> float:
    """Monte Carlo standard error that the quantity has when it is as it must be.

    Args:
        values: one per run, or measured.
        nominal: what it must be; yes and no values vary with it.
    """
    if isinstance(values, Measured):
        return values.error
    if values.size == 0:
        return math.nan
    if values.dtype == np.bool_:
        return math.sqrt(nominal * (1 - nominal) / values.size)
    if values.size == 1:
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(values.size)
