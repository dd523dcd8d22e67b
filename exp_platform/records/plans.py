"""What was promised: the analysis plan and the experiment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from exp_platform.records.outcomes import (
    Assignment,
    LookMethod,
    MarginScale,
    MetricRole,
)

SpendingKind = Literal["obrien_fleming", "pocock", "power"]
SpendingClock = Literal["schedule", "units"]


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """A metric's part in one experiment.

    Attributes:
        margin: largest harm that is still acceptable, a positive number; required
            for a guardrail, there is no default.
        mde: effect the experiment was sized for, relative to control.
        covariate: the plan declares the definition's covariate, so CUPED is primary.
        mixture_sd: standard deviation of the effects an mSPRT mixes over, in units of
            the metric; required by that method.
    """

    metric_name: str
    role: MetricRole
    margin: float | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    mde: float | None = None
    covariate: bool = False
    mixture_sd: float | None = None


@dataclass(frozen=True, slots=True)
class SequentialDesign:
    """When the answer is read, and by which rule.

    Attributes:
        method: None = `group_sequential` where an end or planned units are registered,
            else `confidence_sequence`. Undated input has one fixed look.
        spending, exponent: how a group sequential test spends its error rate; the
            exponent is that of `power`.
        harm_spending: the same for harm.
        clock: `schedule` reads the share of the registered duration that has passed,
            `units` matured units against planned ones.
        planned_units: matured units of all arms the experiment was sized for; a
            confidence sequence is tightest there.
        look_every_days: days from one look to the next, all at 00:00 UTC.
        look_days: looks at 00:00 UTC so many days after the first day, instead.
        follow_up_days: days after the end of exposures at which the last look is taken.
        has_end: the registry's end is a promise, not just where the data stop.
    """

    method: LookMethod | None = None
    spending: SpendingKind = "obrien_fleming"
    exponent: float = 3.0
    harm_spending: SpendingKind = "pocock"
    clock: SpendingClock = "schedule"
    planned_units: int | None = None
    look_every_days: int = 1
    look_days: tuple[int, ...] = ()
    follow_up_days: float = 0.0
    has_end: bool = True


@dataclass(frozen=True, slots=True)
class AnalysisPlan:
    """What was promised before the data came in.

    Attributes:
        alpha: two-sided error rate of the goals together (Holm).
        alpha_harm: one-sided error rate of all harm tests together.
        min_units_per_arm: below this an arm is INSUFFICIENT_DATA.
        segments: exposure attributes to drill down by.
        tie_break: metric that picks among several shippable arms.
        accept_within_margin: ship although a guardrail is worse but inside its margin.
        keep_duplicates: rows that agree in every column are separate facts.
        bot_rows_per_day: outcome rows of a unit on one day above which it is a bot.
        exclude_bots: bots leave the analysis set.
        sequential: looks before the end.
        received: metric that says who received the treatment (1, or a dose).
        adjust_by: exposure attributes from before units chose their arm.
    """

    metrics: tuple[MetricPlan, ...]
    alpha: float = 0.05
    alpha_harm: float = 0.05
    min_units_per_arm: int = 100
    segments: tuple[str, ...] = ()
    tie_break: str | None = None
    accept_within_margin: bool = False
    keep_duplicates: bool = False
    bot_rows_per_day: int = 100
    exclude_bots: bool = False
    sequential: SequentialDesign = SequentialDesign()
    received: str | None = None
    adjust_by: tuple[str, ...] = ()

    def of(self, metric_name: str) -> MetricPlan:
        """The plan of one metric; an unplanned metric is only monitored."""
        for plan in self.metrics:
            if plan.metric_name == metric_name:
                return plan
        return MetricPlan(metric_name, MetricRole.MONITOR)

    def names(self, role: MetricRole) -> tuple[str, ...]:
        """Metric names with one role, in plan order."""
        return tuple(p.metric_name for p in self.metrics if p.role is role)


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm and its planned share of units."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class PanelPeriods:
    """The periods of a ready-made panel, which has one row per unit and period.

    Attributes:
        word: what one of them is called, such as `year`; `period` where that is all
            that is known.
        labels: of all periods in order, as delivered.
        first_treated: label of the period from which the first units were treated.
    """

    word: str
    labels: tuple[str, ...]
    first_treated: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """One row of `experiment_registry`: who, when, how assigned, what was planned.

    Attributes:
        start_ts, end_ts: exposures count in [start, end).
        watermark_ts: event time up to which the data are complete.
        variants: arms with their planned shares, control included.
        unit_type: what is randomised, e.g. `user`; for several units per cluster
            see `cluster`.
        policy_ts: instant a policy or roll-out took effect (not randomised).
        cluster: exposure attribute at whose level treatment was assigned.
        pre_period_days: registered calendar pre-period of DiD, 0 = none.
        is_dated: False when the input had no dates; nothing by day is computed.
        namespace: of the experiment's events; empty = it has none.
        source: where the data came from; `file:NAME` for an imported one.
        panel: periods of a ready-made panel; None = the data are events.
    """

    experiment_id: str
    start_ts: datetime
    end_ts: datetime
    watermark_ts: datetime
    variants: tuple[Variant, ...]
    control: str
    plan: AnalysisPlan
    unit_type: str = "user"
    assignment: Assignment = Assignment.RANDOMISED
    policy_ts: datetime | None = None
    cluster: str | None = None
    pre_period_days: int = 0
    is_dated: bool = True
    owner: str = ""
    hypothesis: str = ""
    namespace: str = ""
    source: str = ""
    panel: PanelPeriods | None = None

    @property
    def treatments(self) -> tuple[str, ...]:
        """Names of the arms compared with control, in registry order."""
        return tuple(v.name for v in self.variants if v.name != self.control)

    @property
    def period_word(self) -> str:
        """What one step of time is called."""
        return self.panel.word if self.panel else "day"

    @property
    def has_events(self) -> bool:
        """Rows have an instant of their own: they can be late, or a robot's."""
        return self.is_dated and self.panel is None

    @property
    def is_declared_random(self) -> bool:
        """Whoever imported a file said that arms were random; nobody saw it happen."""
        is_random = self.assignment is Assignment.RANDOMISED
        return is_random and self.source.startswith("file:")

    @property
    def last_look_ts(self) -> datetime:
        """Instant of the last look: the end of exposures and the follow-up."""
        return self.end_ts + timedelta(days=self.plan.sequential.follow_up_days)

    @property
    def is_complete(self) -> bool:
        """The data reach the last look."""
        return self.watermark_ts >= self.last_look_ts
