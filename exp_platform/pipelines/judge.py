"""Stage judge: trust checks, guardrails, the verdict and the decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from exp_platform.causal.cluster_guardrail import build_margin_test
from exp_platform.causal.did import panel_of
from exp_platform.causal.identification import DID
from exp_platform.checks.facts import RestatedFacts
from exp_platform.checks.restated import check_restated
from exp_platform.decision.decide import decide
from exp_platform.decision.family import (
    adjust_goals,
    adjust_segments,
    is_deciding,
)
from exp_platform.decision.proof import is_followed
from exp_platform.decision.restatement import (
    Restatement,
    Told,
    carry_told,
    compare_plan,
    compare_told,
    read_told,
    remember_told,
    tell_crossings,
)
from exp_platform.decision.sequential import Judged, await_guardrail, await_look
from exp_platform.decision.trends import note_pretrends
from exp_platform.pipelines.compute_metric_aggregates import Measured
from exp_platform.pipelines.follow_looks import follow_looks
from exp_platform.pipelines.run_ingest import Ingested
from exp_platform.pipelines.trust import check_trust
from exp_platform.records import (
    CheckResult,
    Decision,
    Direction,
    Estimate,
    EstimateRole,
    ExperimentSpec,
    MarginScale,
    MetricRole,
    PretrendTest,
    Verdict,
)
from exp_platform.stats.cluster import METHOD as CLUSTER
from exp_platform.stats.guardrail import (
    GuardedTotals,
    GuardrailAssessment,
    GuardrailStatus,
    assess_guardrail,
)
from exp_platform.stats.harm import is_resampled


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the run concluded.

    Attributes:
        estimates: with adjusted p-values of goals and segments, and the guardrails'
            outcome.
        decisions: one per arm, and the overall one last.
    """

    estimates: tuple[Estimate, ...]
    checks: tuple[CheckResult, ...]
    verdict: Verdict
    decisions: tuple[Decision, ...]

    @property
    def overall(self) -> Decision:
        """The decision on the experiment."""
        return self.decisions[-1]


def judge(
    ingested: Ingested,
    measured: Measured | None,
    estimates: Sequence[Estimate],
    *,
    pretrends: Sequence[PretrendTest],
    data_checks: Sequence[CheckResult] | None,
    previous: Sequence[Decision] = (),
) -> Judgement:
    """Weigh the evidence; pure.

    Args:
        ingested: experiment and definitions.
        measured: totals; None = the stage was skipped.
        estimates: of all methods.
        pretrends: tests of all metrics.
        data_checks: results of `dq_report`; None = skipped.
        previous: decisions of the last published run.
    """
    spec = ingested.spec
    looks = Judged(adjust_goals(estimates, spec), ())
    if measured is not None:
        looks = follow_looks(ingested, measured, estimates)
    adjusted = adjust_segments(looks.estimates, spec)
    guardrails = {(g.metric_name, g.treatment): g for g in looks.guardrails}
    if measured is not None:
        guardrails |= _assess_guardrails(ingested, measured, adjusted)
    judged = note_pretrends([_note(e, guardrails) for e in adjusted], pretrends)
    before = read_told(previous)
    told = tell_crossings(spec, judged, looks.guardrails)
    checks = check_trust(
        ingested,
        measured,
        estimates,
        pretrends=pretrends,
        data_checks=data_checks,
        looks=_check_looks(spec, before, told),
    )
    decisions = decide(
        spec,
        judged,
        checks=checks,
        guardrails=tuple(guardrails.values()),
        directions={n: d.direction for n, d in ingested.definitions.items()},
        pretrends=tuple(t for t in pretrends if t.role is EstimateRole.PRIMARY),
    )
    carried = carry_told(before, told)
    decisions = tuple(remember_told(d, carried, spec.treatments) for d in decisions)
    judged = tuple(_hold_open(ingested, e, decisions) for e in judged)
    return Judgement(judged, checks, decisions[-1].verdict, decisions)


Assessments = Mapping[tuple[str, str], GuardrailAssessment]
AllTold = Mapping[str, Mapping[str, Told]]


def _check_looks(
    spec: ExperimentSpec, before: AllTold, now: AllTold
) -> list[CheckResult]:
    """What was told and has moved, by metric and arm; nothing without looks."""
    moved: dict[str, list[Restatement]] = {}
    for found in (*compare_plan(spec, before), *compare_told(before, now)):
        subject = f"{found.metric_name}:{found.treatment}".strip(":") or "plan"
        moved.setdefault(subject, []).append(found)
    facts = [
        RestatedFacts(
            spec.experiment_id,
            subject,
            tuple((one.test, one.before, one.now) for one in found),
            found[0].cause,
        )
        for subject, found in moved.items()
    ]
    if not facts and any(now.values()):
        facts = [RestatedFacts(spec.experiment_id)]
    return [check_restated(one) for one in facts]


def _assess_guardrails(
    ingested: Ingested, measured: Measured, estimates: Sequence[Estimate]
) -> Assessments:
    spec = ingested.spec
    names = spec.plan.names(MetricRole.GUARDRAIL)
    found = {}
    for estimate in estimates:
        if not is_deciding(estimate, names) or is_followed(estimate):
            continue
        found[estimate.metric_name, estimate.treatment] = _assess_guardrail(
            ingested, measured, estimate
        )
    return found


def _assess_guardrail(
    ingested: Ingested, measured: Measured, estimate: Estimate
) -> GuardrailAssessment:
    """By the totals, and by the test, that the estimate was made from."""
    spec, name = ingested.spec, estimate.metric_name
    control, treatment = _pair_totals(ingested, measured, estimate)
    plan, definition = spec.plan.of(name), ingested.definitions[name]
    margin_test = None
    if is_resampled(estimate) and measured.clusters is not None:
        is_did = estimate.method == DID
        sums = measured.clusters.panel if is_did else measured.clusters.sums
        margin_test = build_margin_test(
            sums[name, spec.control],
            sums[name, estimate.treatment],
            is_relative=plan.margin_scale is MarginScale.RELATIVE,
            good=1.0 if definition.direction is Direction.INCREASE else -1.0,
            seed=int(estimate.details["seed"]),
        )
    return assess_guardrail(
        control, treatment, estimate, plan, definition, margin_test=margin_test
    )


def _pair_totals(
    ingested: Ingested, measured: Measured, estimate: Estimate
) -> tuple[GuardedTotals, GuardedTotals]:
    """Both arms' totals of the kind that the estimate was made from."""
    spec, name = ingested.spec, estimate.metric_name
    arms = (spec.control, estimate.treatment)
    grams = [measured.grams.get((name, arm)) for arm in arms]
    if estimate.method == DID and grams[0] and grams[1]:
        return panel_of(grams[0]), panel_of(grams[1])
    if estimate.method == CLUSTER and measured.clusters is not None:
        found = [measured.clusters.totals.get((name, "all", arm)) for arm in arms]
        if found[0] and found[1]:
            return found[0], found[1]
    return measured.pair(name, "all", spec, estimate.treatment)


def _hold_open(
    ingested: Ingested, estimate: Estimate, decisions: Sequence[Decision]
) -> Estimate:
    """What is tested at the end alone, as whole clusters are, proves nothing before it."""
    spec, name = ingested.spec, estimate.metric_name
    open_arms = {
        one.treatment
        for one in decisions
        if one.treatment and not one.details["is_complete"]
    }
    is_planned = spec.plan.of(name).role is not MetricRole.MONITOR
    is_open = estimate.treatment in open_arms and estimate.is_ok and is_planned
    if not is_open or is_followed(estimate) or not is_deciding(estimate, (name,)):
        return estimate
    row = await_look(spec, ingested.definitions[name], estimate)
    if estimate.p_value_adjusted is not None:
        row = replace(row, p_value_adjusted=1.0)
    waiting = await_guardrail(spec, row)
    return _note(row, {(name, g.treatment): g for g in waiting})


def _note(estimate: Estimate, assessments: Assessments) -> Estimate:
    """Store a guardrail's outcome beside the numbers it came from."""
    assessment = assessments.get((estimate.metric_name, estimate.treatment))
    if assessment is None or not is_deciding(estimate, (estimate.metric_name,)):
        return estimate
    held: bool | None = assessment.status is GuardrailStatus.NON_INFERIOR
    if assessment.status is GuardrailStatus.UNKNOWN:
        held = None
    outcome = {
        "is_noninferior": held,
        "reason": assessment.reason,
        "margin": assessment.margin,
        "margin_scale": assessment.margin_scale.value,
        "bound": assessment.bound,
        "p_value": assessment.p_value,
        "harm_p_value": assessment.harm_p_value,
        "is_degraded": assessment.is_degraded,
        "alpha": assessment.alpha,
        "test": assessment.test,
    }
    return replace(estimate, details={**estimate.details, "noninferiority": outcome})
