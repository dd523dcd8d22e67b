"""All that speaks about one arm, gathered before the rules are asked.

Here a number that is missing, not finite or told twice becomes a named gap; the rules
read findings and never have to wonder.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from exp_platform.checks.catalogue import SKIPPED, required_checks, title_check
from exp_platform.checks.refusals import explain_refusal
from exp_platform.checks.verdict import TrustVerdict, assess_verdict
from exp_platform.checks.wording import format_p
from exp_platform.decision.family import harm_level, is_deciding, rests_on_trends
from exp_platform.decision.proof import Proof, is_final, is_followed, read_proof
from exp_platform.decision.reasons import Reason
from exp_platform.decision.series import has_planned_units
from exp_platform.records import (
    Assignment,
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
_ABSOLUTE = (
    "A margin of {0} in its own units: a share of control's mean is no margin where that "
    "mean is not above 0 (exp import --guardrail-absolute, or margin_scale: absolute "
    "in the plan)."
)
_FOLLOW_UP = (
    "A last look after the window of {0} has closed for all units: {1:g} days after the "
    "end of exposures (exp import --follow-up {1:g}, or follow_up_days in the plan)."
)


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
        remedy: what brings it, where more of the same data cannot; "" = they can.
    """

    reason: Reason
    item: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of one arm.

    Attributes:
        is_superior: better, at the plan's alpha after Holm over goals x arms.
        is_worse: worse, two-sided at the plan's alpha without correction: a
            correction would make it easier to ship.
        harm_p: one-sided p of "there is no harm". All of them hold at every look so
            far.
        leans_better: the evidence so far points the good way, proven or not.
    """

    estimate: Estimate
    is_superior: bool
    is_worse: bool
    harm_p: float
    leans_better: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One arm, ready for the rules.

    Attributes:
        verdict: over all checks of the run.
        goals, guardrails: those that could be judged.
        guardrail_estimates: their primary rows, by metric name.
        gaps: required items that could not.
        harm_level: p at or below which one metric counts as harmed.
        whole_days: days of exposure at the look in force; None = undated, not judged.
        is_complete: the registered end or the planned units are reached; undated input
            has no end to wait for.
        is_did: a primary estimate rests on parallel trends.
        rows: the primary rows of goals and guardrails.
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
    is_complete: bool
    is_did: bool
    pretrends: tuple[PretrendTest, ...]
    rows: tuple[Estimate, ...]

    @property
    def is_early(self) -> bool:
        """Something is tested at the end alone, and the end is not reached."""
        return not self.is_complete and not all(map(is_followed, self.rows))

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

    @property
    def harmed_metrics(self) -> tuple[str, ...]:
        """Names of all that is worse beyond the harm error rate."""
        goals = (goal.estimate.metric_name for goal in self.harmed_goals)
        return (*goals, *(one.metric_name for one in self.harmed_guardrails))


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
    found = [_find_primary(inputs, name, treatment) for name in planned]
    rows = tuple(row for row in found if isinstance(row, Estimate))
    is_complete = _is_complete(spec, rows, len(planned))
    goals, goal_gaps = _judge_goals(inputs, treatment, is_complete=is_complete)
    guardrails, guardrail_gaps = _vet_guardrails(
        inputs, treatment, is_complete=is_complete
    )
    return Evidence(
        spec=spec,
        treatment=treatment,
        verdict=verdict,
        goals=goals,
        guardrails=guardrails,
        guardrail_estimates={
            row.metric_name: row
            for row in rows
            if row.metric_name in {g.metric_name for g in guardrails}
        },
        gaps=(
            *_find_choosers(spec),
            *_find_unrun(verdict),
            *goal_gaps,
            *guardrail_gaps,
        ),
        harm_level=harm_level(spec),
        whole_days=_count_days(spec, rows),
        is_complete=is_complete,
        is_did=is_did,
        pretrends=tuple(t for t in inputs.pretrends if t.treatment == treatment),
        rows=rows,
    )


def _is_complete(
    spec: ExperimentSpec, rows: tuple[Estimate, ...], n_planned: int
) -> bool:
    """Nothing is left to wait for: the end of the schedule, or of every test."""
    if not spec.is_dated or (
        rows and len(rows) == n_planned and all(map(is_final, rows))
    ):
        return True
    design = spec.plan.sequential
    if design.has_end or design.planned_units is None:
        return spec.is_complete
    return (
        bool(rows) and len(rows) == n_planned and all(_is_done(spec, e) for e in rows)
    )


def _is_done(spec: ExperimentSpec, row: Estimate) -> bool:
    """Without a registered end: is the metric's last test made?

    What is not followed by looks (whole clusters) is tested once the planned units are
    in.
    """
    if is_followed(row):
        return is_final(row)
    units = (row.n_control or 0, row.n_treatment or 0)
    return has_planned_units(spec, row.treatment, units)


def _find_choosers(spec: ExperimentSpec) -> list[Gap]:
    """What units chose by themselves is never decided on, whatever its numbers say."""
    if spec.assignment is not Assignment.SELF_SELECTED:
        return []
    return [Gap(Reason.NOT_AN_EXPERIMENT, "an experiment (units chose their arm)")]


def _find_unrun(verdict: TrustVerdict) -> list[Gap]:
    return [
        Gap(Reason.CHECK_NOT_RUN, _say_unrun(check))
        for check in verdict.findings
        if check.status is CheckStatus.NOT_RUN
    ]


def _say_unrun(check: CheckResult) -> str:
    """Why a check did not run, where it says so itself."""
    if check.reason == SKIPPED:
        return f"the check \u201c{title_check(check.check_name)}\u201d was not run"
    return f"{check.message[:1].lower()}{check.message[1:]}".rstrip(".")


def _count_days(spec: ExperimentSpec, rows: tuple[Estimate, ...]) -> int | None:
    """Whole days of exposure that every look in force has seen."""
    if not spec.is_dated:
        return None
    looks = [row.look_ts for row in rows if row.look_ts is not None]
    observed: datetime = min(spec.end_ts, spec.watermark_ts, *looks)
    return max(0, (observed - spec.start_ts) // timedelta(days=1))


def _judge_goals(
    inputs: Inputs, treatment: str, *, is_complete: bool
) -> tuple[tuple[Goal, ...], tuple[Gap, ...]]:
    goals, gaps = [], []
    for name in inputs.spec.plan.names(MetricRole.GOAL):
        found = _find_primary(inputs, name, treatment)
        judged = (
            found
            if isinstance(found, Gap)
            else _judge_goal(found, inputs, is_complete=is_complete)
        )
        if isinstance(judged, Gap):
            gaps.append(judged)
        else:
            goals.append(judged)
    return tuple(goals), tuple(gaps)


def _judge_goal(estimate: Estimate, inputs: Inputs, *, is_complete: bool) -> Goal | Gap:
    name, alpha = estimate.metric_name, inputs.spec.plan.alpha
    direction = inputs.directions.get(name)
    numbers = (estimate.difference, estimate.p_value, estimate.statistic)
    if not estimate.is_ok or not all(map(_is_number, numbers)):
        return _gap_of(estimate)
    if not _is_p(estimate.p_value_adjusted):
        return Gap(Reason.P_NOT_ADJUSTED, f"{name} has no p-value after Holm")
    proof = None
    if direction is not None:
        proof = read_proof(estimate, direction, is_complete=is_complete)
    if proof is None or not _is_p(proof.harm_p):
        return Gap(Reason.HARM_UNKNOWN, f"{name} was not tested for harm")
    return Goal(
        estimate=estimate,
        is_superior=_is_superior(estimate, proof, alpha),
        is_worse=proof.worse_p <= alpha,
        harm_p=proof.harm_p,
        leans_better=proof.gain > 0 and proof.better_p <= proof.worse_p,
    )


def _is_superior(estimate: Estimate, proof: Proof, alpha: float) -> bool:
    """Proven better, and not worse again at this look."""
    adjusted = estimate.p_value_adjusted
    is_proven = adjusted is not None and adjusted <= alpha
    return is_proven and proof.better_p < proof.worse_p and proof.gain > 0


def _vet_guardrails(
    inputs: Inputs, treatment: str, *, is_complete: bool
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
        if gap is not None:
            gaps.append(gap)
        elif isinstance(estimate, Estimate):
            is_judged = is_complete or is_followed(estimate)
            known.append(found[0] if is_judged else _leave_open(found[0]))
    return tuple(known), tuple(gaps)


def _leave_open(guardrail: GuardrailAssessment) -> GuardrailAssessment:
    """A test for the end alone proves no harm before it, and nothing may ship."""
    return replace(guardrail, harm_p_value=1.0, is_degraded=False)


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
        words = f"guardrail {name} unknown ({explain_refusal(why)})"
        direction = inputs.directions.get(name)
        harm_p = estimate.harm_p_value
        if direction is not None and not is_followed(estimate):
            harm_p = harm_p_value(estimate, direction)
        if harm_p is not None and harm_p <= ALPHA:
            words += f", and it got worse: one-sided {format_p(harm_p)}"
        is_relative = why == "CONTROL_MEAN_NOT_POSITIVE"
        remedy = _ABSOLUTE.format(name) if is_relative else ""
        return Gap(Reason.GUARDRAIL_UNKNOWN, words, remedy)
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
        why = _say_refused(inputs, name, treatment)
        return Gap(Reason.ESTIMATE_MISSING, f"{name} has no estimate{why}")
    if len(found) > 1:
        methods = ", ".join(e.method for e in found)
        return Gap(Reason.AMBIGUOUS_PRIMARY, f"{name} has several: {methods}")
    return found[0]


def _say_refused(inputs: Inputs, name: str, treatment: str) -> str:
    """Why the router refused every method that could have decided."""
    subject = (name, treatment, "all")
    reasons = (
        e.reason
        for e in inputs.estimates
        if e.status is EstimateStatus.NOT_IDENTIFIED
        and (e.metric_name, e.treatment, e.segment) == subject
    )
    words = explain_refusal(next(reasons, ""))
    return f" ({words})" if words else ""


def _gap_of(estimate: Estimate) -> Gap:
    reason = {
        EstimateStatus.INSUFFICIENT_DATA: Reason.INSUFFICIENT_DATA,
        EstimateStatus.NOT_IDENTIFIED: Reason.NOT_IDENTIFIED,
    }.get(estimate.status, Reason.METRIC_ERRORED)
    why = explain_refusal(estimate.reason) or "a number is missing"
    name = estimate.metric_name
    needed = estimate.details.get("sequential", {}).get("follow_up_needed")
    is_short = reason is Reason.INSUFFICIENT_DATA and needed is not None
    remedy = _FOLLOW_UP.format(name, needed) if is_short else ""
    return Gap(reason, f"{name} has no result ({why})", remedy)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _is_p(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1
