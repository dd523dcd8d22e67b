import json
from datetime import UTC, datetime

import pytest

from exp_platform.errors import UsageError
from exp_platform.pipelines.registry import read_spec
from exp_platform.records import MetricRole
from exp_platform.synth.registry import build_plan


def test_build_registry_window_and_arms(deliver):
    registry = deliver(treatment_share=0.3).registry
    assert registry["start_ts"] == datetime(2026, 1, 5, tzinfo=UTC)
    assert registry["end_ts"] == datetime(2026, 1, 19, tzinfo=UTC)
    assert registry["watermark_ts"] == registry["end_ts"]
    assert json.loads(registry["variants"]) == [
        {"name": "control", "weight": 0.7},
        {"name": "treatment", "weight": 0.3},
    ]
    assert registry["policy_ts"] is None
    assert registry["cluster"] is None
    assert registry["definitions"] == "{}"


def test_build_registry_policy_names_its_cluster(deliver):
    registry = deliver(assignment="policy", policy_day=5).registry
    assert registry["policy_ts"] == datetime(2026, 1, 10, tzinfo=UTC)
    assert registry["cluster"] == "market"
    assert registry["assignment"] == "policy"


def test_build_registry_is_read_as_planned(clean):
    plan = read_spec(clean.registry).plan
    assert plan.names(MetricRole.GOAL) == ("conversion", "revenue_per_user")
    guardrails = plan.names(MetricRole.GUARDRAIL)
    assert guardrails == ("sessions_per_user", "support_contacts_per_user")
    assert all(plan.of(name).margin > 0 for name in guardrails)


def test_build_plan_changes_one_metric_and_keeps_the_rest():
    metrics = {
        "conversion": {"mde": 0.3},
        "revenue_per_session": None,
        "orders": {"role": "goal"},
    }
    plan = build_plan("exp_a", {"alpha": 0.01, "metrics": metrics})
    by_name = {metric["metric_name"]: metric for metric in plan["metrics"]}
    assert plan["alpha"] == 0.01
    assert by_name["conversion"]["mde"] == 0.3
    assert by_name["conversion"]["role"] == "goal"
    assert by_name["orders"] == {"metric_name": "orders", "role": "goal"}
    assert "revenue_per_session" not in by_name
    assert build_plan("exp_a", {})["metrics"][0]["mde"] == 0.10


def test_build_plan_whole_list_replaces_the_metrics():
    metrics = [{"metric_name": "conversion", "role": "goal"}]
    assert build_plan("exp_a", {"metrics": metrics}) == {"metrics": metrics}


@pytest.mark.parametrize(
    ("changes", "suggestion"),
    [
        ({"alhpa": 0.1}, "alpha"),
        ({"metrics": {"conversion": {"magrin": 0.1}}}, "margin"),
    ],
)
def test_build_plan_unknown_key_is_refused(changes, suggestion):
    with pytest.raises(UsageError) as refused:
        build_plan("exp_a", changes)
    assert suggestion in str(refused.value)
