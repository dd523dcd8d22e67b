"""Whole experiments, read at every registered look until the rule stops them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator

from exp_platform.checks.catalogue import required_checks
from exp_platform.decision.looks import LookTime, due_looks
from exp_platform.decision.sequential import decide_looks
from exp_platform.decision.series import LookSeries
from exp_platform.pipelines.calibration.paths import draw_days
from exp_platform.records import (
    AnalysisPlan,
    CheckResult,
    CheckStatus,
    Decision,
    Direction,
    ExperimentSpec,
    LookTotals,
    MetricDefinition,
    MetricPlan,
    MetricRole,
    MetricTotals,
    MetricType,
    Outcome,
    SequentialDesign,
    Variant,
)
from exp_platform.stats.welch import Arm

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
CONTROL, TREATMENT = "control", "treatment"
GOALS = ("goal_1", "goal_2", "goal_3")
GUARDRAILS = ("guardrail_1", "guardrail_2", "guardrail_3")
METRICS = (*GOALS, *GUARDRAILS)
MEAN = 10.0
STOPS = (Outcome.SHIP, Outcome.ROLL_BACK)
DAILY = SequentialDesign(follow_up_days=1.0)
ONE_LOOK = SequentialDesign(follow_up_days=1.0, look_days=(29,))


@dataclass(frozen=True, slots=True)
class Trial:
    """Three goals and three guardrails in arms of equal size.

    Attributes:
        treatments: names of the arms beside control.
        days: of exposure; a unit's window is one more day.
        per_day: units of an arm that enrol each day.
        margin: of every guardrail, in errors of the last look.
        design: the registered looks.
    """

    days: int = 28
    per_day: int = 150
    margin: float = 4.0
    design: SequentialDesign = DAILY
    treatments: tuple[str, ...] = (TREATMENT,)

    @property
    def error(self) -> float:
        """Standard error of a difference at the last look."""
        return float(np.sqrt(2 / (self.per_day * self.days)))

    @property
    def relative_margin(self) -> float:
        """The margin as a share of the control mean."""
        return self.margin * self.error / MEAN

    @property
    def spec(self) -> ExperimentSpec:
        """The registry row, with the data of the last look."""
        metrics = (
            *(MetricPlan(name, MetricRole.GOAL) for name in GOALS),
            *(
                MetricPlan(name, MetricRole.GUARDRAIL, margin=self.relative_margin)
                for name in GUARDRAILS
            ),
        )
        end = START + self.days * DAY
        return ExperimentSpec(
            "simulated",
            START,
            end,
            end + DAY,
            tuple(
                Variant(name, 1 / (1 + len(self.treatments)))
                for name in (CONTROL, *self.treatments)
            ),
            CONTROL,
            AnalysisPlan(metrics, sequential=self.design),
        )

    @property
    def looks(self) -> tuple[LookTime, ...]:
        """The registered looks."""
        return due_looks(self.spec, define(GOALS[0]))

    @property
    def matured(self) -> list[int]:
        """Whole days of enrolment whose units have matured by each look.

        The window of a unit exposed on day d closes by the end of day d + 1.
        """
        return [int((look.instant - START) / DAY) - 1 for look in self.looks]


@dataclass(frozen=True, slots=True)
class Arms:
    """One metric in many runs of a trial: control and treatment, day by day.

    Attributes:
        control, treatment: cumulative moments, fields of shape (runs, days).
    """

    control: Arm
    treatment: Arm


def draw_trial(
    random: Generator, runs: int, trial: Trial, effects: Sequence[float]
) -> tuple[Arms, ...]:
    """All six metrics of many runs, with values of variance 1.

    Args:
        random: source.
        runs: experiments.
        trial: the design.
        effects: true differences by metric, in errors of the last look.
    """
    size = (runs, trial.per_day, trial.days)
    return tuple(
        Arms(
            draw_days(random, *size, mean=MEAN),
            draw_days(random, *size, mean=MEAN + effect * trial.error),
        )
        for effect in effects
    )


def list_series(
    trial: Trial, metrics: Sequence[Arms], run: int, *, treatment: str = TREATMENT
) -> tuple[LookSeries, ...]:
    """One run as the records that the rule takes."""
    looks, matured = trial.looks, trial.matured
    series = []
    for name, arms in zip(METRICS, metrics, strict=True):
        sides = [
            [_totals(arm, (name, variant), run, days) for days in matured]
            for arm, variant in ((arms.control, CONTROL), (arms.treatment, treatment))
        ]
        totals = tuple(
            LookTotals(look.number, look.instant, look.elapsed, ours, theirs)
            for look, ours, theirs in zip(looks, *sides, strict=True)
        )
        series.append(LookSeries(define(name), treatment, totals))
    return tuple(series)


def _totals(arm: Arm, names: tuple[str, str], run: int, days: int) -> MetricTotals:
    if days < 1:
        return MetricTotals("simulated", *names, 0, None, None)
    place = (run, days - 1)
    n, mean, variance = (
        float(column[place]) for column in (arm.n, arm.mean, arm.variance)
    )
    return MetricTotals("simulated", *names, int(n), mean, variance)


def define(name: str, window_days: float | None = 1.0) -> MetricDefinition:
    """A metric of which more is better.

    Args:
        name: of the metric.
        window_days: None = its values grow to the end.
    """
    return MetricDefinition(
        name, 1, MetricType.MEAN, Direction.INCREASE, name, window_days=window_days
    )


def pass_checks(spec: ExperimentSpec) -> tuple[CheckResult, ...]:
    """Every required check, passed."""
    names = required_checks(spec, is_did_primary=False)
    passed = CheckStatus.PASSED
    return tuple(
        CheckResult("simulated", name, passed, "FINE", "Fine.", can_fail=True)
        for name in names
    )


def decide_at(
    spec: ExperimentSpec, series: Sequence[LookSeries], look: int
) -> Decision:
    """The rule's answer when the data reach one of the looks.

    Args:
        spec: registry row, with the data of the last look.
        series: one per goal and guardrail, with all looks.
        look: its position, from 0.
    """
    seen = [replace(one, looks=one.looks[: look + 1]) for one in series]
    then = replace(spec, watermark_ts=series[0].looks[look].look_ts)
    return decide_looks(then, seen, checks=pass_checks(spec))[-1]
