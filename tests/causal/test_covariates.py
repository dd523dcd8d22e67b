import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.covariates import encode_covariates


def test_encode_covariates_numbers_stay_numbers():
    matrix, names = encode_covariates({"age": ["30", "41.5", "-2e3"]}, 3)
    assert names == ("age",)
    assert matrix.tolist() == [[30.0], [41.5], [-2000.0]]


def test_encode_covariates_unknown_numbers_take_the_mean_and_are_marked():
    matrix, names = encode_covariates({"age": ["30", None, "40"]}, 3)
    assert names == ("age", "age missing")
    assert matrix.tolist() == [[30.0, 0.0], [35.0, 1.0], [40.0, 0.0]]


def test_encode_covariates_texts_have_a_column_for_all_but_the_most_frequent():
    matrix, names = encode_covariates({"os": ["web", None, "ios", "web", "tv"]}, 5)
    assert names == ("os=ios", "os=missing", "os=tv")
    assert matrix.sum(axis=0).tolist() == [1.0, 1.0, 1.0]
    assert matrix[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("text", ["nan", "inf", "12a"])
def test_encode_covariates_one_text_makes_the_column_text(text):
    _, names = encode_covariates({"x": ["1", "1", text]}, 3)
    assert names == (f"x={text}",)


def test_encode_covariates_without_columns_is_empty():
    matrix, names = encode_covariates({}, 4)
    assert (matrix.shape, names) == ((4, 0), ())


def test_encode_covariates_all_unknown_says_nothing():
    matrix, names = encode_covariates({"x": [None, None]}, 2)
    assert (matrix.shape, names) == ((2, 0), ())


@given(
    st.lists(st.none() | st.sampled_from(["a", "b", "1", "2.5"]), min_size=1),
    st.randoms(),
)
def test_encode_covariates_follows_the_units(texts, random):
    order = list(range(len(texts)))
    random.shuffle(order)
    matrix, names = encode_covariates({"x": texts}, len(texts))
    moved, same = encode_covariates({"x": [texts[i] for i in order]}, len(texts))
    assert same == names
    # Means of the same numbers in another order.
    assert np.allclose(moved, matrix[order], rtol=1e-12)
    assert np.isfinite(matrix).all()
