"""Rows of `experiment_registry` as `ExperimentSpec`, and back.

The registry is a contract: a broken row stops the run before any table is touched.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exp_platform.errors import ContractError, UsageError, did_you_mean
from exp_platform.lake import validate_experiment_id
from exp_platform.pipelines.panel_request import read_layout
from exp_platform.records import (
    AnalysisPlan,
    Assignment,
    ExperimentSpec,
    LookMethod,
    MarginScale,
    MetricPlan,
    MetricRole,
    PanelPeriods,
    SequentialDesign,
    SpendingClock,
    SpendingKind,
    Variant,
)

_NEXT = "correct the registry row (or the import's flags); no table was changed"
_MAX_NAME = 200
_MAX_PRE_DAYS = 365
_MAX_PANEL_DAYS = 400

Name = Annotated[str, Field(min_length=1, max_length=128)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _MetricText(_Strict):
    """A planned metric as it is written down; see `MetricPlan`."""

    metric_name: Name
    role: MetricRole = MetricRole.MONITOR
    margin: Positive | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    mde: Positive | None = None
    covariate: bool = False
    mixture_sd: Positive | None = None


class _SequentialText(_Strict):
    """The looks as they are written down; see `SequentialDesign`."""

    method: LookMethod | None = None
    spending: SpendingKind = "obrien_fleming"
    exponent: Positive = 3.0
    harm_spending: SpendingKind = "pocock"
    clock: SpendingClock = "schedule"
    planned_units: int | None = Field(None, ge=2)
    look_every_days: int = Field(1, ge=1, le=_MAX_PRE_DAYS)
    look_days: tuple[Annotated[int, Field(ge=1)], ...] = ()
    follow_up_days: float = Field(0.0, ge=0, le=_MAX_PRE_DAYS)
    has_end: bool = True


class _PlanText(_Strict):
    """A plan as it is written down; see `AnalysisPlan`."""

    metrics: tuple[_MetricText, ...] = Field(min_length=1)
    alpha: Level = 0.05
    alpha_harm: Level = 0.05
    min_units_per_arm: int = Field(100, ge=1)
    segments: tuple[Name, ...] = ()
    tie_break: str | None = None
    accept_within_margin: bool = False
    keep_duplicates: bool = False
    bot_rows_per_day: int = Field(100, ge=1)
    exclude_bots: bool = False
    sequential: _SequentialText = _SequentialText()
    received: str | None = None
    adjust_by: tuple[Name, ...] = ()


def require_totals(spec: ExperimentSpec) -> ExperimentSpec:
    """The same experiment; refused where it is a panel, of which no totals are stored.

    Args:
        spec: of the registry.

    Raises:
        UsageError: a ready-made panel.
    """
    if spec.panel is None:
        return spec
    raise UsageError(
        f"{spec.experiment_id} is a ready-made panel: no totals of its arms are stored",
        where=spec.experiment_id,
        allowed="an experiment with rows by user",
        next_step=f"`exp results {spec.experiment_id}` has its numbers",
    )


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
        namespace=_read_namespace(row.get("namespace"), where),
        source=row.get("source") or "",
        panel=_read_panel(row),
    )
    _check_window(spec, where)
    return spec


def _read_panel(row: Mapping[str, Any]) -> PanelPeriods | None:
    document, policy_ts = row.get("panel"), row.get("policy_ts")
    if document is None:
        return None
    layout = read_layout(document)
    first = "" if policy_ts is None else layout.name_instant(_utc(policy_ts))
    return PanelPeriods(layout.period_word, layout.labels, first)


def read_plan(text: str, where: str) -> AnalysisPlan:
    """An analysis plan from its JSON text; unknown keys are errors.

    Raises:
        ContractError: not JSON, an unknown key, a value of the wrong type or out of
            bounds, a guardrail without a margin.
    """
    where = f"{where}, plan"
    read_json(text, "plan", where)
    try:
        document = _PlanText.model_validate_json(text)
    except ValidationError as error:
        raise _plan_error(error, where) from error
    names = [metric.metric_name for metric in document.metrics]
    for name in names:
        if names.count(name) > 1:
            raise ContractError(
                "a metric stands twice in the plan",
                where=where,
                found=name,
                next_step=_NEXT,
            )
    for key in ("tie_break", "received"):
        named = getattr(document, key)
        if named is not None and named not in names:
            raise ContractError(
                f"{key} names a metric that is not in the plan",
                where=where,
                allowed=did_you_mean(named, names),
                next_step=_NEXT,
            )
    plan = AnalysisPlan(
        **{
            **dict(document),
            "metrics": tuple(_read_metric(entry, where) for entry in document.metrics),
            "sequential": SequentialDesign(**dict(document.sequential)),
        }
    )
    _check_looks(plan, where)
    return plan


def _check_looks(plan: AnalysisPlan, where: str) -> None:
    """What was registered about looking must fit together."""
    design = plan.sequential
    is_group = design.method in (None, LookMethod.GROUP_SEQUENTIAL)
    needs_units = design.clock == "units" and is_group
    has_units = design.planned_units is not None
    no_sd = [
        metric.metric_name
        for metric in plan.metrics
        if metric.role is not MetricRole.MONITOR and metric.mixture_sd is None
    ]
    problems = {
        "clock `units` needs planned_units": needs_units and not has_units,
        "without a registered end a group sequential test needs planned_units and "
        "clock `units`": not design.has_end
        and is_group
        and (design.method is not None or has_units)
        and not (has_units and design.clock == "units"),
        "look_days and look_every_days exclude each other": bool(design.look_days)
        and design.look_every_days != 1,
        f"msprt needs mixture_sd of {', '.join(no_sd)}": bool(no_sd)
        and design.method is LookMethod.MSPRT,
    }
    for problem, is_so in problems.items():
        if is_so:
            raise ContractError(
                problem,
                where=f"{where}, sequential",
                found=_name_changes(design),
                next_step=_NEXT,
            )


def _name_changes(design: SequentialDesign) -> str:
    """What differs from the design by default, as it is written down."""
    usual = asdict(SequentialDesign())
    own = {key: value for key, value in asdict(design).items() if value != usual[key]}
    return json.dumps(own) if own else "the design by default"


def _plan_error(error: ValidationError, where: str) -> ContractError:
    """The first thing that is wrong, with the key it stands under."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if not isinstance(part, int)]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[_Strict]] = {
            "metrics": _MetricText,
            "sequential": _SequentialText,
        }
        part = str(location[0]) if len(location) > 1 else ""
        model = parts.get(part, _PlanText)
        return ContractError(
            f"unknown key {key!r}",
            where=where,
            allowed=did_you_mean(str(location[-1]), model.model_fields),
            next_step=_NEXT,
        )
    return ContractError(
        f"{key}: {first['msg']}" if key else "not a mapping",
        where=where,
        found=repr(first.get("input"))[:200],
        next_step=_NEXT,
    )


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


def read_mapping(text: str, name: str, where: str) -> dict[str, Any]:
    """A JSON column whose document has names and values.

    Raises:
        ContractError: not JSON, or not a mapping.
    """
    document = read_json(text, name, where)
    if isinstance(document, dict):
        return document
    raise ContractError(
        f"{name} is not a mapping",
        where=where,
        found=repr(document)[:200],
        next_step=_NEXT,
    )


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


def _read_namespace(text: str | None, where: str) -> str:
    """A namespace is the name of a folder."""
    if not text:
        return ""
    try:
        return validate_experiment_id(text)
    except UsageError as error:
        raise ContractError(
            "not a namespace",
            where=where,
            found=repr(text),
            allowed=error.parts["allowed"],
            next_step=_NEXT,
        ) from error


def _read_metric(entry: "_MetricText", where: str) -> MetricPlan:
    if entry.role is MetricRole.GUARDRAIL and entry.margin is None:
        raise ContractError(
            f"guardrail {entry.metric_name!r} needs a margin above 0",
            where=where,
            allowed="the largest harm that is still acceptable, e.g. 0.02 relative",
            next_step=_NEXT,
        )
    return MetricPlan(**dict(entry))


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
    days = spec.pre_period_days
    if not 0 <= days <= _MAX_PRE_DAYS:
        raise ContractError(
            "pre_period_days is out of bounds",
            where=where,
            found=str(days),
            allowed=f"0 to {_MAX_PRE_DAYS}",
            next_step=_NEXT,
        )
    if spec.policy_ts is not None and days:
        days += (spec.watermark_ts - spec.policy_ts).days
        if days > _MAX_PANEL_DAYS:
            raise ContractError(
                "the panel before and after policy_ts has too many days",
                where=where,
                found=f"{days} days to the watermark {spec.watermark_ts}",
                allowed=f"up to {_MAX_PANEL_DAYS}",
                next_step=_NEXT,
            )


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)
