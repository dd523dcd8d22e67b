"""From totals at every look to judged estimates and a decision; no lake, no clock.

>>> from exp_platform.decision.sequential import decide_looks, judge_looks

`decide_looks` is the whole rule; `judge_looks` stops before the decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exp_platform.decision.decide import decide
from exp_platform.decision.family import adjust_goals, is_deciding
from exp_platform.decision.looks import (
    choose_look_method,
    explain_single_look,
    plan_looks,
)
from exp_platform.decision.series import LookSeries
from exp_platform.decision.track import Track, track_series
from exp_platform.records import (
    CheckResult,
    Decision,
    Estimate,
    EstimateRole,
    ExperimentSpec,
    LookMethod,
    MetricDefinition,
    MetricRole,
)
from exp_platform.stats.guardrail import GuardrailAssessment, GuardrailStatus

NO_LOOK = "NO_LOOK"
"""Status of a row on all data so far while no look has been taken."""

LATEST = "LATEST"
"""Status of a row on all data so far beside the look that decides."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What all looks so far say.

    Attributes:
        estimates: a row per look, one of them primary for each metric and arm, the
            goals' corrected by Holm; and the rows on all data so far.
        guardrails: one per guardrail and arm that was followed over its looks.
    """

    estimates: tuple[Estimate, ...]
    guardrails: tuple[GuardrailAssessment, ...]


def judge_looks(
    spec: ExperimentSpec,
    series: Sequence[LookSeries],
    *,
    latest: Sequence[Estimate] = (),
    has_stop: bool = True,
) -> Judged:
    """Follow every goal and guardrail over its looks, and correct the goals by Holm.

    Args:
        spec: registry row with the plan.
        series: one per goal and guardrail x arm, with the totals at its looks.
        latest: rows on all data so far. Where a series belongs to a primary one, its
            look in force becomes primary instead; before the first look the row stays,
            and says that nothing was tested. Other rows are handed on.
        has_stop: estimate the effect after a stop; no decision needs it.

    Returns:
        Estimates and guardrails, ready for `decide`.
    """
    tracks = {
        (one.definition.name, one.treatment): (
            one,
            track_series(spec, one, has_stop=has_stop),
        )
        for one in series
    }
    decisive = [plan.metric_name for plan in spec.plan.metrics]
    rows: list[Estimate] = []
    guardrails = [t.guardrail for _, t in tracks.values() if t.guardrail is not None]
    for estimate in latest:
        found = tracks.get((estimate.metric_name, estimate.treatment))
        if found is None or not is_deciding(estimate, decisive):
            rows.append(estimate)
        elif found[1].rows:
            rows += _demote(estimate, found[1])
        else:
            rows.append(await_look(spec, found[0].definition, estimate))
            guardrails += await_guardrail(spec, estimate)
    rows += [row for _, track in tracks.values() for row in track.rows]
    return Judged(adjust_goals(rows, spec), tuple(guardrails))


def decide_looks(
    spec: ExperimentSpec,
    series: Sequence[LookSeries],
    *,
    checks: Sequence[CheckResult] = (),
) -> tuple[Decision, ...]:
    """What to do about every arm, and overall, given the totals at all looks so far?

    Args:
        spec: registry row with the plan; its watermark says how far the data reach.
        series: one per goal and guardrail x arm.
        checks: all check results; a required one that is absent is NOT_RUN.
    """
    judged = judge_looks(spec, series, has_stop=False)
    return decide(
        spec,
        judged.estimates,
        checks=checks,
        guardrails=judged.guardrails,
        directions={s.definition.name: s.definition.direction for s in series},
    )


def strip_looks(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """The rows as their estimators made them, before any look was judged.

    Args:
        estimates: stored rows.
    """
    rows = []
    for estimate in estimates:
        place = estimate.details.get("sequential")
        if place is None:
            rows.append(estimate)
        elif (
            estimate.look is None
            or place["method"] == LookMethod.FIXED
            or "alone" in place
        ):
            rows.append(_strip(estimate))
    return tuple(rows)


def _strip(estimate: Estimate) -> Estimate:
    details = {k: v for k, v in estimate.details.items() if k != "sequential"}
    alone = dict(estimate.details["sequential"].get("alone", {}))
    interval = alone.pop("interval", None)
    if interval is not None:
        details["interval"] = interval
    if alone.get("relative_ci_lower") is not None:
        # The wider interval of the look may have had no end where this one has.
        details.pop("relative_reason", None)
    return replace(
        estimate,
        role=EstimateRole.PRIMARY,
        look=None,
        look_ts=None,
        sequential_p_value=None,
        p_value_adjusted=None,
        harm_p_value=None,
        details=details,
        **alone,
    )


def _demote(estimate: Estimate, track: Track) -> list[Estimate]:
    """All data so far stand beside the look; not when the look is all there is."""
    row = track.rows[-1]
    numbers = ("n_control", "n_treatment", "difference", "standard_error", "status")
    is_same = all(getattr(row, name) == getattr(estimate, name) for name in numbers)
    if is_same and len(track.rows) == 1:
        return []
    note = {"method": row.details["sequential"]["method"], "status": LATEST}
    details = {**estimate.details, "sequential": note}
    return [replace(estimate, role=EstimateRole.SECONDARY, details=details)]


def await_look(
    spec: ExperimentSpec, definition: MetricDefinition, estimate: Estimate
) -> Estimate:
    """Before the first look nothing is tested: every sequential p-value is 1.

    Args:
        spec: registry row with the plan.
        definition: of the metric.
        estimate: its row on all data so far.
    """
    n_looks = len(plan_looks(spec, definition))
    note = {
        "method": choose_look_method(spec, definition).value,
        "why_one_look": explain_single_look(spec, definition),
        "status": NO_LOOK,
        "looks_planned": n_looks if spec.plan.sequential.has_end else None,
        "is_final": False,
        "p_greater": 1.0,
        "p_less": 1.0,
    }
    has_p = estimate.p_value is not None
    return replace(
        estimate,
        sequential_p_value=1.0 if has_p else None,
        harm_p_value=1.0 if has_p else None,
        details={**estimate.details, "sequential": note},
    )


def await_guardrail(
    spec: ExperimentSpec, estimate: Estimate
) -> list[GuardrailAssessment]:
    """Before the first look no guardrail is shown to hold; none where it is no guardrail.

    Args:
        spec: registry row with the plan.
        estimate: the metric's row on all data so far.
    """
    plan = spec.plan.of(estimate.metric_name)
    if plan.role is not MetricRole.GUARDRAIL:
        return []
    return [
        GuardrailAssessment(
            experiment_id=estimate.experiment_id,
            metric_name=estimate.metric_name,
            treatment=estimate.treatment,
            status=GuardrailStatus.NOT_SHOWN,
            margin=plan.margin,
            margin_scale=plan.margin_scale,
            p_value=1.0,
            harm_p_value=1.0,
            test="",
        )
    ]
