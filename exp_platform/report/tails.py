"""What the most extreme units carry of each difference."""

from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow

_METHOD = "tail_capped"
_NOT_FOR_IT = frozenset({"RATIO_NOT_SUPPORTED", "NOT_A_MEAN"})
_SOME = 0.5  # of a standard error: less than this is no news
_LEAD = (
    "The comparison once more with the top 0.1 % of units of all arms put on the value "
    "where they begin. The cap comes from these data, so the row explains the result "
    "and does not replace it."
)


def describe_tails(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric and arm whose units have extreme values."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        for estimate in one.views
        if estimate.method == _METHOD and estimate.reason not in _NOT_FOR_IT
    )
    if not rows:
        return None
    return View(
        title="What the most extreme units carry",
        lead=_LEAD,
        columns=(
            Column("Cap"),
            Column("Units above", "control, treatment"),
            Column("Difference"),
            Column("Above the cap"),
            Column("Capped difference", "interval"),
            Column("p", "capped"),
            Column("Carried by the tail", is_number=False),
        ),
        rows=rows,
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    details, definition = estimate.details, comparison.definition
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), explain_missing(estimate))
    above = ", ".join(numbers.format_count(count) for count in details["n_above"])
    plain, carried = details["plain_difference"], details["carried"]
    capped = differences_of(estimate)
    cells = (
        Cell(numbers.format_mean(definition, details["threshold"])),
        Cell(above),
        Cell(numbers.format_difference(definition, plain)),
        Cell(numbers.format_difference(definition, carried, plain)),
        Cell(
            numbers.format_difference(definition, *capped),
            numbers.format_difference_interval(definition, *capped),
        ),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(_read(estimate)),
    )
    return ViewRow(metric, arm, cells)


def _read(estimate: Estimate) -> str:
    shift, share = estimate.details["shift"], estimate.details["carried_share"]
    if abs(shift) < _SOME:
        return "hardly any"
    errors = f"{abs(shift):.1f} standard errors"
    if share is not None and 0 <= share <= 1:
        return f"{100 * share:.0f} %, {errors}"
    return f"it speaks against the rest, {errors}"
