from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.did import estimate_did
from exp_platform.causal.did_adjusted import UnitChanges, estimate_did_adjusted
from exp_platform.errors import ContractError


def _units(golden, *, cohort=2003, year=2003):
    """Cohort against the never treated, over the change into its first period."""
    columns = golden("staggered")["panels"]["usual"]
    columns = {name: np.array(values) for name, values in columns.items()}
    is_inside = np.isin(columns["cohort"], [0, cohort])
    at = {y: columns["year"][is_inside] == y for y in (year - 1, year)}
    values, x = columns["y"][is_inside], columns["x"][is_inside]
    return UnitChanges(
        "exp_1",
        "y",
        "control",
        "new",
        columns["cohort"][is_inside][at[year]] == cohort,
        values[at[year - 1]],
        values[at[year]],
        x[at[year]][:, None],
    )


@pytest.mark.parametrize("adjustment", ["outcome_regression", "weighting"])
def test_estimate_did_adjusted_agrees_with_csdid(adjustment, golden, settings):
    told = golden("staggered")["csdid"][adjustment]
    place = list(zip(told["cohort"], told["period"], strict=True)).index((2003, 2003))
    found = estimate_did_adjusted(_units(golden), settings, adjustment=adjustment)
    assert found.difference == pytest.approx(told["estimate"][place], rel=1e-8)
    assert found.standard_error == pytest.approx(
        told["standard_error"][place], rel=1e-8
    )


def test_without_covariates_it_is_the_plain_estimate(golden, panel, settings):
    units = _units(golden)
    units = replace(units, covariates=np.empty((units.pre.size, 0)))
    found = estimate_did_adjusted(units, settings)
    sides = (~units.is_treated, units.is_treated)
    plain = estimate_did(
        *(panel(units.pre[side], units.post[side]) for side in sides), settings
    )
    assert found.difference == pytest.approx(plain.difference, rel=1e-10)
    n = units.pre.size
    # The plain row has the factor G/(G-1) x (N-1)/(N-2), with G = N.
    factor = n / (n - 2)
    assert found.standard_error * np.sqrt(factor) == pytest.approx(
        plain.standard_error, rel=1e-10
    )


def test_covariates_remove_a_trend_that_depends_on_them(settings):
    random = np.random.default_rng(4)
    x = random.normal(0, 1, 4000)
    is_treated = random.random(4000) < 1 / (1 + np.exp(-x))
    pre = random.normal(5, 1, 4000)
    post = pre + x + 0.5 * is_treated + random.normal(0, 1, 4000)
    units = UnitChanges("e", "y", "control", "new", is_treated, pre, post, x[:, None])
    for adjustment in ("outcome_regression", "weighting", "doubly_robust"):
        found = estimate_did_adjusted(units, settings, adjustment=adjustment)
        assert abs(found.difference - 0.5) < 4 * found.standard_error
    plain = estimate_did_adjusted(
        replace(units, covariates=np.empty((4000, 0))), settings
    )
    assert plain.difference - 0.5 > 10 * plain.standard_error


@pytest.mark.parametrize(
    "adjustment", ["doubly_robust", "outcome_regression", "weighting"]
)
@pytest.mark.parametrize(
    ("size", "shift"), [(1e7, 5e7), (1.0, 1e6), (1e12, 0.0), (1e-12, 0.0)]
)
def test_the_unit_of_a_covariate_does_not_matter(
    size, shift, adjustment, golden, settings
):
    units = _units(golden)
    moved = replace(units, covariates=units.covariates * size + shift)
    one, other = (
        estimate_did_adjusted(two, settings, adjustment=adjustment)
        for two in (units, moved)
    )
    assert other.difference == pytest.approx(one.difference, rel=1e-8)
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-8)


def test_covariates_that_say_nothing_change_nothing(golden, settings):
    units = _units(golden)
    twice = np.column_stack([units.covariates, 3e6 * units.covariates + 1])
    constant = np.column_stack([units.covariates, np.full(len(units.pre), 0.1)])
    plain = estimate_did_adjusted(units, settings)
    for columns in (twice, constant):
        found = estimate_did_adjusted(replace(units, covariates=columns), settings)
        assert found.difference == pytest.approx(plain.difference, rel=1e-9)
        assert found.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def test_clusters_sum_their_units(golden, settings):
    units = _units(golden)
    cluster = np.arange(units.pre.size) // 2
    found = estimate_did_adjusted(replace(units, cluster=cluster), settings)
    assert found.n_clusters == np.unique(cluster).size
    assert found.df == found.n_clusters - 1


def test_estimate_did_adjusted_refuses(golden, settings):
    units = _units(golden)
    few = replace(units, cluster=units.is_treated * 10 + np.arange(units.pre.size) % 6)
    assert estimate_did_adjusted(few, settings).reason == "NEEDS_WILD_BOOTSTRAP"
    fewer = replace(
        units, cluster=units.is_treated * 10 + np.arange(units.pre.size) % 2
    )
    assert estimate_did_adjusted(fewer, settings).reason == "TOO_FEW_CLUSTERS"
    large = replace(settings, min_units_per_arm=1000)
    assert estimate_did_adjusted(units, large).reason == "TOO_FEW_UNITS"
    holes = replace(units, pre=np.full(units.pre.size, np.nan))
    assert estimate_did_adjusted(holes, settings).reason == "INVALID_MOMENTS"


def test_covariates_that_tell_the_arms_apart_are_refused(golden, settings):
    units = _units(golden)
    apart = replace(units, covariates=np.where(units.is_treated, 1.0, 0.0)[:, None])
    found = estimate_did_adjusted(apart, settings, adjustment="weighting")
    assert (found.reason, found.difference) == ("POOR_OVERLAP", None)


def test_columns_of_unequal_length_are_a_broken_contract(golden):
    units = _units(golden)
    with pytest.raises(ContractError, match="do not belong together"):
        replace(units, pre=units.pre[1:])
