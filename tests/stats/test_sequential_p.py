import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.stats.looks import Look, SequentialPlan, critical_values
from exp_platform.stats.looks import schedule_looks as schedule
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.spending import Spending

PLAN = SequentialPlan(min_units_per_arm=2)
DAILY = schedule([Look(90 * k, 100 * k, k / 14) for k in range(1, 15)], PLAN)
KINDS = ["obrien_fleming", "pocock", "power"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", [1, 2])
def test_sequential_p_on_the_boundary_is_its_alpha(kind, sides):
    alphas = np.array([0.4, 0.05, 1e-3, 1e-8])
    critical = critical_values(DAILY, Spending(kind), alphas, sides=sides)
    for look in (0, 3, 13):
        z = np.full(critical.shape, -np.inf if sides == 1 else 0.0)
        z[:, look] = critical[:, look]
        found = track_sequential_p(z, DAILY, Spending(kind), sides=sides)
        # Interpolated to 1e-10; beyond z = 11.5 the bounds ignore earlier stops.
        assert (np.abs(found[:, look] / alphas - 1) < [1e-8, 1e-8, 1e-8, 1e-6]).all()


def test_sequential_p_agrees_with_mvtnorm(golden):
    for case in golden("group_sequential")["cases"]:
        looks = [
            Look(int(2e6 * i), int(2e6 * i), t)
            for i, t in zip(case["info"], case["times"], strict=True)
        ]
        spending = Spending(case["kind"], case["exponent"])
        z = np.zeros(len(looks))
        z[-1] = case["final_z"]
        found = track_sequential_p(
            z, schedule(looks, PLAN), spending, sides=case["sides"]
        )
        # Two nested root searches in R.
        assert found[0, -1] == pytest.approx(case["final_p"], rel=1e-8)


@settings(max_examples=30)
@given(
    z=st.lists(
        st.one_of(st.floats(-9, 9), st.just(float("nan"))), min_size=14, max_size=14
    ),
    kind=st.sampled_from(KINDS),
)
def test_sequential_p_never_rises_and_agrees_with_the_boundary(z, kind):
    found = track_sequential_p(z, DAILY, Spending(kind))[0]
    assert (np.diff(found) <= 0).all()
    assert ((found >= 1e-12) & (found <= 1)).all()
    critical = critical_values(DAILY, Spending(kind), np.array([0.05]))[0]
    crossed = np.logical_or.accumulate(np.abs(np.nan_to_num(z)) >= critical)
    is_edge = np.isclose(found, 0.05, rtol=1e-7)
    assert ((found <= 0.05) == crossed)[~is_edge].all()


def test_two_sided_p_does_not_know_the_sign():
    z = np.random.default_rng(1).normal(0, 2, (50, 14))
    found = [track_sequential_p(sign * z, DAILY, Spending()) for sign in (1, -1)]
    np.testing.assert_array_equal(*found)


def test_one_look_gives_the_fixed_p_value():
    once = schedule([Look(500, 500, 1.0)], PLAN)
    found = track_sequential_p([[1.96], [0.5], [40.0]], once, Spending())
    np.testing.assert_allclose(
        found[:, 0], [0.049995790296440868, 0.61707507745197554, 1e-12], rtol=1e-9
    )


def test_no_test_yet_gives_one():
    early = schedule([Look(1, 1, 0.1)], PLAN)
    assert track_sequential_p([[9.0]], early, Spending())[0, 0] == 1


def test_thousands_of_comparisons_share_one_table():
    z = np.random.default_rng(2).normal(0, 1, (5000, 14))
    found = track_sequential_p(z, DAILY, Spending())
    alone = track_sequential_p(z[17], DAILY, Spending())
    np.testing.assert_array_equal(found[17], alone[0])
