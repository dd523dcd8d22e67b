import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.vector_moments import (
    BLOCK,
    measure_vectors,
    merge_moments,
    no_moments,
)


def _exact(vectors):
    """Means and centred products from sums without rounding."""
    n, length = vectors.shape
    mean = [math.fsum(column) / n for column in vectors.T]
    wide = vectors.astype(np.longdouble) - np.array(mean, dtype=np.longdouble)
    products = [
        [math.fsum((wide[:, i] * wide[:, j]).tolist()) for j in range(length)]
        for i in range(length)
    ]
    return np.array(mean), np.array(products)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e7])
@pytest.mark.parametrize("n", [1, 2, BLOCK, BLOCK + 1, 3 * BLOCK + 17])
def test_measure_vectors_agrees_with_exact_sums(n, shift):
    vectors = np.random.default_rng(n).gamma(0.3, 20, (n, 5)) + shift
    found = measure_vectors(vectors)
    mean, products = _exact(vectors)
    assert found.n == n
    np.testing.assert_allclose(found.mean, mean, rtol=1e-15)
    size = np.sqrt(np.outer(np.diag(products), np.diag(products)))
    # Values of 1e7 carry 1e-9 themselves; the sums add no error of their own.
    error = 1e-13 * size + 1e-15 * shift * n**0.5 * np.sqrt(size)
    assert np.all(np.abs(found.products - products) <= error)


def test_measure_vectors_is_symmetric_beyond_a_tile():
    products = measure_vectors(np.random.default_rng(1).normal(0, 1, (99, 70))).products
    np.testing.assert_array_equal(products, products.T)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_merge_moments_is_measuring_together(first, second, seed):
    vectors = np.random.default_rng(seed).normal(50, 3, (first + second, 4))
    parts = measure_vectors(vectors[:first]), measure_vectors(vectors[first:])
    found, expected = merge_moments(*parts), measure_vectors(vectors)
    assert found.n == expected.n
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-14)
    # Sums of up to 100 products, in another order.
    np.testing.assert_allclose(found.products, expected.products, rtol=0, atol=1e-11)


def test_no_moments_change_nothing():
    one = measure_vectors(np.arange(6.0).reshape(3, 2))
    for pair in ((one, no_moments(2)), (no_moments(2), one)):
        assert merge_moments(*pair) is one


def test_huge_values_are_infinite_products_without_a_warning():
    found = measure_vectors(np.array([[1e200, 1.0], [-1e200, 2.0]]))
    assert found.products[0, 0] == np.inf


WORK = """
import numpy as np
from exp_platform.causal.vector_moments import measure_vectors
found = measure_vectors(np.random.default_rng(1).gamma(1, 2, (9000, 57)))
print(found.mean.tobytes().hex(), found.products.tobytes().hex())
"""


def test_measure_vectors_gives_the_same_bits_on_any_number_of_cores():
    answers = {
        subprocess.run(
            [sys.executable, "-c", WORK],
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": str(n),
                "OMP_NUM_THREADS": str(n),
            },
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for n in (1, 2, 4)
    }
    assert len(answers) == 1
