"""The forest plot: relative lifts with intervals, as positions and as plain text."""

from dataclasses import dataclass
from statistics import median

from exp_platform.checks import numbers
from exp_platform.records import Direction, Estimate, MarginScale
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import READING_WORDS, Reading, read_comparison
from exp_platform.report.scale import Scale, choose_ticks, fit_scale
from exp_platform.report.words import ROLE_TITLES

_CLIP_AT = 4  # an interval this many times the usual half-width runs off the chart
_TEXT_WIDTH = 41


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One line of the plot; positions from 0 to 1, None where there is no number.

    Attributes:
        is_head: names a metric above its rows and has no interval itself.
        is_cut_low, is_cut_high: the interval goes on beyond the axis.
        margin: position of the guardrail's margin.
    """

    label: str
    note: str = ""
    is_head: bool = False
    reading: Reading = Reading.NO_NUMBER
    point: float | None = None
    low: float | None = None
    high: float | None = None
    is_cut_low: bool = False
    is_cut_high: bool = False
    margin: float | None = None
    lift: str = ""
    interval: str = ""


@dataclass(frozen=True, slots=True)
class ForestChart:
    """A whole plot; `name` keeps its element ids apart from other charts'."""

    name: str
    title: str
    description: str
    rows: tuple[ForestRow, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    has_margins: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """An estimate with the words it is drawn under."""

    comparison: Comparison
    estimate: Estimate | None
    label: str


def draw_forest(
    comparisons: tuple[Comparison, ...], *, has_arms: bool
) -> ForestChart | None:
    """The primary estimates; None when no lift has an interval."""
    groups = _group(
        [
            _Line(one, one.primary, one.treatment if has_arms else one.metric_name)
            for one in comparisons
        ]
    )
    return _draw("forest", "Relative lift against control", groups, has_heads=has_arms)


def draw_segments(
    comparisons: tuple[Comparison, ...], *, has_arms: bool
) -> ForestChart | None:
    """The estimates by segment under each metric."""
    lines = [
        _Line(
            one, each, f"{each.segment}, {one.treatment}" if has_arms else each.segment
        )
        for one in comparisons
        for each in one.segments
    ]
    return _draw("segments", "Relative lift by segment", _group(lines), has_heads=True)


def write_forest(chart: ForestChart) -> str:
    """The plot in characters, for text without pictures."""
    width = max(len(row.label) + 2 * (not row.is_head) for row in chart.rows)
    lines = [_write_row(row, chart.zero, width) for row in chart.rows]
    return "\n".join([*lines, *_write_axis(chart, width)])


def _group(lines: list[_Line]) -> list[list[_Line]]:
    groups: dict[str, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.comparison.metric_name, []).append(line)
    return list(groups.values())


def _draw(
    name: str, title: str, groups: list[list[_Line]], *, has_heads: bool
) -> ForestChart | None:
    lines = [line for group in groups for line in group]
    scale = _fit(lines)
    if scale is None:
        return None
    rows: list[ForestRow] = []
    for group in groups:
        note = _note(group[0].comparison)
        if has_heads:
            head = group[0].comparison.metric_name
            rows.append(ForestRow(label=head, note=note, is_head=True))
        rows += [_draw_row(one, scale, "" if has_heads else note) for one in group]
    return ForestChart(
        name=name,
        title=title,
        description=_describe(lines),
        rows=tuple(rows),
        ticks=tuple(
            (scale.place(tick), numbers.format_tick(100 * tick) + " %")
            for tick in choose_ticks(scale)
        ),
        zero=scale.place(0),
        has_margins=any(row.margin is not None for row in rows),
    )


def _fit(lines: list[_Line]) -> Scale | None:
    """An axis for the usual intervals; one very wide interval does not set it."""
    drawn = [bounds for line in lines if (bounds := _bounds(line.estimate))]
    if not drawn:
        return None
    usual = _CLIP_AT * median((high - low) / 2 for _, low, high in drawn)
    values = [margin for line in lines if (margin := _margin(line)) is not None]
    for point, low, high in drawn:
        values += [max(low, point - usual), min(high, point + usual)]
    return fit_scale(values)


def _bounds(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None:
        return None
    point = estimate.relative_lift
    low, high = estimate.relative_ci_lower, estimate.relative_ci_upper
    if not (numbers.is_number(point) and numbers.is_number(low)):
        return None
    return (point, low, high) if numbers.is_number(high) else None


def _margin(line: _Line) -> float | None:
    """The margin as a relative lift, on the harmful side of zero."""
    plan, definition = line.comparison.plan, line.comparison.definition
    if plan.margin is None or line.estimate is None or line.estimate.segment != "all":
        return None
    size = plan.margin
    if plan.margin_scale is MarginScale.ABSOLUTE:
        mean = line.estimate.control_mean
        if not numbers.is_number(mean) or mean <= 0:
            return None
        size /= mean
    lower = definition is not None and definition.direction is Direction.DECREASE
    return size if lower else -size


def _draw_row(line: _Line, scale: Scale, note: str) -> ForestRow:
    bounds, margin = _bounds(line.estimate), _margin(line)
    if bounds is None or line.estimate is None:
        return ForestRow(label=line.label, note=note, lift=numbers.NO_NUMBER)
    point, low, high = bounds
    return ForestRow(
        label=line.label,
        note=note,
        reading=read_comparison(line.comparison, line.estimate),
        point=scale.place(point),
        low=scale.place(low),
        high=scale.place(high),
        is_cut_low=not scale.holds(low),
        is_cut_high=not scale.holds(high),
        margin=None if margin is None else scale.place(margin),
        lift=numbers.format_lift(point, low, high),
        interval=numbers.format_lift_interval(point, low, high),
    )


def _note(comparison: Comparison) -> str:
    definition = comparison.definition
    words = [ROLE_TITLES[comparison.plan.role]]
    if definition is not None:
        words.append(
            "lower is better"
            if definition.direction is Direction.DECREASE
            else "higher is better"
        )
    return ", ".join(words)


def _describe(lines: list[_Line]) -> str:
    sentences = []
    for line in lines:
        bounds = _bounds(line.estimate)
        name = line.comparison.metric_name
        label = name if line.label == name else f"{name}, {line.label}"
        if bounds is None:
            sentences.append(f"{label}: {numbers.NO_NUMBER}.")
            continue
        reading = read_comparison(line.comparison, line.estimate)
        sentences.append(
            f"{label}: {numbers.format_lift(*bounds)}, interval "
            f"{numbers.format_lift_interval(*bounds)}, {READING_WORDS[reading]}."
        )
    return " ".join(sentences)


def _write_row(row: ForestRow, zero: float, width: int) -> str:
    if row.is_head:
        return f"{row.label}  ({row.note})" if row.note else row.label
    cells = [" "] * _TEXT_WIDTH
    cells[_column(zero)] = "\N{BOX DRAWINGS LIGHT QUADRUPLE DASH VERTICAL}"
    if row.low is not None and row.high is not None:
        low, high = _column(row.low), _column(row.high)
        for column in range(low, high + 1):
            cells[column] = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
        cells[low] = (
            "<" if row.is_cut_low else "\N{BOX DRAWINGS LIGHT VERTICAL AND RIGHT}"
        )
        cells[high] = (
            ">" if row.is_cut_high else "\N{BOX DRAWINGS LIGHT VERTICAL AND LEFT}"
        )
    if row.margin is not None:
        cells[_column(row.margin)] = "!"
    if row.point is not None:
        cells[_column(row.point)] = "\N{BLACK CIRCLE}"
    text = "".join(cells)
    numbers_text = f"{row.lift} ({row.interval})" if row.interval else row.lift
    return f"{'  ' + row.label:<{width}}  {text}  {numbers_text}".rstrip()


def _write_axis(chart: ForestChart, width: int) -> list[str]:
    cells = [" "] * (_TEXT_WIDTH + 8)
    end = 0
    for place, label in chart.ticks:
        start = max(_column(place) - len(label) // 2 + 4, 0)
        if start >= end and start + len(label) <= len(cells):
            cells[start : start + len(label)] = label
            end = start + len(label) + 2
    axis = (" " * (width - 2) + "".join(cells)).rstrip()
    return [axis, "", "! = guardrail margin"] if chart.has_margins else [axis]


def _column(place: float) -> int:
    return round(place * (_TEXT_WIDTH - 1))
