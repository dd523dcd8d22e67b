import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.covariates import encode_covariates


def _encode(columns, n_units):
    found = encode_covariates(columns, np.arange(n_units) % 2 == 1)
    return found.values, found.names


def test_encode_covariates_numbers_stay_numbers():
    matrix, names = _encode({"age": ["30", "41.5", "-2e3"]}, 3)
    assert names == ("age",)
    assert matrix.tolist() == [[30.0], [41.5], [-2000.0]]


def test_encode_covariates_unknown_numbers_take_the_mean_and_are_marked():
    matrix, names = _encode({"age": ["30", None, "40"]}, 3)
    assert names == ("age", "age missing")
    assert matrix.tolist() == [[30.0, 0.0], [35.0, 1.0], [40.0, 0.0]]


def test_encode_covariates_texts_have_a_column_for_all_but_the_most_frequent():
    matrix, names = _encode({"os": ["web", None, "ios", "web", "tv"]}, 5)
    assert names == ("os=ios", "os=missing", "os=tv")
    assert matrix.sum(axis=0).tolist() == [1.0, 1.0, 1.0]
    assert matrix[0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("text", ["nan", "inf", "12a"])
def test_encode_covariates_one_text_makes_the_column_text(text):
    _, names = _encode({"x": ["1", "1", text]}, 3)
    assert names == (f"x={text}",)


def test_encode_covariates_without_columns_is_empty():
    matrix, names = _encode({}, 4)
    assert (matrix.shape, names) == ((4, 0), ())


def test_encode_covariates_all_unknown_says_nothing():
    matrix, names = _encode({"x": [None, None]}, 2)
    assert (matrix.shape, names) == ((2, 0), ())


@given(
    st.lists(st.none() | st.sampled_from(["a", "b", "1", "2.5"]), min_size=1),
    st.randoms(),
)
def test_encode_covariates_follows_the_units(texts, random):
    order = list(range(len(texts)))
    random.shuffle(order)
    arms = np.arange(len(texts)) % 2 == 1
    found = encode_covariates({"x": texts}, arms)
    moved = encode_covariates({"x": [texts[i] for i in order]}, arms[order])
    assert (moved.names, moved.too_rare) == (found.names, found.too_rare)
    # Means of the same numbers in another order.
    assert np.allclose(moved.values, found.values[order], rtol=1e-12)
    assert np.isfinite(found.values).all()


ARM = np.arange(400) < 200


def _spread(**counts):
    """Texts of 400 units: so many of a value in either arm, the rest `web`."""
    texts = ["web"] * 400
    for value, (treated, control) in counts.items():
        for start, n in ((0, treated), (200, control)):
            places = [i for i in range(start, start + 200) if texts[i] == "web"][:n]
            for i in places:
                texts[i] = value
    return texts


def test_missing_number_in_one_arm_stays_at_the_mean():
    texts = [None if i == 7 else str(i % 9) for i in range(400)]
    found = encode_covariates({"age": texts}, ARM)
    assert found.names == ("age",)
    assert found.too_rare == {"age missing": 1}
    assert found.values[7, 0] == pytest.approx(np.delete(found.values, 7).mean())


def test_rare_values_count_as_the_most_frequent_one():
    found = encode_covariates({"os": _spread(ios=(90, 50), tv=(3, 0), car=(0, 1))}, ARM)
    assert found.names == ("os=ios",)
    assert found.too_rare == {"os=tv": 3, "os=car": 1}
    assert found.values.sum() == 140


def test_rare_values_share_a_column_where_both_arms_have_some():
    texts = _spread(ios=(5, 5), tv=(4, 4), car=(4, 4), toy=(30, 0))
    found = encode_covariates({"os": texts}, ARM)
    assert found.names == ("os=ios", "os=rare values")
    assert found.too_rare == {"os=toy": 30, "os=car": 8, "os=tv": 8}
    assert found.values.sum(axis=0).tolist() == [10, 46]


def test_units_of_one_arm_alone_are_not_passed_over():
    """More than 5 % without a counterpart: the estimators refuse them."""
    found = encode_covariates({"os": _spread(tv=(21, 0))}, ARM)
    assert (found.names, found.too_rare) == (("os=tv",), {})
    numbers = [None if i < 21 else str(i % 9) for i in range(400)]
    found = encode_covariates({"age": numbers}, ARM)
    assert (found.names, found.too_rare) == (("age", "age missing"), {})


@pytest.mark.parametrize("n", [4, 20])
def test_value_called_as_the_rare_ones_are_joins_them(n):
    texts = _spread(**{"rare values": (n, n), "tv": (4, 4), "car": (4, 4)})
    found = encode_covariates({"os": texts}, ARM)
    assert found.names == ("os=rare values",)
    assert found.values.sum() == 2 * n + 16
