"""The registry row of a synthetic experiment and its analysis plan."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from exp_platform.config import Scenario
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.records import AnalysisPlan, MetricPlan
from exp_platform.schemas import arrow_schema
from exp_platform.synth.rhythm import DAY_MS, Rhythm
from exp_platform.synth.tables import CLUSTER, CONTROL, TREATMENT, UNIT_TYPE

DEFAULT_METRICS: tuple[Mapping[str, Any], ...] = (
    {"metric_name": "conversion", "role": "goal", "mde": 0.10},
    {
        "metric_name": "revenue_per_user",
        "role": "goal",
        "mde": 0.10,
        "covariate": True,
    },
    {
        "metric_name": "sessions_per_user",
        "role": "guardrail",
        "margin": 0.03,
        "margin_scale": "relative",
        "covariate": True,
    },
    {
        "metric_name": "support_contacts_per_user",
        "role": "guardrail",
        "margin": 0.15,
        "margin_scale": "relative",
    },
    {"metric_name": "revenue_per_session", "role": "monitor"},
)


def build_registry(experiment_id: str, scenario: Scenario, rhythm: Rhythm) -> pa.Table:
    """Build the table `experiment_registry`: one row."""
    is_policy = scenario.assignment == "policy"
    policy_ms = rhythm.start_ms + (scenario.policy_day or 0) * DAY_MS
    share = scenario.treatment_share
    row = {
        "experiment_id": experiment_id,
        "start_ts": rhythm.instant(rhythm.start_ms),
        "end_ts": rhythm.instant(rhythm.end_ms),
        "watermark_ts": find_watermark(scenario, rhythm),
        "variants": _write_json(
            [
                {"name": CONTROL, "weight": round(1 - share, 12)},
                {"name": TREATMENT, "weight": share},
            ]
        ),
        "control": CONTROL,
        "unit": UNIT_TYPE,
        "assignment": scenario.assignment,
        "policy_ts": rhythm.instant(policy_ms) if is_policy else None,
        "cluster": CLUSTER if is_policy else None,
        "pre_period_days": scenario.pre_period_days,
        "is_dated": True,
        "plan": _write_json(build_plan(experiment_id, scenario.plan)),
        "definitions": "{}",
        "owner": scenario.owner,
        "hypothesis": scenario.hypothesis,
        "seed": scenario.seed,
        "source": "synthetic",
        "namespace": experiment_id if scenario.events else None,
    }
    return pa.Table.from_pylist([row], schema=arrow_schema("experiment_registry"))


def find_watermark(scenario: Scenario, rhythm: Rhythm) -> datetime:
    """Instant up to which data are delivered.

    Args:
        scenario: the scenario.
        rhythm: its clock.
    """
    if scenario.observed_days is None:
        return rhythm.instant(rhythm.end_ms)
    return rhythm.instant(rhythm.start_ms + scenario.observed_days * DAY_MS)


def build_plan(experiment_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change the default plan.

    Args:
        experiment_id: named in errors.
        changes: keys of the plan. `metrics` is a whole list, or a mapping from
            metric name to the keys of its plan to change, null to drop the metric.

    Raises:
        UsageError: an unknown key.
    """
    where = f"plan of {experiment_id}"
    _check_keys(changes, AnalysisPlan, where)
    metrics = changes.get("metrics", {})
    if isinstance(metrics, Mapping):
        metrics = _change_metrics(metrics)
    for metric in metrics:
        _check_keys(metric, MetricPlan, f"{where}, metric {metric.get('metric_name')}")
    return {**changes, "metrics": metrics}


def _change_metrics(changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    plans = {str(metric["metric_name"]): dict(metric) for metric in DEFAULT_METRICS}
    for name, change in changes.items():
        if change is None:
            plans.pop(name, None)
        else:
            new = {"metric_name": name, "role": "monitor"}
            plans[name] = {**plans.get(name, new), **change}
    return list(plans.values())


def _check_keys(found: Mapping[str, Any], record: type, where: str) -> None:
    known = [field.name for field in fields(record)]
    for key in found:
        if key not in known:
            raise UsageError(
                f"unknown key {key!r}", where=where, allowed=did_you_mean(key, known)
            )


def _write_json(document: Any) -> str:
    return json.dumps(document, sort_keys=True)
