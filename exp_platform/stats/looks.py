"""When a sequential test looks, and on which two clocks its looks are placed.

The spending clock says how much error rate may be used (registered schedule, or matured
units against planned ones); the information clock says how much data two looks share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from exp_platform.errors import ContractError
from exp_platform.records import SpendingClock
from exp_platform.stats.boundary import Sides, solve_boundaries
from exp_platform.stats.inference import Array
from exp_platform.stats.spending import Spending, spend_alpha

LEAST_GROWTH = 2e-3
"""A look that adds less than this share of its information takes no test of its own
before the end; what it would have spent goes to the next one."""

SAME_DATA = 1e-4
"""A last look that adds less than this is the look before with more error rate."""

LEAST_UNITS = 100
"""Matured units each arm must have before a first look."""


class LookStatus(StrEnum):
    """What a look was used for."""

    TESTED = "TESTED"
    TOO_FEW_UNITS = "TOO_FEW_UNITS"
    NO_ESTIMATE = "NO_ESTIMATE"
    NO_NEW_DATA = "NO_NEW_DATA"
    OVERRUN = "OVERRUN"


@dataclass(frozen=True, slots=True)
class SequentialPlan:
    """What was registered about looking.

    Attributes:
        spending: how the error rate is spent.
        planned_units: matured units of control and treatment the test was sized for;
            None = not registered.
        clock: `schedule` reads the share of the registered duration that has passed,
            `units` matured units against planned ones. Frozen with the plan.
        min_units_per_arm: matured units an arm needs before the first look.
    """

    spending: Spending = field(default_factory=Spending)
    planned_units: tuple[int, int] | None = None
    clock: SpendingClock = "schedule"
    min_units_per_arm: int = LEAST_UNITS


@dataclass(frozen=True, slots=True)
class Look:
    """Matured units at one look.

    Attributes:
        elapsed: share of the registered duration, 1 or more at its end; None where no
            end is registered.
        is_usable: the estimator gives a number.
    """

    n_control: int
    n_treatment: int
    elapsed: float | None = None
    is_usable: bool = True

    @property
    def information(self) -> float:
        """Units of an equally split test with the same precision, over 4."""
        total = self.n_control + self.n_treatment
        return self.n_control * self.n_treatment / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where the looks so far stand, each field of shape (n_looks,).

    Attributes:
        times: on the spending clock; 1 once the registered end or planned n is reached.
        statuses: what each look is used for.
        is_final: the last tested look is the registered end.
        is_repeated: that look has the data of the tested look before it.
    """

    times: Array
    information: Array
    statuses: tuple[LookStatus, ...]
    is_final: bool
    is_repeated: bool = False

    @property
    def tested(self) -> NDArray[np.intp]:
        """Positions of the looks that take a test."""
        is_tested = [status is LookStatus.TESTED for status in self.statuses]
        return np.flatnonzero(is_tested)


def schedule_looks(looks: Sequence[Look], plan: SequentialPlan) -> Schedule:
    """Which of the looks so far take a test, and when on the two clocks?

    Args:
        looks: all so far, oldest first, with cumulative units.
        plan: as registered.

    Raises:
        ContractError: neither an end nor planned units are registered, or the units or
            the elapsed share fall from one look to the next.
    """
    _require_looks(looks, plan)
    times, forced = _read_clock(looks, plan)
    statuses: list[LookStatus] = []
    last, is_repeated, is_over = 0.0, False, False
    for look, is_end in zip(looks, forced, strict=True):
        status = LookStatus.OVERRUN if is_over else _judge(look, plan, last, is_end)
        is_over = is_over or is_end
        statuses.append(status)
        if status is LookStatus.TESTED:
            # Before the end a look without growth is never tested.
            is_repeated = look.information < last * (1 + SAME_DATA)
            last = look.information
    information = np.array([look.information for look in looks])
    return Schedule(times, information, tuple(statuses), is_over, is_repeated)


def critical_values(
    schedule: Schedule, spending: Spending, alphas: Array, *, sides: Sides = 2
) -> Array:
    """How large must z be at each look, for each error rate?

    Args:
        schedule: looks so far.
        spending: how the error rate is spent.
        alphas: error rates of whole plans, shape (n_plans,).
        sides: 1 or 2.

    Returns:
        Shape (n_plans, n_looks); infinite at looks that take no test.
    """
    tested = schedule.tested
    critical = np.full((alphas.size, schedule.times.size), np.inf)
    if schedule.is_repeated:
        looks = drop_repeated(schedule)
        final = _solve(schedule, spending, alphas, looks, sides)
        critical[:, tested[-1]] = final[:, -1]
        tested = tested[:-1]
    if tested.size:
        critical[:, tested] = _solve(schedule, spending, alphas, tested, sides)
    return critical


def _solve(
    schedule: Schedule,
    spending: Spending,
    alphas: Array,
    looks: NDArray[np.intp],
    sides: Sides,
) -> Array:
    """Boundaries as if `looks` were the only ones, shape (n_plans, n_chosen)."""
    spent = spend_alpha(spending, alphas, schedule.times[looks], sides=sides)
    return solve_boundaries(spent, schedule.information[looks], sides=sides).critical


def drop_repeated(schedule: Schedule) -> NDArray[np.intp]:
    """Tested looks, without the one whose data the final look repeats."""
    tested = schedule.tested
    return np.delete(tested, -2) if schedule.is_repeated else tested


def _judge(look: Look, plan: SequentialPlan, last: float, is_end: bool) -> LookStatus:
    if min(look.n_control, look.n_treatment) < max(2, plan.min_units_per_arm):
        return LookStatus.TOO_FEW_UNITS
    if not look.is_usable:
        return LookStatus.NO_ESTIMATE
    is_new = look.information > last * (1 + LEAST_GROWTH)
    return LookStatus.TESTED if is_new or is_end else LookStatus.NO_NEW_DATA


def _read_clock(
    looks: Sequence[Look], plan: SequentialPlan
) -> tuple[Array, list[bool]]:
    """Spending times, and at which looks all is spent."""
    planned = Look(*plan.planned_units).information if plan.planned_units else np.inf
    shares = np.array([look.information / planned for look in looks])
    elapsed = np.array([look.elapsed or 0.0 for look in looks])
    times = shares if plan.clock == "units" else elapsed
    forced = (shares >= 1) | (elapsed >= 1)
    times = np.where(forced, 1.0, np.clip(times, 0.0, 1.0))
    return np.maximum.accumulate(times), forced.tolist()


def _require_looks(looks: Sequence[Look], plan: SequentialPlan) -> None:
    is_known = {
        "units": plan.planned_units is not None,
        "schedule": all(look.elapsed is not None for look in looks),
    }
    columns = [
        [look.n_control for look in looks],
        [look.n_treatment for look in looks],
        [look.elapsed or 0.0 for look in looks],
    ]
    is_growing = bool(np.all(np.diff(np.array(columns, dtype=float), axis=1) >= 0))
    has_plan = plan.planned_units is None or min(plan.planned_units) > 0
    if looks and is_known[plan.clock] and is_growing and has_plan:
        return
    raise ContractError(
        "the looks of a group sequential test cannot be placed in time",
        found=f"clock {plan.clock}, planned units {plan.planned_units}, looks {columns}",
        allowed="at least one look; an end (schedule) or planned units (units); "
        "cumulative units and elapsed shares that never fall",
        next_step="register an end or planned units, or use a confidence sequence",
    )
