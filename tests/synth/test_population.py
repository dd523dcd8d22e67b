import numpy as np
import pytest

from exp_platform.config import Scenario
from exp_platform.synth.population import draw_population
from exp_platform.synth.randomness import Streams


@pytest.fixture(scope="module")
def population():
    scenario = Scenario(days=14, n_users=50_000, treatment_share=0.3)
    return draw_population(scenario, None, Streams("exp_a", 7))


@pytest.mark.parametrize(
    "scale", ["activity", "propensity", "order_scale", "neediness"]
)
def test_draw_population_scales_have_mean_one(population, scale):
    values = getattr(population, scale)
    assert np.all(values > 0)
    # 5 standard errors; the mean over platforms of propensity is 1.0 by their shares
    assert np.mean(values) == pytest.approx(1.0, abs=5 * values.std() / np.sqrt(50_000))


def test_draw_population_splits_as_planned(population):
    share = population.is_treated.mean()
    assert share == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 50_000))


def test_draw_population_covers_every_country_and_platform(population):
    assert set(population.country) == set(range(5))
    assert set(population.platform) == set(range(3))


def test_draw_population_arm_does_not_move_traits():
    streams = Streams("exp_a", 7)
    half = draw_population(Scenario(days=14, n_users=100), None, streams)
    tenth = draw_population(
        Scenario(days=14, n_users=100, treatment_share=0.1), None, streams
    )
    assert np.array_equal(half.activity, tenth.activity)
    assert np.all(half.is_treated | ~tenth.is_treated)
