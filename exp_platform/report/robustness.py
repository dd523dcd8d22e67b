"""How far unequal trends could move an effect: the bounds of section 5 in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exp_platform.causal.sensitivity import DECISIVE_MBAR, LARGEST_MBAR
from exp_platform.checks import numbers
from exp_platform.checks.refusals import explain_refusal
from exp_platform.checks.wording import format_count
from exp_platform.records import Estimate, EstimateStatus, MetricDefinition
from exp_platform.report.words import STATUS_WORDS


@dataclass(frozen=True, slots=True)
class BoundRow:
    """One bound on the drift, and the effects it leaves possible."""

    bound: str
    interval: str


@dataclass(frozen=True, slots=True)
class RobustnessView:
    """The bounds of one estimate; nothing where it does not rest on trends."""

    sentences: tuple[str, ...] = ()
    rows: tuple[BoundRow, ...] = ()


def describe_robustness(
    definition: MetricDefinition | None, estimate: Estimate | None, period: str
) -> RobustnessView:
    """What remains of an effect when trends were not parallel.

    Args:
        definition: of the metric.
        estimate: the row that decides on it.
        period: what one step of time is called.
    """
    found = estimate.details.get("sensitivity") if estimate is not None else None
    if not isinstance(found, Mapping):
        return RobustnessView()
    if found["status"] != EstimateStatus.OK:
        status = EstimateStatus(found["status"])
        why = explain_refusal(str(found["reason"])) or STATUS_WORDS[status]
        return RobustnessView(
            (f"How far unequal trends could move the effect is not known: {why}.",)
        )
    step = period
    if found["period_days"] > 1:
        step = f"step of {format_count(found['period_days'], period)}"
    return RobustnessView(
        (_say_decisive(definition, found, step), _say_breakdown(found, step)),
        tuple(_list_rows(definition, found, step)),
    )


def _say_decisive(
    definition: MetricDefinition | None, found: Mapping[str, Any], step: str
) -> str:
    one = next(
        row for row in found["relative_magnitudes"] if row["bound"] == DECISIVE_MBAR
    )
    lower, upper = one["lower"], one["upper"]
    has_sign = lower > 0 or upper < 0
    unit = numbers.format_unit(definition)
    interval = f"{_format(definition, found, lower, upper)} {unit}".rstrip()
    return (
        f"Suppose that after the start the gap between the arms drifts, in one {step}, "
        f"by up to the most it did before (Mbar = 1). Then the effect lies within "
        f"{interval}: {'it keeps its sign' if has_sign else 'an effect of 0 is possible'}."
    )


def _say_breakdown(found: Mapping[str, Any], step: str) -> str:
    breakdown = found["breakdown_mbar"]
    if not breakdown:
        return (
            f"Against the last {step} before the start an effect of 0 is possible even "
            "with parallel trends: there is no conclusion for a drift to break."
        )
    most = "more than " if breakdown >= LARGEST_MBAR else ""
    told = numbers.format_measure(breakdown)
    return (
        f"The conclusion breaks at {most}{told} times that drift: from there on an "
        "effect of 0 is possible."
    )


def _list_rows(
    definition: MetricDefinition | None, found: Mapping[str, Any], step: str
) -> list[BoundRow]:
    rows = [
        BoundRow(
            f"{numbers.format_tick(one['bound'])} times the largest change before",
            _format(definition, found, one["lower"], one["upper"]),
        )
        for one in found["relative_magnitudes"]
    ]
    return rows + [
        BoundRow(
            "the straight line of before, continued"
            if one["bound"] == 0
            else f"a line that bends by {numbers.format_measure(one['bound'])} per {step}",
            _format(definition, found, one["lower"], one["upper"]),
        )
        for one in found["smoothness"]
    ]


def _format(
    definition: MetricDefinition | None,
    found: Mapping[str, Any],
    lower: float,
    upper: float,
) -> str:
    return numbers.format_difference_interval(
        definition, found["estimate"], lower, upper
    )
