"""Asymptotic confidence sequences: intervals that hold at every look, for ever.

The sequence is a normal mixture whose width is tuned to the planned number of units.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import lambertw

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.boundary import Sides
from exp_platform.stats.group_sequential import Estimator
from exp_platform.stats.inference import Array
from exp_platform.stats.looks import LEAST_UNITS, Look
from exp_platform.stats.mixture import Alternative, critical_mixture, track_mixture
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

METHOD = "confidence_sequence"


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """What a confidence sequence is tuned to: its width, not its level.

    Attributes:
        planned_units: matured units of control and treatment at which it is tightest.
        alternative: `greater` proves that treatment is above a value, `less` below.
        min_units_per_arm: matured units an arm needs before the first look; never
            less than 100, the boundary is asymptotic.
    """

    planned_units: tuple[int, int]
    alternative: Alternative = "two_sided"
    min_units_per_arm: int = LEAST_UNITS

    def __post_init__(self) -> None:
        is_known = self.alternative in ("two_sided", "greater", "less")
        if is_known and min(self.planned_units) > 0:
            return
        raise ContractError(
            "a confidence sequence cannot be tuned like this",
            found=f"planned units {self.planned_units}, {self.alternative!r}",
            allowed="positive units; two_sided, greater or less",
            next_step="register the units the experiment expects",
        )


def tune_mixture(planned_n: float, alpha: float, *, sides: Sides = 2) -> float:
    """Which rho squared makes the sequence tightest after `planned_n` units?

    Args:
        planned_n: units of both arms.
        alpha: error rate over all looks.
        sides: one-sided sequences are tuned as two-sided ones at 2 alpha.

    References:
        Waudby-Smith and others (2024); Howard and others (2021), section 3.5.
    """
    level = min(alpha * (2 if sides == 1 else 1), 0.99)
    root = float(lambertw(-(level**2) / math.e, k=-1).real)
    return (-root - 1) / planned_n


def critical_sequence(
    n: ArrayLike, rho2: float, alpha: float, *, sides: Sides = 2
) -> Array:
    """How many standard errors wide is the sequence after n units?

    Args:
        n: units of both arms so far, shape (n_looks,).
        rho2: tuning, see `tune_mixture`.
        alpha: error rate over all looks.
        sides: 2, or 1 for a bound on one side.
    """
    return critical_mixture(np.asarray(n, dtype=float) * rho2, alpha, sides=sides)


def estimate_confidence_sequence(
    controls: Sequence[MetricTotals],
    treatments: Sequence[MetricTotals],
    settings: EstimateSettings,
    *,
    plan: SequencePlan,
    estimator: Estimator = estimate_welch,
) -> tuple[Estimate, ...]:
    """How far do the arms differ, whenever one looks and however long it runs?

    Args:
        controls: totals over matured units at each look, cumulative, oldest first.
        treatments: the same of the compared arm.
        settings: metric, role, alpha over all looks, least units.
        plan: tuning and direction.
        estimator: any estimator of one look.

    Returns:
        One row per look, as `track_confidence_sequence`.

    Estimand:
        That of the estimator.

    Assumptions:
        Units enter once with their final value, at a constant split; the arms are large
        enough for normal means at the first look.

    Outcomes:
        OK; the estimator's refusals; INSUFFICIENT_DATA with TOO_FEW_UNITS.

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024).
    """
    pairs = zip(controls, treatments, strict=True)
    base = [estimator(control, treatment, settings) for control, treatment in pairs]
    return track_confidence_sequence(base, plan)


def track_confidence_sequence(
    estimates: Sequence[Estimate], plan: SequencePlan
) -> tuple[Estimate, ...]:
    """Rows of one comparison at each look, made valid for looking for ever.

    A row's interval is the sequence at the look, its p-values are always valid. A
    one-sided sequence has a null limit on its open side.

    Args:
        estimates: cumulative, oldest first, by one method at one alpha.
        plan: tuning and direction.
    """
    if not estimates:
        return ()
    sides: Sides = 2 if plan.alternative == "two_sided" else 1
    n = np.array([_units(e.n_control or 0, e.n_treatment or 0) for e in estimates])
    rho2 = tune_mixture(_units(*plan.planned_units), estimates[0].alpha, sides=sides)
    return track_mixture(
        estimates,
        np.maximum(n, 1.0) * rho2,
        METHOD,
        alternative=plan.alternative,
        min_units=max(LEAST_UNITS, plan.min_units_per_arm),
        details={"rho2": rho2, "planned_units": list(plan.planned_units)},
    )


def _units(control: int, treatment: int) -> float:
    """Units of an equally split test with the same precision."""
    return 4 * Look(control, treatment).information
