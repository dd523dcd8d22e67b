"""The decision rule as a whole: three goals and three guardrails under daily looks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.decision.family import adjust_goals
from exp_platform.decision.rules import apply_rules
from exp_platform.decision.sequential import decide_looks, judge_looks
from exp_platform.pipelines.calibration.gate import (
    Flags,
    Gate,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.quantities import ratio_of_means
from exp_platform.pipelines.calibration.rule_readings import (
    Readings,
    Stop,
    read_trials,
    stop_trials,
)
from exp_platform.pipelines.calibration.trials import (
    DAILY,
    ONE_LOOK,
    Arms,
    Trial,
    decide_at,
    draw_trial,
    list_series,
)
from exp_platform.records import Outcome, SequentialDesign
from exp_platform.stats.multiplicity import adjust_holm

ROLLED_BACK, SHIPPED = "experiments rolled back", "experiments shipped"
AGREES = "runs in which the rule on records answers the same"
UNDIVIDED = "harmed at one-sided .025 in any metric"
RULE = "decision rule, stopped at its first SHIP or ROLL_BACK"
SETTING = "28 days, 150 units an arm a day, 3 goals and 3 guardrails, daily looks"
COVERS = (decide_looks, judge_looks, apply_rules, adjust_goals)

NOTHING = (0.0,) * 6
UNITS_SHORT = SequentialDesign(
    follow_up_days=1.0, planned_units=2 * 150 * 40, clock="units"
)

RUNS_PER_CHECK = 1_000
"""One run in so many is judged from records too."""


def _stop(
    random: Generator, runs: int, trial: Trial, effects: Sequence[float]
) -> tuple[list[Stop], tuple[Arms, ...]]:
    metrics = draw_trial(random, runs, trial, effects)
    return stop_trials(trial, _read(trial, metrics)), metrics


def _read(trial: Trial, metrics: Sequence[Arms]) -> Readings:
    # Before any unit has matured there is nothing to divide by.
    with np.errstate(invalid="ignore"):
        return read_trials(trial, metrics)


def _is(stops: Sequence[Stop], wanted: Outcome) -> Flags:
    return np.array([stop.outcome is wanted for stop in stops])


def _agrees(trial: Trial, metrics: Sequence[Arms], stops: Sequence[Stop]) -> Flags:
    """Runs that stopped early come first."""
    order = sorted(range(len(stops)), key=lambda run: stops[run].look)
    chosen = order[:: max(1, 2 * RUNS_PER_CHECK)] + order[: len(stops) // 2000]
    spec = trial.spec
    return np.array(
        [
            decide_at(spec, list_series(trial, metrics, run), stops[run].look).outcome
            is stops[run].outcome
            for run in chosen
        ]
    )


def _no_effect(random: Generator, runs: int) -> Values:
    """All metrics' margins and harms, as the rule reads them and undivided."""
    trial = Trial()
    metrics = draw_trial(random, runs, trial, NOTHING)
    found = _read(trial, metrics)
    stops = stop_trials(trial, found)
    return {
        ROLLED_BACK: _is(stops, Outcome.ROLL_BACK),
        SHIPPED: _is(stops, Outcome.SHIP),
        UNDIVIDED: (found.harm[:, :, -1] <= 0.025).any(axis=1),
        AGREES: _agrees(trial, metrics, stops),
    }


def _rates(
    random: Generator, runs: int, trial: Trial, effects: Sequence[float]
) -> Values:
    stops, metrics = _stop(random, runs, trial, effects)
    return {
        ROLLED_BACK: _is(stops, Outcome.ROLL_BACK),
        SHIPPED: _is(stops, Outcome.SHIP),
        AGREES: _agrees(trial, metrics, stops),
    }


def _simulate(
    name: str,
    data: str,
    effects: Sequence[float],
    gates: Sequence[Gate],
    *,
    trial: Trial | None = None,
) -> Simulation:
    chosen = trial or Trial()
    return Simulation(
        f"rule_{name}",
        RULE,
        f"{SETTING}; {data}",
        COVERS,
        (*gates, equal(AGREES, 1.0)),
        20_000,
        1_000,
        lambda random, runs: _rates(random, runs, chosen, effects),
    )


def _one_true_effect(random: Generator, runs: int) -> Values:
    """Only the first goal is better, by four errors."""
    trial = Trial()
    metrics = draw_trial(random, runs, trial, (4.0, 0, 0, 0, 0, 0))
    adjusted = _read(trial, metrics).adjusted
    return {
        "any goal called changed that is not": (adjusted[:, 1:] <= 0.05).any(axis=1),
        "the true one found": adjusted[:, 0] <= 0.05,
    }


def _power(random: Generator, runs: int) -> Values:
    """The same experiments read every day, and once at the end."""
    effects = (3.3, 0.0, 0.0, 0.0, 0.0, 0.0)
    daily, metrics = _stop(random, runs, Trial(), effects)
    once = Trial(design=ONE_LOOK)
    fixed = stop_trials(once, _read(once, metrics))
    shipped = [_is(found, Outcome.SHIP).astype(float) for found in (daily, fixed)]
    return {"shipped with daily looks over shipped with one": ratio_of_means(*shipped)}


def _early_stop(random: Generator, runs: int) -> Values:
    """Planned units are reached on day 20 of 28; what comes later counts for nothing."""
    units = 2 * 150 * 20
    trial = Trial(design=replace(DAILY, planned_units=units))
    stops, metrics = _stop(random, runs, trial, NOTHING)
    found = _read(trial, metrics)
    reached = trial.matured.index(20)
    same = (found.better[:, :, -1] == found.better[:, :, reached]).all(axis=1)
    return {
        ROLLED_BACK: _is(stops, Outcome.ROLL_BACK),
        SHIPPED: _is(stops, Outcome.SHIP),
        "runs in which later looks change nothing": same,
        AGREES: _agrees(trial, metrics, stops),
    }


SIMULATIONS = (
    Simulation(
        "rule_no_effect",
        RULE,
        f"{SETTING}; no effect, margins of 4 errors",
        COVERS,
        (
            most(ROLLED_BACK, 0.05),
            most(SHIPPED, 0.025),
            disease(
                equal(UNDIVIDED, 0.139, 0.005, "METHODS section 4"),
                "the level of harm is shared by all metrics and arms",
                "rule_no_effect",
            ),
            equal(AGREES, 1.0),
        ),
        20_000,
        1_000,
        _no_effect,
    ),
    _simulate(
        "guardrail_at_margin",
        "goals better by 5 errors, one guardrail worse by exactly its margin of 2 errors",
        (5.0, 5.0, 5.0, -2.0, 1.0, 1.0),
        (most(SHIPPED, 0.025),),
        trial=Trial(margin=2.0),
    ),
    _simulate(
        "success",
        "one goal better by 5 errors, margins of 5 errors",
        (5.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (least(SHIPPED, 0.9),),
        trial=Trial(margin=5.0),
    ),
    _simulate(
        "harm",
        "one guardrail worse by 6 errors",
        (0.0, 0.0, 0.0, -6.0, 0.0, 0.0),
        (least(ROLLED_BACK, 0.99), most(SHIPPED, 0.001)),
    ),
    _simulate(
        "underrun",
        "no effect; the end comes at 70 % of the planned units",
        NOTHING,
        (most(ROLLED_BACK, 0.05), most(SHIPPED, 0.025)),
        trial=Trial(design=UNITS_SHORT),
    ),
    Simulation(
        "rule_overrun",
        RULE,
        f"{SETTING}; no effect; planned units are reached on day 20",
        COVERS,
        (
            most(ROLLED_BACK, 0.05),
            most(SHIPPED, 0.025),
            equal("runs in which later looks change nothing", 1.0),
            equal(AGREES, 1.0),
        ),
        20_000,
        1_000,
        _early_stop,
    ),
    Simulation(
        "rule_one_true_effect",
        "Holm over goals on sequential p-values",
        f"{SETTING}; the first goal better by 4 errors",
        (adjust_holm,),
        (
            most("any goal called changed that is not", 0.05),
            least("the true one found", 0.9),
        ),
        20_000,
        2_000,
        _one_true_effect,
    ),
    Simulation(
        "rule_power",
        RULE,
        f"{SETTING}; one goal better by 3.3 errors, margins of 4; and with one look",
        COVERS,
        (least("shipped with daily looks over shipped with one", 0.95),),
        20_000,
        1_000,
        _power,
    ),
)
