"""What a definition measures of a unit: its value, its denominator, its covariates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exp_platform.metrics.spans import Span, lookback_of, window_of
from exp_platform.metrics.unit_values import ANY, COUNT, MAX, SUM, Part
from exp_platform.records import (
    Covariate,
    FunnelStep,
    MetricDefinition,
    MetricType,
    SourceKind,
)

FUNNEL = "funnel"
"""Aggregation of a covariate: whether the whole funnel was walked before exposure."""

VALUE, DENOMINATOR, COVARIATE = COLUMNS = ("value", "denominator", "covariate")


@dataclass(frozen=True, slots=True)
class Chain:
    """Was the last step reached, each later than the one before?"""

    steps: tuple[FunnelStep, ...]
    span: Span

    @property
    def parts(self) -> Sequence[Part]:
        """The rows of each step."""
        return [Part(step.name, step.rows, self.span, ANY) for step in self.steps]


Measure = Part | Chain


def value_of(definition: MetricDefinition) -> Measure:
    """What makes the value."""
    if definition.type is MetricType.FUNNEL:
        return Chain(definition.steps, window_of(definition))
    return value_part(definition)


def value_part(definition: MetricDefinition) -> Part:
    """What makes the value (all but a funnel's)."""
    aggregation = ANY if definition.type.is_share else definition.aggregation
    return Part(
        definition.numerator,
        definition.rows,
        window_of(definition),
        SUM if definition.is_of_rows else aggregation,
        definition.cap,
    )


def denominator_part(definition: MetricDefinition) -> Part | None:
    """What stands below the line: of a ratio, or the number of rows of a quantile."""
    if definition.is_of_rows:
        rows, name = definition.rows, definition.numerator
        return Part(name, rows, window_of(definition), COUNT)
    if definition.denominator is None:
        return None
    return Part(
        definition.denominator,
        definition.denominator_rows,
        window_of(definition),
        definition.denominator_aggregation,
    )


def covariate_of(definition: MetricDefinition, covariate: Covariate) -> Measure:
    """What makes a covariate: as the metric's own value, unless it says otherwise."""
    before = lookback_of(definition, covariate)
    if covariate.aggregation == FUNNEL:
        return Chain(definition.steps, before)
    own = ANY if definition.type.is_share else definition.aggregation
    return Part(
        covariate.metric_name,
        covariate.rows,
        before,
        covariate.aggregation or own,
        covariate.cap,
    )


def columns_of(definition: MetricDefinition) -> dict[str, Measure]:
    """What fills value, denominator and the first covariate; absent = null."""
    columns: dict[str, Measure] = {VALUE: value_of(definition)}
    below = denominator_part(definition)
    if below is not None:
        columns[DENOMINATOR] = below
    if definition.covariate is not None:
        columns[COVARIATE] = covariate_of(definition, definition.covariate)
    return columns


def parts_of(definition: MetricDefinition) -> Iterator[tuple[Part, str | None]]:
    """Rows that some number of a unit needs, with the covariate it is for, if any."""
    for part in _parts(value_of(definition)):
        yield part, None
    below = denominator_part(definition)
    if below is not None and not definition.is_of_rows:
        yield below, None
    for covariate in definition.covariates:
        for part in _parts(covariate_of(definition, covariate)):
            yield part, covariate.label


def events_of(definition: MetricDefinition) -> set[str]:
    """Names of the events that a metric is made of, its covariates included."""
    return {
        part.name
        for part, _ in parts_of(definition)
        if part.rows.kind is SourceKind.EVENT
    }


def has_several_covariates(definition: MetricDefinition) -> bool:
    """Its adjustment needs more moments than those of one covariate and the value."""
    is_ratio = definition.type is MetricType.RATIO
    return len(definition.covariates) > (0 if is_ratio else 1)


def has_daily_value(definition: MetricDefinition) -> bool:
    """A unit's single day has a value: of a ratio, its numerator."""
    return definition.type.has_daily_value or definition.type is MetricType.RATIO


def day_rule_of(definition: MetricDefinition) -> str | None:
    """How a unit's days make its value: sum, any or max; None = they do not.

    Things seen on two days may be the same ones, so that distinct ones do not add up.
    """
    if not has_daily_value(definition):
        return None
    aggregation = value_part(definition).aggregation
    rules = {SUM: "sum", COUNT: "sum", ANY: "any", MAX: "max"}
    return rules.get(aggregation)


def _parts(measure: Measure) -> Sequence[Part]:
    return measure.parts if isinstance(measure, Chain) else [measure]
