"""How much of the error rate may be used up by which point of the schedule."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from exp_platform.errors import ContractError
from exp_platform.records import SpendingKind
from exp_platform.stats.inference import Array


@dataclass(frozen=True, slots=True)
class Spending:
    """A spending function of Lan and DeMets.

    Attributes:
        kind: `obrien_fleming` spends late, `pocock` about evenly, `power` as
            time^exponent.
        exponent: of `power`, above 0; 1 is even, 3 is close to O'Brien-Fleming.
    """

    kind: SpendingKind = "obrien_fleming"
    exponent: float = 3.0

    def __post_init__(self) -> None:
        is_known = self.kind in ("obrien_fleming", "pocock", "power")
        if is_known and 0 < self.exponent < math.inf:
            return
        raise ContractError(
            "no such spending function",
            found=f"kind {self.kind!r}, exponent {self.exponent}",
            allowed="obrien_fleming, pocock or power; an exponent above 0",
            next_step="correct the sequential plan of the experiment",
        )


def spend_alpha(
    spending: Spending, alpha: ArrayLike, times: ArrayLike, *, sides: Literal[1, 2] = 2
) -> Array:
    """How much error rate is spent on each side by each time?

    A two-sided plan spends two one-sided functions of alpha / 2.

    Args:
        spending: which function.
        alpha: error rates of whole plans, 0 to 1, shape (n_plans,).
        times: spending times, share 0 to 1, shape (n_looks,).
        sides: 1 or 2.

    Returns:
        Cumulative error rate of one side, shape (n_plans, n_looks).

    References:
        Lan and DeMets (1983); Kim and DeMets (1987).
    """
    level = np.asarray(alpha, dtype=float).reshape(-1, 1) / sides
    time = np.clip(np.asarray(times, dtype=float), 0.0, 1.0)[None, :]
    if spending.kind == "power":
        return np.asarray(level * time**spending.exponent)
    if spending.kind == "pocock":
        return np.asarray(level * np.log1p((math.e - 1) * time))
    with np.errstate(divide="ignore"):
        return np.asarray(2 * ndtr(ndtri(level / 2) / np.sqrt(time)))
