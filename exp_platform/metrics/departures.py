"""A metric as it is when one of its rules is not followed.

Each departure changes one definition, one source or one model and nothing else; the
models stay those of the metric. What is changed is written here as SQL text.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.measures import Chain, denominator_part, value_of
from exp_platform.metrics.models import GENERATED, find_needed, model_order, model_sql
from exp_platform.metrics.scope import microseconds
from exp_platform.metrics.unit_values import Part, happened_sql, rows_sql
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricType

# Reaches back to 1970 from any date until 2057, and the microsecond is still exact.
_ALL_PAST_DAYS = 32_000.0
_EXPERIMENTS = "exp_run.run_experiments"
UNLIMITED = "exp_run.unlimited_experiments"
"""`run_experiments` whose watermark lies behind everything."""

VALUES = "metric_calculations"
QUANTILES = "int_quantiles"


class Cause(StrEnum):
    """What two people who count the same thing disagree about."""

    EXPOSURE_FILTER = "exposure filter"
    CROSSOVER = "crossover"
    DEDUPLICATION = "de-duplication"
    BOTS = "bots"
    LATE_DATA = "late data"
    TIMEZONE = "timezone"
    WINDOW = "window"
    CAP = "cap"
    IMMATURE = "immature units"
    MISSING = "missing values"
    ZERO_FILL = "zero-fill"


@dataclass(frozen=True, slots=True)
class Departure:
    """One rule that is not followed.

    Attributes:
        code: its name. words: what is done instead.
        group: departures of one group exclude each other; "" = none.
        shift: SQL of an instant `{ts}` read on another clock.
    """

    code: str
    cause: Cause
    words: str
    group: str = ""
    shift: str = ""


DEPARTURES: Mapping[str, Departure] = {
    departure.code: departure
    for departure in (
        Departure(
            "all_assigned",
            Cause.EXPOSURE_FILTER,
            "units assigned in place of units exposed, from their assignment on",
        ),
        Departure(
            "before_exposure",
            Cause.EXPOSURE_FILTER,
            "rows from before the unit's exposure counted too",
            "begin",
        ),
        Departure(
            "from_start",
            Cause.EXPOSURE_FILTER,
            "rows counted from the experiment's start, exposed yet or not",
            "begin",
        ),
        Departure(
            "crossover_dropped",
            Cause.CROSSOVER,
            "units that met two arms left out",
            "grain",
        ),
        Departure(
            "crossover_in_each_arm",
            Cause.CROSSOVER,
            "units that met two arms counted in each, from the first exposure to it on",
            "grain",
        ),
        Departure(
            "every_exposure",
            Cause.DEDUPLICATION,
            "every row of exposures counted as a unit of its own",
            "grain",
        ),
        Departure(
            "copies_kept",
            Cause.DEDUPLICATION,
            "rows that were delivered twice counted twice",
        ),
        Departure("bots_kept", Cause.BOTS, "bots left in the analysis"),
        Departure("bots_dropped", Cause.BOTS, "bots taken out of the analysis"),
        Departure(
            "after_watermark",
            Cause.LATE_DATA,
            "rows from the watermark on counted too",
            "late",
        ),
        Departure(
            "not_yet_received",
            Cause.LATE_DATA,
            "rows received after the watermark not counted",
            "late",
        ),
        Departure(
            "no_delay",
            Cause.WINDOW,
            "rows counted from the exposure on, not from the delay after it",
            "begin",
        ),
        Departure(
            "no_window",
            Cause.WINDOW,
            "rows counted until the watermark, not until the window's end",
        ),
        Departure("no_cap", Cause.CAP, "values not capped"),
        Departure(
            "immature_kept",
            Cause.IMMATURE,
            "units counted whose window had not closed by the watermark",
        ),
        Departure(
            "missing_kept",
            Cause.MISSING,
            "units with a missing value counted with the values they have",
        ),
        Departure("rows_only", Cause.ZERO_FILL, "units without a row left out"),
    )
}
"""In the order in which they are applied: units, rows, values, who is counted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The metric of one experiment that is computed in many ways.

    Attributes:
        definition: as the published numbers used it.
        fixed_point: outcomes whose sums are exact in decimals.
    """

    spec: ExperimentSpec
    definition: MetricDefinition
    fixed_point: Collection[str]

    @property
    def has_denominator(self) -> bool:
        """The arm's mean is a ratio of two sums."""
        return self.definition.type is MetricType.RATIO

    @property
    def goals(self) -> tuple[str, ...]:
        """Models that hold the metric's numbers."""
        is_quantile = self.definition.quantile is not None
        return (VALUES, QUANTILES) if is_quantile else (VALUES,)


def shift_hours(minutes: int) -> Departure:
    """Days that begin at midnight so many minutes east of UTC."""
    hours, rest = divmod(abs(minutes), 60)
    name = f"UTC{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
    return _zone(name, f"{{ts}} + interval '{minutes} minutes'")


def shift_zone(name: str) -> Departure:
    """Days that begin at midnight in a named zone, its summer time included."""
    return _zone(name, f"timezone('UTC', timezone({quote(name)}, {{ts}}))")


def _zone(name: str, shift: str) -> Departure:
    words = f"days, start and watermark at midnight of {name}"
    return Departure(name, Cause.TIMEZONE, words, "zone", shift)


def write_models(
    subject: Subject, departures: Iterable[Departure] = (), *, has_covariates: bool
) -> dict[str, str]:
    """The SELECT of every model that the metric's numbers need, by name.

    Args:
        subject: the metric.
        departures: rules not followed; none = the metric as it is.
        has_covariates: with what is known from before the exposure; not for
            departures, which would make other covariates too.
    """
    chosen = {departure.code: departure for departure in departures}
    definition = _depart(subject.definition, chosen)
    if not has_covariates:
        definition = replace(definition, covariate=None, more_covariates=())
    texts = generate_selects([definition], (), fixed_point=subject.fixed_point)
    static = [n for n, _ in model_order(groups=("metrics",)) if n not in GENERATED]
    texts |= {name: model_sql(name) for name in static}
    texts["int_unit_profiles"] = _NO_PROFILES
    for name, rewrite in _REWRITES.items():
        texts[name] = rewrite(texts[name], subject, chosen)
    goals = (*subject.goals, "metric_aggregates_overall", "metric_quantiles")
    needed = frozenset[str]().union(*(find_needed(goal, texts) for goal in goals))
    return {name: texts[name] for name in needed}


Chosen = Mapping[str, Departure]
# Segments are not broken down here, so nobody asks for them.
_NO_PROFILES = (
    "select '' as experiment_id, '' as user_id,"
    " cast(null as map(varchar, varchar)) as profile where false"
)


def _depart(definition: MetricDefinition, chosen: Chosen) -> MetricDefinition:
    """The definition with another span of time, or without its cap."""
    lower, length = definition.delay_days, definition.window_days
    upper = None if length is None else lower + length
    if "no_delay" in chosen:
        lower = 0.0
    if chosen.keys() & {"before_exposure", "from_start"}:
        lower = -_ALL_PAST_DAYS
    if "no_window" in chosen:
        upper = None
    if (lower, upper) != (definition.delay_days, _end_of(definition)):
        length = None if upper is None else upper - lower
        definition = replace(definition, delay_days=lower, window_days=length)
    return replace(definition, cap=None) if "no_cap" in chosen else definition


def _end_of(definition: MetricDefinition) -> float | None:
    length = definition.window_days
    return None if length is None else definition.delay_days + length


def _read(text: str, table: str, source: str) -> str:
    """The same model on another source."""
    return text.replace(f"from exp.{table}\n", f"from {source}\n")


def _clock(chosen: Chosen) -> str:
    """SQL of an instant `{ts}` on the chosen clock; empty on ours."""
    return next((d.shift for d in chosen.values() if d.shift), "")


def _source(table: str, instant: str, subject: Subject, chosen: Chosen) -> str:
    """Rows of outcomes or events as somebody else may have had them."""
    source = f"exp.{table}"
    if "copies_kept" in chosen:
        source = f"exp_run.delivered_{table}"
    if "not_yet_received" in chosen:
        limit = microseconds(subject.spec.watermark_ts)
        source = (
            f"(select * from {source}"
            f" where received_ts is null or epoch_us(received_ts) < {limit})"
        )
    return _shift(source, instant, chosen)


def _shift(source: str, instant: str, chosen: Chosen) -> str:
    clock = _clock(chosen)
    if not clock:
        return source
    return f"(select * replace ({clock.format(ts=instant)} as {instant}) from {source})"


def _outcomes(text: str, subject: Subject, chosen: Chosen) -> str:
    source = _source("outcomes", "outcome_ts", subject, chosen)
    return _read(text, "outcomes", source)


def _events(text: str, subject: Subject, chosen: Chosen) -> str:
    source = _source("fact_event", "event_ts", subject, chosen)
    return _read(text, "fact_event", source)


def _exposures(text: str, subject: Subject, chosen: Chosen) -> str:
    del subject
    source = "exp.exposures"
    if "all_assigned" in chosen:
        source = (
            "(select experiment_id, user_id, variant, assigned_ts as exposure_ts,"
            " cast(null as timestamptz) as first_seen_ts,"
            " cast(null as map(varchar, varchar)) as attributes from exp.assignments)"
        )
    elif "copies_kept" in chosen:
        source = "exp_run.delivered_exposures"
    return _read(text, "exposures", _shift(source, "exposure_ts", chosen))


_EXPOSURES_BY = """\
select
    exposures.experiment_id,
    exposures.user_id,
    exposures.variant,
    exposures.exposure_ts,
    exposures.exposure_us,
    exposures.first_seen_us,
    exposures.attributes,
    1 as n_exposures,
    false as is_crossover
from exp_run.stg_exposures as exposures
inner join exp_run.run_experiments as experiments
    on exposures.experiment_id = experiments.experiment_id
where
    exposures.exposure_us >= experiments.start_us
    and exposures.exposure_us < experiments.end_us"""
_EACH_ARM = """
qualify row_number() over (
    partition by exposures.user_id, exposures.variant order by exposures.exposure_us
) = 1"""


def _first_exposures(text: str, subject: Subject, chosen: Chosen) -> str:
    del subject
    if "every_exposure" in chosen:
        return _EXPOSURES_BY
    return _EXPOSURES_BY + _EACH_ARM if "crossover_in_each_arm" in chosen else text


def _assignments(text: str, subject: Subject, chosen: Chosen) -> str:
    del subject
    kept = ["true" if "bots_kept" in chosen else "is_in_analysis"]
    if "bots_dropped" in chosen:
        kept.append("not is_bot")
    if "crossover_dropped" in chosen:
        kept.append("not is_crossover")
    return _change(text, {"is_in_analysis": " and ".join(kept)})


def _bot_units(text: str, subject: Subject, chosen: Chosen) -> str:
    del subject
    is_late = "after_watermark" in chosen
    return text.replace(_EXPERIMENTS, UNLIMITED) if is_late else text


def _unit_rows(text: str, subject: Subject, chosen: Chosen) -> str:
    """Rows of the units in the analysis: until when, and from when."""
    text = _bot_units(text, subject, chosen)
    if "from_start" not in chosen:
        return text
    instant = "event_us" if "events.event_us" in text else "outcome_us"
    start = microseconds(subject.spec.start_ts)
    return f"select * from (\n{text}\n) as unit_rows\nwhere {instant} >= {start}"


_MOVED_PAYLOAD = """\
(select * replace (cast(json_merge_patch(payload, json_object('outcome_ts', cast({at}
    as varchar))) as varchar) as payload) from exp.quarantine)"""
_DELIVERED_AT = "try_cast(json_extract_string(payload, '$.outcome_ts') as timestamptz)"


def _missing_values(text: str, subject: Subject, chosen: Chosen) -> str:
    clock = _clock(chosen)
    if clock:
        moved = _MOVED_PAYLOAD.format(at=clock.format(ts=_DELIVERED_AT))
        text = _read(text, "quarantine", moved)
    return _unit_rows(text, subject, chosen)


def _missing_events(text: str, subject: Subject, chosen: Chosen) -> str:
    moved = _shift("exp.event_quarantine", "event_ts", chosen)
    return _unit_rows(_read(text, "event_quarantine", moved), subject, chosen)


def _incomplete_units(text: str, subject: Subject, chosen: Chosen) -> str:
    del subject
    changes = {
        name: "false"
        for name, code in (
            ("is_immature", "immature_kept"),
            ("is_value_missing", "missing_kept"),
        )
        if code in chosen
    }
    return _change(text, changes)


def _calculations(text: str, subject: Subject, chosen: Chosen) -> str:
    if "rows_only" not in chosen:
        return text
    units = "\nunion all\n".join(_units_with_rows(_depart(subject.definition, chosen)))
    return f"select * from (\n{text}\n) as filled\nwhere unit_no in (\n{units}\n)"


def _units_with_rows(definition: MetricDefinition) -> list[str]:
    """Units that have something to show; of a funnel, those that entered it."""
    measure = value_of(definition)
    if isinstance(measure, Chain):
        entry = measure.parts[0]
        return [_units_where(entry, happened_sql(entry))]
    below = denominator_part(definition)
    parts = [measure] if below is None else [measure, below]
    return [_units_where(part, rows_sql(part)) for part in parts]


def _units_where(part: Part, condition: str) -> str:
    return f"select unit_no from {part.relation.table} where {condition}"


def _change(text: str, columns: Mapping[str, str]) -> str:
    """The same rows with some columns made anew; the text itself if they stay."""
    changed = {name: value for name, value in columns.items() if name != value}
    if not changed:
        return text
    listed = ", ".join(f"{value} as {name}" for name, value in changed.items())
    return f"select * replace ({listed}) from (\n{text}\n) as model"


_REWRITES: Mapping[str, Callable[[str, Subject, Chosen], str]] = {
    "stg_outcomes": _outcomes,
    "stg_events": _events,
    "stg_exposures": _exposures,
    "int_first_exposures": _first_exposures,
    "experiment_assignments": _assignments,
    "int_bot_units": _bot_units,
    "int_unit_outcomes": _unit_rows,
    "int_unit_events": _unit_rows,
    "int_missing_values": _missing_values,
    "int_missing_events": _missing_events,
    "int_incomplete_units": _incomplete_units,
    "metric_calculations": _calculations,
}
