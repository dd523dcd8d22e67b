import numpy as np
import pytest

from exp_platform.errors import ContractError
from exp_platform.stats.looks import (
    Look,
    LookStatus,
    SequentialPlan,
    critical_values,
    schedule_looks,
)
from exp_platform.stats.spending import Spending

T, F, E = LookStatus.TESTED, LookStatus.TOO_FEW_UNITS, LookStatus.NO_ESTIMATE
N, O = LookStatus.NO_NEW_DATA, LookStatus.OVERRUN  # noqa: E741


def _looks(units, elapsed=None):
    shares = elapsed or [None] * len(units)
    return [Look(n, n, share) for n, share in zip(units, shares, strict=True)]


def test_end_of_schedule_spends_all_with_fewer_units_than_planned():
    plan = SequentialPlan(planned_units=(1000, 1000), clock="units")
    found = schedule_looks(_looks([300, 700], [0.5, 1.0]), plan)
    np.testing.assert_allclose(found.times, [0.3, 1.0])
    assert found.is_final
    assert found.statuses == (T, T)


def test_planned_units_before_the_end_spend_all_and_stop_testing():
    plan = SequentialPlan(planned_units=(1000, 1000))
    found = schedule_looks(_looks([600, 1001, 1500], [0.3, 0.6, 0.9]), plan)
    np.testing.assert_allclose(found.times, [0.3, 1.0, 1.0])
    assert found.statuses == (T, T, O)


def test_schedule_clock_and_information_clock_are_two():
    plan = SequentialPlan(planned_units=(1000, 1000))
    found = schedule_looks(_looks([500, 600], [0.1, 0.9]), plan)
    np.testing.assert_allclose(found.times, [0.1, 0.9])
    np.testing.assert_allclose(found.information / found.information[-1], [5 / 6, 1])


def test_look_without_new_units_takes_no_test_and_leaves_its_alpha():
    units, elapsed = [500, 500, 501, 900], [0.2, 0.4, 0.6, 0.8]
    found = schedule_looks(_looks(units, elapsed), SequentialPlan())
    assert found.statuses == (T, N, N, T)
    two = schedule_looks(_looks([500, 900], [0.2, 0.8]), SequentialPlan())
    critical = [
        critical_values(s, Spending(), np.array([0.05]))[0] for s in (found, two)
    ]
    np.testing.assert_allclose(critical[0][[0, 3]], critical[1], rtol=1e-12)
    assert np.isinf(critical[0][[1, 2]]).all()


def test_end_without_new_units_repeats_the_last_look_with_all_alpha():
    found = schedule_looks(_looks([500, 900, 900], [0.2, 0.6, 1.0]), SequentialPlan())
    assert found.statuses == (T, T, T)
    assert found.is_repeated
    critical = critical_values(found, Spending(), np.array([0.05]))[0]
    direct = schedule_looks(_looks([500, 900], [0.2, 1.0]), SequentialPlan())
    straight = critical_values(direct, Spending(), np.array([0.05]))[0]
    assert critical[2] == pytest.approx(straight[1], rel=1e-12)
    assert critical[2] < critical[1]


def test_arms_below_the_least_units_take_no_look():
    looks = [Look(99, 5000, 0.3), Look(100, 6000, 0.6)]
    assert schedule_looks(looks, SequentialPlan()).statuses == (F, T)


def test_look_without_an_estimate_is_left_out():
    looks = [Look(200, 200, 0.3, is_usable=False), Look(400, 400, 0.6)]
    assert schedule_looks(looks, SequentialPlan()).statuses == (E, T)


@pytest.mark.parametrize(
    ("looks", "plan"),
    [
        (_looks([100, 200]), SequentialPlan()),
        (_looks([100, 200]), SequentialPlan(clock="units")),
        (_looks([200, 100], [0.1, 0.2]), SequentialPlan()),
        (_looks([100, 200], [0.2, 0.1]), SequentialPlan()),
        (_looks([100], [0.2]), SequentialPlan(planned_units=(0, 5))),
        ([], SequentialPlan()),
    ],
)
def test_looks_that_cannot_be_placed_are_a_broken_contract(looks, plan):
    with pytest.raises(ContractError, match="cannot be placed"):
        schedule_looks(looks, plan)


def test_unequal_arms_count_as_the_equal_test_of_the_same_precision():
    assert Look(900, 100).information == pytest.approx(90)
    assert Look(180, 180).information == pytest.approx(90)
    assert Look(0, 0).information == 0
