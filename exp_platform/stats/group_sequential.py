"""Group sequential tests: looks at registered times, an error rate spent over them.

Every run starts again from the totals at all looks so far, so running twice or skipping
a day changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.boundary import exit_probabilities
from exp_platform.stats.inference import Array
from exp_platform.stats.looks import (
    Look,
    LookStatus,
    Schedule,
    SequentialPlan,
    critical_values,
    schedule_looks,
)
from exp_platform.stats.repeated import (
    LARGEST_Z,
    normal_statistic,
    refuse_look,
    relative_statistic,
    widen_interval,
)
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.spending import Spending, spend_alpha
from exp_platform.stats.stagewise import StopEstimate, estimate_stopped
from exp_platform.stats.welch import estimate_welch

METHOD = "group_sequential"

HARM_SPENDING = Spending("pocock")
"""Harm tests spend evenly: early harm must be seen early."""

Estimator = Callable[[MetricTotals, MetricTotals, EstimateSettings], Estimate]


def estimate_group_sequential(
    controls: Sequence[MetricTotals],
    treatments: Sequence[MetricTotals],
    settings: EstimateSettings,
    *,
    plan: SequentialPlan,
    elapsed: Sequence[float] | None = None,
    estimator: Estimator = estimate_welch,
) -> tuple[Estimate, ...]:
    """Does the metric differ between the arms, looking at it again and again?

    Args:
        controls: totals over matured units at each look, cumulative, oldest first.
        treatments: the same of the compared arm.
        settings: metric, role, alpha of the whole plan, least units.
        plan: looks as registered.
        elapsed: share of the registered duration passed at each look, 1 or more at its
            end; None = no end is registered.
        estimator: any estimator of one look.

    Returns:
        One row per look, as `track_group_sequential`.

    Raises:
        ContractError: the looks cannot be placed in time.

    Estimand:
        That of the estimator.

    Assumptions:
        Each unit enters once, with its final value; looks do not depend on effects.

    Outcomes:
        OK; the estimator's refusals; INSUFFICIENT_DATA with TOO_FEW_UNITS.

    References:
        Lan and DeMets (1983); Jennison and Turnbull (2000).
    """
    pairs = zip(controls, treatments, strict=True)
    base = [estimator(control, treatment, settings) for control, treatment in pairs]
    return track_group_sequential(base, plan, elapsed=elapsed)


def track_group_sequential(
    estimates: Sequence[Estimate],
    plan: SequentialPlan,
    *,
    elapsed: Sequence[float] | None = None,
) -> tuple[Estimate, ...]:
    """Rows of one comparison at each look, made valid for looking at all of them.

    A row's p-values are sequential: the smallest alpha whose boundary has been crossed
    so far, on the difference and on the relative scale. Its interval is the repeated
    one of the look. A look that takes no test repeats the row of the last tested one.
    After a stop `details` carries stop_look, stop_estimate, stop_ci_lower,
    stop_ci_upper and stop_p_value.

    Args:
        estimates: cumulative, oldest first, by one method at one alpha.
        plan: looks as registered.
        elapsed: share of the registered duration passed at each look.
    """
    if not estimates:
        return ()
    schedule = schedule_looks(_looks(estimates, elapsed), plan)
    alpha, spending = estimates[0].alpha, plan.spending
    critical = critical_values(schedule, spending, np.array([alpha]))[0]
    statistics = np.array(
        [
            [_number(statistic(e)) for e in estimates]
            for statistic in (normal_statistic, relative_statistic)
        ]
    )
    p_values = track_sequential_p(statistics, schedule, spending)
    crossing = find_crossing(statistics[0], critical)
    stop = _describe_stop(estimates, schedule, spending, statistics[0], crossing)
    rows: list[Estimate] = []
    for k, estimate in enumerate(estimates):
        details = _describe(schedule, plan, alpha, float(critical[k]), k)
        details["first_crossing"] = _so_far(crossing, k)
        details |= stop if stop and k + 1 >= stop["stop_look"] else {}
        row = _at_look(estimate, schedule, k, p_values[:, k], float(critical[k]))
        if row is None:
            row = _carry(rows, estimate, schedule.statuses[k])
        rows.append(replace(row, look=k + 1, details={**row.details, **details}))
    return tuple(rows)


def track_p_values(
    p_values: Sequence[float | None],
    units: Sequence[tuple[int, int]],
    plan: SequentialPlan,
    *,
    elapsed: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """What is the sequential p-value of a one-sided test at each look?

    For harm (with `HARM_SPENDING`) and for the non-inferiority of guardrails.

    Args:
        p_values: one-sided and of the look alone; None where there was no number.
        units: matured units of control and treatment at each look, cumulative.
        plan: looks as registered.
        elapsed: share of the registered duration passed at each look.

    Returns:
        Smallest one-sided alpha whose boundary has been crossed so far; 1 before.
    """
    shares = _shares(elapsed, len(units))
    looks = [
        Look(control, treatment, share, p is not None)
        for p, (control, treatment), share in zip(p_values, units, shares, strict=True)
    ]
    if not looks:
        return ()
    schedule = schedule_looks(looks, plan)
    known = np.array([_number(p) for p in p_values])
    statistics = p_to_z(known)
    found = track_sequential_p(statistics, schedule, plan.spending, sides=1)
    return tuple(found[0].tolist())


def p_to_z(p_values: Array) -> Array:
    """Normal z of one-sided p-values, cut at 37; NaN stays."""
    with np.errstate(all="ignore"):
        return np.asarray(np.clip(-ndtri(p_values), -LARGEST_Z, LARGEST_Z))


def find_crossing(statistics: Array, critical: Array) -> int | None:
    """Number of the first look whose |z| reaches the boundary, 1 for the first look."""
    known = np.nan_to_num(np.abs(statistics), nan=-1.0)
    crossed = np.flatnonzero(known >= critical)
    return int(crossed[0]) + 1 if crossed.size else None


def sequential_power(
    times: Sequence[float],
    drift: Sequence[float],
    alpha: float,
    *,
    spending: Spending | None = None,
    information: Sequence[float] | None = None,
) -> Array:
    """How probable is a significant result in the right direction, by each look?

    Args:
        times: spending times of the planned looks, the last 1.
        drift: effects in standard errors of the last look, shape (n_effects,).
        alpha: two-sided error rate.
        spending: default O'Brien-Fleming type.
        information: at the looks; default proportional to the times.

    Returns:
        Cumulative probability, shape (n_effects, n_looks).
    """
    shares = np.asarray(times if information is None else information, dtype=float)
    statuses = (LookStatus.TESTED,) * shares.size
    schedule = Schedule(np.asarray(times, dtype=float), shares, statuses, True)
    plan = spending or Spending()
    critical = critical_values(schedule, plan, np.array([alpha]))[0]
    effects = np.asarray(drift, dtype=float)
    above, _ = exit_probabilities(critical, shares, np.abs(effects))
    return np.asarray(np.cumsum(above, axis=1))


def _looks(
    estimates: Sequence[Estimate], elapsed: Sequence[float] | None
) -> list[Look]:
    return [
        Look(e.n_control or 0, e.n_treatment or 0, share, e.is_ok)
        for e, share in zip(estimates, _shares(elapsed, len(estimates)), strict=True)
    ]


def _shares(elapsed: Sequence[float] | None, n_looks: int) -> list[float | None]:
    shares: list[float | None] = [None] * n_looks
    if elapsed is not None:
        shares = list(elapsed)
    if len(shares) == n_looks:
        return shares
    raise ContractError(
        "looks and elapsed shares do not belong together",
        found=f"{n_looks} looks, {len(shares)} shares",
        allowed="one share per look",
        next_step="pass the share of the duration at every look",
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _at_look(
    estimate: Estimate, schedule: Schedule, k: int, p_values: Array, critical: float
) -> Estimate | None:
    """The look's own row, None where it takes no test of its own."""
    if schedule.statuses[k] is not LookStatus.TESTED:
        return None
    has_lift = estimate.relative_p_value is not None
    return replace(
        widen_interval(estimate, critical),
        method=METHOD,
        p_value=float(p_values[0]),
        relative_p_value=float(p_values[1]) if has_lift else None,
    )


def _carry(rows: list[Estimate], estimate: Estimate, status: LookStatus) -> Estimate:
    """The last tested look's row, or a refusal where there is none."""
    tested = [row for row in rows if row.is_ok]
    if tested and status in (LookStatus.NO_NEW_DATA, LookStatus.OVERRUN):
        return tested[-1]
    if not estimate.is_ok:
        return replace(estimate, method=METHOD)
    return refuse_look(estimate, METHOD)


def _so_far(crossing: int | None, k: int) -> int | None:
    return crossing if crossing is not None and crossing <= k + 1 else None


def _describe(
    schedule: Schedule, plan: SequentialPlan, alpha: float, critical: float, k: int
) -> dict[str, Any]:
    time = float(schedule.times[k])
    spent = spend_alpha(plan.spending, np.array([alpha]), np.array([time]))[0, 0]
    return {
        "look_status": schedule.statuses[k].value,
        "spending": plan.spending.kind,
        "spending_time": time,
        "alpha_spent": 2 * float(spent),
        "critical_value": critical if np.isfinite(critical) else None,
        "information_share": float(schedule.information[k] / _full(schedule, plan)),
    }


def _full(schedule: Schedule, plan: SequentialPlan) -> float:
    """Information planned, or that of the last look where none is registered."""
    if plan.planned_units is not None:
        return Look(*plan.planned_units).information
    return max(float(schedule.information[-1]), 1e-300)


def _describe_stop(
    estimates: Sequence[Estimate],
    schedule: Schedule,
    spending: Spending,
    statistics: Array,
    crossing: int | None,
) -> dict[str, Any]:
    """Estimates after the first crossing, or after the registered end."""
    tested = schedule.tested
    if crossing is None and not (schedule.is_final and tested.size):
        return {}
    look = int(tested[-1]) if crossing is None else crossing - 1
    estimate = estimates[look]
    found: StopEstimate = estimate_stopped(
        schedule, spending, (look, float(statistics[look])), alpha=estimate.alpha
    )
    error = estimate.standard_error or 0.0
    return {
        "stop_look": look + 1,
        "stop_estimate": found.median * error,
        "stop_ci_lower": found.lower * error,
        "stop_ci_upper": found.upper * error,
        "stop_p_value": found.p_value,
    }
