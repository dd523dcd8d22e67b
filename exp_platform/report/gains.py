"""Section 4 of the memo: CUPED and DiD beside A/B, what each gained or why not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.checks.wording import join_words
from exp_platform.records import Estimate, EstimateRole, MethodChoice
from exp_platform.report.comparisons import Comparison
from exp_platform.report.results import differences_of, explain_missing, lifts_of
from exp_platform.report.words import ESTIMATE_ROLE_WORDS, humanise, title_method

REFUSED = "refused"
_READINGS = {
    "did_2x2": "Change per unit and {period} since before the start, against control's "
    "change.",
    "event_study": "The same change {period} by {period}, averaged after the start.",
    "did_randomisation": "The same change; its p and interval come from choosing other "
    "units as the treated ones.",
    "callaway_santanna_simple": "Each cohort against units not yet treated, averaged "
    "over all treated units and {period}s.",
    "callaway_santanna_group": "The same effects, averaged within each cohort first.",
    "callaway_santanna_dynamic": "The same effects, averaged by time since treatment: "
    "every step counts the same, however few units reached it.",
    "callaway_santanna_calendar": "The same effects, averaged by {period}: each counts "
    "the same, however few units were treated then.",
    "twfe": "One regression for all units and {period}s. With several start dates it "
    "also compares treated units with each other, so it never decides.",
    "synthetic_control": "Against a mixture of untreated units that moved like the "
    "treated ones before the start.",
}
_BARELY = 0.01  # a change of width below 1 % is not worth a sentence of praise


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method's answer for one metric and arm, and what it added."""

    method: str
    role: str
    difference: str
    difference_interval: str
    lift: str
    lift_interval: str
    verdict: str
    is_refused: bool


@dataclass(frozen=True, slots=True)
class MethodGroup:
    """All methods for one metric and arm."""

    metric: str
    arm: str
    unit: str
    rows: tuple[MethodRow, ...]

    @property
    def shown(self) -> tuple[MethodRow, ...]:
        """The rows that have a number."""
        return tuple(row for row in self.rows if not row.is_refused)

    @property
    def is_plain(self) -> bool:
        """The method that decides is the only one with a number."""
        roles = [row.role for row in self.shown]
        return roles == [ESTIMATE_ROLE_WORDS[EstimateRole.PRIMARY]]


def compare_methods(
    comparison: Comparison, choices: tuple[MethodChoice, ...], *, period: str = "day"
) -> MethodGroup:
    """A/B first, then CUPED, DiD and whatever else was made or refused.

    Args:
        comparison: one metric and arm.
        choices: what the router said about its methods.
        period: what one step of time is called.
    """
    baseline = _find_baseline(comparison.estimates)
    refused = {one.method: one for one in choices if not one.is_chosen}
    order = [one.method for one in choices]
    shown = _pick_told(comparison, baseline, order)
    rows = [
        _describe(comparison, one, baseline=baseline, refused=refused, period=period)
        for one in shown
    ]
    made = {_family(one.method) for one in comparison.estimates}
    rows += [
        _refuse(choice)
        for choice in refused.values()
        if _family(choice.method) in {"cuped", "did"} - made
    ]
    return MethodGroup(
        comparison.metric_name,
        comparison.treatment,
        comparison.definition.unit_label if comparison.definition else "",
        tuple(rows),
    )


def describe_gain(estimate: Estimate, baseline: Estimate) -> str:
    """How much narrower the interval is than the plain comparison's, in words."""
    ratio = _find_variance_ratio(estimate, baseline)
    if ratio is None:
        return "Cannot be compared with A/B."
    change = 1 - math.sqrt(ratio)
    if change > _BARELY:
        units = _whole_percent(1 / ratio - 1)
        return (
            f"The interval is {_whole_percent(change)} narrower than A/B's, as if the "
            f"test had {units} more units."
        )
    if change < -_BARELY:
        return f"It does not help: the interval is {_whole_percent(-change)} wider."
    return "It does not help: the interval is as wide as A/B's."


def _pick_told(
    comparison: Comparison, baseline: Estimate | None, order: list[str]
) -> list[Estimate]:
    """All but the refusals of plain tests beside another that says the same."""

    def place(estimate: Estimate) -> tuple[tuple[int, int], int]:
        """By family and role, then as the router names the methods."""
        method = estimate.method
        known = order.index(method) if method in order else len(order)
        return _rank(estimate), known

    told: list[Estimate] = []
    has_plain = baseline is not None
    for one in sorted(comparison.estimates, key=place):
        is_plain = _family(one.method) == "ab"
        if one.is_ok or one is comparison.primary or not (is_plain and has_plain):
            told.append(one)
            has_plain = has_plain or is_plain
    return told


def _describe(
    comparison: Comparison,
    estimate: Estimate,
    *,
    baseline: Estimate | None,
    refused: Mapping[str, MethodChoice],
    period: str,
) -> MethodRow:
    definition = comparison.definition
    differences, lifts = differences_of(estimate), lifts_of(estimate)
    return MethodRow(
        method=title_method(estimate.method),
        role=ESTIMATE_ROLE_WORDS[estimate.role],
        difference=numbers.format_difference(definition, *differences),
        difference_interval=numbers.format_difference_interval(
            definition, *differences
        ),
        lift=numbers.format_lift(*lifts),
        lift_interval=numbers.format_lift_interval(*lifts),
        verdict=_judge(estimate, baseline, refused.get(estimate.method), period),
        is_refused=not estimate.is_ok,
    )


def _judge(
    estimate: Estimate,
    baseline: Estimate | None,
    choice: MethodChoice | None,
    period: str,
) -> str:
    if not estimate.is_ok:
        if choice is not None:
            return _say_refusal(choice)
        return f"No number: {explain_missing(estimate)}."
    family = _family(estimate.method)
    if family == "did":
        what = _READINGS[estimate.method].format(period=period)
        return _compare_lifts(what, estimate, baseline)
    if baseline is None or estimate is baseline:
        return "The plain comparison of the arms." if family == "ab" else ""
    if family == "cuped":
        return describe_gain(estimate, baseline)
    return "Shown as a second opinion."


def _compare_lifts(what: str, estimate: Estimate, baseline: Estimate | None) -> str:
    """What a method over time answers, beside the plain comparison if there is one."""
    plain = baseline.relative_lift if baseline else None
    lower, upper = estimate.relative_ci_lower, estimate.relative_ci_upper
    if baseline is None or plain is None or lower is None or upper is None:
        return what
    if not lower <= plain <= upper:
        return f"{what} A/B's lift lies outside its interval: the two disagree."
    width = _find_lift_width(baseline)
    change = (upper - lower) / width - 1 if width else 0.0
    if abs(change) <= _BARELY:
        return f"{what} A/B's lift lies inside its interval, which is as wide."
    word = "wider" if change > 0 else "narrower"
    return (
        f"{what} A/B's lift lies inside its interval, which is "
        f"{_whole_percent(abs(change))} {word}."
    )


def _say_refusal(choice: MethodChoice) -> str:
    return f"Refused: {choice.explanation or humanise(choice.reason)}"


def _refuse(choice: MethodChoice) -> MethodRow:
    blank = numbers.NO_NUMBER
    return MethodRow(
        method=title_method(choice.method),
        role=REFUSED,
        difference=blank,
        difference_interval=blank,
        lift=blank,
        lift_interval=blank,
        verdict=_say_refusal(choice),
        is_refused=True,
    )


def _find_baseline(estimates: tuple[Estimate, ...]) -> Estimate | None:
    plain = [one for one in estimates if _family(one.method) == "ab" and one.is_ok]
    return min(plain, key=_rank, default=None)


def _rank(estimate: Estimate) -> tuple[int, int]:
    families = ("ab", "cuped", "did")
    return families.index(_family(estimate.method)), list(EstimateRole).index(
        estimate.role
    )


def _family(method: str) -> str:
    if method in _READINGS:
        return "did"
    return "cuped" if "cuped" in method.lower().split("_") else "ab"


def _find_variance_ratio(estimate: Estimate, baseline: Estimate) -> float | None:
    stored = estimate.details.get("variance_ratio")
    if isinstance(stored, int | float) and stored > 0:
        return float(stored)
    if not estimate.standard_error or not baseline.standard_error:
        return None
    return (estimate.standard_error / baseline.standard_error) ** 2


def _find_lift_width(estimate: Estimate) -> float | None:
    lower, upper = estimate.relative_ci_lower, estimate.relative_ci_upper
    return None if lower is None or upper is None else upper - lower


def _whole_percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def list_refusals(groups: tuple[MethodGroup, ...]) -> tuple[tuple[str, str], ...]:
    """Methods without a number: their names and metrics, and why, each reason once."""
    metrics: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for row in group.rows:
            if row.is_refused:
                metrics.setdefault((row.method, row.verdict), []).append(group.metric)
    methods: dict[tuple[str, str], list[str]] = {}
    for (method, why), names in metrics.items():
        methods.setdefault((join_words(dict.fromkeys(names)), why), []).append(method)
    return tuple(
        (f"{join_words(named)} for {names}", why)
        for (names, why), named in methods.items()
    )
