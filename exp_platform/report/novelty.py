"""Does the effect last? The trend of the effect over days since exposure."""

from dataclasses import replace

from exp_platform.checks import numbers
from exp_platform.records import Estimate, MetricRole, PretrendDelta
from exp_platform.report.comparisons import Comparison
from exp_platform.report.event_study import EventStudyChart, draw_event_study
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow

_METHOD = "novelty_trend"
_NOT_FOR_IT = frozenset({"RATIO_IN_PANEL", "NO_DAILY_VALUE"})
_LEAD = (
    "The difference between the arms on each day since a unit's exposure, and the slope "
    "of a straight line through it. Day 0 is a visit by definition and stays out of the "
    "slope. A fading effect promises less than its average says."
)


def describe_novelty(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric and arm with daily values; a chart for each goal."""
    pairs = [
        (one, estimate)
        for one in comparisons
        for estimate in one.views
        if estimate.method == _METHOD and estimate.reason not in _NOT_FOR_IT
    ]
    if not pairs:
        return None
    charts = (
        _draw(one, estimate)
        for one, estimate in pairs
        if one.plan.role is MetricRole.GOAL
    )
    return View(
        title="Does the effect last?",
        lead=_LEAD,
        columns=(
            Column("First day", "effect per unit"),
            Column("Last day", "effect per unit"),
            Column("Change per day", "interval"),
            Column("p", "no trend"),
            Column("Reading", is_number=False),
        ),
        rows=tuple(_describe(one, estimate) for one, estimate in pairs),
        charts=tuple(chart for chart in charts if chart is not None),
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    definition, details = comparison.definition, estimate.details
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), explain_missing(estimate))
    days = [day for day in details["days"] if day["day"] >= details["first_day"]]
    slope = differences_of(estimate)
    cells = (
        *(
            Cell(
                numbers.format_difference(definition, day["effect"]),
                f"day {day['day']}",
            )
            for day in (days[0], days[-1])
        ),
        Cell(
            numbers.format_difference(definition, *slope),
            numbers.format_difference_interval(definition, *slope),
        ),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(_read(estimate, days[0]["effect"])),
    )
    return ViewRow(metric, arm, cells)


def _read(estimate: Estimate, first: float | None) -> str:
    if estimate.p_value is None or estimate.p_value > estimate.alpha:
        return "no clear trend"
    is_fading = (first or 0.0) * (estimate.difference or 0.0) < 0
    return "fades" if is_fading else "grows"


def _draw(comparison: Comparison, estimate: Estimate) -> EventStudyChart | None:
    """The daily effects on the event study's axes, without a before."""
    days = [
        PretrendDelta(
            experiment_id=estimate.experiment_id,
            metric_name=estimate.metric_name,
            control=estimate.control,
            treatment=estimate.treatment,
            day=int(day["day"]),
            period="post",
            delta=day["effect"],
            standard_error=day["standard_error"],
            ci_lower=day["ci_lower"],
            ci_upper=day["ci_upper"],
            p_value=day["p_value"],
            n_control=estimate.n_control or 0,
            n_treatment=estimate.n_treatment or 0,
        )
        for day in estimate.details.get("days", ())
    ]
    chart = draw_event_study(comparison.definition, days) if days else None
    if chart is None:
        return None
    title = (
        f"{estimate.metric_name}, {estimate.treatment}: effect by day since exposure"
    )
    return replace(chart, title=title, event=None)
