"""Group sequential tests under daily looks: level, power, and both clocks."""

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from exp_platform.pipelines.calibration.gate import (
    Array,
    Measured,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.paths import (
    DAYS,
    FIXED_80,
    draw_paths,
    schedule_at,
)
from exp_platform.pipelines.calibration.quantities import both_tails
from exp_platform.records import SpendingKind
from exp_platform.stats.boundary import solve_boundaries
from exp_platform.stats.group_sequential import (
    HARM_SPENDING,
    sequential_power,
    track_p_values,
)
from exp_platform.stats.looks import (
    Schedule,
    SequentialPlan,
    critical_values,
    drop_repeated,
    schedule_looks,
)
from exp_platform.stats.multiplicity import adjust_holm
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.spending import Spending, spend_alpha

FALSE = "false alarms over all looks"
HARMLESS = "arms at the margin called harmless"
SPENT = (0.002, 0.01, 0.02, 0.025)
POWER = "power"
KINDS: tuple[SpendingKind, ...] = ("obrien_fleming", "pocock", "power")


def _last_p(
    z: Array, schedule: Schedule | None = None, spending: Spending | None = None
) -> Array:
    """Sequential p at the last look."""
    looks = schedule or schedule_at(DAYS, DAYS)
    return track_sequential_p(z, looks, spending or Spending())[:, -1]


def _fixed(random: Generator, runs: int) -> Values:
    z = draw_paths(random, runs, DAYS)
    return {"false alarms over 28 looks": (np.abs(z) > 1.959964).any(axis=1)}


def _tails_by_kind(kind: SpendingKind) -> Simulation:
    def draw(random: Generator, runs: int) -> Values:
        """Where the path is when it first crosses."""
        z = draw_paths(random, runs, DAYS)
        schedule, level = schedule_at(DAYS, DAYS), np.array([0.05])
        critical = critical_values(schedule, Spending(kind), level)[0]
        is_out = np.abs(z) >= critical
        first = z[np.arange(runs), np.argmax(is_out, axis=1)]
        is_stopped = is_out.any(axis=1)
        same = (_last_p(z, spending=Spending(kind)) <= 0.05) == is_stopped
        lower, upper = (gate.quantity for gate in both_tails())
        return {
            lower: is_stopped & (first < 0),
            upper: is_stopped & (first > 0),
            "runs in which p-value and boundary agree": same,
        }

    return Simulation(
        f"spending_{kind}",
        f"group sequential test, spending {kind}",
        "28 daily looks, even enrolment, no effect",
        (track_sequential_p, critical_values, schedule_looks, spend_alpha),
        (*both_tails(), equal("runs in which p-value and boundary agree", 1.0)),
        100_000,
        20_000,
        draw,
    )


def _p_values(random: Generator, runs: int) -> Values:
    p = _last_p(draw_paths(random, runs, DAYS))
    return {f"p-values below {level}": p <= level for level in (0.001, 0.01, 0.2, 0.6)}


def _two_clocks(random: Generator, runs: int) -> Values:
    shares = DAYS**0.4
    p = _last_p(draw_paths(random, runs, shares), schedule_at(shares, DAYS))
    return {FALSE: p <= 0.05}


def _power(random: Generator, runs: int) -> Values:
    is_found = _last_p(draw_paths(random, runs, DAYS, drift=FIXED_80)) <= 0.05
    share = float(is_found.mean())
    error = np.sqrt(share * (1 - share) / runs) / 0.8
    return {
        POWER: is_found,
        "power over that of the fixed test": Measured(share / 0.8, float(error), runs),
    }


def _short_of_units(random: Generator, runs: int) -> Values:
    """The registered end comes at 70 % of the planned units."""
    shares = 0.7 * DAYS
    forced = schedule_at(shares, np.append(shares[:-1], 1.0))
    unforced = schedule_at(shares, shares)
    nothing = draw_paths(random, runs, shares)
    effect = draw_paths(random, runs, shares, drift=FIXED_80)
    return {
        FALSE: _last_p(nothing, forced) <= 0.05,
        "power, all spent at the end": _last_p(effect, forced) <= 0.05,
        "power, not forced": _last_p(effect, unforced) <= 0.05,
    }


def _over_units(random: Generator, runs: int) -> Values:
    """Planned units are reached at 70 % of the time; what follows is not tested."""
    schedule = schedule_at(DAYS, DAYS, SequentialPlan(planned_units=(70_000, 70_000)))
    z = draw_paths(random, runs, DAYS)
    p = track_sequential_p(z, schedule, Spending())
    return {
        FALSE: p[:, -1] <= 0.05,
        "runs in which later looks change nothing": p[:, -1] == p[:, 19],
    }


def _repeated(random: Generator, runs: int) -> Values:
    """Enrolment stops at half time; the end brings no new data."""
    shares = np.array([0.2, 0.6, 1.0, 1.0])
    elapsed = np.array([0.1, 0.3, 0.5, 1.0])
    z = draw_paths(random, runs, shares[:3])
    z = np.hstack([z, z[:, -1:]])
    return {FALSE: _last_p(z, schedule_at(shares, elapsed)) <= 0.05}


def _harm(random: Generator, runs: int) -> Values:
    z = draw_paths(random, runs, DAYS)
    schedule = schedule_at(DAYS, DAYS)
    p = track_sequential_p(z, schedule, HARM_SPENDING, sides=1)
    return {FALSE: p[:, -1] <= 0.05}


def _guardrail(random: Generator, runs: int) -> Values:
    z = draw_paths(random, runs, DAYS)
    p = track_sequential_p(z, schedule_at(DAYS, DAYS), Spending(), sides=1)
    return {
        HARMLESS: p[:, -1] <= 0.025,
        f"{HARMLESS}, fixed test every day": (z > 1.959964).any(axis=1),
    }


def _tracked(random: Generator, runs: int) -> Values:
    units = [(int(1000 * k), int(1000 * k)) for k in range(1, 8)]
    times = np.arange(1, 8) / 7
    p_values = ndtr(-draw_paths(random, runs, times))
    plan = SequentialPlan(HARM_SPENDING)
    found = [
        track_p_values(row, units, plan, elapsed=times.tolist())[-1]
        for row in p_values.tolist()
    ]
    return {FALSE: np.array(found) <= 0.05}


def _holm(random: Generator, runs: int) -> Values:
    p_values = np.stack(
        [_last_p(draw_paths(random, runs, DAYS, drift=d)) for d in (3.5, 0.0, 0.0)],
        axis=1,
    )
    adjusted = np.array([adjust_holm(row) for row in p_values])
    return {
        "any false alarm": (adjusted[:, 1:] <= 0.05).any(axis=1),
        "true effect found": adjusted[:, 0] <= 0.05,
    }


def _daily_holm(random: Generator, runs: int) -> Values:
    """Holm on the fixed p-values of each day: what looks would cost."""
    z = np.stack([draw_paths(random, runs, DAYS, drift=d) for d in (3.5, 0.0, 0.0)])
    p = 2 * ndtr(-np.abs(z))
    order = np.sort(p, axis=0)
    first = order[0] <= 0.05 / 3
    second = first & (order[1] <= 0.05 / 2)
    third = second & (order[2] <= 0.05)
    steps = first.astype(int) + second + third
    rank = np.argsort(np.argsort(p, axis=0), axis=0)
    is_rejected = rank < steps
    return {"any false alarm": is_rejected[1:].any(axis=(0, 2))}


def _predicted(random: Generator, runs: int) -> Values:
    times = np.array([0.2, 0.5, 0.7, 1.0])
    z = draw_paths(random, runs, times, drift=2.5)
    p = track_sequential_p(z, schedule_at(times, times), Spending())
    predicted = sequential_power(times.tolist(), [2.5], 0.05)[0]
    is_found = (p <= 0.05) & (np.maximum.accumulate(z, axis=1) > 0)
    return {
        f"power by look {k + 1}, less the predicted": is_found[:, k] - predicted[k]
        for k in range(4)
    }


def _exits(random: Generator, runs: int) -> Values:
    information = np.array([1.0, 2.5, 3.0, 6.0])
    critical = solve_boundaries(np.array([SPENT]), information).critical[0]
    z = draw_paths(random, runs, information / information[-1])
    is_out = np.abs(z) >= critical
    first = np.where(is_out.any(axis=1), np.argmax(is_out, axis=1), -1)
    return {f"first exits at look {k + 1}": first == k for k in range(4)}


SIMULATIONS = (
    Simulation(
        "peeking_fixed",
        "fixed test read every day",
        "28 daily looks, no effect",
        (),
        (
            disease(
                equal("false alarms over 28 looks", 0.279, 0.003, "reference value"),
                "before the end only the sequential p-value decides",
                "rule_no_effect",
            ),
        ),
        100_000,
        20_000,
        _fixed,
    ),
    *map(_tails_by_kind, KINDS),
    Simulation(
        "sequential_p",
        "sequential p-value at the end, O'Brien-Fleming",
        "28 daily looks, no effect",
        (track_sequential_p,),
        tuple(
            equal(f"p-values below {level}", level) for level in (0.001, 0.01, 0.2, 0.6)
        ),
        100_000,
        20_000,
        _p_values,
    ),
    Simulation(
        "group_sequential_two_clocks",
        "group sequential test, O'Brien-Fleming",
        "28 daily looks, most units come early, alpha is spent by the calendar",
        (track_sequential_p,),
        (equal(FALSE, 0.05),),
        100_000,
        8_000,
        _two_clocks,
    ),
    Simulation(
        "group_sequential_power",
        "group sequential test, O'Brien-Fleming",
        "28 daily looks, an effect that a fixed test finds in 80 %",
        (track_sequential_p,),
        (
            least("power over that of the fixed test", 0.95),
            equal(POWER, 0.7803, 0.002, "reference value .78"),
        ),
        100_000,
        20_000,
        _power,
    ),
    Simulation(
        "group_sequential_underrun",
        "group sequential test, O'Brien-Fleming",
        "the end comes at 70 % of the planned units; no effect, and one found in 80 %",
        (track_sequential_p,),
        (
            most(FALSE, 0.05),
            equal("power, all spent at the end", 0.65, 0.01, "METHODS section 3"),
            equal("power, not forced", 0.46, 0.01, "METHODS section 3"),
        ),
        100_000,
        5_000,
        _short_of_units,
    ),
    Simulation(
        "group_sequential_overrun",
        "group sequential test, O'Brien-Fleming",
        "planned units are reached after 20 of 28 days, no effect",
        (schedule_looks,),
        (equal(FALSE, 0.05), equal("runs in which later looks change nothing", 1.0)),
        100_000,
        20_000,
        _over_units,
    ),
    Simulation(
        "group_sequential_repeated",
        "group sequential test, O'Brien-Fleming",
        "4 looks, the registered end has the data of the look before it, no effect",
        (drop_repeated,),
        (equal(FALSE, 0.05),),
        100_000,
        20_000,
        _repeated,
    ),
    Simulation(
        "harm_under_looks",
        "one-sided test of harm, Pocock's spending",
        "28 daily looks, no effect",
        (track_sequential_p,),
        (equal(FALSE, 0.05),),
        100_000,
        20_000,
        _harm,
    ),
    Simulation(
        "guardrail_under_looks",
        "non-inferiority, O'Brien-Fleming",
        "28 daily looks, worse by exactly the margin",
        (track_sequential_p,),
        (
            equal(HARMLESS, 0.025),
            disease(
                least(f"{HARMLESS}, fixed test every day", 0.1),
                "a margin is read at its own spending bound",
                "rule_guardrail_at_margin",
            ),
        ),
        100_000,
        20_000,
        _guardrail,
    ),
    Simulation(
        "harm_rows",
        "one-sided sequential p-values of rows",
        "7 looks, no effect",
        (track_p_values,),
        (equal(FALSE, 0.05),),
        5_000,
        500,
        _tracked,
    ),
    Simulation(
        "holm_on_sequential_p",
        "Holm on sequential p-values",
        "28 daily looks at three metrics, one with an effect",
        (track_sequential_p, adjust_holm),
        (most("any false alarm", 0.05), least("true effect found", 0.8)),
        20_000,
        4_000,
        _holm,
    ),
    Simulation(
        "holm_every_day",
        "Holm on the fixed p-values of each day",
        "28 daily looks at three metrics, one with an effect",
        (),
        (
            disease(
                least("any false alarm", 0.15),
                "Holm runs on sequential p-values",
                "holm_on_sequential_p",
            ),
        ),
        20_000,
        4_000,
        _daily_holm,
    ),
    Simulation(
        "boundaries",
        "boundaries by numerical integration",
        "4 looks at uneven information, no effect",
        (solve_boundaries,),
        tuple(
            equal(f"first exits at look {k + 1}", float(2 * spent))
            for k, spent in enumerate(np.diff(SPENT, prepend=0.0))
        ),
        200_000,
        40_000,
        _exits,
    ),
    Simulation(
        "sequential_power",
        "predicted power by look",
        "4 looks, an effect of 2.5 errors at the end",
        (sequential_power,),
        tuple(
            equal(f"power by look {k}, less the predicted", 0.0) for k in range(1, 5)
        ),
        100_000,
        20_000,
        _predicted,
    ),
)
