import numpy as np
import pytest

from exp_platform.config import Scenario
from exp_platform.synth.market import draw_markets
from exp_platform.synth.randomness import Streams


def rollout(**changes):
    return Scenario(days=14, n_users=100, assignment="policy", policy_day=7, **changes)


@pytest.mark.parametrize(("share", "n_treated"), [(0.5, 30), (0.001, 1), (0.999, 59)])
def test_draw_markets_treats_a_share_and_leaves_both_sides(share, n_treated):
    markets = draw_markets(rollout(treatment_share=share), 21, Streams("exp_a", 7))
    assert markets.is_treated.sum() == n_treated


def test_draw_markets_treats_the_stronger_ones():
    markets = draw_markets(rollout(n_clusters=400), 21, Streams("exp_a", 7))
    treated, others = (
        markets.level[markets.is_treated],
        markets.level[~markets.is_treated],
    )
    assert treated.mean() > others.mean() + 0.1
    assert others.max() > treated.min()


def test_draw_markets_shocks_have_mean_one():
    markets = draw_markets(rollout(n_clusters=400), 21, Streams("exp_a", 7))
    assert np.mean(markets.shocks) == pytest.approx(1.0, abs=0.005)
