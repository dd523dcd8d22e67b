from dataclasses import replace

import pytest

from exp_platform.decision.family import adjust_goals
from exp_platform.records import EstimateRole, EstimateStatus


def test_adjust_goals_corrects_over_goals_and_arms(two_arms):
    p_values = [0.01, 0.04, 0.5, 0.03, 0.2, 0.6]
    estimates = tuple(
        replace(e, p_value=p, p_value_adjusted=None)
        for e, p in zip(two_arms.estimates, p_values, strict=True)
    )
    adjusted = adjust_goals(estimates, two_arms.spec)
    # By hand: .01 x 4, .03 x 3, .04 x 2 -> .09 (monotone), .2 x 1; guardrails: none.
    answers = [0.04, 0.09, None, 0.09, 0.2, None]
    for estimate, answer in zip(adjusted, answers, strict=True):
        # Products of two decimals.
        assert estimate.p_value_adjusted == (
            None if answer is None else pytest.approx(answer, rel=1e-12)
        )


@pytest.mark.parametrize(
    "change",
    [
        {"status": EstimateStatus.METRIC_ERRORED, "p_value": None},
        {"role": EstimateRole.SECONDARY},
    ],
)
def test_adjust_goals_counts_a_goal_without_a_number(shippable, change):
    first, second, *rest = shippable.estimates
    estimates = (replace(first, p_value=0.01), replace(second, **change), *rest)
    adjusted = adjust_goals(estimates, shippable.spec)
    assert adjusted[0].p_value_adjusted == pytest.approx(0.02, rel=1e-12)
    assert adjusted[1].p_value_adjusted in (None, second.p_value_adjusted)


def test_adjust_goals_leaves_segments_alone(shippable):
    segment = replace(
        shippable.estimates[0], segment="device=mobile", p_value_adjusted=None
    )
    adjusted = adjust_goals((*shippable.estimates, segment), shippable.spec)
    assert adjusted[-1].p_value_adjusted is None


def test_adjust_goals_without_goals_changes_nothing(shippable):
    case = shippable.plan(metrics=())
    assert adjust_goals(case.estimates, case.spec) == case.estimates
