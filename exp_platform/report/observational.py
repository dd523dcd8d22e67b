"""Arms that units chose themselves, after adjustment: never shown as an experiment."""

from exp_platform.causal.adjusted_rules import OBSERVATIONAL
from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow
from exp_platform.report.words import title_method

_NOT_FOR_IT = frozenset({"RATIO_NOT_SUPPORTED", "NOT_A_MEAN"})
_LEAD = (
    "This is not an experiment: units chose their arm, and nothing can be shipped on "
    "these numbers. Section 3 has none, because a comparison of the arms as they are "
    "would show who chose as much as what the choice did. Here the arms are compared as "
    "if they had the same known facts from before the choice. The numbers are right only "
    "if nothing else drives both the choice and the outcome, which no data can show."
)


def describe_observational(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric, arm and method where units chose their arm."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        for method in OBSERVATIONAL
        for estimate in one.views
        if estimate.method == method and estimate.reason not in _NOT_FOR_IT
    )
    if not rows:
        return None
    return View(
        title="Adjusted comparison of units that chose their arm (observational)",
        lead=_LEAD,
        columns=(
            Column("Method", is_number=False),
            Column("Unadjusted"),
            Column("Adjusted difference", "interval"),
            Column("p"),
            Column("Adjusted for", is_number=False),
            Column("Without a counterpart", "share of units"),
        ),
        rows=rows,
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    title = title_method(estimate.method)
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), f"{title}: {explain_missing(estimate)}")
    details, definition = estimate.details, comparison.definition
    found = differences_of(estimate)
    cells = (
        Cell(title),
        Cell(numbers.format_difference(definition, details["unadjusted_difference"])),
        Cell(
            numbers.format_difference(definition, *found),
            numbers.format_difference_interval(definition, *found),
        ),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(", ".join(details["covariates"])),
        Cell(f"{100 * details['share_outside']:.1f} %"),
    )
    return ViewRow(metric, arm, cells)
