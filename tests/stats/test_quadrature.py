import numpy as np
import pytest

from exp_platform.stats.quadrature import legendre_nodes


@pytest.mark.parametrize("n", [16, 96, 400])
def test_legendre_nodes_agree_with_numpy(n):
    # Weights at the ends lose digits where 1 - x^2 cancels.
    for ours, theirs in zip(
        legendre_nodes(n), np.polynomial.legendre.leggauss(n), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


def test_thousands_of_nodes_integrate_exactly():
    points, weights = legendre_nodes(2990)
    assert points.size == 2992
    assert np.sum(weights) == pytest.approx(2, rel=1e-13)
    assert weights @ np.exp(points) == pytest.approx(2 * np.sinh(1), rel=1e-13)
