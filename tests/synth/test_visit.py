import numpy as np
import pytest

from exp_platform.config import Scenario
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import read_rhythm
from exp_platform.synth.visit import Visits, draw_marks, order_visits


def test_order_visits_sorts_by_user_and_instant_without_copies():
    rhythm = read_rhythm(Scenario(days=1, n_users=3, pre_period_days=0))
    visits = order_visits(np.array([2, 0, 2, 2]), np.array([5, 9, 3, 5]), rhythm)
    assert visits.user.tolist() == [0, 2, 2]
    assert visits.at_ms.tolist() == [9, 3, 5]


def test_sum_by_user_counts_users_without_visits_as_zero():
    visits = Visits(np.array([0, 2, 2]), np.array([9, 3, 5]))
    assert visits.sum_by_user(np.array([1.0, 2.0, 3.0]), 4).tolist() == [1, 0, 5, 0]


def test_draw_marks_order_values_have_the_planned_spread():
    scenario = Scenario(days=1, n_users=3, revenue_mean=12.5, revenue_sd=10.0)
    value = draw_marks(scenario, 200_000, Streams("exp_a", 7)).value
    assert value.mean() == pytest.approx(1.0, abs=0.01)
    assert value.std() == pytest.approx(0.8, rel=0.05)  # 10 / 12.5; heavy tail
