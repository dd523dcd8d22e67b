"""Several arms against one control: simultaneous intervals beside the deciding rows."""

from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow

_METHOD = "dunnett"
_LEAD = (
    "Dunnett's intervals hold for all arms of a metric together and use that they share "
    "one control. The goals are decided by Holm over goals and arms."
)


def describe_arms(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric and arm; None with a single treatment."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        for estimate in one.views
        if estimate.method == _METHOD
    )
    if not rows:
        return None
    return View(
        title="Several arms together",
        lead=_LEAD,
        columns=(
            Column("Difference", "simultaneous interval"),
            Column("p", "one arm alone"),
            Column("Dunnett", "arms of the metric"),
            Column("Holm", "goals and arms"),
        ),
        rows=rows,
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), explain_missing(estimate))
    primary, differences = comparison.primary, differences_of(estimate)
    holm = primary.p_value_adjusted if primary else None
    cells = (
        Cell(
            numbers.format_difference(comparison.definition, *differences),
            numbers.format_difference_interval(comparison.definition, *differences),
        ),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(numbers.format_p(estimate.p_value_adjusted)),
        Cell("not a goal" if holm is None else numbers.format_p(holm)),
    )
    return ViewRow(metric, arm, cells)
