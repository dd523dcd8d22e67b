"""Questions to the metrics layer: metrics x dimensions x time grain x filters, as SQL.

A question names things; it never holds SQL. Every name is looked up before it is
written down, every value is a quoted literal.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake.types import quote_name
from exp_platform.lake.types import quote_text as quote
from exp_platform.records import MetricType

VARIANT = "variant"
UNKNOWN = "(unknown)"
QUANTILE = "quantile"
_NUMBERS = ("n", "total", "denominator_total", "value", "standard_error")


class Grain(StrEnum):
    """Width of the time axis, whole UTC days, weeks from Monday, months."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Clock(StrEnum):
    """Which instant puts a number on the time axis.

    EXPOSURE: the unit's first exposure; a cohort's units and their whole value.
    OUTCOME: the outcome; what all units of an arm did on that day.
    AGE: the days from the first exposure to the outcome.
    """

    EXPOSURE = "exposure"
    OUTCOME = "outcome"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep (or leave out) units whose dimension has one of these values."""

    dimension: str
    values: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """What is asked about one experiment.

    Attributes:
        metrics: names, at least one.
        dimensions: `variant` and declared segments, in output order.
        grain: time axis; None = all time.
        clock: what the time axis means.
        is_cumulative: on the age clock, everything through an age instead of on it.
        filters: all of them hold.
    """

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...] = (VARIANT,)
    grain: Grain | None = None
    clock: Clock = Clock.EXPOSURE
    is_cumulative: bool = False
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may be asked about one experiment.

    Attributes:
        metrics: type of each published metric.
        segments: declared segments, from before exposure.
        variants: arms, control first.
        is_dated: exposures have days; else there is no time to cut by.
        has_clusters: whole clusters were assigned; units of one go together.
    """

    metrics: Mapping[str, MetricType]
    segments: tuple[str, ...]
    variants: tuple[str, ...]
    is_dated: bool = True
    has_clusters: bool = False

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Everything a number may be broken down or filtered by."""
        return (VARIANT, *self.segments)


def compile_query(query: MetricQuery, words: Vocabulary) -> str:
    """The SELECT that answers a question, in DuckDB's dialect.

    Columns: metric_name, the dimensions, `time` (with a grain), n (units), total,
    denominator_total, value (mean per unit, or ratio of totals), standard_error. On the
    outcome clock n counts unit-days and value is the mean per unit and day; a unit's
    days covary, so no standard error is given, nor where whole clusters of units were
    assigned, as the spread of units does not tell it. The age clock has the whole number
    `age_day` in place of `time`.

    Args:
        query: the question.
        words: metrics and dimensions of the experiment.

    Raises:
        UsageError: an unknown metric or dimension, a quantile, an empty or doubled
            list, a dimension called like another column, another clock than the
            exposure's with segments or a metric that has no daily value, a clock
            with a grain it does not have, or a grain of data without dates.
    """
    _require_words(query, words)
    if query.clock is Clock.OUTCOME and query.grain is not None:
        time = [("time", _bucket("days.day", query.grain))]
        return _day_sql(query, "metric_aggregates_daily", time)
    if query.clock is Clock.AGE:
        age = [("age_day", "days.age_day")]
        return _day_sql(query, "metric_aggregates_by_age", age)
    return _unit_sql(query, has_error=not words.has_clusters)


def compile_values(dimension: str, words: Vocabulary) -> str:
    """The SELECT of a dimension's values, those with most units first, in DuckDB's dialect.

    Columns: value (as a filter names it), n (units in the analysis).

    Args:
        dimension: `variant` or a declared segment.
        words: metrics and dimensions of the experiment.

    Raises:
        UsageError: an unknown dimension.
    """
    _require_known("dimension", (dimension,), words.dimensions)
    return (
        f"select {_column(dimension)} as value, count(*) as n\n"
        "from exp.experiment_assignments as units\n"
        "where units.is_in_analysis\n"
        "group by 1\norder by n desc, value"
    )


def _require_words(query: MetricQuery, words: Vocabulary) -> None:
    _require_known("metric", query.metrics, words.metrics)
    _require_known("dimension", query.dimensions, words.dimensions)
    filtered = tuple(f.dimension for f in query.filters)
    _require_known("dimension", filtered, words.dimensions, is_filter=True)
    _require_dates(query, words)
    if not query.metrics:
        raise UsageError("no metric is asked for", allowed=", ".join(words.metrics))
    for name in query.metrics:
        if words.metrics[name].value == QUANTILE:
            raise UsageError(
                f"metric {name!r} is a quantile and does not add up over units",
                next_step="read it from the experiment's results",
            )
    for condition in query.filters:
        if not condition.values:
            raise UsageError(f"the filter on {condition.dimension!r} has no value")
    arms = {v for f in query.filters if f.dimension == VARIANT for v in f.values}
    _require_known("variant", tuple(arms), words.variants, is_filter=True)
    if query.clock is not Clock.EXPOSURE:
        _require_clock_of_days(query, words)
    if query.is_cumulative and query.clock is not Clock.AGE:
        raise UsageError("only the age clock is cumulative", found=query.clock.value)
    _require_columns(query)


def _require_columns(query: MetricQuery) -> None:
    """Engines tell the columns of an answer apart without case."""
    fixed = {"metric_name", *_NUMBERS} | ({"time"} if query.grain else set())
    asked: dict[str, str] = {}
    for name in query.dimensions:
        key = name.lower()
        if key in fixed:
            raise UsageError(
                f"dimension {name!r} is called like the answer's column {key!r}",
                next_step="filter by it instead, or rename the segment in the plan",
            )
        if key in asked:
            raise UsageError(
                "two dimensions differ in case only, an answer's columns do not",
                found=f"{asked[key]}, {name}",
                next_step="ask for one at a time, or rename a segment in the plan",
            )
        asked[key] = name


_DECLARED = {
    "metric": "name it in the plan's metrics and run again, or choose one of these",
    "dimension": "segments are declared in the plan, from before exposure",
}


def _require_known(
    what: str,
    asked: Sequence[str],
    known: Collection[str],
    *,
    is_filter: bool = False,
) -> None:
    for name in asked:
        if name not in known:
            raise UsageError(
                f"no {what} {name!r} in this experiment",
                allowed=did_you_mean(name, known),
                next_step=_DECLARED.get(what, "choose one of these"),
            )
    if not is_filter and len(set(asked)) != len(asked):
        raise UsageError(f"a {what} is asked for twice", found=", ".join(asked))


def _require_dates(query: MetricQuery, words: Vocabulary) -> None:
    if query.grain is not None and not words.is_dated:
        raise UsageError(
            "the data of this experiment have no dates: there is no time to cut by",
            where="grain",
            found=query.grain,
            next_step="leave the grain out, or import with --exposure-ts",
        )


def _require_clock_of_days(query: MetricQuery, words: Vocabulary) -> None:
    clock = query.clock.value
    grains = [Grain.DAY] if query.clock is Clock.AGE else list(Grain)
    if query.grain not in grains:
        raise UsageError(
            f"the {clock} clock needs a grain that it has",
            where="grain",
            found=query.grain or "none",
            allowed=", ".join(grains),
        )
    used = {*query.dimensions, *(f.dimension for f in query.filters)} - {VARIANT}
    if used:
        raise UsageError(
            f"totals on the {clock} clock exist by variant only",
            found=", ".join(sorted(used)),
            next_step="use the exposure clock for segments",
        )
    dayless = [m for m in query.metrics if not words.metrics[m].has_daily_value]
    if dayless:
        raise UsageError(
            "a single day of a unit has no value of these metrics",
            found=", ".join(f"{m} ({words.metrics[m].value})" for m in dayless),
            next_step="use the exposure clock, or ask for both parts of a ratio",
        )


def _unit_sql(query: MetricQuery, *, has_error: bool) -> str:
    """Inside, labels are d1, d2, ...: a segment may be called like a column of ours."""
    labels = [(name, _column(name)) for name in query.dimensions]
    if query.grain is not None:
        labels.append(("time", _bucket("units.exposure_ts", query.grain)))
    picked = "".join(f"    {text} as d{i},\n" for i, (_, text) in enumerate(labels, 1))
    shown = "".join(
        f"    m.d{i} as {quote_name(name)},\n" for i, (name, _) in enumerate(labels, 1)
    )
    keys = ", ".join(str(i + 1) for i in range(len(labels) + 1))
    conditions = [_metric_condition("facts", query), "units.is_in_analysis"]
    conditions += [_condition(f) for f in query.filters]
    where = "\n    and ".join(conditions)
    return (
        "with moments as (\n"
        "select\n"
        "    facts.metric_name,\n"
        f"{picked}"
        "    count(*) as n,\n"
        "    sum(facts.value) as total,\n"
        "    sum(facts.denominator) as denominator_total,\n"
        "    var_samp(facts.value) as variance,\n"
        "    var_samp(facts.denominator) as denominator_variance,\n"
        "    covar_samp(facts.value, facts.denominator) as covariance\n"
        "from exp.metric_calculations as facts\n"
        "inner join exp.experiment_assignments as units\n"
        "    on facts.experiment_id = units.experiment_id\n"
        "    and facts.user_id = units.user_id\n"
        f"where {where}\n"
        f"group by {keys}\n"
        ")\n"
        "select\n"
        "    m.metric_name,\n"
        f"{shown}"
        "    m.n,\n"
        "    m.total,\n"
        "    m.denominator_total,\n"
        f"    {_VALUE} as value,\n"
        f"    {_ERROR if has_error else _NO_ERROR} as standard_error\n"
        "from moments as m\n"
        f"order by {keys}"
    )


_RATIO = "(m.total / nullif(m.denominator_total, 0))"
_VALUE = f"case when m.denominator_total is null then m.total / m.n else {_RATIO} end"
# ratio: variance of value - ratio x denominator, over the mean denominator
_ERROR = (
    "case\n"
    "        when m.denominator_total is null then sqrt(m.variance / m.n)\n"
    "        else sqrt(greatest(\n"
    f"            m.variance - 2 * {_RATIO} * m.covariance\n"
    f"            + power({_RATIO}, 2) * m.denominator_variance, 0\n"
    "        ) / m.n) / nullif(abs(m.denominator_total / m.n), 0)\n"
    "    end"
)
_NO_ERROR = "cast(null as double)"


def _day_sql(query: MetricQuery, table: str, time: list[tuple[str, str]]) -> str:
    labels = [(name, f"days.{name}") for name in query.dimensions] + time
    picked = "".join(f"    {text} as {quote_name(name)},\n" for name, text in labels)
    keys = ", ".join(str(i + 1) for i in range(len(labels) + 1))
    conditions = [_metric_condition("days", query)]
    conditions += [
        f"days.variant {'not in' if f.is_negated else 'in'} ({_listed(f.values)})"
        for f in query.filters
    ]
    where = "\n    and ".join(conditions)
    n, mean = "days.n", "days.mean"
    if query.is_cumulative:
        n, mean = "days.cumulative_n", "days.cumulative_mean"
    return (
        "select\n"
        "    days.metric_name,\n"
        f"{picked}"
        f"    cast(sum({n}) as bigint) as n,\n"
        f"    sum({n} * {mean}) as total,\n"
        "    cast(null as double) as denominator_total,\n"
        f"    sum({n} * {mean}) / nullif(sum({n}), 0) as value,\n"
        f"    {_NO_ERROR} as standard_error\n"
        f"from exp.{table} as days\n"
        f"where {where}\n"
        f"group by {keys}\n"
        f"order by {keys}"
    )


def _column(dimension: str) -> str:
    if dimension == VARIANT:
        return "units.variant"
    return f"coalesce(units.attributes[{quote(dimension)}], {quote(UNKNOWN)})"


def _bucket(instant: str, grain: Grain) -> str:
    return f"cast(date_trunc({quote(grain.value)}, {instant}) as date)"


def _metric_condition(relation: str, query: MetricQuery) -> str:
    return f"{relation}.metric_name in ({_listed(query.metrics)})"


def _condition(condition: Filter) -> str:
    word = "not in" if condition.is_negated else "in"
    return f"{_column(condition.dimension)} {word} ({_listed(condition.values)})"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(quote(value) for value in values)
