"""Experiments looked at day by day, with exact moments instead of units."""

from dataclasses import dataclass, replace
from datetime import timedelta

from exp_platform.decision.looks import due_looks
from exp_platform.decision.sequential import decide_looks, judge_looks
from exp_platform.decision.series import LookSeries, collect_looks
from exp_platform.records import (
    Direction,
    EstimateRole,
    MetricDefinition,
    MetricTotals,
    MetricType,
    SequentialDesign,
)

DAYS = 14
WINDOW = 2
PER_DAY = 400
SD = 3.0
MEAN = 10.0


def metric(name, **changes):
    base = MetricDefinition(
        name, 1, MetricType.MEAN, Direction.INCREASE, name, window_days=float(WINDOW)
    )
    return replace(base, **changes)


@dataclass(frozen=True)
class Trial:
    """An experiment whose units matured on days 3 to 14, with set daily means."""

    case: object
    effects: dict
    per_day: int = PER_DAY

    @property
    def spec(self):
        return self.case.spec

    def spec_at(self, day):
        return replace(self.spec, watermark_ts=self.spec.start_ts + timedelta(days=day))

    def series(self, day=DAYS, **changes):
        spec = self.spec_at(day)
        return [
            self._one(spec, metric(name, **changes), effect)
            for name, effect in self.effects.items()
        ]

    def _one(self, spec, definition, effect):
        looks = due_looks(spec, definition)
        moved = [effect(day) if callable(effect) else effect for day in range(DAYS + 1)]
        cohorts = {
            arm: [
                (day, self._cohort(definition.name, arm, is_treated * moved[day]))
                for day in range(WINDOW + 1, DAYS + 1)
            ]
            for arm, is_treated in (("A", 0), ("B", 1))
        }
        nobody = tuple(
            MetricTotals("e", definition.name, arm, 0, None, None) for arm in "AB"
        )
        days = [
            round((look.instant - spec.start_ts) / timedelta(days=1)) for look in looks
        ]
        found = collect_looks(looks, cohorts, days=days, arms=nobody)
        return LookSeries(definition, "B", found)

    def _cohort(self, name, arm, shift):
        return MetricTotals("e", name, arm, self.per_day, MEAN + shift, SD**2)

    def decide(self, day=DAYS, **changes):
        series = self.series(day, **changes)
        return decide_looks(self.spec_at(day), series, checks=self.case.checks)[-1]

    def judge(self, day=DAYS, **changes):
        return judge_looks(self.spec_at(day), self.series(day), **changes)

    def design(self, **changes):
        return replace(
            self, case=self.case.plan(sequential=SequentialDesign(**changes))
        )


def primary(judged, name):
    (row,) = [
        e
        for e in judged.estimates
        if e.metric_name == name and e.role is EstimateRole.PRIMARY
    ]
    return row


def rows_of(judged, name):
    return [e for e in judged.estimates if e.metric_name == name and e.look is not None]
