"""Arms that units chose themselves, after adjustment: never shown as an experiment."""

from collections.abc import Iterable, Mapping

from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import ADJUSTED, Comparison
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow
from exp_platform.report.words import title_method

_MOST_NAMED = 5
_NOT_FOR_IT = frozenset({"RATIO_NOT_SUPPORTED", "NOT_A_MEAN"})
_LEAD = (
    "This is not an experiment: units chose their arm, and nothing can be shipped on "
    "these numbers. The arms as they are differ by who chose as much as by what the "
    "choice did: that raw gap is no effect. The adjusted difference compares units as if "
    "they had the same known facts from before the choice{facts}. It is right only if "
    "nothing else drives both the choice and the outcome, which no data can show.{rare}"
)


def describe_observational(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric, arm and method where units chose their arm."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        for method in ADJUSTED
        for estimate in one.views
        if estimate.method == method and estimate.reason not in _NOT_FOR_IT
    )
    if not rows:
        return None
    told = [e.details for one in comparisons for e in one.views]
    names = dict.fromkeys(name for d in told for name in d.get("covariates", ()))
    rare: Mapping[str, int] = max(
        (d.get("too_rare", {}) for d in told), key=len, default={}
    )
    return View(
        title="Adjusted comparison of units that chose their arm (observational)",
        lead=_LEAD.format(facts=_name_facts(names), rare=_name_rare(rare)),
        columns=(
            Column("Method", is_number=False),
            Column("Adjusted difference", "interval"),
            Column("p"),
            Column("Raw gap", "not an effect"),
            Column("Without a counterpart", "share of units"),
        ),
        rows=rows,
    )


def _name_facts(covariates: Iterable[str]) -> str:
    """The covariates as they were declared: levels under their attribute."""
    declared: dict[str, int] = {}
    for name in covariates:
        attribute, _, level = name.partition("=")
        declared[attribute] = declared.get(attribute, 0) + bool(level)
    told = [
        f"{name} ({levels + 1} levels)" if levels else name
        for name, levels in declared.items()
    ]
    return f" ({', '.join(told)})" if told else ""


def _name_rare(units: Mapping[str, int]) -> str:
    """Values that an arm has too few units of to tell them apart."""
    if not units:
        return ""
    named = sorted(units, key=lambda name: (-units[name], name))
    listed = ", ".join(f"{name} ({units[name]:,})" for name in named[:_MOST_NAMED])
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return (
        " Not adjusted for by themselves, because an arm has too few such units: "
        f"{listed}{more}."
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
        Cell(
            numbers.format_difference(definition, *found),
            numbers.format_difference_interval(definition, *found),
        ),
        Cell(numbers.format_p(estimate.p_value)),
        Cell(numbers.format_difference(definition, details["unadjusted_difference"])),
        Cell(f"{100 * details['share_outside']:.1f} %"),
    )
    return ViewRow(metric, arm, cells)
