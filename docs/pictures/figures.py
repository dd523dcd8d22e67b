"""Charts as SVG that stand by themselves: the report's chart code, colours and scales."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files

from exp_platform.checks import numbers
from exp_platform.records import PretrendDelta
from exp_platform.report.event_study import draw_event_study
from exp_platform.report.forest import ForestChart, ForestRow
from exp_platform.report.memo import open_templates
from exp_platform.report.results import Reading
from exp_platform.report.scale import Scale, choose_ticks, fit_scale

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

WIDTH = 700
LEFT, TOP, RISE = 64, 34, 250
_RIGHT = 24
_CLASSES = (
    ".chart", ".grid", ".zero", ".margin", ".whisker", ".dot", ".after", ".event", ".day",
)  # fmt: skip
_OWN = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  "Liberation Sans", Arial, sans-serif; }
.paper { fill: var(--paper); }
.title { fill: var(--ink); font-size: 15px; font-weight: 600; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.line.good { stroke: var(--good); } .line.bad { stroke: var(--bad); }
.line.quiet { stroke: var(--unclear); }
.line.dashed { stroke-dasharray: 6 4; }
.band { stroke: none; opacity: .16; }
.band.good { fill: var(--good); } .band.bad { fill: var(--bad); }
.band.quiet { fill: var(--unclear); }
.spot.good { fill: var(--good); } .spot.bad { fill: var(--bad); }
.spot.quiet { fill: var(--unclear); }
.said.good { fill: var(--good); } .said.bad { fill: var(--bad); }
.said.quiet { fill: var(--quiet); }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An effect with its interval.

    Attributes:
        tone: `better`, `worse` or `unclear`; "" = by where 0 lies, more being better.
        margin: a mark on the row's axis.
    """

    label: str
    point: float
    low: float
    high: float
    note: str = ""
    tone: str = ""
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a line.

    Attributes:
        tone: `good`, `bad` or `quiet`, and `dashed`.
        words: above the line, left of the point at the share `at` of all points; or
            below it, on its right.
        low, high: of a band around it.
        has_dots: the points are measured, not a function's.
    """

    x: Sequence[float]
    y: Sequence[float]
    tone: str = "good"
    words: str = ""
    at: float = 1.0
    is_below: bool = False
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    has_dots: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves on common axes.

    Attributes:
        x_ticks: place and words; none = round numbers.
        levels: horizontal lines with their words. events: vertical ones, with words at
            the height `event_height`.
        unit: of y, over the axis. axis: words under x.
        is_share: y is printed in per cent.
    """

    title: str
    curves: tuple[Curve, ...]
    axis: str
    unit: str = ""
    x_ticks: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    events: tuple[tuple[float, str], ...] = ()
    event_height: float = 0.95
    is_share: bool = False
    holds_zero: bool = True


def draw_rows(
    title: str, rows: Sequence[Row], *, is_share: bool = False, note: str = ""
) -> str:
    """Effects below each other: the memo's forest plot.

    Args:
        title: over the chart.
        rows: from top to bottom.
        is_share: effects are printed in per cent.
        note: under the chart.
    """
    ends = [value for row in rows for value in (row.low, row.high)]
    scale = fit_scale([*ends, *(row.margin for row in rows if row.margin is not None)])
    unit = " %" if is_share else ""
    factor = 100 if is_share else 1
    digits = _count_digits(min(factor * (row.high - row.low) for row in rows))
    has_notes = any(row.note for row in rows)
    said = [_say(row, factor, digits, unit) for row in rows]
    chart = ForestChart(
        name="rows",
        title=title,
        description="; ".join(
            f"{row.label}: {' '.join(words)}"
            for row, words in zip(rows, said, strict=True)
        ),
        rows=tuple(
            _place(row, scale, words, has_notes)
            for row, words in zip(rows, said, strict=True)
        ),
        ticks=tuple(
            (scale.place(tick), numbers.format_tick(factor * tick) + unit)
            for tick in choose_ticks(scale, about=5)
        ),
        zero=scale.place(0),
        has_margins=any(row.margin is not None for row in rows),
    )
    layout = open_templates().get_template("charts.html.j2").module.forest_layout
    return _close(str(layout(chart, "wide", WIDTH, 190, 300, False)), title, note)


def draw_days(title: str, deltas: Sequence[PretrendDelta], *, period: str) -> str:
    """Gaps before and after an event: the memo's event study.

    Args:
        title: over the chart.
        deltas: in order of time.
        period: what one step of time is.
    """
    chart = draw_event_study(None, deltas, period=period)
    if chart is None:
        raise ValueError("no day has a number")
    chart = replace(chart, title=title)
    layout = open_templates().get_template("charts.html.j2").module.event_study
    return _close(str(layout(chart, "days")), title, "")


def draw_plot(plot: Plot) -> str:
    """Lines, bands and dots on common axes.

    Args:
        plot: what to draw.
    """
    x, y = _fit_axes(plot)
    parts = [*_draw_grid(plot, x, y)]
    parts += [part for curve in plot.curves for part in _draw_band(curve, x, y)]
    for value, words in plot.levels:
        at = _up(y, value)
        parts.append(
            f'<line class="margin" x1="{LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text class="note" x="{LEFT + 4}" y="{at - 6:.1f}">{escape(words)}</text>'
        )
    for value, words in plot.events:
        at, up = _across(x, value), TOP + RISE * (1 - plot.event_height)
        parts.append(
            f'<line class="event" x1="{at}" x2="{at}" y1="{TOP}" y2="{TOP + RISE}"/>'
            f'<text class="note" x="{at + 6:.1f}" y="{up:.1f}">{escape(words)}</text>'
        )
    parts += [part for curve in plot.curves for part in _draw_curve(curve, x, y)]
    body = "\n".join(parts)
    svg = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {TOP + RISE + 46}" role="img">\n'
        f"<title>{escape(plot.title)}</title>\n{body}\n</svg>"
    )
    return _close(svg, plot.title, "")


def _place(row: Row, scale: Scale, said: tuple[str, str], has_notes: bool) -> ForestRow:
    by_sign = "better" if row.low > 0 else "worse" if row.high < 0 else "unclear"
    return ForestRow(
        label=row.label,
        # Labels with and without a note begin at different places.
        note=row.note or (NO_BREAK_SPACE if has_notes else ""),
        reading=Reading(row.tone or by_sign),
        point=scale.place(row.point),
        low=scale.place(row.low),
        high=scale.place(row.high),
        margin=None if row.margin is None else scale.place(row.margin),
        lift=said[0],
        interval=said[1],
    )


def _say(row: Row, factor: float, digits: int, unit: str) -> tuple[str, str]:
    """The effect, and its interval."""
    point, low, high = (
        f"{factor * value:+.{digits}f}".replace("-", numbers.MINUS)
        for value in (row.point, row.low, row.high)
    )
    return point, f"{low} to {high}{unit}"


def _count_digits(width: float) -> int:
    """Decimals that show two digits of an interval's width."""
    return max(0, 1 - math.floor(math.log10(width)))


def _fit_axes(plot: Plot) -> tuple[Scale, Scale]:
    across = [value for curve in plot.curves for value in curve.x]
    across += [value for value, _ in plot.events]
    up = [value for value, _ in plot.levels]
    for curve in plot.curves:
        up += [*curve.y, *(curve.low or ()), *(curve.high or ())]
    low, high = min(across), max(across)
    room = 0.02 * (high - low)
    if plot.holds_zero:
        return Scale(low - room, high + room), fit_scale(up)
    space = 0.08 * (max(up) - min(up))
    return Scale(low - room, high + room), Scale(min(up) - space, max(up) + space)


def _draw_grid(plot: Plot, x: Scale, y: Scale) -> Iterable[str]:
    factor, unit = (100, " %") if plot.is_share else (1, "")
    yield '<g class="grid">'
    for tick in choose_ticks(y, about=5):
        at = _up(y, tick)
        yield f'<line x1="{LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
        label = numbers.format_tick(factor * tick) + unit
        yield f'<text class="tick" x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{label}</text>'
    ticks = plot.x_ticks or tuple(
        (tick, numbers.format_tick(tick)) for tick in choose_ticks(x, about=7)
    )
    for place, words in ticks:
        at = _across(x, place)
        yield (
            f'<text class="tick" x="{at}" y="{TOP + RISE + 18}" '
            f'text-anchor="middle">{escape(words)}</text>'
        )
    yield "</g>"
    if y.holds(0):
        at = _up(y, 0)
        yield f'<line class="zero" x1="{LEFT}" x2="{WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>'
    if plot.unit:
        yield f'<text class="tick" x="0" y="{TOP - 12}">{escape(plot.unit)}</text>'
    middle = (LEFT + WIDTH - _RIGHT) / 2
    yield (
        f'<text class="tick" x="{middle:.1f}" y="{TOP + RISE + 38}" '
        f'text-anchor="middle">{escape(plot.axis)}</text>'
    )


def _draw_band(curve: Curve, x: Scale, y: Scale) -> Iterable[str]:
    if curve.low is None or curve.high is None or curve.has_dots:
        return
    there = [
        f"{_across(x, a)},{_up(y, b)}" for a, b in zip(curve.x, curve.high, strict=True)
    ]
    back = [
        f"{_across(x, a)},{_up(y, b)}" for a, b in zip(curve.x, curve.low, strict=True)
    ]
    yield f'<polygon class="band {curve.tone}" points="{" ".join([*there, *back[::-1]])}"/>'


def _draw_curve(curve: Curve, x: Scale, y: Scale) -> Iterable[str]:
    points = [(_across(x, a), _up(y, b)) for a, b in zip(curve.x, curve.y, strict=True)]
    tone = curve.tone.split()[0]
    if curve.has_dots:
        low, high = curve.low or curve.y, curve.high or curve.y
        for (at, up), a, b in zip(points, low, high, strict=True):
            yield (
                f'<line class="line {tone}" x1="{at}" x2="{at}" y1="{_up(y, a)}" '
                f'y2="{_up(y, b)}"/>'
                f'<circle class="spot {tone}" cx="{at}" cy="{up}" r="4.5"/>'
            )
    else:
        path = " ".join(f"{at},{up}" for at, up in points)
        yield f'<polyline class="line {curve.tone}" points="{path}"/>'
    if curve.words:
        at, up = points[round(curve.at * (len(points) - 1))]
        side = "start" if curve.is_below and curve.at < 1 else "end"
        shift, rise = (6 if side == "start" else -6), (20 if curve.is_below else -10)
        yield (
            f'<text class="said {tone}" x="{at + shift:.1f}" y="{up + rise:.1f}" '
            f'text-anchor="{side}">{escape(curve.words)}</text>'
        )


def _across(scale: Scale, value: float) -> float:
    return round(LEFT + (WIDTH - _RIGHT - LEFT) * scale.place(value), 1)


def _up(scale: Scale, value: float) -> float:
    return round(TOP + RISE * (1 - scale.place(value)), 1)


def _close(svg: str, title: str, note: str) -> str:
    """A chart as a file: size, title, colours for light and dark, and a sheet of paper."""
    inner = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if inner is None:
        raise ValueError("not a chart")
    width, height = (float(part) for part in inner.groups())
    scale = min(WIDTH / width, 1.2)
    foot = 30 if note else 8
    whole = round(44 + scale * height + foot)
    place = f'x="16" y="44" width="{scale * width:.0f}" height="{scale * height:.0f}"'
    chart = svg.replace("<svg ", f"<svg {place} ", 1)
    said = (
        f'<text class="note" x="16" y="{whole - 10}">{escape(note)}</text>\n'
        if note
        else ""
    )
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{WIDTH + 32}" '
        f'height="{whole}" viewBox="0 0 {WIDTH + 32} {whole}">\n'
        f"<style>{_style()}</style>\n"
        f'<rect class="paper" width="{WIDTH + 32}" height="{whole}"/>\n'
        f'<text class="title" x="16" y="27">{escape(title)}</text>\n{chart}\n{said}</svg>\n'
    )
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _style() -> str:
    """The memo's colours and chart rules; nothing else of its page."""
    css = files("exp_platform.report").joinpath("templates/memo.css").read_text("utf-8")
    start = css.index(":root")
    palette = css[start : css.index("* { box-sizing")]
    rules = [
        line
        for line in css.splitlines()
        if line.startswith(_CLASSES)
        and "display" not in line
        and "width: 100%" not in line
    ]
    return "\n".join([palette, *rules, _OWN])
