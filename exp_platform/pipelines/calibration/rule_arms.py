"""The decision rule with several arms against one control."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.decision.family import adjust_goals
from exp_platform.decision.rules import apply_rules
from exp_platform.decision.sequential import decide_looks, judge_looks
from exp_platform.pipelines.calibration.gate import (
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.rule_readings import (
    ArmsStop,
    Readings,
    read_trials,
    stop_arms,
)
from exp_platform.pipelines.calibration.trials import (
    Arms,
    Trial,
    draw_trial,
    list_series,
    pass_checks,
)
from exp_platform.records import Outcome

TRIAL = Trial(treatments=("treatment", "treatment_2", "treatment_3"))
RULE = "decision rule with three arms, stopped at the first SHIP or ROLL_BACK of any"
SETTING = "28 days, 150 units an arm a day, 3 goals and 3 guardrails, daily looks"
COVERS = (decide_looks, judge_looks, apply_rules, adjust_goals)
AGREES = "runs in which the rule on records answers the same"
ROLLED_BACK, SHIPPED = "experiments with an arm rolled back", "with an arm shipped"
ALONE = "any goal better, Holm within each arm"
NOTHING = (0.0,) * 6
HARMFUL = (0.0, 0.0, 0.0, -6.0, 0.0, 0.0)

RUNS_PER_CHECK = 1_000
"""One run in so many is judged from records too."""


def _draw(
    random: Generator, runs: int, effects: Sequence[Sequence[float]]
) -> list[tuple[Arms, ...]]:
    """Every arm's metrics; the arms have one control."""
    first, *others = (draw_trial(random, runs, TRIAL, one) for one in effects)
    shared = [
        tuple(
            replace(a, control=base.control) for a, base in zip(arm, first, strict=True)
        )
        for arm in others
    ]
    return [first, *shared]


def _read(metrics: Sequence[tuple[Arms, ...]]) -> list[Readings]:
    # Before any unit has matured there is nothing to divide by.
    with np.errstate(invalid="ignore"):
        return [read_trials(TRIAL, arm) for arm in metrics]


def _agrees(metrics: Sequence[tuple[Arms, ...]], stops: Sequence[ArmsStop]) -> Flags:
    """Runs that stopped early come first."""
    order = sorted(range(len(stops)), key=lambda run: stops[run].look)
    chosen = order[: 1 + len(stops) // RUNS_PER_CHECK]
    return np.array([_decide(metrics, run, stops[run]) for run in chosen])


def _decide(metrics: Sequence[tuple[Arms, ...]], run: int, stop: ArmsStop) -> bool:
    """Does the rule on records answer the same at the look where the run stopped?"""
    series = [
        one
        for name, arm in zip(TRIAL.treatments, metrics, strict=True)
        for one in list_series(TRIAL, arm, run, treatment=name)
    ]
    seen = [replace(one, looks=one.looks[: stop.look + 1]) for one in series]
    spec = TRIAL.spec
    then = replace(spec, watermark_ts=series[0].looks[stop.look].look_ts)
    found = decide_looks(then, seen, checks=pass_checks(spec))
    return tuple(one.outcome for one in found[:-1]) == stop.outcomes


def _has(stops: Sequence[ArmsStop], wanted: Outcome) -> Flags:
    return np.array([wanted in stop.outcomes for stop in stops])


def _no_effect(random: Generator, runs: int) -> Values:
    metrics = _draw(random, runs, (NOTHING,) * 3)
    found = _read(metrics)
    stops = stop_arms(TRIAL, found)
    alone = [
        (one.adjusted <= TRIAL.spec.plan.alpha) & (one.gain[:, :, -1] > 0)
        for one in found
    ]
    return {
        ROLLED_BACK: _has(stops, Outcome.ROLL_BACK),
        SHIPPED: _has(stops, Outcome.SHIP),
        ALONE: np.concatenate(alone, axis=1).any(axis=1),
        AGREES: _agrees(metrics, stops),
    }


def _one_harmful(random: Generator, runs: int) -> Values:
    """The third arm worsens a guardrail by six errors."""
    metrics = _draw(random, runs, (NOTHING, NOTHING, HARMFUL))
    stops = stop_arms(TRIAL, _read(metrics))
    back = np.array([[o is Outcome.ROLL_BACK for o in s.outcomes] for s in stops])
    return {
        "harmful arm rolled back": back[:, 2],
        "another arm rolled back": back[:, :2].any(axis=1),
        AGREES: _agrees(metrics, stops),
    }


SIMULATIONS = (
    Simulation(
        "rule_three_arms",
        RULE,
        f"{SETTING}; no effect in any arm, margins of 4 errors",
        COVERS,
        (
            most(ROLLED_BACK, 0.05),
            most(SHIPPED, 0.025),
            disease(
                least(ALONE, 0.04),
                "the goals of all arms are one family",
                "rule_three_arms",
            ),
            equal(AGREES, 1.0),
        ),
        10_000,
        600,
        _no_effect,
    ),
    Simulation(
        "rule_one_harmful_arm",
        RULE,
        f"{SETTING}; one arm worsens a guardrail by 6 errors",
        COVERS,
        (
            least("harmful arm rolled back", 0.97),
            most("another arm rolled back", 0.05),
            equal(AGREES, 1.0),
        ),
        4_000,
        300,
        _one_harmful,
    ),
)
