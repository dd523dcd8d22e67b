"""Do effects differ between segments? The interaction test of every attribute."""

from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow

_LEAD = (
    "The test asks whether all levels of an attribute share one effect. It answers "
    "before any single segment does: one that is clear beside one that is not shows no "
    "difference between them. Adjusted p: Holm over these tests here, Benjamini and "
    "Hochberg over all single segments in the table above."
)


def describe_interactions(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric, arm and attribute; None without segments."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        for estimate in one.views
        if estimate.method == "segment_interaction"
    )
    if not rows:
        return None
    return View(
        title="Do effects differ between segments?",
        lead=_LEAD,
        columns=(
            Column("Attribute", is_number=False),
            Column("Spread of effects", "standard deviation"),
            Column("Not by chance", "share of the spread"),
            Column("p"),
            Column("Adjusted p"),
            Column("p of lifts", "relative scale"),
            Column("Do they differ?", is_number=False),
        ),
        rows=rows,
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    left_out = ", ".join(estimate.details.get("left_out", {}))
    if not estimate.is_ok:
        why = f"{estimate.segment}: {explain_missing(estimate)}"
        why += f"; no number for {left_out}" if left_out else ""
        return ViewRow(metric, arm, (), why)
    spread = numbers.format_size(comparison.definition, estimate.difference)
    spread = spread if estimate.difference else "none"
    cells = (
        Cell(estimate.segment, f"without {left_out}" if left_out else ""),
        Cell(spread),
        Cell(numbers.format_percent(estimate.details.get("i_squared"))),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(numbers.format_p(estimate.p_value_adjusted)),
        Cell(numbers.format_p(estimate.relative_p_value)),
        Cell(_read(estimate)),
    )
    return ViewRow(metric, arm, cells)


def _read(estimate: Estimate) -> str:
    p_value = estimate.p_value_adjusted
    if p_value is not None and p_value <= estimate.alpha:
        return "they differ"
    return "no sign of it"
