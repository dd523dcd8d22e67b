"""The event study chart: the arms' difference day by day, as positions from 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.records import MetricDefinition, PretrendDelta
from exp_platform.report.scale import Scale, choose_ticks, fit_scale


@dataclass(frozen=True, slots=True)
class DayMark:
    """One day's dot and interval; y runs from 0 (bottom) to 1 (top)."""

    x: float
    y: float
    low: float | None
    high: float | None
    kind: str


@dataclass(frozen=True, slots=True)
class EventStudyChart:
    """A whole chart.

    Attributes:
        event: x of the start, None where all days are after it.
        axis: words under the x axis; "" = days counted from the start or the exposure.
        margin: y of a guardrail's margin.
    """

    title: str
    description: str
    marks: tuple[DayMark, ...]
    days: tuple[tuple[float, str], ...]
    values: tuple[tuple[float, str], ...]
    zero: float
    event: float | None
    unit: str
    period: str
    axis: str = ""
    margin: float | None = None


def draw_event_study(
    definition: MetricDefinition | None,
    deltas: Sequence[PretrendDelta],
    *,
    period: str = "day",
    values: Scale | None = None,
) -> EventStudyChart | None:
    """Deltas in order of days; None when no day has a number."""
    drawn = [one for one in deltas if numbers.is_number(one.delta)]
    if not drawn:
        return None
    days = Scale(deltas[0].day - 0.7, deltas[-1].day + 0.7)
    values = values or fit_values(drawn)
    name = deltas[0].metric_name
    return EventStudyChart(
        title=f"{name}, {deltas[0].treatment}: difference to control by {period}",
        description=_describe(definition, drawn, period),
        marks=tuple(_mark(one, days, values) for one in drawn),
        days=tuple(
            (days.place(day), numbers.format_tick(day))
            for day in choose_ticks(days, about=8)
            if day == round(day)
        ),
        values=_label_values(definition, values),
        zero=values.place(0),
        event=days.place(-0.5),
        unit=numbers.format_unit(definition),
        period=period,
    )


def fit_values(deltas: Sequence[PretrendDelta]) -> Scale:
    """An axis for the deltas and their intervals."""
    return fit_scale(
        value
        for one in deltas
        for value in (one.delta, one.ci_lower, one.ci_upper)
        if numbers.is_number(value)
    )


def _mark(delta: PretrendDelta, days: Scale, values: Scale) -> DayMark:
    low, high = delta.ci_lower, delta.ci_upper
    has_interval = numbers.is_number(low) and numbers.is_number(high)
    kind = "reference" if delta.is_reference else "pre" if delta.day < 0 else "post"
    return DayMark(
        x=days.place(delta.day),
        y=values.place(delta.delta or 0.0),
        low=values.place(low) if has_interval and low is not None else None,
        high=values.place(high) if has_interval and high is not None else None,
        kind=kind,
    )


def _label_values(
    definition: MetricDefinition | None, values: Scale
) -> tuple[tuple[float, str], ...]:
    is_share = definition is not None and definition.type.is_share
    factor = 100 if is_share else 1
    return tuple(
        (values.place(tick), numbers.format_tick(factor * tick))
        for tick in choose_ticks(values, about=5)
    )


def _describe(
    definition: MetricDefinition | None, drawn: Sequence[PretrendDelta], period: str
) -> str:
    before = [one.delta for one in drawn if one.day < 0 and one.delta is not None]
    after = [one.delta for one in drawn if one.day >= 0 and one.delta is not None]
    parts = []
    for words, found in (("before", before), ("after", after)):
        if found:
            low, high = (
                numbers.format_difference(definition, value)
                for value in (min(found), max(found))
            )
            parts.append(f"{len(found)} {period}s {words} the start, {low} to {high}")
    return "; ".join(parts) + "."
