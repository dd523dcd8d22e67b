"""A definition in words, one line for each thing it says."""

from collections.abc import Iterator

from exp_platform.metrics.measures import FUNNEL
from exp_platform.metrics.spans import lookback_of, window_of
from exp_platform.records import (
    CapOrigin,
    Covariate,
    MetricDefinition,
    MetricType,
    PercentileCap,
    RowRule,
    SourceKind,
)

_AGGREGATIONS = {
    "sum": "sum of",
    "count": "number of rows of",
    "max": "largest",
    "distinct": "number of different values of",
    "any": "whether there was any",
    "": "as the value, from",
}


def describe(definition: MetricDefinition) -> dict[str, str]:
    """What a definition says: topic -> sentence, in a fixed order."""
    return dict(_topics(definition))


def describe_value(definition: MetricDefinition) -> str:
    """What one unit's value is."""
    kind, name = definition.type, definition.numerator
    rows = _rows(definition.numerator, definition.rows)
    if kind is MetricType.FUNNEL:
        steps = [_rows(step.name, step.rows) for step in definition.steps]
        return (
            "1 if the unit reached, each later than the one before: "
            + ", then ".join(steps)
        )
    if kind is MetricType.RETENTION:
        return (
            f"1 if the unit came back with {_happening(definition.rows)} {rows}, else 0"
        )
    if kind is MetricType.PROPORTION:
        return f"1 if the unit has {_happening(definition.rows)} {rows}, else 0"
    if definition.is_of_rows:
        return f"each row of {rows}"
    value = f"{_AGGREGATIONS[definition.aggregation]} {rows}"
    if definition.denominator is not None:
        below = _rows(definition.denominator, definition.denominator_rows)
        aggregation = _AGGREGATIONS[definition.denominator_aggregation]
        return f"{value}, over {aggregation} {below}"
    return value if name else ""


def _topics(definition: MetricDefinition) -> Iterator[tuple[str, str]]:
    yield "type", f"{definition.type}, {definition.direction} is good"
    yield "value", describe_value(definition)
    if definition.quantile is not None:
        of = "rows" if definition.is_of_rows else "units, zeros included"
        yield "quantile", f"{definition.quantile:.15g} of the {of}"
    yield "window", window_of(definition).words
    yield "matures", _maturity(definition)
    if definition.cap is not None or definition.percentile_cap is not None:
        yield "cap", _cap(definition.cap, definition.percentile_cap)
    for number, covariate in enumerate(definition.covariates, start=1):
        topic = "covariate" if number == 1 else f"covariate {number}"
        yield topic, _covariate(definition, covariate)
    yield "attribution", "first exposure decides arm and window (intention to treat)"
    yield from _plan_words(definition)


def _plan_words(definition: MetricDefinition) -> Iterator[tuple[str, str]]:
    defaults = definition.defaults
    role = defaults.role.value
    if defaults.margin is not None:
        role += f", margin {defaults.margin:.15g} {defaults.margin_scale}"
    if defaults.mde is not None:
        role += f", sized for {defaults.mde:.15g} of control"
    yield "default role", role
    if definition.unit_label:
        yield "unit", definition.unit_label
    if definition.owner:
        yield "owner", definition.owner
    if definition.tags:
        yield "tags", ", ".join(definition.tags)
    if definition.description:
        yield "description", definition.description
    yield "version", definition.metric_version


def _maturity(definition: MetricDefinition) -> str:
    if definition.window_days is None:
        return "when the window opens; the value may grow until the watermark"
    return "when the window has closed; younger units are held out and counted"


def _happening(rows: RowRule) -> str:
    """An outcome happened when its value is positive, an event always."""
    is_plain = rows.kind is SourceKind.EVENT and not rows.value
    return "an" if is_plain else "a positive"


def _rows(name: str, rows: RowRule) -> str:
    kind = "event" if rows.kind is SourceKind.EVENT else "outcome"
    words = f"{kind} {name}"
    if rows.value:
        words += f" worth {rows.value}"
    return f"{words} where {rows.filter}" if rows.filter else words


def _covariate(definition: MetricDefinition, covariate: Covariate) -> str:
    span = lookback_of(definition, covariate).words
    if covariate.aggregation == FUNNEL:
        words = "whether the funnel was walked"
    else:
        words = _covariate_value(definition, covariate)
    words = f"{covariate.label}: {words}, in {span}"
    if covariate.cap is None and covariate.percentile_cap is None:
        return words
    return f"{words}; capped at {_cap(covariate.cap, covariate.percentile_cap)}"


def _covariate_value(definition: MetricDefinition, covariate: Covariate) -> str:
    """How its rows make a number; of other rows than the metric's always spelled out."""
    rows = _rows(covariate.metric_name, covariate.rows)
    is_own = covariate.metric_name == definition.numerator
    if covariate.aggregation or is_own:
        return f"{_AGGREGATIONS[covariate.aggregation]} {rows}"
    words = f"{_AGGREGATIONS[definition.aggregation]} {rows}"
    if definition.type.is_share:
        words = f"1 if the unit had {_happening(covariate.rows)} {rows}, else 0"
    return f"{words} (as the metric's value; `aggregation` says otherwise)"


def _cap(value: float | None, rule: PercentileCap | None) -> str:
    if rule is None:
        return f"{value:.15g} per unit"
    units = "units with a total other than 0" if rule.is_nonzero else "all units"
    taken = "at the first look"
    if rule.origin is CapOrigin.PRE_PERIOD:
        taken = "from as many days before the exposure"
    frozen = "" if value is None else f", frozen at {value:.15g}"
    return f"order statistic {rule.share:.15g} of {units}, taken {taken}{frozen}"
