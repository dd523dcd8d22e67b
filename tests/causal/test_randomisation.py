import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.randomisation import permute_clusters


def _arm(changes, units=None):
    changes = np.asarray(changes, dtype=float)
    units = np.ones(changes.size) if units is None else np.asarray(units, dtype=float)
    zero = np.zeros(changes.size)
    return ClusterSums("exp_1", "spend", "arm", units, zero, changes * units, 7, 14)


@pytest.mark.parametrize("case", ["permutation", "three_treated"])
def test_all_choices_agree_with_scipy(case, golden):
    answer = golden("few_clusters")[case]
    found = permute_clusters(_arm(answer["control"]), _arm(answer["treated"]))
    assert found.is_exact
    # Shares of the same choices.
    assert found.p_value == pytest.approx(answer["p_value"], rel=1e-12)


def test_one_treated_cluster_has_as_many_choices_as_clusters():
    found = permute_clusters(_arm(np.arange(26.0)), _arm([100.0]))
    assert (found.n_assignments, found.p_value) == (27, 1 / 27)


def test_interval_holds_the_effects_that_are_not_rejected():
    control, treatment = [0.1, -0.4, 0.9, 0.3, -1.0, 0.2], [1.2, 2.0, 0.8, 1.9]
    lower, upper = permute_clusters(_arm(control), _arm(treatment)).interval
    for effect, is_kept in ((lower - 1e-6, False), (upper - 1e-6, True)):
        moved = _arm(np.array(treatment) - effect)
        assert (permute_clusters(_arm(control), moved).p_value > 0.05) is is_kept


def test_interval_without_an_end_is_none():
    # Six choices: none can be rejected at .05.
    assert permute_clusters(_arm([1.0, 2.0]), _arm([5.0, 6.0])).interval is None


def test_units_weigh_the_clusters():
    found = permute_clusters(_arm([1.0, 3.0], [1, 3]), _arm([4.0, 5.0], [1, 1]))
    assert found.difference == pytest.approx(4.5 - 2.5)


def test_many_choices_are_drawn_with_a_seed():
    random = np.random.default_rng(1)
    arms = _arm(random.normal(0, 1, 20)), _arm(random.normal(0.5, 1, 20))
    first, again = (permute_clusters(*arms, draws=499, seed=3) for _ in range(2))
    assert (first.is_exact, first.n_assignments) == (False, 500)
    assert first == again


@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_swapped_arms_have_the_same_p(seed):
    random = np.random.default_rng(seed)
    one, other = _arm(random.normal(0, 1, 5)), _arm(random.normal(1, 1, 6))
    there, back = permute_clusters(one, other), permute_clusters(other, one)
    assert there.p_value == back.p_value
    assert there.difference == pytest.approx(-back.difference)
