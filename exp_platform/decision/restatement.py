"""What was reported about past looks, and whether it still stands.

A run recomputes every look, so late data may move a crossing that was already told.
What was told first is carried from run to run in the decision's details.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from exp_platform.checks.wording import join_words
from exp_platform.decision.family import harm_level, is_deciding
from exp_platform.decision.proof import is_followed
from exp_platform.records import (
    Assignment,
    Decision,
    Estimate,
    ExperimentSpec,
    MarginScale,
    MetricRole,
)
from exp_platform.stats.guardrail import ALPHA, GuardrailAssessment

Told = Mapping[str, Any]
"""One comparison: `crossings` (test -> instant or None), `since` and `through` (the
earliest and the latest look), `version` of the metric, `design` of the plan, its `looks`
and `rules`, and the metric's `part` in it, all text; `reach` where the look has one."""

TESTS = ("effect", "harm", "noninferiority")

PART = "part"
"""What has moved where the plan gives a metric another part than the one told."""

LOOKS = "looks"
"""What has moved where the plan has other looks, or another error rate."""

RULES = "rules"
"""What has moved where the plan tells shippable from not, or arms apart, otherwise."""

_AND = "; "

_PLANNED = "a goal or guardrail"

REACH = "reach"
"""Up to when the one look reads that reads all data so far, also those after the end."""

_ON_ALL_DATA = ("NO_WINDOW", "NO_MOMENTS")

_GONE = "told_of_arms_gone"

_KEYS = {
    "effect": "first_crossing",
    "harm": "harm_crossing",
    "noninferiority": "noninferiority_crossing",
}


@dataclass(frozen=True, slots=True)
class Restatement:
    """A past crossing that is no longer where it was, or a metric's part in the plan.

    Attributes:
        metric_name, treatment: "" = the whole plan.
        test: effect, harm or noninferiority; part, looks or rules.
        before, now: instant of the first crossing; None = there was or is none. Of the
            others their words; None = the metric decides nothing now.
        cause: LATE_DATA, LATER_WATERMARK, PLAN_CHANGED or DEFINITION_CHANGED.
    """

    metric_name: str
    treatment: str
    test: str
    before: str | None
    now: str | None
    cause: str


def tell_crossings(
    spec: ExperimentSpec,
    estimates: Sequence[Estimate],
    guardrails: Sequence[GuardrailAssessment],
) -> dict[str, dict[str, Told]]:
    """Where has each goal and guardrail crossed its bounds, by arm and metric?

    Args:
        spec: registry row with the plan.
        estimates: judged, a row per look.
        guardrails: their assessments.
    """
    shown = {(g.metric_name, g.treatment): g for g in guardrails}
    names = [plan.metric_name for plan in spec.plan.metrics]
    told: dict[str, dict[str, Told]] = {name: {} for name in spec.treatments}
    for row in estimates if spec.is_dated else ():
        instants = _instants(estimates, row) or _end_alone(spec, row)
        if not is_deciding(row, names) or not instants:
            continue
        place = row.details.get("sequential", {})
        crossings = {test: place.get(key) for test, key in _KEYS.items()}
        if place.get("method") == "fixed":
            crossings = _cross_once(spec, row, shown)
        told.setdefault(row.treatment, {})[row.metric_name] = {
            "crossings": {test: instants.get(k) for test, k in crossings.items()},
            "since": min(instants.values(), key=_instant),
            "through": max(instants.values(), key=_instant),
            "version": row.metric_version,
            "design": _hash_plan(spec),
            **_name_plan(spec),
            PART: _name_part(spec, row.metric_name, row.treatment),
            **_name_reach(spec, place),
        }
    return told


def compare_told(
    before: Mapping[str, Mapping[str, Told]], now: Mapping[str, Mapping[str, Told]]
) -> tuple[Restatement, ...]:
    """Which crossings have moved since they were first told?

    Args:
        before: by arm and metric, as stored by the last published run.
        now: of this run.
    """
    return tuple(
        found
        for arm, metrics in now.items()
        for metric, told in metrics.items()
        for test in TESTS
        if (first := before.get(arm, {}).get(metric)) is not None
        and (found := _compare(arm, metric, test, first=first, now=told)) is not None
    )


def compare_plan(
    spec: ExperimentSpec, before: Mapping[str, Mapping[str, Told]]
) -> tuple[Restatement, ...]:
    """What was planned otherwise when it was told: looks, rules, parts in the decision.

    A guardrail that is left out once its looks are known moves no crossing, but the
    decision; nor does an end that is put off.

    Args:
        spec: registry row with the plan of this run.
        before: by arm and metric, as stored by the last published run.
    """
    told = [first for metrics in before.values() for first in metrics.values()]
    moved = [
        Restatement("", "", name, _less(one, words), _less(words, one), "PLAN_CHANGED")
        for name, words in _name_plan(spec).items()
        for one in dict.fromkeys(first.get(name, words) for first in told)
        if one != words
    ]
    parts = [
        Restatement(metric, arm, PART, first.get(PART, _PLANNED), now, "PLAN_CHANGED")
        for arm, metrics in before.items()
        for metric, first in metrics.items()
        if (now := _name_part(spec, metric, arm)) != first.get(PART, now or _PLANNED)
    ]
    return (*moved, *parts)


def _less(words: str, others: str) -> str:
    """What of a plan's words the other one does not say."""
    own = (word for word in words.split(_AND) if word not in others.split(_AND))
    return join_words(own)


def carry_told(
    before: Mapping[str, Mapping[str, Told]], now: Mapping[str, Mapping[str, Told]]
) -> dict[str, dict[str, Told]]:
    """What is to be remembered: the first report, moved on by looks without news.

    Args:
        before: by arm and metric, as stored by the last published run.
        now: of this run.
    """
    arms = dict.fromkeys((*now, *before))
    return {arm: _carry_arm(before.get(arm, {}), now.get(arm, {})) for arm in arms}


def remember_told(
    decision: Decision, told: Mapping[str, Mapping[str, Told]], arms: Sequence[str]
) -> Decision:
    """The decision on an arm with what was told of it; the overall one with the rest.

    Args:
        decision: on an arm, or overall.
        told: by arm and metric.
        arms: those of the plan.
    """
    key, kept = "told", told.get(decision.treatment, {})
    if not decision.treatment:
        key = _GONE
        kept = {arm: of for arm, of in told.items() if of and arm not in arms}
    if not kept:
        return decision
    return replace(decision, details={**decision.details, key: dict(kept)})


def read_told(decisions: Sequence[Decision]) -> dict[str, dict[str, Told]]:
    """What stored decisions remember, by arm and metric."""
    told: dict[str, dict[str, Told]] = {}
    for decision in decisions:
        if decision.treatment:
            told[decision.treatment] = dict(decision.details.get("told", {}))
        told |= decision.details.get(_GONE, {})
    return told


def _instants(estimates: Sequence[Estimate], row: Estimate) -> dict[int, str]:
    """Look number -> its instant, of the row's comparison up to the row."""
    key = (row.metric_name, row.treatment, row.method, row.segment)
    return {
        e.look: e.look_ts.isoformat()
        for e in estimates
        if (e.metric_name, e.treatment, e.method, e.segment) == key
        and e.look is not None
        and e.look_ts is not None
    }


def _end_alone(spec: ExperimentSpec, row: Estimate) -> dict[int, str]:
    """The end, of what is tested there alone and not by looks: whole clusters."""
    has_clusters = spec.cluster and spec.assignment is Assignment.RANDOMISED
    is_tested = has_clusters and spec.is_complete and not is_followed(row)
    return {1: spec.last_look_ts.isoformat()} if is_tested and row.is_ok else {}


def _cross_once(
    spec: ExperimentSpec,
    row: Estimate,
    shown: Mapping[tuple[str, str], GuardrailAssessment],
) -> dict[str, int | None]:
    """A single look crosses at that look, or not at all."""
    guardrail = shown.get((row.metric_name, row.treatment))
    is_guardrail = spec.plan.of(row.metric_name).role is MetricRole.GUARDRAIL
    levels = {
        "effect": (row.sequential_p_value, spec.plan.alpha),
        "harm": (row.harm_p_value, harm_level(spec)),
        "noninferiority": (guardrail.p_value if guardrail else None, ALPHA),
    }
    return {
        test: row.look if p is not None and p <= level else None
        for test, (p, level) in levels.items()
        if test != "noninferiority" or is_guardrail
    }


def _name_reach(spec: ExperimentSpec, place: Mapping[str, Any]) -> dict[str, str]:
    """Values without a window grow on after the look that reads them."""
    is_open = place.get("why_one_look") in _ON_ALL_DATA
    return {REACH: spec.watermark_ts.isoformat()} if is_open else {}


def _name_part(spec: ExperimentSpec, metric: str, treatment: str) -> str | None:
    """A metric's part in the decision on an arm; None = it decides nothing."""
    if treatment not in spec.treatments:
        return None
    plan = spec.plan.of(metric)
    if plan.role is MetricRole.GUARDRAIL and plan.margin is not None:
        is_share = plan.margin_scale is MarginScale.RELATIVE
        size = f"{100 * plan.margin:.12g} %" if is_share else f"{plan.margin:.12g}"
        return f"a guardrail (margin {size})"
    return None if plan.role is MetricRole.MONITOR else f"a {plan.role.value}"


def _name_plan(spec: ExperimentSpec) -> dict[str, str]:
    """What a decision depends on beside the metrics' parts, in words."""
    return {LOOKS: _name_looks(spec), RULES: _name_rules(spec)}


def _name_rules(spec: ExperimentSpec) -> str:
    takes_worse = spec.plan.accept_within_margin
    words = [
        f"worse inside a margin is {'accepted' if takes_worse else 'not accepted'}"
    ]
    if len(spec.treatments) > 1:
        words.append(f"{spec.plan.tie_break or 'nothing'} picks among several arms")
    return _AND.join(words)


def _name_looks(spec: ExperimentSpec) -> str:
    """Error rates and looks of the plan; an end where one is registered."""
    design = spec.plan.sequential
    days = ", ".join(map(str, design.look_days))
    planned = design.planned_units
    words = (
        f"alpha {spec.plan.alpha:g}",
        f"alpha {spec.plan.alpha_harm:g} of harm",
        f"end {spec.last_look_ts:%Y-%m-%d %H:%M} UTC" if design.has_end else "no end",
        "no units planned" if planned is None else f"{planned} units planned",
        f"looks on days {days}" if days else f"looks every {design.look_every_days} d",
        design.method.value if design.method else "method by default",
        design.spending,
    )
    return _AND.join(words)


def _hash_plan(spec: ExperimentSpec) -> str:
    """What a crossing depends on beside the data."""
    plan = asdict(spec.plan)
    meaning = {
        "start": spec.start_ts,
        "end": spec.last_look_ts if spec.plan.sequential.has_end else None,
        "variants": [asdict(variant) for variant in spec.variants],
        "control": spec.control,
        **{name: plan[name] for name in ("alpha", "alpha_harm", "metrics")},
        "sequential": plan["sequential"],
    }
    text = json.dumps(meaning, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _compare(
    arm: str, metric: str, test: str, *, first: Told, now: Told
) -> Restatement | None:
    before = first["crossings"].get(test)
    after = now["crossings"].get(test)
    is_news = after is not None and _is_new_look(before or after, first, now)
    if before == after or is_news:
        return None
    cause = "LATER_WATERMARK" if _reaches_further(first, now) else "LATE_DATA"
    if first["version"] != now["version"]:
        cause = "DEFINITION_CHANGED"
    if first["design"] != now["design"]:
        cause = "PLAN_CHANGED"
    return Restatement(metric, arm, test, before, after, cause)


def _is_new_look(crossed: str, first: Told, now: Told) -> bool:
    """A crossing after all looks told, or in place of one that this run does not take.

    One look at the end of the data moves on with them: the earlier one is gone.
    """
    is_same_plan = first["design"] == now["design"]
    is_gone = is_same_plan and _instant(crossed) < _instant(now.get("since", crossed))
    return is_gone or _instant(crossed) > _instant(first["through"])


def _carry_arm(before: Mapping[str, Told], now: Mapping[str, Told]) -> dict[str, Told]:
    """What this run could not tell stays as it was told."""
    return {
        **before,
        **{name: _carry(before.get(name), one) for name, one in now.items()},
    }


def _carry(first: Told | None, now: Told) -> Told:
    if first is None:
        return now
    if first.get(PART, now.get(PART)) != now.get(PART):
        return first
    tests = {*first["crossings"], *now["crossings"]}
    moved = {
        test: _compare("", "", test, first=first, now=now) is not None for test in tests
    }
    if any(moved.values()):
        return first
    return {
        **now,
        "crossings": {
            test: first["crossings"].get(test) or now["crossings"].get(test)
            for test in sorted(tests)
        },
        "through": max(first["through"], now["through"], key=_instant),
        "version": first["version"],
        "design": first["design"],
        **{name: first[name] for name in (LOOKS, RULES) if name in first},
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _reaches_further(first: Told, now: Told) -> bool:
    if REACH not in first or REACH not in now:
        return False
    return _instant(now[REACH]) > _instant(first[REACH])
