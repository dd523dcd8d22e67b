from dataclasses import replace

import pytest

from exp_platform.decision.family import (
    adjust_goals,
    adjust_segments,
    pick_segments,
)
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


def _levels(estimate, p_values, attribute="os", **changes):
    row = replace(estimate, role=EstimateRole.DIAGNOSTIC, p_value_adjusted=None)
    return [
        replace(row, segment=f"{attribute}={level}", p_value=p, **changes)
        for level, p in enumerate(p_values)
    ]


def test_adjust_segments_corrects_declared_attributes_only(shippable):
    case = shippable.plan(segments=("os",))
    declared = _levels(case.estimates[0], [0.01, 0.02])
    other = _levels(case.estimates[0], [0.001], "population")
    estimates = (*case.estimates, *declared, *other)
    adjusted = adjust_segments(estimates, case.spec)
    # Products of two decimals.
    assert [e.p_value_adjusted for e in adjusted[-3:]] == [
        pytest.approx(0.02, rel=1e-12),
        pytest.approx(0.02, rel=1e-12),
        None,
    ]
    assert adjusted[: len(case.estimates)] == case.estimates


def test_pick_segments_takes_the_method_that_decides(shippable):
    case = shippable.plan(segments=("os",))
    primary = case.estimates[0]
    beside = replace(primary, method="cuped", role=EstimateRole.SECONDARY)
    estimates = [primary, beside]
    estimates += _levels(primary, [0.1, 0.2]) + _levels(beside, [0.3])
    assert [e.method for e in pick_segments(estimates, case.spec)] == ["welch_t"] * 2
    # Without segments of the deciding method the next one by role stands in.
    estimates = [primary, beside, *_levels(beside, [0.3])]
    assert [e.method for e in pick_segments(estimates, case.spec)] == ["cuped"]


def test_adjusted_segments_never_decide(shippable):
    case = shippable.plan(segments=("os",))
    extreme = _levels(case.estimates[0], [1e-12], difference=-9.0)
    estimates = adjust_segments((*case.estimates, *extreme), case.spec)
    assert replace(case, estimates=estimates).decide() == case.decide()
