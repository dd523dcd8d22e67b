"""Section 3 of the memo: the estimate of each metric, as rows of text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exp_platform.checks import numbers
from exp_platform.checks.refusals import explain_refusal
from exp_platform.decision.look_words import find_crossing
from exp_platform.records import (
    Direction,
    Estimate,
    EstimateStatus,
    MarginScale,
    MetricDefinition,
    MetricRole,
)
from exp_platform.report.comparisons import ALL_UNITS, Comparison
from exp_platform.report.views import explain_rows
from exp_platform.report.words import ROLE_TITLES, STATUS_WORDS


class Reading(StrEnum):
    """What an estimate says about its metric, given which way is good."""

    BETTER = "better"
    WORSE = "worse"
    HARMED = "harmed"
    UNCORRECTED = "uncorrected"
    UNCLEAR = "unclear"
    NO_NUMBER = "no-number"

    @property
    def tone(self) -> str:
        """The name by which it is coloured: harm looks like any other worsening."""
        is_worse = self in {Reading.HARMED, Reading.UNCORRECTED}
        return (Reading.WORSE if is_worse else self).value


READING_WORDS = {
    Reading.BETTER: "better",
    Reading.WORSE: "worse",
    Reading.HARMED: "worse (harm test)",
    Reading.UNCORRECTED: "worse (before correction)",
    Reading.UNCLEAR: "no clear effect",
    Reading.NO_NUMBER: "no number",
}


_COUNTERFACTUAL = "per unit and {period}; control is the treated arm without its effect"
# The two columns are not the arms' plain averages for these methods.
METHOD_NOTES = {
    "cluster_delta": "compared by cluster",
    "cuped": "averages adjusted for before exposure (CUPED)",
    "did_2x2": _COUNTERFACTUAL,
    "event_study": _COUNTERFACTUAL,
    "callaway_santanna_simple": _COUNTERFACTUAL,
}


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One estimate in words; `why_no_number` is set when there is none."""

    metric: str
    arm: str
    segment: str
    role: MetricRole
    role_title: str
    unit: str
    n_control: str
    n_treatment: str
    control: str
    treatment: str
    difference: str
    difference_interval: str
    lift: str
    lift_interval: str
    p: str
    p_adjusted: str
    reading: Reading
    reading_words: str
    margin: str
    guardrail: str
    why_no_number: str
    note: str = ""


def describe_results(
    comparisons: tuple[Comparison, ...], *, period: str = "day"
) -> tuple[ResultRow, ...]:
    """One row per comparison on all units.

    Args:
        comparisons: sorted for reading.
        period: what one step of time is called.
    """
    return tuple(_describe(one, one.primary, period) for one in comparisons)


def explain_results(rows: Iterable[ResultRow]) -> tuple[str, ...]:
    """What stands in place of the rows that have no number.

    Args:
        rows: all of a table, those with a number too.
    """
    return explain_rows((_explain_guardrail(row), row.metric, row.arm) for row in rows)


def _explain_guardrail(row: ResultRow) -> str:
    if not (row.guardrail and row.why_no_number):
        return row.why_no_number
    return f"{row.why_no_number}; guardrail, margin {row.margin}: {row.guardrail}"


def describe_segments(comparisons: tuple[Comparison, ...]) -> tuple[ResultRow, ...]:
    """One row per comparison on a segment."""
    return tuple(
        _describe(one, estimate) for one in comparisons for estimate in one.segments
    )


def read_direction(
    definition: MetricDefinition | None, estimate: Estimate | None
) -> Reading:
    """Better or worse only where the test, after correction, says so."""
    if estimate is None or not numbers.is_number(estimate.difference):
        return Reading.NO_NUMBER
    if not _is_significant(estimate) or estimate.difference == 0:
        return Reading.UNCLEAR
    if _is_proof_of_other_side(estimate):
        return Reading.UNCLEAR
    is_up = estimate.difference > 0
    return Reading.BETTER if is_up is not is_lower_better(definition) else Reading.WORSE


def read_comparison(comparison: Comparison, estimate: Estimate | None) -> Reading:
    """As `read_direction`, and worse where the decision says so.

    The one-sided test for harm has an error rate of its own and speaks of all units,
    over all looks; it rolls back what the corrected two-sided test leaves open. A goal
    that is worse before the correction stands against shipping.

    Args:
        comparison: of the estimate.
        estimate: the primary one, or one on a segment.
    """
    reading = read_direction(comparison.definition, estimate)
    is_open = reading not in {Reading.WORSE, Reading.NO_NUMBER}
    is_whole = estimate is not None and estimate.segment == ALL_UNITS
    if not (is_open and is_whole):
        return reading
    if comparison.is_harmed:
        return Reading.HARMED
    return Reading.UNCORRECTED if comparison.is_worse else reading


def is_lower_better(definition: MetricDefinition | None) -> bool:
    """A decrease of the metric is what people want."""
    return definition is not None and definition.direction is Direction.DECREASE


def differences_of(estimate: Estimate) -> tuple[float | None, ...]:
    """A difference with the ends of its interval."""
    return estimate.difference, estimate.ci_lower, estimate.ci_upper


def lifts_of(estimate: Estimate) -> tuple[float | None, ...]:
    """A relative lift with the ends of its interval."""
    return (
        estimate.relative_lift,
        estimate.relative_ci_lower,
        estimate.relative_ci_upper,
    )


def explain_missing(estimate: Estimate | None) -> str:
    """Why there is no number, as a sentence without a full stop."""
    if estimate is None:
        return "not estimated in this run"
    if estimate.status is EstimateStatus.OK:
        return ""
    words = STATUS_WORDS[estimate.status]
    # The reason that is the status once more says nothing new.
    if not estimate.reason or estimate.reason == estimate.status:
        return words
    reason = explain_refusal(estimate.reason)
    is_broken = estimate.status is EstimateStatus.METRIC_ERRORED
    return f"{words}: {reason}" if is_broken else reason


def format_level(alpha: float) -> str:
    """The confidence level that belongs to an error rate: 95 %."""
    return f"{100 * (1 - alpha):.4g} %"


def _is_significant(estimate: Estimate) -> bool:
    """By the p-value that decides: corrected, else over all looks, else alone."""
    known = (
        estimate.p_value_adjusted,
        estimate.sequential_p_value,
        estimate.p_value,
    )
    p_value = next((p for p in known if p is not None), None)
    if p_value is not None:
        return p_value <= estimate.alpha
    lower, upper = estimate.ci_lower, estimate.ci_upper
    return lower is not None and upper is not None and not lower <= 0 <= upper


def _is_proof_of_other_side(estimate: Estimate) -> bool:
    """An earlier look proved what the difference of this one denies."""
    place = estimate.details.get("sequential", {})
    above, below = place.get("p_greater"), place.get("p_less")
    if above is None or below is None or estimate.difference is None:
        return False
    return bool(above > below if estimate.difference > 0 else below > above)


def _describe(
    comparison: Comparison, estimate: Estimate | None, period: str = "day"
) -> ResultRow:
    definition, plan = comparison.definition, comparison.plan
    reading = read_comparison(comparison, estimate)
    shown = estimate or _absent(comparison)
    differences, lifts = differences_of(shown), lifts_of(shown)
    return ResultRow(
        metric=comparison.metric_name,
        arm=comparison.treatment,
        segment="" if shown.segment == "all" else shown.segment,
        role=plan.role,
        role_title=ROLE_TITLES[plan.role],
        unit=definition.unit_label if definition else "",
        n_control=numbers.format_count(shown.n_control),
        n_treatment=numbers.format_count(shown.n_treatment),
        control=numbers.format_mean(definition, shown.control_mean),
        treatment=numbers.format_mean(definition, shown.treatment_mean),
        difference=numbers.format_difference(definition, *differences),
        difference_interval=numbers.format_difference_interval(
            definition, *differences
        ),
        lift=numbers.format_lift(*lifts),
        lift_interval=numbers.format_lift_interval(*lifts),
        p=numbers.format_p(
            shown.p_value
            if shown.sequential_p_value is None
            else shown.sequential_p_value
        ),
        p_adjusted=_format_adjusted(shown),
        reading=reading,
        reading_words=_word_reading(reading, estimate),
        margin=_format_margin(comparison),
        guardrail=_describe_guardrail(comparison, shown),
        why_no_number=_explain_row(comparison, estimate),
        note=_note(comparison, shown).format(period=period),
    )


def _word_reading(reading: Reading, estimate: Estimate | None) -> str:
    """The look is named where it was found before the one that is shown."""
    words = READING_WORDS[reading]
    if estimate is None or reading in {Reading.UNCLEAR, Reading.NO_NUMBER}:
        return words
    look = find_crossing(estimate, is_harm=reading is Reading.HARMED)
    if look is None:
        return words
    direction, test, name = words.partition(" (")
    return f"{direction} at look {look}{test}{name}"


def _note(comparison: Comparison, estimate: Estimate) -> str:
    """What the averages are, and which look the row is of."""
    notes = [METHOD_NOTES.get(estimate.method, "")]
    if len(comparison.looks) > 1 and estimate.look is not None:
        notes.append(f"look {estimate.look}, repeated intervals")
    return "; ".join(filter(None, notes))


def _explain_row(comparison: Comparison, estimate: Estimate | None) -> str:
    """The reason with what there is: units, and means where they are known."""
    words = explain_missing(estimate or comparison.refused)
    if not words or estimate is None:
        return words
    for arm, units, mean in (
        ("control", estimate.n_control, estimate.control_mean),
        (estimate.treatment, estimate.n_treatment, estimate.treatment_mean),
    ):
        if units is not None:
            words += f"; {arm}: {numbers.format_count(units)} units"
        if numbers.is_number(mean):
            words += f", {numbers.format_mean(comparison.definition, mean)}"
    return words


def _absent(comparison: Comparison) -> Estimate:
    return Estimate(
        experiment_id="",
        metric_name=comparison.metric_name,
        method="",
        control="",
        treatment=comparison.treatment,
        status=EstimateStatus.NOT_IDENTIFIED,
    )


def _format_adjusted(estimate: Estimate) -> str:
    if estimate.p_value_adjusted is None and estimate.p_value is not None:
        return "none"
    return numbers.format_p(estimate.p_value_adjusted)


def _format_margin(comparison: Comparison) -> str:
    margin = comparison.plan.margin
    if margin is None:
        return ""
    if comparison.plan.margin_scale is MarginScale.RELATIVE:
        return numbers.format_measure(100 * margin) + " %"
    return numbers.format_size(comparison.definition, margin)


def _describe_guardrail(comparison: Comparison, estimate: Estimate) -> str:
    """How the metric stands to its margin, by the non-inferiority test."""
    if comparison.plan.role is not MetricRole.GUARDRAIL or estimate.segment != "all":
        return ""
    found = estimate.details.get("noninferiority")
    if not isinstance(found, Mapping):
        return "unknown, not tested"
    return _read_noninferiority(found)


def _read_noninferiority(found: Mapping[str, Any]) -> str:
    held, p_value = found.get("is_noninferior"), found.get("p_value")
    tail = "" if p_value is None else f" ({numbers.format_p_phrase(p_value)})"
    if held:
        worse = ", though it got worse" if found.get("is_degraded") else ""
        return f"stays inside it{worse}{tail}"
    if held is not None:
        return f"not shown to stay inside it{tail}"
    return f"unknown, {explain_refusal(str(found.get('reason') or 'not tested'))}"
