"""What must hold for every estimator there is; one registry, one test per property.

A new estimator gets a line in `tests/stats/estimators.py`;
`test_every_estimator_is_registered` asks for it.
"""

import inspect
import pkgutil
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

import exp_platform.causal
import exp_platform.stats
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.stats.cluster import estimate_cluster_means
from exp_platform.stats.repeated import widen_interval
from tests.stats.drawn import MEAN, RATIO, SEEDS, Arm, draw, gram, total, total_in_parts
from tests.stats.estimators import ESTIMATORS, assert_same, clusters_of, run, which


def functions_of(package: Any) -> dict[str, Any]:
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and name.startswith("estimate_")
    }


ELSEWHERE = {
    "estimate_hall_t",  # a thousand units in an arm: tests/stats/test_hall.py
    "estimate_spread",  # of several rows: tests/stats/test_spread.py
    "estimate_stopped",  # of a boundary: tests/stats/test_stagewise.py
    "estimate_deltas",  # no Estimate: tests/causal/test_event_study.py
    # one estimator bootstrapped: tests/stats/test_cluster.py and causal's
    "estimate_few_cluster_means",
    "estimate_means_by_cluster",
}


def test_every_estimator_is_registered():
    known = {case.makes.__name__ for case in ESTIMATORS.values()}
    there = {
        **functions_of(exp_platform.stats),
        **functions_of(exp_platform.causal),
    }
    assert set(there) - ELSEWHERE <= known


@pytest.mark.parametrize("name", which(swaps="flip"))
@pytest.mark.parametrize("seed", SEEDS)
def test_swapped_arms_flip_the_sign_and_keep_p(name, seed):
    control, treatment = draw(seed)
    there, back = run(name, control, treatment), run(name, treatment, control)
    assert_same(back.difference, -there.difference)
    assert_same(back.standard_error, there.standard_error)
    # an interval by inversion is searched for, not solved
    rel = 1e-5 if name == "did_randomisation" else 1e-7
    assert_same(back.p_value, there.p_value, rel)
    assert_same(back.ci_lower, None if there.ci_upper is None else -there.ci_upper, rel)


@pytest.mark.parametrize("name", which(swaps="refuse"))
def test_swapped_arms_have_no_effect_per_uptake(name):
    control, treatment = draw(1)
    assert run(name, control, treatment).is_ok
    back = ESTIMATORS[name].run(treatment, control, total)
    assert (back.reason, back.difference) == ("REVERSED_FIRST_STAGE", None)


@pytest.mark.parametrize("name", which(scales=True))
@pytest.mark.parametrize("scale", [1e-6, 2.5, 1e6])
def test_unit_of_the_values_changes_only_the_unit(name, scale):
    control, treatment = draw(1)
    plain = run(name, control, treatment)
    scaled = run(name, control.change(scale), treatment.change(scale))
    # weights of a synthetic control are found by iteration
    rel = 1e-5 if name == "synthetic_control" else 1e-7
    for field in ("difference", "standard_error", "ci_lower", "ci_upper"):
        value = getattr(plain, field)
        moved = getattr(scaled, field)
        assert (value is None) == (moved is None)
        if value is not None:
            assert moved / scale == pytest.approx(value, rel=rel, abs=1e-9)
    for field in ("p_value", "relative_lift", "relative_ci_lower", "relative_p_value"):
        assert_same(getattr(scaled, field), getattr(plain, field), rel)


@pytest.mark.parametrize("name", which(shifts=True))
@pytest.mark.parametrize("shift", [-50.0, 1000.0])
def test_origin_of_the_values_does_not_matter(name, shift):
    control, treatment = draw(2)
    plain = run(name, control, treatment)
    shifted = run(name, control.change(shift=shift), treatment.change(shift=shift))
    # 1000 takes three digits of a value of 10
    rel = 1e-5 if name == "synthetic_control" else 1e-7
    for field in ("difference", "standard_error", "ci_lower", "p_value"):
        assert_same(getattr(shifted, field), getattr(plain, field), rel)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("origin", [0.0, -14.5])
def test_lift_and_difference_exclude_zero_together(name, origin):
    """Also where an end of the interval lies just beside 0, and control's mean near it."""
    control, treatment = (arm.change(shift=origin) for arm in draw(1))
    first = ESTIMATORS[name].run(control, treatment, total)
    moves = [0.0]
    if first.is_ok and ESTIMATORS[name].shifts:
        ends = [end for end in (first.ci_lower, first.ci_upper) if end is not None]
        moves += [-end * factor for end in ends for factor in (0.999, 1.001)]
    for move in moves:
        row = ESTIMATORS[name].run(control, treatment.change(shift=move), total)
        for end, lift in (
            (row.ci_lower, row.relative_ci_lower),
            (row.ci_upper, row.relative_ci_upper),
        ):
            if end is not None and lift is not None:
                assert (lift > 0) == (end > 0)
                assert (lift < 0) == (end < 0)


@pytest.mark.parametrize("name", which(merges=True))
def test_parts_merged_in_any_order_give_the_same_row(name):
    control, treatment = draw(3)
    whole = run(name, control, treatment)
    parts = run(name, control, treatment, total_in_parts)
    for field in ("difference", "standard_error", "p_value", "ci_lower", "n_control"):
        assert_same(getattr(parts, field), getattr(whole, field), 1e-7)


def _flat(arm: Arm) -> Arm:
    return replace(arm, x=np.full_like(arm.x, 3.0), z=np.zeros_like(arm.z))


@pytest.mark.parametrize(
    "name", ["cuped", "cuped_total", "adjusted", "lin", "cuped_ratio"]
)
def test_constant_covariate_is_no_covariate(name):
    control, treatment = (_flat(arm) for arm in draw(1))
    row = ESTIMATORS[name].run(control, treatment, total)
    assert (row.is_ok, row.reason) == (False, "NO_COVARIATE_DATA")
    for field in ("standard_error", "p_value", "ci_lower", "ci_upper"):
        assert getattr(row, field) is None


def test_one_stratum_is_no_strata():
    control, treatment = (_flat(arm) for arm in draw(1))
    here = run("post_stratified", control, treatment)
    there = run("welch", control, treatment)
    for field in ("difference", "standard_error", "df", "p_value", "ci_lower"):
        assert_same(getattr(here, field), getattr(there, field), 1e-8)


def test_constant_covariate_leaves_did_alone_and_explains_no_choice():
    control, treatment = (_flat(arm) for arm in draw(1))
    did, adjusted = (run(n, control, treatment) for n in ("did", "did_adjusted"))
    assert_same(adjusted.difference, did.difference)
    for name in ("regression_adjustment", "aipw"):
        row = ESTIMATORS[name].run(control, treatment, total)
        # What people chose by is not known: no number is better than a plain one.
        assert (row.reason, row.difference) == ("COLLINEAR_COVARIATES", None)


@pytest.mark.parametrize(
    ("name", "plain"), [("ratio", "welch"), ("cuped_ratio", "cuped")]
)
def test_denominator_one_is_the_mean(name, plain):
    control, treatment = (replace(a, d=np.ones_like(a.d)) for a in draw(1))
    here, there = run(name, control, treatment), run(plain, control, treatment)
    for field in ("difference", "standard_error", "relative_lift"):
        assert_same(getattr(here, field), getattr(there, field), 1e-8)
    # The test of a ratio is normal, that of a mean is not.
    ends = widen_interval(replace(there, df=None), float(ndtri(0.975)))
    for field in ("ci_lower", "relative_ci_lower", "relative_ci_upper"):
        assert_same(getattr(here, field), getattr(ends, field), 1e-8)


def test_uptake_by_everybody_and_clusters_of_one_are_the_mean():
    control, treatment = draw(1)
    control = replace(control, uptake=np.zeros_like(control.y))
    treatment = replace(treatment, uptake=np.ones_like(treatment.y))
    welch = run("welch", control, treatment)
    assert_same(run("cace", control, treatment).difference, welch.difference)
    single = estimate_cluster_means(
        clusters_of(control, 1), clusters_of(treatment, 1), MEAN
    )
    for field in ("difference", "standard_error", "df", "p_value"):
        assert_same(getattr(single, field), getattr(welch, field))


def _many(totals: Any, n: int, **more: Any) -> Any:
    return replace(totals, n=n, **more)


@pytest.mark.parametrize("name", ["welch", "cuped", "cuped_total", "ratio", "clusters"])
def test_with_many_units_t_is_z(name):
    """The t of a billion units is normal to nine digits."""
    n = 10**9
    control, treatment = draw(1)
    kinds = {
        "cuped": {"covariate": True},
        "cuped_total": {"covariate": True},
        "ratio": {"ratio": True},
    }.get(name, {})
    case_ = ESTIMATORS[name]
    if name == "clusters":
        arms = [clusters_of(a) for a in (control, treatment)]
        arms = [_many(a, n, n_clusters=n // 4) for a in arms]
        gap = (arms[1].sum_mean - arms[0].sum_mean) / 4
        row = estimate_cluster_means(arms[0], arms[1], MEAN)
        assert row.difference == pytest.approx(gap)
    else:
        arms = [_many(total(a, **kinds), n) for a in (control, treatment)]
        near = replace(arms[1], mean=arms[0].mean + 4e-5)
        settings = RATIO if name == "ratio" else MEAN
        options = {"theta": "total"} if name == "cuped_total" else {}
        row = case_.makes(arms[0], near, settings, **options)
    assert row.is_ok
    z = row.difference / row.standard_error
    assert row.p_value == pytest.approx(2 * ndtr(-abs(z)), rel=1e-5, abs=1e-300)


def test_did_with_many_units_is_normal():
    grams = [gram(arm) for arm in draw(1)]
    panels = [_many(panel_of(g), 10**9, n_clusters=10**9) for g in grams]
    row = estimate_did(panels[0], panels[1], MEAN)
    z = row.difference / row.standard_error
    assert row.p_value == pytest.approx(2 * ndtr(-abs(z)), rel=1e-5, abs=1e-300)
