"""The decision rule over many runs at once.

The platform's own reader gives the sequential p-values of all runs, its ordered rules
answer where any of them is small. A gate checks that the answers are those of
`decision.sequential.decide_looks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
from scipy.special import ndtri, stdtr

from exp_platform.checks.verdict import assess_verdict
from exp_platform.decision.evidence import Evidence, Goal
from exp_platform.decision.family import harm_level
from exp_platform.decision.rules import apply_rules
from exp_platform.decision.series import plan_units
from exp_platform.pipelines.calibration.gate import Array, Flags
from exp_platform.pipelines.calibration.trials import (
    GOALS,
    GUARDRAILS,
    STOPS,
    TREATMENT,
    Arms,
    Trial,
    pass_checks,
)
from exp_platform.records import Estimate, EstimateStatus, Outcome
from exp_platform.stats.boundary import Sides
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.guardrail import ALPHA, GuardrailAssessment, GuardrailStatus
from exp_platform.stats.look_rules import GroupSequentialRule
from exp_platform.stats.looks import Look, SequentialPlan
from exp_platform.stats.multiplicity import adjust_holm
from exp_platform.stats.spending import Spending
from exp_platform.stats.welch import Arm, compare_arms


@dataclass(frozen=True, slots=True)
class Readings:
    """What all looks prove, fields of shape (runs, n_metrics, n_looks).

    Attributes:
        better, worse: two-sided p-values of the goals' two directions.
        gain: the goals' differences at the look.
        harm: one-sided p of harm, goals first, then guardrails.
        inside: one-sided p of "the harm is at least the margin", of the guardrails.
        days: whole days of exposure seen, shape (n_looks,).
        is_end: nothing is left to be tested, shape (n_looks,).
    """

    better: Array
    worse: Array
    gain: Array
    harm: Array
    inside: Array
    days: Array
    is_end: Flags

    @property
    def adjusted(self) -> Array:
        """Holm over the goals at the last look, which is the most favourable one."""
        last = np.minimum(self.better, self.worse)[:, :, -1]
        return np.array([adjust_holm(row) for row in last])


def read_trials(trial: Trial, metrics: Sequence[Arms]) -> Readings:
    """Sequential p-values of every run at every look.

    Args:
        trial: the design.
        metrics: three goals and three guardrails.
    """
    rule, matured = _rule_of(trial), np.array(trial.matured)
    found = [_compare(arms, matured) for arms in metrics]
    goals, guardrails = found[: len(GOALS)], found[len(GOALS) :]
    read = partial(_read, rule)
    z = [_normal(one) for one in goals]
    inside = [_p_inside(one, trial.relative_margin) for one in guardrails]
    harm = [stdtr(one.inference.df, one.inference.statistic) for one in found]
    spec = trial.spec
    ends = [min(look.instant, spec.end_ts) for look in trial.looks]
    return Readings(
        better=_stack([read(np.maximum(one, 0.0), 2) for one in z]),
        worse=_stack([read(np.maximum(-one, 0.0), 2) for one in z]),
        gain=_stack([one.inference.difference for one in goals]),
        harm=_stack([read(-ndtri(p), 1, is_harm=True) for p in harm]),
        inside=_stack([read(-ndtri(p), 1) for p in inside]),
        days=np.array([(end - spec.start_ts) // timedelta(days=1) for end in ends]),
        is_end=np.array([(look.elapsed or 0) >= 1 for look in trial.looks]),
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a run stops: the first SHIP or ROLL_BACK, or the last look.

    Attributes:
        look: its position, from 0.
    """

    outcome: Outcome
    look: int


def stop_trials(trial: Trial, found: Readings) -> list[Stop]:
    """Where does every run stop, when the rule is asked at every look?

    It can only stop at looks at which some p-value is small; it is asked at those.

    Args:
        trial: the design.
        found: sequential p-values.
    """
    plan = trial.spec.plan
    is_better = (found.better <= plan.alpha).any(axis=1)
    is_harmed = (found.harm <= harm_level(trial.spec)).any(axis=1)
    blank = _blank(trial, TREATMENT)

    def judge(run: int, look: int) -> Outcome:
        """The arm's outcome, with Holm over its goals."""
        return _judge(blank, found, (run, look), _adjust([found], run, look)[0])

    last = found.days.size - 1
    stops = []
    for run, is_due in enumerate(np.asarray(is_better | is_harmed)):
        answers = (Stop(judge(run, int(k)), int(k)) for k in np.flatnonzero(is_due))
        first = next((stop for stop in answers if stop.outcome in STOPS), None)
        stops.append(first or Stop(judge(run, last), last))
    return stops


@dataclass(frozen=True, slots=True)
class ArmsStop:
    """Where a run of several arms stops: at the first SHIP or ROLL_BACK of any.

    Attributes:
        outcomes: by arm.
        look: its position, from 0.
    """

    outcomes: tuple[Outcome, ...]
    look: int


def stop_arms(trial: Trial, found: Sequence[Readings]) -> list[ArmsStop]:
    """The same for several arms: one family of goals, and SHIP for one arm at most.

    Args:
        trial: the design.
        found: sequential p-values, one for each treatment.
    """
    plan, level = trial.spec.plan, harm_level(trial.spec)
    is_due = np.any(
        [
            (one.better <= plan.alpha).any(axis=1) | (one.harm <= level).any(axis=1)
            for one in found
        ],
        axis=0,
    )
    blanks = [_blank(trial, name) for name in trial.treatments]
    last = found[0].days.size - 1
    stops = []
    for run, looks in enumerate(is_due):
        answers = (
            ArmsStop(_judge_arms(blanks, found, run, int(k)), int(k))
            for k in np.flatnonzero(looks)
        )
        first = next((one for one in answers if set(one.outcomes) & set(STOPS)), None)
        end = first or ArmsStop(_judge_arms(blanks, found, run, last), last)
        stops.append(end)
    return stops


def _judge_arms(
    blanks: Sequence[Evidence], found: Sequence[Readings], run: int, look: int
) -> tuple[Outcome, ...]:
    adjusted = _adjust(found, run, look)
    outcomes = [
        _judge(blank, one, (run, look), p)
        for blank, one, p in zip(blanks, found, adjusted, strict=True)
    ]
    if outcomes.count(Outcome.SHIP) > 1:
        # Nothing in the plan chooses between them.
        ship, review = Outcome.SHIP, Outcome.REVIEW
        outcomes = [review if one is ship else one for one in outcomes]
    return tuple(outcomes)


def _adjust(found: Sequence[Readings], run: int, look: int) -> list[Array]:
    """Holm over the goals of all arms at one look, by arm."""
    smaller = [
        np.minimum(one.better[run, :, look], one.worse[run, :, look]) for one in found
    ]
    return list(np.split(adjust_holm(np.concatenate(smaller)), len(found)))


def _rule_of(trial: Trial) -> GroupSequentialRule:
    units = [trial.per_day * days for days in trial.matured]
    looks = tuple(
        Look(n, n, look.elapsed) for n, look in zip(units, trial.looks, strict=True)
    )
    spec, design = trial.spec, trial.design
    return GroupSequentialRule(
        looks=looks,
        plan=SequentialPlan(
            Spending(design.spending),
            plan_units(spec, TREATMENT),
            design.clock,
            spec.plan.min_units_per_arm,
        ),
        harm_spending=Spending(design.harm_spending),
    )


def _compare(arms: Arms, matured: Array) -> Comparison:
    """Welch at every look; NaN before any unit has matured."""
    columns = np.maximum(matured - 1, 0)
    is_empty = matured < 1
    sides = [
        Arm(
            np.where(is_empty, np.nan, arm.n[:, columns]),
            arm.mean[:, columns],
            arm.variance[:, columns],
        )
        for arm in (arms.control, arms.treatment)
    ]
    return compare_arms(sides[0], sides[1], ALPHA)


def _normal(found: Comparison) -> Array:
    """Normal z that is as improbable as Welch's t."""
    size = -ndtri(found.inference.p_value / 2)
    return np.asarray(np.copysign(size, found.inference.statistic))


def _p_inside(found: Comparison, margin: float) -> Array:
    """One-sided p of "the harm is at least the margin", as `assess_guardrail`."""
    inference, baseline = found.inference, found.baseline
    variance = (
        inference.standard_error**2
        + 2 * margin * baseline.covariance
        + margin**2 * baseline.variance
    )
    excess = inference.difference + margin * baseline.mean
    return np.asarray(stdtr(inference.df, -excess / np.sqrt(variance)))


def _read(
    rule: GroupSequentialRule, z: Array, sides: Sides, *, is_harm: bool = False
) -> Array:
    return rule.read(z, 0.05, sides, is_harm=is_harm).p_values


def _stack(parts: Sequence[Array]) -> Array:
    return np.stack(parts, axis=1)


def _blank(trial: Trial, treatment: str) -> Evidence:
    """One arm whose checks passed, before anything is known of its metrics."""
    spec = trial.spec
    row = Estimate(
        "simulated",
        GOALS[0],
        "welch_t",
        spec.control,
        treatment,
        EstimateStatus.OK,
        details={"sequential": {}},
    )
    return Evidence(
        spec=spec,
        treatment=treatment,
        verdict=assess_verdict("simulated", pass_checks(spec)),
        goals=(),
        guardrails=(),
        guardrail_estimates={},
        gaps=(),
        harm_level=harm_level(spec),
        whole_days=0,
        is_complete=False,
        is_did=False,
        pretrends=(),
        rows=(row,),
    )


def _judge(
    blank: Evidence, found: Readings, place: tuple[int, int], adjusted: Array
) -> Outcome:
    """The ordered rules on one run at one look, given the goals' p after Holm."""
    alpha, (run, look) = blank.spec.plan.alpha, place
    better, worse = found.better[run, :, look], found.worse[run, :, look]
    is_superior = (
        (adjusted <= alpha) & (better < worse) & (found.gain[run, :, look] > 0)
    )
    harm = found.harm[run, :, look]
    goals = tuple(
        Goal(blank.rows[0], bool(up), bool(down <= alpha), float(p))
        for up, down, p in zip(is_superior, worse, harm[: len(GOALS)], strict=True)
    )
    inside = found.inside[run, :, look] <= ALPHA
    guardrails = tuple(
        _guardrail(name, is_inside=bool(is_in), harm_p=float(p))
        for name, is_in, p in zip(GUARDRAILS, inside, harm[len(GOALS) :], strict=True)
    )
    evidence = replace(
        blank,
        goals=goals,
        guardrails=guardrails,
        whole_days=int(found.days[look]),
        is_complete=bool(found.is_end[look]),
    )
    return apply_rules(evidence)[1].outcome


def _guardrail(name: str, *, is_inside: bool, harm_p: float) -> GuardrailAssessment:
    shown, open_ = GuardrailStatus.NON_INFERIOR, GuardrailStatus.NOT_SHOWN
    return GuardrailAssessment(
        "simulated",
        name,
        TREATMENT,
        shown if is_inside else open_,
        harm_p_value=harm_p,
        is_degraded=harm_p <= ALPHA,
    )
