"""The registry row of an import: arms, window, plan and definitions of its metrics."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.import_looks import choose_design
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.pipelines.registry import read_spec, write_plan, write_variants
from exp_platform.records import (
    AnalysisPlan,
    MarginScale,
    MetricPlan,
    MetricRole,
    MetricType,
    Variant,
)

if TYPE_CHECKING:
    import pyarrow as pa


def registry_row(
    experiment_id: str,
    request: ImportRequest,
    *,
    arms: tuple[Variant, ...],
    types: Mapping[str, str],
    window: tuple[datetime, datetime, datetime],
    file: Path,
) -> "pa.Table":
    """The row of `experiment_registry` that an import writes.

    Args:
        experiment_id: the experiment.
        request: the mapping of columns.
        arms: with their planned shares.
        types: metric -> type.
        window: start, end and watermark.
        file: where the data came from.

    Raises:
        ContractError: arms, window or plan that no run would accept.
    """
    import json

    import pyarrow as pa

    from exp_platform.schemas import arrow_schema

    start, end, watermark = window
    plan = AnalysisPlan(
        metrics=_plan_metrics(request),
        segments=tuple(request.segments),
        tie_break=request.tie_break,
        keep_duplicates=request.keep_duplicates,
        sequential=choose_design(request),
        received=request.received,
        adjust_by=tuple(request.adjust_by),
    )
    row = {
        "experiment_id": experiment_id,
        "start_ts": start,
        "end_ts": end,
        "watermark_ts": watermark,
        "variants": write_variants(arms),
        "control": request.control,
        "unit": "user",
        "assignment": request.assignment,
        "cluster": request.cluster,
        "pre_period_days": 0,
        "is_dated": request.exposure_ts is not None,
        "plan": write_plan(plan),
        "definitions": json.dumps(_definitions(request, types), sort_keys=True),
        "source": f"file:{file.name}",
    }
    read_spec(row)
    return pa.Table.from_pylist([row], schema=arrow_schema("experiment_registry"))


def _definitions(
    request: ImportRequest, types: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Definitions that belong to this experiment alone, as they would stand in YAML."""
    documents: dict[str, dict[str, Any]] = {}
    for name, kind in types.items():
        documents[name] = {
            "name": name,
            "type": kind,
            "source": {"outcome": name},
            "description": f"Column {name} of the imported file.",
        }
        past = [_covariate(name, kind, one) for one in request.covariates.get(name, ())]
        if len(past) > 1:
            documents[name]["covariates"] = past
        elif past:
            documents[name]["covariate"] = past[0]
        if name in request.caps:
            documents[name]["cap"] = request.caps[name]
    for name, (numerator, denominator) in request.ratios.items():
        documents[name] = {
            "name": name,
            "type": "ratio",
            "numerator": {"outcome": numerator},
            "denominator": {"outcome": denominator},
            "description": f"{numerator} / {denominator}.",
        }
    for name in request.decreases:
        documents[name]["direction"] = "decrease"
    for name, days in request.windows.items():
        documents[name]["window"] = {"days": days}
    for name, document in documents.items():
        parse_definition(document, f"import of metric {name[:60]}")
    return documents


def _covariate(name: str, kind: str, column: str) -> dict[str, Any]:
    """Another column is taken as it is, also where the metric is yes or no."""
    is_own = column == name
    if is_own or kind != MetricType.PROPORTION:
        return {"outcome": column}
    return {"outcome": column, "aggregation": "sum"}


def _plan_metrics(request: ImportRequest) -> tuple[MetricPlan, ...]:
    plans = []
    for name in (*request.metrics, *request.ratios):
        role = MetricRole.GOAL
        if name in request.monitors or name in request.ratios:
            role = MetricRole.MONITOR
        margin, scale = request.guardrails.get(name), MarginScale.RELATIVE
        if name in request.guardrails_absolute:
            margin, scale = request.guardrails_absolute[name], MarginScale.ABSOLUTE
        if margin is not None:
            role = MetricRole.GUARDRAIL
        plans.append(
            MetricPlan(
                name,
                role,
                margin=margin,
                margin_scale=scale,
                covariate=name in request.covariates,
            )
        )
    return tuple(plans)
