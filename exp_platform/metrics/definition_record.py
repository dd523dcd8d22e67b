"""From the text of a definition to its record."""

from dataclasses import replace

from exp_platform.metrics.definition_text import (
    CapText,
    CovariateText,
    MetricText,
    PartText,
    RowsText,
    SourceText,
)
from exp_platform.metrics.expressions import normalise
from exp_platform.metrics.measures import FUNNEL
from exp_platform.records import (
    CapOrigin,
    Covariate,
    Direction,
    FunnelStep,
    MarginScale,
    MetricDefinition,
    MetricRole,
    MetricType,
    PercentileCap,
    RoleDefaults,
    RowRule,
)


def make_definition(text: MetricText) -> MetricDefinition:
    """The record of a text that has no problem."""
    numerator = text.numerator or text.source or text.steps[-1]
    covariates = tuple(c for one in text.all_covariates for c in _covariates(text, one))
    delay, days = _span(text)
    return MetricDefinition(
        name=text.name,
        version=text.version,
        type=MetricType(text.type),
        direction=Direction(text.direction),
        numerator=numerator.source_name,
        owner=text.owner,
        description=text.description,
        denominator=text.denominator.source_name if text.denominator else None,
        aggregation=_aggregation(text, text.numerator),
        delay_days=delay,
        window_days=days,
        cap=text.cap.value if text.cap else None,
        covariate=covariates[0] if covariates else None,
        unit_label=text.unit_label,
        rows=_rule(numerator) if not text.steps else RowRule(),
        denominator_rows=_rule(text.denominator) if text.denominator else RowRule(),
        denominator_aggregation=_aggregation(text, text.denominator),
        more_covariates=covariates[1:],
        steps=tuple(FunnelStep(step.source_name, _rule(step)) for step in text.steps),
        quantile=text.quantile,
        is_of_rows=text.of == "rows",
        is_day_grained=text.window.grain == "day",
        percentile_cap=_percentile(text.cap),
        attribution=text.attribution,
        tags=text.tags,
        defaults=_defaults(text),
    )


def _aggregation(text: MetricText, part: PartText | None) -> str:
    """Of a part of a ratio, the metric's unless it says otherwise."""
    if part is None:
        return text.aggregation if text.type != "ratio" else "sum"
    return part.aggregation or text.aggregation


def _span(text: MetricText) -> tuple[float, float | None]:
    """Delay and length in days."""
    spoken = text.retention
    if spoken is None:
        return text.window.delay_days, text.window.days
    if spoken.day is None:
        start = spoken.from_days or 0.0
        return start, (spoken.to_days or 0.0) - start
    start = float(spoken.day)
    if not spoken.rolling:
        return start, 1.0
    return start, None if spoken.to_days is None else spoken.to_days - start


def _rule(rows: RowsText) -> RowRule:
    value = rows.value if isinstance(rows, SourceText) else ""
    return RowRule(
        kind=rows.kind,
        filter=normalise(rows.filter) if rows.filter else "",
        value=normalise(value) if value else "",
    )


def _covariates(text: MetricText, spoken: CovariateText) -> list[Covariate]:
    """One, or both parts of a ratio when none is named."""
    if spoken.source_name:
        return [_covariate(spoken, spoken, spoken.aggregation or "")]
    if text.type == "funnel":
        return [_covariate(spoken, text.steps[-1], FUNNEL)]
    if text.numerator is None or text.denominator is None:
        return [_covariate(spoken, text.source or spoken, spoken.aggregation or "")]
    parts = {"numerator": text.numerator, "denominator": text.denominator}
    is_same = len({part.source_name for part in parts.values()}) == 1
    found = {
        name: _covariate(spoken, part, spoken.aggregation or _aggregation(text, part))
        for name, part in parts.items()
    }
    if spoken.name:
        return [replace(c, name=f"{spoken.name}_{part}") for part, c in found.items()]
    return [replace(c, name=part) if is_same else c for part, c in found.items()]


def _covariate(spoken: CovariateText, rows: RowsText, aggregation: str) -> Covariate:
    return Covariate(
        metric_name=rows.source_name,
        lookback_days=spoken.lookback_days,
        rows=RowRule() if aggregation == FUNNEL else _rule(rows),
        aggregation=aggregation,
        cap=spoken.cap.value if spoken.cap else None,
        percentile_cap=_percentile(spoken.cap),
        name=spoken.name or "",
    )


def _percentile(cap: CapText | None) -> PercentileCap | None:
    if cap is None or cap.percentile is None:
        return None
    return PercentileCap(cap.percentile, cap.nonzero, CapOrigin(cap.taken_from))


def _defaults(text: MetricText) -> RoleDefaults:
    spoken = text.defaults
    return RoleDefaults(
        role=MetricRole(spoken.role),
        margin=spoken.margin,
        margin_scale=MarginScale(spoken.margin_scale),
        mde=spoken.mde,
    )
