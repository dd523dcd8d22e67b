"""The plain numbers that checks judge; pipelines fill them from tables.

Counts by table have the table's name as key, counts by arm the variant's name.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

CountBy = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class IngestFacts:
    """What ingest did with the rows as delivered.

    Attributes:
        delivered: rows as delivered, by table.
        quarantined: rows rejected, by (table, reason).
        duplicates: rows equal to another one in every column, by table; the first
            of each is not counted.
        keeps_duplicates: the plan says that such rows are separate facts.
    """

    experiment_id: str
    delivered: CountBy
    quarantined: Mapping[tuple[str, str], int] = field(default_factory=dict)
    duplicates: CountBy = field(default_factory=dict)
    keeps_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Whether every row says whose it is, and every unit stands once.

    Attributes:
        rows: rows as delivered, by table.
        missing: rows without a unit id, variant, metric name or time, by table.
        repeated_units: units that stand more than once in the analysis set.
        unregistered_units: units of the analysis set in an arm the registry lacks.
        has_match: some outcome belongs to an exposed unit, or one side has no rows.
        absent: outcomes and events that a metric is made of and no good row has, each
            with the names of its kind that some row has.
    """

    experiment_id: str
    rows: CountBy
    missing: CountBy = field(default_factory=dict)
    repeated_units: int = 0
    unregistered_units: int = 0
    has_match: bool = True
    absent: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArmRate:
    """Share of an arm's units with a positive value of a proportion."""

    metric_name: str
    variant: str
    rate: float


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """How units were split, as planned and as observed.

    Attributes:
        planned: planned share 0 to 1 of every arm, control included.
        observed: units of every arm in the analysis set.
        looks: cumulative counts of every arm at each registered look, oldest first;
            empty = only the last one is known.
        is_complete: the data reach the registered end.
        control: baseline arm.
        rates: goal proportions by arm, for the bounds of the damage.
        subject: "" = all units; else the stage or `attribute=value` of a subset.
        counted: what was split: units, or the clusters that were assigned as a whole.
    """

    experiment_id: str
    planned: Mapping[str, float]
    observed: CountBy
    is_complete: bool
    control: str
    looks: tuple[CountBy, ...] = ()
    rates: tuple[ArmRate, ...] = ()
    subject: str = ""
    counted: str = "units"


@dataclass(frozen=True, slots=True)
class CrossoverFacts:
    """Units that met more than one arm.

    Attributes:
        units: units by the arm of their first exposure, ties by the arm's name.
        crossed: those of them that met another arm.
        tied: those of the crossed that met two arms first; without dates, all of them.
    """

    experiment_id: str
    units: CountBy
    crossed: CountBy
    tied: CountBy = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Rows dated outside the experiment.

    Attributes:
        rows: accepted rows, by table.
        outside: exposures outside [start, end), and outcomes before the earliest
            pre-period or at or after the watermark, by table. Rows that only miss a
            metric's own window are not counted.
    """

    experiment_id: str
    rows: CountBy
    outside: CountBy


@dataclass(frozen=True, slots=True)
class LateFacts:
    """Rows that arrived long after they happened, and where the data stop.

    Attributes:
        rows: rows with a time of arrival; 0 = arrival is not recorded.
        rows_late: those that arrived more than `threshold_hours` after their event.
        last_event_ts: newest row of the experiment; None = no row has a date.
        watermark_ts: event time up to which the data are said to be complete.
        is_dated: the input has dates at all.
    """

    experiment_id: str
    rows: int
    rows_late: int
    threshold_hours: float
    last_event_ts: datetime | None
    watermark_ts: datetime
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class MinimumFacts:
    """Units with a usable outcome, by arm, of one metric ("" = of the experiment)."""

    experiment_id: str
    units: CountBy
    min_units_per_arm: int
    metric_name: str = ""


@dataclass(frozen=True, slots=True)
class MeanFacts:
    """Two arms' moments of one value; variances have divisor n - 1."""

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    n_control: int
    n_treatment: int
    mean_control: float
    mean_treatment: float
    variance_control: float
    variance_treatment: float


@dataclass(frozen=True, slots=True)
class PrePeriodFacts:
    """Whether the promised pre-exposure data exist.

    Attributes:
        subject: metric whose covariate is declared, or `registered pre-period`.
        units: units in the analysis set.
        units_with_data: those with at least one row before exposure.
        days: whole days of the pre-period that was promised; None = the values came
            with the units, without a date.
        is_constant: in an arm every unit has the same value.
    """

    experiment_id: str
    subject: str
    units: int
    units_with_data: int
    days: float | None
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class BotFacts:
    """Units with more outcome rows on one day than a person makes.

    Attributes:
        units: units before any exclusion, by arm.
        bots: those flagged, by arm.
        rows_per_day: limit above which a unit was flagged.
        is_excluded: the plan takes bots out of the analysis set.
    """

    experiment_id: str
    units: CountBy
    bots: CountBy
    rows_per_day: int
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class UnusualDay:
    """One day on which a metric of one arm does not look like itself.

    Attributes:
        day: ISO date, UTC.
        reference: `history`, or `other_variants` on the same day.
        reason: MISSING_DAY (no arm has anything), ZERO, DROP or SPIKE.
        value, expected: mean per unit exposed on an earlier day.
        score: robust standard deviations from what was expected; of an empty day the
            active units that were.
        threshold: where the score begins to count.
    """

    metric_name: str
    variant: str
    day: str
    reference: str
    reason: str
    value: float
    expected: float
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class AnomalyFacts:
    """Unusual days of all metrics.

    Attributes:
        n_metrics: metrics that were followed from day to day.
        days: the unusual ones, in any order.
    """

    experiment_id: str
    n_metrics: int
    days: tuple[UnusualDay, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingFacts:
    """Units that lack a value of one metric.

    Attributes:
        units: mature units by arm, those without a value included.
        missing: those without a value, by arm.
        n_metrics: metrics of the experiment that are looked at in this way.
        is_share: the metric is a proportion, so what is missing is 0 or 1.
        active: at least so many units have another value than 0, by arm; 0 = none has.
            Empty where nothing says that the arms would be alike.
    """

    experiment_id: str
    metric_name: str
    units: CountBy
    missing: CountBy
    n_metrics: int = 1
    is_share: bool = False
    active: CountBy = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestatedFacts:
    """Crossings of past looks, and parts in the plan, that are not as first told.

    Attributes:
        subject: metric:arm, or plan; "" = nothing has moved.
        moves: (test, instant it had crossed at, instant it crosses at now), instants as
            text; None = no crossing. Of "part" what the metric was and is in the plan,
            of "looks" how the plan was and is read.
        cause: LATE_DATA, LATER_WATERMARK, PLAN_CHANGED or DEFINITION_CHANGED; "" =
            nothing has moved.
    """

    experiment_id: str
    subject: str = ""
    moves: tuple[tuple[str, str | None, str | None], ...] = ()
    cause: str = ""
