"""The effect on those who took what their arm offered, beside the effect of the offer."""

from exp_platform.causal.adjusted_rules import COMPLIERS
from exp_platform.causal.identification import CUPED
from exp_platform.causal.instrument import WEAK_F
from exp_platform.causal.refusal import DesignRefusal
from exp_platform.checks import numbers
from exp_platform.checks.refusals import explain_refusal
from exp_platform.checks.wording import join_words
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import differences_of, explain_missing
from exp_platform.report.views import Cell, Column, View, ViewRow

_NOT_FOR_IT = frozenset({"RATIO_NOT_SUPPORTED", "NOT_A_MEAN"})
_LEAD = (
    "Not everybody took what their arm offered. The results above are the effect of "
    "being assigned to an arm, whatever units then did; they decide. Here stands the "
    "effect of the treatment on the compliers: units that took it because of their arm, "
    "and would not have in control. It holds if the arm works through the treatment "
    "alone and nobody did the opposite of it. It says nothing about units that always "
    "or never take the treatment, and it decides nothing."
)

_UNADJUSTED = (
    " Neither effect here is adjusted for the covariate, while the row that decides "
    "about {metrics} is (CUPED): the effect of the offer differs from that row's."
)
_REVERSED = (
    "in this arm fewer took it than in control; the uptake is coded backwards, or the "
    "arm takes away what control has"
)


def describe_compliers(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric and arm where it is known who received the treatment."""
    shown = [
        (one, estimate)
        for one in comparisons
        for estimate in one.views
        if estimate.method == COMPLIERS and estimate.reason not in _NOT_FOR_IT
    ]
    if not shown:
        return None
    adjusted = dict.fromkeys(
        one.metric_name for one, estimate in shown if estimate.is_ok and _adjusts(one)
    )
    unlike = _UNADJUSTED.format(metrics=join_words(list(adjusted))) if adjusted else ""
    return View(
        title="What it did to those who took it (compliers)",
        lead=_LEAD + unlike,
        columns=(
            Column("Took it", "control, treatment"),
            Column("Compliers", "share of all"),
            Column("First-stage F", f"weak below {WEAK_F:g}"),
            Column("Effect of the offer"),
            Column("Effect on compliers", "interval"),
            Column("p"),
        ),
        rows=tuple(_describe(*pair) for pair in shown),
    )


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), _explain(estimate))
    details, definition = estimate.details, comparison.definition
    took = (details["uptake_control"], details["uptake_treatment"])
    f_statistic = details["first_stage_f"]
    cells = (
        Cell(", ".join(map(_share, took))),
        Cell(_share(details["complier_share"])),
        Cell("no limit" if f_statistic is None else f"{f_statistic:,.0f}"),
        Cell(
            numbers.format_difference(definition, details["itt"]),
            "not adjusted" if _adjusts(comparison) else "",
        ),
        *_tell_effect(comparison, estimate),
    )
    return ViewRow(metric, arm, cells)


def _tell_effect(comparison: Comparison, estimate: Estimate) -> tuple[Cell, Cell]:
    """The effect on compliers and its p; before the end it stands without a test."""
    found, definition = differences_of(estimate), comparison.definition
    difference = numbers.format_difference(definition, *found)
    withheld = estimate.details.get("test_withheld", "")
    if withheld:
        why = explain_refusal(str(withheld))
        return Cell(difference, "no interval yet"), Cell("not tested yet", why)
    interval = numbers.format_difference_interval(definition, *found)
    return Cell(difference, interval), Cell(numbers.format_p(estimate.p_value))


def _adjusts(comparison: Comparison) -> bool:
    """The row that decides uses what units did before; these rows do not."""
    return comparison.primary is not None and comparison.primary.method == CUPED


def _share(share: float) -> str:
    """A share of units; a dose is no share and stays as it is."""
    if not -1 <= share <= 1:
        return numbers.format_number(share)
    return f"{100 * share:.1f} %".replace("-", numbers.MINUS)


def _explain(estimate: Estimate) -> str:
    words = explain_missing(estimate)
    if estimate.reason == DesignRefusal.REVERSED_FIRST_STAGE:
        return f"{words}: {_REVERSED}"
    strength = estimate.details.get("first_stage_f")
    return words if strength is None else f"{words}: F is {strength:.1f}"
