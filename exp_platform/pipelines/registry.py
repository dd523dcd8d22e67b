"""Rows of `experiment_registry` as `ExperimentSpec`, and back.

The registry is a contract: a broken row stops the run before any table is touched.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.records import (
    AnalysisPlan,
    Assignment,
    ExperimentSpec,
    MarginScale,
    MetricPlan,
    MetricRole,
    Variant,
)

_NEXT = "correct the registry row (or the import's flags); no table was changed"
_MAX_NAME = 200


def read_spec(row: Mapping[str, Any]) -> ExperimentSpec:
    """The experiment that a registry row describes.

    Args:
        row: column -> value, instants as datetimes with a zone.

    Raises:
        ContractError: window, arms, weights, assignment or plan make no sense.
    """
    where = f"experiment_registry of {row['experiment_id']}"
    variants = _read_variants(row["variants"], where)
    control = row["control"]
    if control not in {variant.name for variant in variants}:
        raise ContractError(
            "the control is not one of the arms",
            where=where,
            found=repr(control),
            allowed=", ".join(variant.name for variant in variants),
            next_step=_NEXT,
        )
    spec = ExperimentSpec(
        experiment_id=row["experiment_id"],
        start_ts=_utc(row["start_ts"]),
        end_ts=_utc(row["end_ts"]),
        watermark_ts=_utc(row["watermark_ts"]),
        variants=variants,
        control=control,
        plan=read_plan(row["plan"], where),
        unit_type=row["unit"],
        assignment=_choice(Assignment, row["assignment"], "assignment", where),
        policy_ts=_utc(row["policy_ts"]) if row.get("policy_ts") else None,
        cluster=row.get("cluster"),
        pre_period_days=int(row["pre_period_days"]),
        is_dated=bool(row["is_dated"]),
        owner=row.get("owner") or "",
        hypothesis=row.get("hypothesis") or "",
    )
    _check_window(spec, where)
    return spec


def read_plan(text: str, where: str) -> AnalysisPlan:
    """An analysis plan from its JSON text; unknown keys are errors.

    Raises:
        ContractError: not JSON, an unknown key, a guardrail without a margin.
    """
    document = read_json(text, "plan", where)
    _known(document, {f.name for f in fields(AnalysisPlan)}, f"{where}, plan")
    metrics = tuple(_read_metric(entry, where) for entry in document.get("metrics", []))
    names = [metric.metric_name for metric in metrics]
    if len(set(names)) != len(names):
        raise ContractError(
            "a metric stands twice in the plan",
            where=where,
            found=", ".join(names),
            next_step=_NEXT,
        )
    rest = {key: value for key, value in document.items() if key != "metrics"}
    rest["segments"] = tuple(rest.get("segments", ()))
    plan = AnalysisPlan(metrics=metrics, **rest)
    for name, value in (("alpha", plan.alpha), ("alpha_harm", plan.alpha_harm)):
        if not 0 < value < 1:
            raise ContractError(
                f"{name} must lie between 0 and 1",
                where=where,
                found=str(value),
                next_step=_NEXT,
            )
    return plan


def write_plan(plan: AnalysisPlan) -> str:
    """The JSON text of a plan; `read_plan` gives the same plan back."""
    return json.dumps(asdict(plan), sort_keys=True)


def write_variants(variants: tuple[Variant, ...]) -> str:
    """The JSON text of the arms."""
    return json.dumps([asdict(variant) for variant in variants])


def read_json(text: str, name: str, where: str) -> Any:
    """A JSON column's document.

    Raises:
        ContractError: not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(
            f"{name} is not JSON", where=where, found=str(error), next_step=_NEXT
        ) from error


def _read_variants(text: str, where: str) -> tuple[Variant, ...]:
    entries = read_json(text, "variants", where)
    try:
        variants = tuple(Variant(str(e["name"]), float(e["weight"])) for e in entries)
    except (TypeError, KeyError, ValueError) as error:
        raise ContractError(
            "variants must be a list of {name, weight}",
            where=where,
            found=text[:200],
            next_step=_NEXT,
        ) from error
    names = [variant.name for variant in variants]
    total = sum(variant.weight for variant in variants)
    broken = (
        len(names) < 2
        or len(set(names)) != len(names)
        or any(not 0 < v.weight < 1 or not v.name.strip() for v in variants)
        or any(len(name) > _MAX_NAME for name in names)
        or abs(total - 1) > 1e-6
    )
    if broken:
        raise ContractError(
            "an experiment needs two or more different arms with shares that add to 1",
            where=where,
            found=text[:200],
            next_step=_NEXT,
        )
    return variants


def _read_metric(entry: Any, where: str) -> MetricPlan:
    where = f"{where}, plan.metrics"
    if not isinstance(entry, dict) or "metric_name" not in entry:
        raise ContractError(
            "a planned metric needs metric_name and role",
            where=where,
            found=repr(entry)[:200],
            next_step=_NEXT,
        )
    _known(entry, {f.name for f in fields(MetricPlan)}, where)
    role = _choice(MetricRole, entry.get("role", "monitor"), "role", where)
    margin = entry.get("margin")
    if role is MetricRole.GUARDRAIL and not (margin and margin > 0):
        raise ContractError(
            f"guardrail {entry['metric_name']!r} needs a margin above 0",
            where=where,
            found=repr(margin),
            allowed="the largest harm that is still acceptable, e.g. 0.02 relative",
            next_step=_NEXT,
        )
    scale = entry.get("margin_scale", "relative")
    return MetricPlan(
        metric_name=entry["metric_name"],
        role=role,
        margin=margin,
        margin_scale=_choice(MarginScale, scale, "margin_scale", where),
        mde=entry.get("mde"),
        covariate=bool(entry.get("covariate", False)),
    )


def _known(document: Any, names: set[str], where: str) -> None:
    if not isinstance(document, dict):
        raise ContractError(
            "not a mapping", where=where, found=repr(document)[:200], next_step=_NEXT
        )
    for key in document:
        if key not in names:
            raise ContractError(
                f"unknown key {key!r}",
                where=where,
                allowed=did_you_mean(key, names),
                next_step=_NEXT,
            )


def _choice(kind: Any, value: Any, name: str, where: str) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise ContractError(
            f"{name} has a value that does not exist",
            where=where,
            found=repr(value),
            allowed=", ".join(member.value for member in kind),
            next_step=_NEXT,
        ) from error


def _check_window(spec: ExperimentSpec, where: str) -> None:
    if spec.start_ts >= spec.end_ts:
        raise ContractError(
            "the experiment ends before it starts",
            where=where,
            found=f"{spec.start_ts} to {spec.end_ts}",
            next_step=_NEXT,
        )
    if spec.assignment is Assignment.POLICY and spec.policy_ts is None:
        raise ContractError(
            "a policy roll-out needs policy_ts", where=where, next_step=_NEXT
        )
    if spec.pre_period_days < 0:
        raise ContractError(
            "pre_period_days is negative",
            where=where,
            found=str(spec.pre_period_days),
            next_step=_NEXT,
        )


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)
