"""Merged totals are those of all units at once, in whatever order they come."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.records import MetricTotals
from exp_platform.stats.moments import accumulate_totals, merge_totals

NAMES = [field.name for field in fields(MetricTotals)]


def covariance(a, b):
    return float(np.cov(a, b)[0, 1]) if a.size > 1 else None


def totals_of(units, *, has_parts=True, **changes):
    """Totals of rows (value, denominator, covariate, is new), written out."""
    y, d, x, new = np.asarray(units, dtype=float).T
    n = y.size
    parts = {
        "denominator_mean": d.mean(),
        "denominator_variance": covariance(d, d),
        "denominator_covariance": covariance(y, d),
        "covariate_mean": x.mean(),
        "covariate_variance": covariance(x, x),
        "covariate_covariance": covariance(y, x),
        "covariate_denominator_covariance": covariance(d, x),
        "new_share": new.mean(),
        "new_covariance": covariance(y, new),
    }
    return MetricTotals(
        "e",
        "m",
        "A",
        n,
        y.mean(),
        covariance(y, y),
        third_moment=float(np.mean((y - y.mean()) ** 3)),
        min_value=y.min(),
        max_value=y.max(),
        exact_sum=f"{sum(round(v * 10**6) for v in y) / 10**6:.6f}",
        n_missing=1,
        **(parts if has_parts else {}),
        **changes,
    )


def sizes(whole):
    """What a moment is measured by: its factors' largest values."""
    top = max(abs(whole.min_value), abs(whole.max_value), 1.0)
    return {"third_moment": top**3}


def assert_same(one, other, tolerance=1e-9):
    # Sums of at most 60 values up to 1e4: rounding stays below 1e-12 of the squares.
    for name in NAMES:
        a, b = getattr(one, name), getattr(other, name)
        if not isinstance(a, float) or b is None:
            assert a == b, name
            continue
        scale = sizes(other).get(name, 1e8)
        assert a == pytest.approx(b, rel=tolerance, abs=1e-12 * scale), name


unit = st.tuples(
    st.integers(-10_000, 10_000).map(lambda v: v / 4),
    st.integers(0, 9),
    st.integers(-100, 100),
    st.booleans(),
)
sets = st.lists(st.lists(unit, min_size=1, max_size=12), min_size=1, max_size=5)


@given(sets)
def test_merge_totals_is_all_at_once(parts):
    whole = totals_of([u for part in parts for u in part])
    merged = merge_totals(totals_of(part) for part in parts)
    assert_same(merged, replace(whole, n_missing=len(parts)))


@given(sets, st.randoms())
def test_merge_totals_does_not_depend_on_the_order(parts, random):
    totals = [totals_of(part) for part in parts]
    shuffled = random.sample(totals, len(totals))
    assert_same(merge_totals(totals), merge_totals(shuffled))


@given(sets)
def test_accumulate_totals_ends_in_the_whole(parts):
    totals = [totals_of(part) for part in parts]
    steps = accumulate_totals(totals)
    assert [step.n for step in steps] == np.cumsum([t.n for t in totals]).tolist()
    assert steps[-1] == merge_totals(totals)
    assert steps[0] == totals[0]


def test_merge_totals_keeps_far_away_values_exact():
    # Raw sums of squares would lose all digits of a variance of 1 at 1e9; here only the
    # means' own rounding, 1e-7 of a standard deviation, is left.
    random = np.random.default_rng(7)
    values = 1e9 + random.standard_normal((40, 250))
    parts = [totals_of([(v, 1, 0, 0) for v in row]) for row in values]
    merged = merge_totals(parts)
    assert merged.variance == pytest.approx(values.var(ddof=1), rel=1e-7)


def test_merge_totals_without_units_changes_nothing_but_the_counts():
    some = totals_of([(1, 2, 3, 0), (2, 3, 4, 1)])
    none = MetricTotals("e", "m", "A", 0, None, None, n_immature=7)
    assert merge_totals([none, some]) == replace(some, n_immature=7)
    assert merge_totals([some, none]) == replace(some, n_immature=7)
    assert merge_totals([none, none]) == replace(none, n_immature=14)


def test_merge_totals_of_one_part_is_that_part():
    some = totals_of([(1, 2, 3, 0)])
    assert merge_totals([some]) is some


def test_merge_totals_without_a_covariate_has_none():
    parts = [totals_of([(i, 1, 2, 0), (3, 1, 2, 0)], has_parts=False) for i in (1, 2)]
    merged = merge_totals(parts)
    assert merged.covariate_mean is None
    assert merged.covariate_variance is None
    assert merged.variance is not None


def test_merge_totals_of_sums_adds_every_digit():
    big = "99999999999999999999999999999999.999999"
    parts = [
        totals_of([(1, 1, 1, 0)]),
        replace(totals_of([(1, 1, 1, 0)]), exact_sum=big),
    ]
    assert merge_totals(parts).exact_sum == "100000000000000000000000000000000.999999"
    unknown = replace(parts[0], exact_sum=None)
    assert merge_totals([parts[1], unknown]).exact_sum is None


@pytest.mark.parametrize("name", ["metric_name", "variant", "segment", "experiment_id"])
def test_merge_totals_refuses_different_sets(name):
    one = totals_of([(1, 2, 3, 0)])
    with pytest.raises(ContractError, match="cannot be merged"):
        merge_totals([one, replace(one, **{name: "other"})])


def test_merge_totals_of_nothing_is_refused():
    with pytest.raises(ContractError, match="no totals"):
        merge_totals([])
