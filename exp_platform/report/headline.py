"""Section 1 of the memo: the decision, why, and what would change it."""

from dataclasses import dataclass

from exp_platform.checks import numbers
from exp_platform.checks.wording import format_count
from exp_platform.decision.reasons import MEANINGS, Reason
from exp_platform.records import (
    Assignment,
    CheckStatus,
    Decision,
    Estimate,
    ExperimentSpec,
    MetricRole,
    Outcome,
    PanelPeriods,
    Verdict,
)
from exp_platform.report.comparisons import Comparison
from exp_platform.report.facts import MemoFacts
from exp_platform.report.results import (
    Reading,
    differences_of,
    explain_missing,
    format_level,
    lifts_of,
    read_comparison,
)
from exp_platform.report.words import (
    OUTCOME_MEANINGS,
    OUTCOME_TITLES,
    VERDICT_TITLES,
    humanise,
    title_method,
)

_MOST_TILES = 4
_ASSIGNMENTS = {
    Assignment.RANDOMISED: "assigned at random",
    Assignment.POLICY: "treated by a policy, not at random",
    Assignment.SELF_SELECTED: "chose their arm: not an experiment",
}


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision in words."""

    arm: str
    outcome: Outcome
    title: str
    meaning: str
    rationale: str
    would_change: str
    reasons: tuple[str, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One number worth seeing first."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The first screen of the memo."""

    experiment_id: str
    hypothesis: str
    subtitle: tuple[str, ...]
    decision: DecisionView
    arms: tuple[DecisionView, ...]
    tiles: tuple[Tile, ...]
    verdict_title: str


def describe_headline(
    facts: MemoFacts, comparisons: tuple[Comparison, ...], *, place: str = ""
) -> Headline:
    """Decisions per arm are listed only where there are several.

    Args:
        facts: of the memo.
        comparisons: sorted for reading.
        place: which look this is; "" = there is one only.
    """
    arms = facts.arm_decisions if len(facts.arm_decisions) > 1 else ()
    return Headline(
        experiment_id=facts.spec.experiment_id,
        hypothesis=facts.spec.hypothesis,
        subtitle=(*_describe_design(facts.spec), *([place] if place else [])),
        decision=_describe_decision(facts.overall, facts.verdict),
        arms=tuple(_describe_decision(one, one.verdict) for one in arms),
        tiles=_pick_tiles(facts, comparisons),
        verdict_title=VERDICT_TITLES[facts.verdict],
    )


def _describe_decision(decision: Decision, verdict: Verdict) -> DecisionView:
    meaning = OUTCOME_MEANINGS[decision.outcome]
    if decision.outcome is Outcome.REVIEW and verdict is Verdict.DO_NOT_USE:
        meaning = "The numbers cannot be trusted; do not act on them."
    return DecisionView(
        arm=decision.treatment,
        outcome=decision.outcome,
        title=OUTCOME_TITLES[decision.outcome],
        meaning=meaning,
        rationale=decision.rationale,
        would_change=decision.would_change,
        reasons=tuple(map(_explain_reason, _pick_reasons(decision.reasons))),
        rule=decision.rule,
    )


def _pick_reasons(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """What is missing besides an experiment follows from there being none."""
    if Reason.NOT_AN_EXPERIMENT in reasons:
        return (Reason.NOT_AN_EXPERIMENT,)
    return reasons


def _explain_reason(code: str) -> str:
    meaning = MEANINGS.get(code)  # type: ignore[call-overload]
    return meaning or humanise(code)


def _describe_design(spec: ExperimentSpec) -> tuple[str, ...]:
    if spec.panel:
        window = _describe_periods(spec.panel)
    elif spec.is_dated:
        complete = f"data complete to {spec.watermark_ts:%Y-%m-%d %H:%M} UTC"
        window = f"{_describe_span(spec)}, {complete}"
    else:
        window = "data without dates"
    arms = f"{', '.join(spec.treatments)} against {spec.control}"
    came = f"{spec.unit_type}s {_ASSIGNMENTS[spec.assignment]}"
    if spec.cluster and spec.assignment is Assignment.RANDOMISED:
        came += f" by cluster ({spec.cluster})"
    if spec.is_declared_random:
        came += " (declared by the importer, not verified)"
    parts = [window, arms, came]
    return tuple([*parts, f"owner: {spec.owner}"] if spec.owner else parts)


def _describe_span(spec: ExperimentSpec) -> str:
    """From when to when; where no end was registered, the last exposure is none."""
    start, end = map(numbers.format_date, (spec.start_ts, spec.end_ts))
    design = spec.plan.sequential
    if design.has_end:
        return f"{start} to {end} ({(spec.end_ts - spec.start_ts).days} days)"
    planned = design.planned_units
    until = f"until {planned:,} units are in" if planned else "without a registered end"
    return f"{start} on, {until}, exposures so far up to {end}"


def _describe_periods(panel: PanelPeriods) -> str:
    count = format_count(len(panel.labels), panel.word)
    told = f"{count}, {panel.labels[0]} to {panel.labels[-1]}"
    if panel.first_treated:
        told += f"; the first units treated from {panel.first_treated} on"
    return told


def _pick_tiles(
    facts: MemoFacts, comparisons: tuple[Comparison, ...]
) -> tuple[Tile, ...]:
    shown = [one for one in comparisons if one.plan.role is MetricRole.GOAL]
    has_arms = len(facts.spec.treatments) > 1
    if facts.overall.outcome is Outcome.ROLL_BACK:
        shown = [one for one in comparisons if _is_worse(one)] or shown
    elif has_arms and shown:
        first = shown[0].metric_name
        shown = [one for one in shown if one.metric_name == first]
        # There is no room for all arms: the one that the decision is on comes first.
        arm = facts.overall.details.get("arm")
        shown.sort(key=lambda one: one.treatment != arm)
    tiles = [_lift_tile(one, facts.verdict, has_arms=has_arms) for one in shown]
    return (*tiles[: _MOST_TILES - 2], _units_tile(facts), _checks_tile(facts))


def _is_worse(comparison: Comparison) -> bool:
    reading = read_comparison(comparison, comparison.primary)
    is_decisive = comparison.plan.role is not MetricRole.MONITOR
    return is_decisive and reading in {Reading.WORSE, Reading.HARMED}


def _lift_tile(comparison: Comparison, verdict: Verdict, *, has_arms: bool) -> Tile:
    name = comparison.metric_name
    label = f"{name}, {comparison.treatment}" if has_arms else name
    primary = comparison.primary
    if primary is None and comparison.adjusted is not None:
        return _adjusted_tile(label, comparison, comparison.adjusted)
    if primary is None or not primary.is_ok:
        why = explain_missing(primary or comparison.refused)
        return Tile(label, numbers.NO_NUMBER, why)
    level = format_level(primary.alpha)
    value, interval = _show_effect(comparison, primary)
    if verdict is Verdict.DO_NOT_USE:
        return Tile(label, "not trusted", f"measured {value}; {level}: {interval}")
    return Tile(label, value, f"{level}: {interval}")


def _adjusted_tile(label: str, comparison: Comparison, found: Estimate) -> Tile:
    """The adjusted difference of units that chose their arm, named as what it is."""
    differences = differences_of(found)
    interval = numbers.format_difference_interval(comparison.definition, *differences)
    return Tile(
        f"{label}: adjusted, observational",
        numbers.format_difference(comparison.definition, *differences),
        f"{format_level(found.alpha)}: {interval}; {title_method(found.method)}, "
        "not an experiment's effect",
    )


def _show_effect(comparison: Comparison, estimate: Estimate) -> tuple[str, str]:
    """The lift; where it has no interval, the difference with its own."""
    lifts = lifts_of(estimate)
    if all(map(numbers.is_number, lifts)):
        return numbers.format_lift(*lifts), numbers.format_lift_interval(*lifts)
    found, definition = differences_of(estimate), comparison.definition
    value = numbers.format_difference(definition, *found)
    return value, numbers.format_difference_interval(definition, *found)


def _units_tile(facts: MemoFacts) -> Tile:
    unit = facts.spec.unit_type
    if not facts.ledger:
        return Tile(f"{unit}s analysed", numbers.NO_NUMBER, "no unit ledger")
    shared = [one for one in facts.ledger if not one.metric_name]
    last = max(one.stage_order for one in shared)
    counts = [one for one in shared if one.stage_order == last]
    total = numbers.format_count(sum(one.n_units for one in counts))
    return Tile(f"{unit}s analysed", total, f"in {len(counts)} arms")


def _checks_tile(facts: MemoFacts) -> Tile:
    passed = sum(one.status is CheckStatus.PASSED for one in facts.checks)
    return Tile(
        "checks passed",
        f"{passed} of {len(facts.checks)}",
        f"verdict: {VERDICT_TITLES[facts.verdict].lower()}",
    )
