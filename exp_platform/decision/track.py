"""One comparison at all of its looks: a row per look, and what may be concluded.

Every run starts again from the totals at all looks so far, so running twice or skipping
a day changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from exp_platform.decision.family import harm_level
from exp_platform.decision.looks import (
    choose_look_method,
    explain_single_look,
    find_needed_follow_up,
    plan_looks,
)
from exp_platform.decision.series import LookSeries, build_rule, has_planned_units
from exp_platform.records import (
    Direction,
    Estimate,
    EstimateRole,
    ExperimentSpec,
    LookMethod,
    LookTotals,
    MetricRole,
)
from exp_platform.stats.group_sequential import p_to_z
from exp_platform.stats.guardrail import (
    ALPHA,
    GuardrailAssessment,
    GuardrailStatus,
    assess_guardrail,
)
from exp_platform.stats.harm import harm_p_value
from exp_platform.stats.inference import Array
from exp_platform.stats.look_rules import LookReading, LookRule
from exp_platform.stats.looks import LEAST_UNITS, LookStatus
from exp_platform.stats.repeated import refuse_look
from exp_platform.stats.settings import EstimateSettings

FARTHEST = 8.0
"""Bounds more than so many standard errors away prove nothing, and 1 - alpha is 1."""


_INTERVAL = (
    "ci_lower",
    "ci_upper",
    "relative_ci_lower",
    "relative_ci_upper",
    "relative_method",
)


@dataclass(frozen=True, slots=True)
class Track:
    """A comparison at its looks.

    Attributes:
        rows: one per look, oldest first; the one in force is primary, the others are
            diagnostic. Empty before the first look.
        guardrail: of a guardrail, as of the look in force.
    """

    rows: tuple[Estimate, ...] = ()
    guardrail: GuardrailAssessment | None = None


@dataclass(frozen=True, slots=True)
class _Readings:
    """The three tests of one comparison, read at all looks."""

    effect: LookReading
    harm: LookReading
    noninferiority: LookReading | None


def track_series(
    spec: ExperimentSpec, series: LookSeries, *, has_stop: bool = True
) -> Track:
    """What do all looks at a metric of one arm say together?

    A row's interval is the repeated one of its look; `p_value` is that of a single
    look, `sequential_p_value` holds at all looks so far, and so does the one-sided
    `harm_p_value`. `details["sequential"]` says where the look stands.

    Args:
        spec: registry row with the plan.
        series: totals at the looks whose data are in.
        has_stop: estimate the effect after a stop.
    """
    if not _has_look(spec, series):
        return Track()
    base = _estimate(spec, series)
    method = choose_look_method(spec, series.definition)
    assessed = _assess(spec, series, base)
    if method is LookMethod.FIXED:
        return _look_once(spec, series, base[-1], assessed)
    rule = build_rule(spec, series, method, base)
    harm = _test_harm(series, base, assessed)
    readings = _Readings(
        effect=_read_effect(spec, series, base, rule),
        harm=_read_side(series, harm, rule, harm_level(spec), is_harm=True),
        noninferiority=_read_side(series, [g.p_value for g in assessed], rule, ALPHA)
        if assessed
        else None,
    )
    stop: dict[str, Any] = {}
    if has_stop:
        crossing = _find_crossing(readings.effect, spec.plan.alpha)
        stop = rule.describe_stop(base, readings.effect, crossing)
    places = _describe(spec, series, base, rule=rule, readings=readings)
    if len(base) == 1:
        # The only row there is: what its interval was before it was widened.
        alone = {name: getattr(base[0], name) for name in _INTERVAL}
        places[0]["alone"] = {**alone, "interval": base[0].details.get("interval")}
    notes = [
        {"sequential": place, **(stop if stop and k + 1 >= stop["stop_look"] else {})}
        for k, place in enumerate(places)
    ]
    rows = _write_rows(series, base, rule=rule, readings=readings, notes=notes)
    guardrail = None
    if readings.noninferiority is not None:
        guardrail = _conclude(spec, series, base, assessed=assessed, readings=readings)
    return Track(rows, guardrail)


def _has_look(spec: ExperimentSpec, series: LookSeries) -> bool:
    """A metric with one look waits for the end; without one for the planned units."""
    if not series.looks:
        return False
    is_single = explain_single_look(spec, series.definition) != ""
    if spec.plan.sequential.has_end or not is_single:
        return True
    last = series.looks[-1]
    units = (last.control.n, last.treatment.n)
    return has_planned_units(spec, series.treatment, units)


def _estimate(spec: ExperimentSpec, series: LookSeries) -> tuple[Estimate, ...]:
    settings = EstimateSettings(
        series.definition,
        alpha=spec.plan.alpha,
        min_units_per_arm=spec.plan.min_units_per_arm,
    )
    return tuple(
        series.estimator(look.control, look.treatment, settings)
        for look in series.looks
    )


def _assess(
    spec: ExperimentSpec, series: LookSeries, base: Sequence[Estimate]
) -> tuple[GuardrailAssessment, ...]:
    """A guardrail against its margin at each look, as if looked at once."""
    plan = spec.plan.of(series.definition.name)
    if plan.role is not MetricRole.GUARDRAIL:
        return ()
    return tuple(
        assess_guardrail(look.control, look.treatment, e, plan, series.definition)
        for look, e in zip(series.looks, base, strict=True)
    )


def _test_harm(
    series: LookSeries,
    base: Sequence[Estimate],
    assessed: Sequence[GuardrailAssessment],
) -> list[float | None]:
    """One-sided p of harm at each look, by the guardrail's own test where it has one.

    A margin that cannot be judged says nothing of harm: that is tested all the same.
    """
    known = [g.harm_p_value for g in assessed] or [None] * len(base)
    return [
        harm_p_value(e, series.definition.direction) if p is None else p
        for e, p in zip(base, known, strict=True)
    ]


def _look_once(
    spec: ExperimentSpec,
    series: LookSeries,
    estimate: Estimate,
    assessed: Sequence[GuardrailAssessment],
) -> Track:
    """The one look at the end: the single test is the sequential one."""
    guardrail = assessed[-1] if assessed else None
    (harm,) = _test_harm(series, [estimate], assessed[-1:])
    sides = _split(estimate)
    row = replace(
        estimate,
        look=1,
        look_ts=series.looks[-1].look_ts if spec.is_dated else None,
        sequential_p_value=estimate.p_value,
        harm_p_value=harm,
        details={
            **estimate.details,
            "sequential": {
                "method": LookMethod.FIXED.value,
                "why_one_look": explain_single_look(spec, series.definition),
                "status": LookStatus.TESTED.value
                if estimate.is_ok
                else LookStatus.NO_ESTIMATE.value,
                "looks_planned": 1,
                "is_final": True,
                "p_greater": sides[0],
                "p_less": sides[1],
                **_say_short(spec, series, estimate),
            },
        },
    )
    return Track((row,), guardrail)


def _split(estimate: Estimate) -> tuple[float | None, float | None]:
    """The two-sided p where the difference points, 1 for the other direction."""
    if estimate.p_value is None or estimate.difference is None:
        return None, None
    is_above = estimate.difference > 0
    return (estimate.p_value, 1.0) if is_above else (1.0, estimate.p_value)


def _read_effect(
    spec: ExperimentSpec,
    series: LookSeries,
    base: Sequence[Estimate],
    rule: LookRule,
) -> LookReading:
    """Two-sided p-values of "above" and of "below": one plan, its two boundaries."""
    known = [_to_float(rule.statistic(e)) for e in base]
    z = _leave_out_small(series, np.array(known))
    both = np.vstack([np.maximum(z, 0.0), np.maximum(-z, 0.0)])
    return rule.read(both, spec.plan.alpha, 2)


def _read_side(
    series: LookSeries,
    p_values: Sequence[float | None],
    rule: LookRule,
    alpha: float,
    *,
    is_harm: bool = False,
) -> LookReading:
    known = p_to_z(np.array([_to_float(p) for p in p_values]))
    statistics = _leave_out_small(series, known)[None, :]
    return rule.read(statistics, alpha, 1, is_harm=is_harm)


def _leave_out_small(series: LookSeries, statistics: Array) -> Array:
    """Before the end an arm needs enough matured units for a normal mean."""
    is_small = [
        min(look.control.n, look.treatment.n) < LEAST_UNITS and (look.elapsed or 0) < 1
        for look in series.looks
    ]
    return np.where(is_small, np.nan, statistics)


def _write_rows(
    series: LookSeries,
    base: Sequence[Estimate],
    *,
    rule: LookRule,
    readings: _Readings,
    notes: Sequence[dict[str, Any]],
) -> tuple[Estimate, ...]:
    effect = readings.effect
    kept = _list_kept(effect)
    in_force = _find_in_force(effect, kept)
    rows: list[Estimate] = []
    for k in kept:
        numbers = _numbers_of(base[k], effect, k, rule)
        if effect.statuses[k] is LookStatus.NO_NEW_DATA and rows:
            numbers = rows[-1]
        rows.append(
            replace(
                numbers,
                role=EstimateRole.PRIMARY if k == in_force else EstimateRole.DIAGNOSTIC,
                look=series.looks[k].look,
                look_ts=series.looks[k].look_ts,
                sequential_p_value=_if_ok(numbers, effect.p_values[:, k].min()),
                harm_p_value=_if_ok(numbers, readings.harm.p_values[0, k]),
                details={**numbers.details, **notes[k]},
            )
        )
    return tuple(rows)


def _list_kept(reading: LookReading) -> list[int]:
    """The looks that count: all but those after the planned units."""
    statuses = enumerate(reading.statuses)
    return [k for k, status in statuses if status is not LookStatus.OVERRUN]


def _find_in_force(reading: LookReading, kept: Sequence[int]) -> int:
    """The last look that was tested, or that could no longer be.

    What broke after it was tested has no number: an earlier look's does not stand in.
    """
    named = {LookStatus.TESTED, LookStatus.NO_ESTIMATE}
    found = [k for k in kept if reading.statuses[k] in named]
    is_tested = any(reading.statuses[k] is LookStatus.TESTED for k in found)
    return found[-1] if is_tested else kept[-1]


def _if_ok(row: Estimate, value: float) -> float | None:
    return float(value) if row.is_ok else None


def _numbers_of(
    estimate: Estimate, effect: LookReading, k: int, rule: LookRule
) -> Estimate:
    if effect.statuses[k] is LookStatus.TESTED:
        return rule.widen(estimate, float(effect.critical[k]))
    return refuse_look(estimate, estimate.method) if estimate.is_ok else estimate


def _say_short(
    spec: ExperimentSpec, series: LookSeries, estimate: Estimate
) -> dict[str, float]:
    """Where a look has no number, and no look waits until the windows have closed."""
    needed = find_needed_follow_up(spec, series.definition)
    if needed is None or estimate.reason != "TOO_FEW_UNITS":
        return {}
    return {"follow_up_needed": needed}


def _describe(
    spec: ExperimentSpec,
    series: LookSeries,
    base: Sequence[Estimate],
    *,
    rule: LookRule,
    readings: _Readings,
) -> list[dict[str, Any]]:
    """Where every look stands: `details["sequential"]` of its row."""
    effect, alpha = readings.effect, spec.plan.alpha
    crossings = {
        "first_crossing": _find_crossing(effect, alpha),
        "harm_crossing": _find_crossing(readings.harm, harm_level(spec)),
    }
    if readings.noninferiority is not None:
        crossings["noninferiority_crossing"] = _find_crossing(
            readings.noninferiority, ALPHA
        )
    n_looks = len(plan_looks(spec, series.definition))
    method = choose_look_method(spec, series.definition).value
    places = []
    for k, place in enumerate(rule.describe(alpha)):
        critical = float(effect.critical[k])
        found = {
            "method": method,
            "status": effect.statuses[k].value,
            "looks_planned": n_looks if spec.plan.sequential.has_end else None,
            "is_final": effect.is_final and _is_last(effect, k),
            **place,
            "critical_value": critical if np.isfinite(critical) else None,
            "p_greater": float(effect.p_values[0, k]),
            "p_less": float(effect.p_values[1, k]),
            **{name: _so_far(look, k) for name, look in crossings.items()},
            **_say_short(spec, series, base[k]),
        }
        places.append(found)
    return places


def _is_last(effect: LookReading, k: int) -> bool:
    """No later look counts: this one stands at the end, or only overruns follow."""
    return all(status is LookStatus.OVERRUN for status in effect.statuses[k + 1 :])


def _find_crossing(reading: LookReading, level: float) -> int | None:
    crossed = np.flatnonzero(reading.p_values.min(axis=0) <= level)
    return int(crossed[0]) + 1 if crossed.size else None


def _so_far(crossing: int | None, k: int) -> int | None:
    return crossing if crossing is not None and crossing <= k + 1 else None


def _conclude(
    spec: ExperimentSpec,
    series: LookSeries,
    base: Sequence[Estimate],
    *,
    assessed: Sequence[GuardrailAssessment],
    readings: _Readings,
) -> GuardrailAssessment:
    """The guardrail by all looks so far: the best bound that any of them has proven.

    UNKNOWN where the last look that counts cannot be judged, whatever was proven before.
    """
    reading = readings.noninferiority
    tested = [
        k
        for k, status in enumerate(reading.statuses if reading else ())
        if status is LookStatus.TESTED
    ]
    if reading is None or not tested:
        return assessed[-1]
    newest = assessed[_list_kept(reading)[-1]]
    if newest.status is GuardrailStatus.UNKNOWN:
        return newest
    last, harm_p = assessed[tested[-1]], float(readings.harm.p_values[0, tested[-1]])
    p_value = float(reading.p_values[0, tested[-1]])
    bound = _best_bound(spec, series, base, tested=tested, reading=reading)
    is_shown = p_value <= ALPHA
    return replace(
        last,
        status=GuardrailStatus.NON_INFERIOR if is_shown else GuardrailStatus.NOT_SHOWN,
        p_value=p_value,
        harm_p_value=harm_p,
        is_degraded=harm_p <= ALPHA,
        bound=bound,
        reason=last.reason if bound is None else "",
    )


def _best_bound(
    spec: ExperimentSpec,
    series: LookSeries,
    base: Sequence[Estimate],
    *,
    tested: Sequence[int],
    reading: LookReading,
) -> float | None:
    plan = spec.plan.of(series.definition.name)
    bounds = []
    for k in (k for k in tested if reading.critical[k] < FARTHEST):
        look: LookTotals = series.looks[k]
        found = assess_guardrail(
            look.control,
            look.treatment,
            base[k],
            plan,
            series.definition,
            alpha=float(ndtr(-reading.critical[k])),
        )
        bounds += [found.bound] if found.bound is not None else []
    is_gain = series.definition.direction is Direction.INCREASE
    return (max if is_gain else min)(bounds, default=None)


def _to_float(value: float | None) -> float:
    return float("nan") if value is None else value
