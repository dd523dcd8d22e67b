import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.simplex import fit_weights

seeds = st.integers(0, 10_000)


def _draw(seed, n_donors, n_features):
    random = np.random.default_rng(seed)
    donors = random.normal(0, 1, (n_donors, n_features))
    return random.normal(0, 1.5, n_features), donors


def test_fit_weights_of_one_donor():
    assert fit_weights(np.array([5.0]), np.array([[1.0]])).tolist() == [1.0]


def test_fit_weights_of_donors_equal_to_the_target():
    assert fit_weights(np.ones(2), np.ones((4, 2))) == pytest.approx(np.full(4, 0.25))


def test_fit_weights_finds_the_corner_edge_and_inside():
    donors = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    corner = fit_weights(np.array([-1.0, -2.0]), donors)
    edge = fit_weights(np.array([0.25, -3.0]), donors)
    inside = fit_weights(np.array([0.2, 0.3]), donors)
    assert corner == pytest.approx([1, 0, 0])
    assert edge == pytest.approx([0.75, 0.25, 0])
    assert inside == pytest.approx([0.5, 0.2, 0.3])


@given(seed=seeds, n_donors=st.integers(1, 30), n_features=st.integers(1, 30))
def test_fit_weights_are_optimal(seed, n_donors, n_features):
    """Karush-Kuhn-Tucker: no donor lies on the near side of the hull's point."""
    target, donors = _draw(seed, n_donors, n_features)
    weights = fit_weights(target, donors)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    gap = weights @ donors - target
    slack = (donors - target) @ gap - gap @ gap
    # Squared distances here are of the order of the number of features.
    assert slack.min() >= -1e-10 * n_features


@given(seed=seeds, scale=st.floats(1e-6, 1e6), shift=st.floats(-1e3, 1e3))
def test_fit_weights_do_not_depend_on_scale_and_origin(seed, scale, shift):
    target, donors = _draw(seed, 8, 12)
    plain = fit_weights(target, donors)
    moved = fit_weights(shift * scale + scale * target, shift * scale + scale * donors)
    assert moved == pytest.approx(plain, abs=1e-7)


@given(seed=seeds)
def test_fit_weights_ignore_the_order_of_donors(seed):
    target, donors = _draw(seed, 10, 15)
    order = np.random.default_rng(seed).permutation(10)
    plain = fit_weights(target, donors)
    assert fit_weights(target, donors[order]) == pytest.approx(plain[order], abs=1e-9)


@given(seed=seeds)
def test_fit_weights_survive_twins(seed):
    target, donors = _draw(seed, 6, 10)
    plain = fit_weights(target, donors)
    doubled = fit_weights(target, np.vstack([donors, donors]))
    assert doubled[:6] + doubled[6:] == pytest.approx(plain, abs=1e-7)
