"""All that speaks about one arm, gathered before the rules are asked.

Here a number that is missing, not finite or told twice becomes a named gap; the rules
read findings and never have to wonder.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from exp_platform.checks.catalogue import required_checks
from exp_platform.checks.verdict import TrustVerdict, assess_verdict
from exp_platform.checks.wording import format_p
from exp_platform.decision.family import is_deciding, rests_on_trends
from exp_platform.decision.reasons import Reason
from exp_platform.records import (
    CheckResult,
    CheckStatus,
    Direction,
    Estimate,
    EstimateRole,
    EstimateStatus,
    ExperimentSpec,
    MetricRole,
    PretrendTest,
)
from exp_platform.stats.guardrail import (
    ALPHA,
    GuardrailAssessment,
    GuardrailStatus,
)
from exp_platform.stats.harm import harm_p_value

SHIP_DAYS = 7


@dataclass(frozen=True, slots=True)
class Inputs:
    """What `decide` was given.

    Attributes:
        directions: which way is good, by metric name.
    """

    spec: ExperimentSpec
    estimates: Sequence[Estimate]
    checks: Sequence[CheckResult]
    guardrails: Sequence[GuardrailAssessment]
    directions: Mapping[str, Direction]
    pretrends: Sequence[PretrendTest]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something required that is not there, or has no number.

    Attributes:
        item: check or metric, with what is wrong, for people.
    """

    reason: Reason
    item: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of one arm.

    Attributes:
        is_superior: better, at the plan's alpha after Holm over goals x arms.
        is_worse: worse, two-sided at the plan's alpha without correction: a
            correction would make it easier to ship.
        harm_p: one-sided p of "there is no harm".
    """

    estimate: Estimate
    is_superior: bool
    is_worse: bool
    harm_p: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One arm, ready for the rules.

    Attributes:
        verdict: over all checks of the run.
        goals, guardrails: those that could be judged.
        guardrail_estimates: their primary rows, by metric name.
        gaps: required items that could not.
        harm_level: p at or below which one metric counts as harmed.
        whole_days: days of exposure observed; None = undated, not judged.
        is_did: a primary estimate rests on parallel trends.
    """

    spec: ExperimentSpec
    treatment: str
    verdict: TrustVerdict
    goals: tuple[Goal, ...]
    guardrails: tuple[GuardrailAssessment, ...]
    guardrail_estimates: Mapping[str, Estimate]
    gaps: tuple[Gap, ...]
    harm_level: float
    whole_days: int | None
    is_did: bool
    pretrends: tuple[PretrendTest, ...]

    @property
    def is_complete(self) -> bool:
        """The registered end is reached; undated input has no end to wait for."""
        return self.spec.is_complete or not self.spec.is_dated

    @property
    def has_goals(self) -> bool:
        """The plan promised something to ship on."""
        return bool(self.spec.plan.names(MetricRole.GOAL))

    @property
    def harmed_goals(self) -> tuple[Goal, ...]:
        """Goals that are worse beyond the harm error rate."""
        return tuple(goal for goal in self.goals if goal.harm_p <= self.harm_level)

    @property
    def harmed_guardrails(self) -> tuple[GuardrailAssessment, ...]:
        """Guardrails worse beyond the harm error rate and not proven inside margins."""
        return tuple(
            guardrail
            for guardrail in self.guardrails
            if guardrail.status is not GuardrailStatus.NON_INFERIOR
            and guardrail.harm_p_value is not None
            and guardrail.harm_p_value <= self.harm_level
        )


def gather_evidence(inputs: Inputs, treatment: str) -> Evidence:
    """Collect and vet what is known about one arm.

    Args:
        inputs: everything about the experiment.
        treatment: the arm.
    """
    spec = inputs.spec
    planned = (
        *spec.plan.names(MetricRole.GOAL),
        *spec.plan.names(MetricRole.GUARDRAIL),
    )
    is_did = any(
        rests_on_trends(e) and e.role is EstimateRole.PRIMARY for e in inputs.estimates
    )
    required = required_checks(spec, is_did_primary=is_did)
    verdict = assess_verdict(spec.experiment_id, inputs.checks, required=required)
    goals, goal_gaps = _judge_goals(inputs, treatment)
    guardrails, guardrail_gaps = _vet_guardrails(inputs, treatment)
    tests = max(1, len(planned) * len(spec.treatments))
    return Evidence(
        spec=spec,
        treatment=treatment,
        verdict=verdict,
        goals=goals,
        guardrails=guardrails,
        guardrail_estimates={
            g.metric_name: estimate
            for g in guardrails
            if isinstance(
                estimate := _find_primary(inputs, g.metric_name, treatment), Estimate
            )
        },
        gaps=(*_find_unrun(verdict), *goal_gaps, *guardrail_gaps),
        harm_level=spec.plan.alpha_harm / tests,
        whole_days=_count_days(spec),
        is_did=is_did,
        pretrends=tuple(t for t in inputs.pretrends if t.treatment == treatment),
    )


def _find_unrun(verdict: TrustVerdict) -> list[Gap]:
    return [
        Gap(Reason.CHECK_NOT_RUN, f"check {check.check_name} was not run")
        for check in verdict.findings
        if check.status is CheckStatus.NOT_RUN
    ]


def _count_days(spec: ExperimentSpec) -> int | None:
    if not spec.is_dated:
        return None
    observed = min(spec.end_ts, spec.watermark_ts) - spec.start_ts
    return max(0, observed // timedelta(days=1))


def _judge_goals(
    inputs: Inputs, treatment: str
) -> tuple[tuple[Goal, ...], tuple[Gap, ...]]:
    goals, gaps = [], []
    for name in inputs.spec.plan.names(MetricRole.GOAL):
        found = _find_primary(inputs, name, treatment)
        judged = found if isinstance(found, Gap) else _judge_goal(found, inputs)
        if isinstance(judged, Gap):
            gaps.append(judged)
        else:
            goals.append(judged)
    return tuple(goals), tuple(gaps)


def _judge_goal(estimate: Estimate, inputs: Inputs) -> Goal | Gap:
    name, alpha = estimate.metric_name, inputs.spec.plan.alpha
    direction = inputs.directions.get(name)
    numbers = (estimate.difference, estimate.p_value, estimate.statistic)
    if not estimate.is_ok or not all(map(_is_number, numbers)):
        return _gap_of(estimate)
    if not _is_p(estimate.p_value_adjusted):
        return Gap(Reason.P_NOT_ADJUSTED, f"{name} has no p-value after Holm")
    harm_p = None if direction is None else harm_p_value(estimate, direction)
    if harm_p is None or not _is_p(harm_p):
        return Gap(Reason.HARM_UNKNOWN, f"{name} was not tested for harm")
    good = 1.0 if direction is Direction.INCREASE else -1.0
    gain = good * (estimate.difference or 0.0)
    p_value, p_adjusted = estimate.p_value, estimate.p_value_adjusted
    return Goal(
        estimate=estimate,
        is_superior=gain > 0 and p_adjusted is not None and p_adjusted <= alpha,
        is_worse=gain < 0 and p_value is not None and p_value <= alpha,
        harm_p=harm_p,
    )


def _vet_guardrails(
    inputs: Inputs, treatment: str
) -> tuple[tuple[GuardrailAssessment, ...], tuple[Gap, ...]]:
    known, gaps = [], []
    for name in inputs.spec.plan.names(MetricRole.GUARDRAIL):
        found = [
            g
            for g in inputs.guardrails
            if g.metric_name == name and g.treatment == treatment
        ]
        estimate = _find_primary(inputs, name, treatment)
        gap = _find_guardrail_gap(inputs, name, found, estimate)
        if gap is None:
            known.append(found[0])
        else:
            gaps.append(gap)
    return tuple(known), tuple(gaps)


def _find_guardrail_gap(
    inputs: Inputs,
    name: str,
    found: Sequence[GuardrailAssessment],
    estimate: Estimate | Gap,
) -> Gap | None:
    if isinstance(estimate, Gap):
        return estimate
    # A proportion without an event has no Welch test, but a score bound.
    if not estimate.is_ok and estimate.reason != "ZERO_VARIANCE":
        return _gap_of(estimate)
    if len(found) != 1 or found[0].status is GuardrailStatus.UNKNOWN:
        why = found[0].reason if len(found) == 1 else "not assessed"
        words = f"guardrail {name} unknown ({why.replace('_', ' ').lower()})"
        direction = inputs.directions.get(name)
        harm_p = None if direction is None else harm_p_value(estimate, direction)
        if harm_p is not None and harm_p <= ALPHA:
            words += f", and it got worse: one-sided {format_p(harm_p)}"
        return Gap(Reason.GUARDRAIL_UNKNOWN, words)
    if not _is_p(found[0].harm_p_value):
        return Gap(Reason.HARM_UNKNOWN, f"{name} was not tested for harm")
    return None


def _find_primary(inputs: Inputs, name: str, treatment: str) -> Estimate | Gap:
    """The one row that decides on a metric of an arm, or what is wrong with it."""
    found = [
        e
        for e in inputs.estimates
        if is_deciding(e, (name,))
        and (e.control, e.treatment) == (inputs.spec.control, treatment)
    ]
    if not found:
        return Gap(Reason.ESTIMATE_MISSING, f"{name} has no estimate")
    if len(found) > 1:
        methods = ", ".join(e.method for e in found)
        return Gap(Reason.AMBIGUOUS_PRIMARY, f"{name} has several: {methods}")
    return found[0]


def _gap_of(estimate: Estimate) -> Gap:
    reason = {
        EstimateStatus.INSUFFICIENT_DATA: Reason.INSUFFICIENT_DATA,
        EstimateStatus.NOT_IDENTIFIED: Reason.NOT_IDENTIFIED,
    }.get(estimate.status, Reason.METRIC_ERRORED)
    why = estimate.reason.replace("_", " ").lower() or "a number is missing"
    return Gap(reason, f"{estimate.metric_name} has no result ({why})")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _is_p(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1
