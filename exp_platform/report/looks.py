"""Which look the memo is about, what bound it was held against, and how it came there."""

import math
from dataclasses import dataclass, replace
from typing import Any

from exp_platform.checks import numbers
from exp_platform.decision.look_words import list_shares
from exp_platform.decision.proof import is_followed
from exp_platform.records import (
    Estimate,
    LookMethod,
    MarginScale,
    MetricRole,
    PretrendDelta,
)
from exp_platform.report.comparisons import Comparison
from exp_platform.report.event_study import (
    EventStudyChart,
    draw_event_study,
    fit_values,
)
from exp_platform.report.results import explain_missing, is_lower_better
from exp_platform.report.scale import Scale
from exp_platform.report.views import Cell, Column, View, ViewRow

_RULES = {
    LookMethod.GROUP_SEQUENTIAL: (
        "The error rate is spent over the looks ({spending}), so that all of them "
        "together err as often as one test at the end would. Intervals are repeated "
        "ones: wider than those of a single look, they hold at all looks."
    ),
    LookMethod.CONFIDENCE_SEQUENCE: (
        "Intervals and p-values are those of a confidence sequence: wider than those of "
        "a single look, they hold however often one looks."
    ),
    LookMethod.MSPRT: (
        "Intervals and p-values are those of a mixture test (mSPRT): wider than those of "
        "a single look, they hold however often one looks."
    ),
}
_SPENDING = {
    "obrien_fleming": "O'Brien-Fleming type",
    "pocock": "Pocock type",
    "power": "power family",
}
_ONE_LOOK = {
    "UNDATED": "The input has no dates: all data are one look, and its tests are those of "
    "a single look.",
    "FIXED": "The plan has one look, at the end: p-values and intervals are those of a "
    "single test.",
    "NO_WINDOW": "Without a window a unit's value still grows, so the metric is tested "
    "once, at the end.",
    "CLUSTERED": "Whole clusters are compared once, at the end.",
    "NOT_RANDOMISED": "Arms that were not assigned at random are compared once, at the "
    "end.",
    "NO_MOMENTS": "A quantile, or an adjustment by several covariates, cannot be followed "
    "day by day, so the metric is tested once, at the end.",
}
_COLOURS = (
    "In the charts a look has a colour from the one on that crossed its bound; a "
    "guardrail's bound is its margin."
)
_WIDEST = 3.0  # the axis holds intervals up to so many times the last one's


@dataclass(frozen=True, slots=True)
class LookSection:
    """Where the experiment stands.

    Attributes:
        place: one phrase for the head of the memo; "" when there is one look only.
        sentences: for the results.
        view: one row per goal and guardrail with several looks, and their charts.
    """

    place: str
    sentences: tuple[str, ...]
    view: View | None


def describe_looks(
    comparisons: tuple[Comparison, ...], harm_level: float
) -> LookSection:
    """The look in force of every comparison that was followed over its looks.

    Args:
        comparisons: of the memo.
        harm_level: one-sided p at or below which a metric counts as harmed.
    """
    followed = [
        (one, row)
        for one in comparisons
        if (row := one.primary) is not None and is_followed(row)
    ]
    several = [(one, row) for one, row in followed if len(one.looks) > 1]
    sentences = list(dict.fromkeys(_explain_once(row) for _, row in followed))
    if not several:
        return LookSection("", tuple(filter(None, sentences)), None)
    latest = max((row for _, row in several), key=lambda row: row.look or 0)
    place = name_place(latest)
    lead = f"{place[:1].upper()}{place[1:]}. {_name_rule(latest)} {_COLOURS}"
    view = View(
        title="Looks",
        lead=lead,
        columns=_columns(several),
        rows=tuple(_describe(one, row, harm_level, several) for one, row in several),
        charts=tuple(
            chart for one, _ in several if (chart := draw_looks(one)) is not None
        ),
    )
    return LookSection(place, tuple(filter(None, sentences)), view)


def name_place(row: Estimate) -> str:
    """Number, instant and share of a look: look 9 of 14 (14 Jan 2026, 00:00 UTC).

    Args:
        row: of a look.
    """
    place = row.details["sequential"]
    planned = place.get("looks_planned")
    words = f"look {row.look}" + (f" of {planned}" if planned else "")
    if row.look_ts is not None:
        words += f" ({numbers.format_instant(row.look_ts)})"
    shares = [
        f"{numbers.format_percent(share)} {what}"
        for share, what in list_shares(row)
        if numbers.is_number(share)
    ]
    return ", ".join([words, *shares])


def draw_looks(comparison: Comparison) -> EventStudyChart | None:
    """The difference at each look with its repeated interval; None before two looks."""
    tested = [row for row in comparison.looks if _is_tested(row)]
    if len(tested) < 2:
        return None
    last = tested[-1]
    margin = _find_margin(comparison, last)
    values = _fit(tested, margin)
    days = [_as_day(row) for row in tested]
    chart = draw_event_study(comparison.definition, days, period="look", values=values)
    if chart is None:
        return None
    return replace(
        chart,
        title=f"{comparison.metric_name}, {comparison.treatment}: difference by look",
        axis="look",
        event=None,
        margin=None if margin is None else values.place(margin),
        marks=tuple(
            replace(mark, kind=_colour(row, last, comparison))
            for mark, row in zip(chart.marks, tested, strict=True)
        ),
    )


def _fit(tested: list[Estimate], margin: float | None) -> Scale:
    """An axis for the later looks; the wide intervals of early ones run out of it."""
    last = tested[-1]
    reach = _WIDEST * ((last.ci_upper or 0.0) - (last.ci_lower or 0.0)) / 2
    cut = []
    for day in map(_as_day, tested):
        middle = day.delta or 0.0
        low, high = day.ci_lower or -math.inf, day.ci_upper or math.inf
        cut.append(
            replace(
                day,
                ci_lower=max(low, middle - reach),
                ci_upper=min(high, middle + reach),
            )
        )
    if margin is not None:
        cut.append(replace(cut[-1], delta=margin))
    return fit_values(cut)


def _is_tested(row: Estimate) -> bool:
    """A look of its own, with numbers."""
    return row.is_ok and row.details["sequential"].get("status") == "TESTED"


def _as_day(row: Estimate) -> PretrendDelta:
    """A look on the axes of an event study."""
    return PretrendDelta(
        experiment_id=row.experiment_id,
        metric_name=row.metric_name,
        control=row.control,
        treatment=row.treatment,
        day=row.look or 0,
        period="look",
        delta=row.difference,
        standard_error=row.standard_error,
        ci_lower=row.ci_lower,
        ci_upper=row.ci_upper,
        p_value=row.p_value,
        n_control=row.n_control or 0,
        n_treatment=row.n_treatment or 0,
    )


def _colour(row: Estimate, last: Estimate, comparison: Comparison) -> str:
    """Grey until a bound has been crossed, then good or bad."""
    place = last.details["sequential"]
    is_up = (row.difference or 0.0) > 0
    is_good = is_up is not is_lower_better(comparison.definition)
    crossings = {"worse" if not is_good else "post": place.get("first_crossing")}
    if comparison.plan.role is MetricRole.GUARDRAIL:
        crossings = {
            "post": place.get("noninferiority_crossing"),
            "worse": place.get("harm_crossing"),
        }
    crossed = [
        kind
        for kind, look in crossings.items()
        if look is not None and (row.look or 0) >= look
    ]
    return crossed[0] if crossed else "pre"


def _find_margin(comparison: Comparison, row: Estimate) -> float | None:
    """A guardrail's margin as a difference, on the harmful side of 0."""
    plan = comparison.plan
    if plan.role is not MetricRole.GUARDRAIL or plan.margin is None:
        return None
    size = plan.margin
    if plan.margin_scale is MarginScale.RELATIVE:
        if row.control_mean is None or row.control_mean <= 0:
            return None
        size *= row.control_mean
    return size if is_lower_better(comparison.definition) else -size


def _name_rule(row: Estimate) -> str:
    place = row.details["sequential"]
    rule = _RULES.get(LookMethod(place["method"]), "")
    return rule.format(spending=_SPENDING.get(str(place.get("spending")), ""))


def _explain_once(row: Estimate) -> str:
    place = row.details["sequential"]
    why = _ONE_LOOK.get(str(place.get("why_one_look", "")), "")
    if place.get("status") != "NO_LOOK":
        return why
    return f"{why} No look yet: these numbers describe the data so far.".strip()


def _columns(several: list[tuple[Comparison, Estimate]]) -> tuple[Column, ...]:
    columns = [
        Column("Look", "matured units"),
        Column("Statistic", "bound"),
        Column("p over all looks", "of this look alone"),
        Column("First crossed"),
        Column("p of harm", "called at"),
    ]
    if _has_stop(several):
        columns.append(Column("After the stop", "interval"))
    return tuple(columns)


def _has_stop(several: list[tuple[Comparison, Estimate]]) -> bool:
    return any("stop_estimate" in row.details for _, row in several)


def _describe(
    comparison: Comparison,
    row: Estimate,
    harm_level: float,
    several: list[tuple[Comparison, Estimate]],
) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    if not row.is_ok:
        return ViewRow(metric, arm, (), explain_missing(row))
    place = row.details["sequential"]
    units = [numbers.format_count(n) for n in (row.n_control, row.n_treatment)]
    cells = [
        Cell(f"{row.look}", f"{units[0]} and {units[1]}"),
        Cell(
            numbers.format_number(row.statistic, signed=True),
            _say_bound(place.get("critical_value")),
        ),
        Cell(
            numbers.format_p(row.sequential_p_value),
            f"alone {numbers.format_p(row.p_value)}",
        ),
        Cell(*_say_crossing(comparison, place)),
        Cell(
            numbers.format_p(row.harm_p_value),
            numbers.format_measure(harm_level),
        ),
    ]
    if _has_stop(several):
        cells.append(_say_stop(comparison, row))
    return ViewRow(metric, arm, tuple(cells))


def _say_bound(critical: float | None) -> str:
    return numbers.format_number(critical) if critical is not None else "none yet"


def _say_crossing(comparison: Comparison, place: dict[str, Any]) -> tuple[str, str]:
    crossing = place.get("first_crossing")
    open_words = "no" if place.get("is_final") else "not yet"
    words = f"look {crossing}" if crossing else open_words
    if comparison.plan.role is not MetricRole.GUARDRAIL:
        return words, ""
    inside = place.get("noninferiority_crossing")
    return words, f"margin: look {inside}" if inside else f"margin: {open_words}"


def _say_stop(comparison: Comparison, row: Estimate) -> Cell:
    found = [
        row.details.get(f"stop_{part}") for part in ("estimate", "ci_lower", "ci_upper")
    ]
    if found[0] is None:
        return Cell("goes on")
    return Cell(
        numbers.format_difference(comparison.definition, *found),
        numbers.format_difference_interval(comparison.definition, *found),
    )
