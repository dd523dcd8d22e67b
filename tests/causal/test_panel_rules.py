import pytest

from exp_platform.causal.panel_rules import PanelFacts, choose_panel_methods
from exp_platform.records import Assignment, AssignmentFacts, EstimateRole, MetricType

PRIMARY, SECONDARY = EstimateRole.PRIMARY, EstimateRole.SECONDARY
DIAGNOSTIC = EstimateRole.DIAGNOSTIC


def _choices(*, is_cross_section=False, timings=1, control=40, treatment=40, n_arms=2):
    facts = AssignmentFacts(
        assignment=Assignment.POLICY,
        metric_type=MetricType.MEAN,
        n_arms=n_arms,
        has_policy_date=True,
        has_pre_period=True,
        n_clusters_control=control,
        n_clusters_treatment=treatment,
        treatment_timings=timings,
    )
    found = choose_panel_methods(PanelFacts(facts, is_cross_section))
    assert len({choice.method for choice in found}) == len(found)
    assert all(choice.explanation for choice in found)
    return {choice.method: (choice.role, choice.reason) for choice in found}


@pytest.mark.parametrize(
    ("facts", "method", "answer"),
    [
        ({}, "did_2x2", (PRIMARY, "POLICY_DATE")),
        ({}, "event_study", (DIAGNOSTIC, "POLICY_DATE")),
        ({}, "callaway_santanna_simple", (SECONDARY, "ONE_DATE")),
        ({}, "callaway_santanna_dynamic", (SECONDARY, "ONE_DATE")),
        ({}, "twfe", (DIAGNOSTIC, "ONE_DATE")),
        ({}, "synthetic_control", (None, "ENOUGH_CLUSTERS")),
        ({"treatment": 4}, "did_2x2", (None, "TOO_FEW_CLUSTERS")),
        ({"treatment": 4}, "synthetic_control", (SECONDARY, "FEW_TREATED")),
        ({"treatment": 4}, "did_randomisation", (DIAGNOSTIC, "FEW_CLUSTERS")),
        ({"treatment": 8}, "did_2x2", (PRIMARY, "FEW_CLUSTERS")),
        ({"timings": 3}, "did_2x2", (None, "NEEDS_STAGGERED")),
        ({"timings": 3}, "callaway_santanna_simple", (PRIMARY, "STAGGERED")),
        ({"timings": 3}, "callaway_santanna_group", (SECONDARY, "STAGGERED")),
        ({"timings": 3}, "twfe", (DIAGNOSTIC, "STAGGERED")),
        ({"timings": 3}, "synthetic_control", (None, "SEVERAL_DATES")),
        ({"n_arms": 1}, "did_2x2", (None, "ONE_ARM")),
        ({"n_arms": 1}, "twfe", (None, "ONE_ARM")),
        ({"n_arms": 1}, "synthetic_control", (None, "ONE_ARM")),
        ({"is_cross_section": True}, "did_2x2", (PRIMARY, "POLICY_DATE")),
        ({"is_cross_section": True}, "twfe", (None, "REPEATED_CROSS_SECTIONS")),
        (
            {"is_cross_section": True, "timings": 2},
            "callaway_santanna_simple",
            (None, "REPEATED_CROSS_SECTIONS"),
        ),
        (
            {"is_cross_section": True, "treatment": 8},
            "did_randomisation",
            (None, "REPEATED_CROSS_SECTIONS"),
        ),
    ],
)
def test_choose_panel_methods_by_facts(facts, method, answer):
    assert _choices(**facts)[method] == answer


def test_randomisation_is_not_called_for_with_many_clusters():
    assert "did_randomisation" not in _choices()


@pytest.mark.parametrize("timings", [1, 3])
@pytest.mark.parametrize("treatment", [1, 8, 40])
@pytest.mark.parametrize("is_cross_section", [False, True])
def test_at_most_one_method_decides(timings, treatment, is_cross_section):
    found = _choices(
        timings=timings, treatment=treatment, is_cross_section=is_cross_section
    )
    assert sum(role is PRIMARY for role, _ in found.values()) <= 1
