"""Section 5 of the memo: did the arms move in parallel before the start?"""

from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.checks.pretrend import DIAGNOSTIC_P
from exp_platform.checks.refusals import explain_refusal
from exp_platform.checks.wording import format_count
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
from exp_platform.report.words import PRETREND_TITLES, STATUS_WORDS


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day of an event study in words."""

    day: str
    side: str
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
    known = [one for one in deltas if numbers.is_number(one.delta)]
    outcome = test.outcome if test else None
    period = facts.spec.period_word
    return PretrendView(
        metric=metric_name,
        arm=arm,
        title=_title(test),
        outcome=outcome,
        sentences=_explain(definition, test, period),
        chart=draw_event_study(definition, deltas, period=period),
        days=tuple(_describe_day(definition, one, period) for one in known),
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
        side="before" if delta.day < 0 else "after",
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
        reason = explain_refusal(test.reason) or STATUS_WORDS[test.status]
        return (f"It could not be tested: {reason}.",)
    if test.role is EstimateRole.DIAGNOSTIC:
        purpose = (
            "A look at the balance before exposure; the decision does not rest on it."
        )
        return (
            purpose,
            _say_tests(test, period),
            f"A warning would need p < {DIAGNOSTIC_P}.",
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
                "No clear drift was found before the start, but the test is too weak to "
                "rule out one that matters."
            )
        case PretrendOutcome.NEGLIGIBLE:
            return (
                f"The arms drifted apart before the start, but this moves the estimate "
                f"by only {bias}; up to {tolerance} does not matter."
            )
        case _:
            matters = (
                f"more than {tolerance} matters"
                if test.tolerance is not None
                else "without an estimate nobody can say how much matters"
            )
            return (
                f"The arms drifted apart before the start. Continued, this moves the "
                f"estimate by {bias}; {matters}."
            )


def _say_tests(test: PretrendTest, period: str) -> str:
    joint = numbers.format_p_phrase(test.p_joint)
    slope = numbers.format_p_phrase(test.p_slope)
    told = (
        f"Two tests on the {format_count(test.n_pre_days, period)} before the start: the "
        f"gaps of all {period}s together ({joint}), and a steady drift ({slope})."
    )
    if test.p_adjusted is None or test.role is EstimateRole.DIAGNOSTIC:
        return told
    both = numbers.format_p_phrase(test.p_adjusted)
    return f"{told} Corrected for there being two, {both}; a drift is called at 0.05."


def _say_power(
    definition: MetricDefinition | None, test: PretrendTest, period: str
) -> str:
    if test.detectable_bias is None or test.tolerance is None:
        return ""
    seen = numbers.format_size(definition, test.detectable_bias)
    tolerance = numbers.format_size(definition, test.tolerance)
    is_enough = test.detectable_bias <= test.tolerance
    return (
        f"How large a drift would it have seen? One that moves the estimate by {seen} "
        f"per unit and {period} is found four times in five. One of {tolerance} would "
        f"already matter, so the test is {'strong' if is_enough else 'not strong'} "
        "enough to vouch for the trends."
    )
