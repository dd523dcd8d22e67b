"""What to believe about each comparison, and how much of it is the prior."""

from collections.abc import Mapping
from typing import Any

from exp_platform.checks import numbers
from exp_platform.records import Estimate
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import explain_missing, lifts_of
from exp_platform.report.views import Cell, Column, View, ViewRow

_NORMAL, _BETA_BINOMIAL = "bayes_normal", "bayes_beta_binomial"
_WITHIN = "\N{PLUS-MINUS SIGN}"
_LEAD = (
    "Probabilities of the treatment being the better arm, given the data and a prior. "
    "Nothing is decided by a probability to win alone. The expected loss is what is "
    "given away, on average, by choosing the arm that is not better. Where other priors "
    "change the picture, the prior speaks and not the data."
)


def describe_beliefs(comparisons: tuple[Comparison, ...]) -> View | None:
    """One row per metric and arm: for shares of units the exact posterior."""
    rows = tuple(
        _describe(one, estimate)
        for one in comparisons
        if (estimate := _pick(one)) is not None
    )
    if not rows:
        return None
    return View(
        title="What to believe, given a prior",
        lead=_LEAD,
        columns=(
            Column("Prior", is_number=False),
            Column("Better than control", "probability"),
            Column("Other priors", "narrow to wide"),
            Column("Relative lift", "credible interval"),
            Column("Loss if chosen", "expected"),
            Column("Loss if not", "expected"),
        ),
        rows=rows,
    )


def format_probability(share: float | None) -> str:
    """A chance in percent that is never shown as certain."""
    if not numbers.is_number(share):
        return numbers.NO_NUMBER
    if share > 0.999:
        return "> 99.9 %"
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _pick(comparison: Comparison) -> Estimate | None:
    """The exact posterior where there is one, else the normal one, refused or not."""
    found = {one.method: one for one in comparison.views}
    exact = found.get(_BETA_BINOMIAL)
    return exact if exact is not None and exact.is_ok else found.get(_NORMAL)


def _describe(comparison: Comparison, estimate: Estimate) -> ViewRow:
    metric, arm = comparison.metric_name, comparison.treatment
    if not estimate.is_ok:
        return ViewRow(metric, arm, (), explain_missing(estimate))
    details, lifts = estimate.details, lifts_of(estimate)
    cells = (
        Cell(_say_prior(estimate)),
        Cell(format_probability(details.get("probability_to_beat"))),
        Cell(_say_range(details.get("sensitivity", ()))),
        Cell(numbers.format_lift(*lifts), numbers.format_lift_interval(*lifts)),
        Cell(_say_loss(comparison, estimate, "expected_loss")),
        Cell(_say_loss(comparison, estimate, "expected_loss_control")),
    )
    return ViewRow(metric, arm, cells)


def _say_prior(estimate: Estimate) -> str:
    details = estimate.details
    if estimate.method == _BETA_BINOMIAL:
        events, others = details["prior_events"], details["prior_non_events"]
        return f"Beta({events:g},\N{NO-BREAK SPACE}{others:g})"
    if details.get("scale") == "relative":
        mean, sd = 100 * details["prior_mean"], 100 * details["prior_sd"]
        return f"lift {numbers.format_measure(mean)} {_WITHIN} {sd:g} %"
    mean = numbers.format_measure(details["prior_mean"])
    return f"{mean} {_WITHIN} {details['prior_sd']:g}"


def _say_range(rows: list[Mapping[str, Any]]) -> str:
    chances = [row["probability_to_beat"] for row in rows]
    if not chances:
        return numbers.NO_NUMBER
    low, high = format_probability(min(chances)), format_probability(max(chances))
    return low if low == high else f"{low} to {high}"


def _say_loss(comparison: Comparison, estimate: Estimate, name: str) -> str:
    loss = estimate.details.get(name)
    if estimate.details.get("scale") == "relative":
        return _tiny(loss, numbers.format_percent(loss), least=1e-6, shown="0.0001 %")
    shown = numbers.format_size(comparison.definition, loss)
    return _tiny(loss, shown, least=1e-8, shown="0.000001 pp")


def _tiny(loss: float | None, text: str, *, least: float, shown: str) -> str:
    """A loss of next to nothing as a bound instead of many zeros."""
    return f"< {shown}" if loss is not None and loss < least else text
