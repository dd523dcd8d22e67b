"""Section 5 of the memo: did the arms move in parallel before the start?"""

from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.records import (
    Estimate,
    EstimateRole,
    MetricDefinition,
    PretrendDelta,
    PretrendOutcome,
    PretrendTest,
)
from exp_platform.report.event_study import EventStudyChart, draw_event_study
from exp_platform.report.facts import MemoFacts
from exp_platform.report.robustness import RobustnessView, describe_robustness
from exp_platform.report.words import PRETREND_TITLES, STATUS_WORDS, humanise


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day of an event study in words."""

    day: str
    period: str
    delta: str
    interval: str
    p: str


@dataclass(frozen=True, slots=True)
class PretrendView:
    """One metric and arm: the test's outcome, the chart and the chart's numbers."""

    metric: str
    arm: str
    title: str
    outcome: PretrendOutcome | None
    sentences: tuple[str, ...]
    chart: EventStudyChart | None
    days: tuple[DayRow, ...]
    period: str
    unit: str
    robustness: RobustnessView


def describe_pretrends(facts: MemoFacts) -> tuple[PretrendView, ...]:
    """One view per metric and arm that has deltas or a test, in the tests' order."""
    tests = {(one.metric_name, one.treatment): one for one in facts.pretrends}
    keys = [(one.metric_name, one.treatment) for one in facts.deltas]
    return tuple(
        _describe(facts, key, tests.get(key)) for key in dict.fromkeys([*tests, *keys])
    )


def _describe(
    facts: MemoFacts, key: tuple[str, str], test: PretrendTest | None
) -> PretrendView:
    metric_name, arm = key
    definition = facts.definitions.get(metric_name)
    deltas = sorted(
        (one for one in facts.deltas if (one.metric_name, one.treatment) == key),
        key=lambda one: one.day,
    )
    outcome = test.outcome if test else None
    period = facts.spec.period_word
    return PretrendView(
        metric=metric_name,
        arm=arm,
        title=_title(test),
        outcome=outcome,
        sentences=_explain(definition, test, period),
        chart=draw_event_study(definition, deltas, period=period),
        days=tuple(_describe_day(definition, one, period) for one in deltas),
        period=period,
        unit=numbers.format_unit(definition),
        robustness=describe_robustness(definition, _find_primary(facts, key), period),
    )


def _find_primary(facts: MemoFacts, key: tuple[str, str]) -> Estimate | None:
    return next(
        (
            one
            for one in facts.estimates
            if one.role is EstimateRole.PRIMARY
            and (one.metric_name, one.treatment, one.segment) == (*key, "all")
        ),
        None,
    )


def _title(test: PretrendTest | None) -> str:
    if test is None or test.outcome is None:
        return "No test"
    if test.role is EstimateRole.DIAGNOSTIC:
        return "Balance before exposure"
    return PRETREND_TITLES[test.outcome]


def _describe_day(
    definition: MetricDefinition | None, delta: PretrendDelta, period: str
) -> DayRow:
    values = delta.delta, delta.ci_lower, delta.ci_upper
    interval = numbers.format_difference_interval(definition, *values)
    reference = f"reference {period}"
    return DayRow(
        day=numbers.format_tick(delta.day),
        period=delta.period,
        delta=numbers.format_difference(definition, *values),
        interval=reference if delta.is_reference else interval,
        p=reference if delta.is_reference else numbers.format_p(delta.p_value),
    )


def _explain(
    definition: MetricDefinition | None, test: PretrendTest | None, period: str
) -> tuple[str, ...]:
    if test is None:
        return ("No pre-trend test was made for this metric.",)
    if test.outcome is None:
        reason = humanise(test.reason) or STATUS_WORDS[test.status]
        return (f"No number: {reason}.",)
    if test.role is EstimateRole.DIAGNOSTIC:
        purpose = (
            "A look at the balance before exposure; the decision does not rest on it."
        )
        return (
            purpose,
            _say_tests(test, period),
            "A warning would need p < 0.001.",
        )
    sentences = (
        _say_outcome(definition, test),
        _say_tests(test, period),
        _say_power(definition, test, period),
    )
    return tuple(one for one in sentences if one)


def _say_outcome(definition: MetricDefinition | None, test: PretrendTest) -> str:
    bias = numbers.format_size(definition, test.bias)
    tolerance = numbers.format_size(definition, test.tolerance)
    match test.outcome:
        case PretrendOutcome.HOLDS:
            return "Before the start the arms moved in parallel."
        case PretrendOutcome.UNDERPOWERED:
            return (
                "No drift was found before the start, but a drift that matters could "
                "have been missed."
            )
        case PretrendOutcome.NEGLIGIBLE:
            return (
                f"The arms drifted apart before the start, but this moves the estimate "
                f"by only {bias}; up to {tolerance} does not matter."
            )
        case _:
            return (
                f"The arms drifted apart before the start. Continued, this moves the "
                f"estimate by {bias}; more than {tolerance} matters."
            )


def _say_tests(test: PretrendTest, period: str) -> str:
    joint = numbers.format_p_phrase(test.p_joint)
    slope = numbers.format_p_phrase(test.p_slope)
    return (
        f"Over {test.n_pre_days} {period}s before the start: all {period}s together "
        f"{joint}, steady drift {slope}."
    )


def _say_power(
    definition: MetricDefinition | None, test: PretrendTest, period: str
) -> str:
    if test.detectable_bias is None or test.tolerance is None:
        return ""
    seen = numbers.format_size(definition, test.detectable_bias)
    tolerance = numbers.format_size(definition, test.tolerance)
    enough = "is enough" if test.detectable_bias <= test.tolerance else "is not enough"
    return (
        f"Power: with 80 % chance the test finds a drift that moves the estimate by "
        f"{seen} per unit and {period} or more. {tolerance} is what would matter, so the "
        f"power {enough}."
    )
