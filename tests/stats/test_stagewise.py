import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.stats.looks import (
    Look,
    SequentialPlan,
    critical_values,
    schedule_looks,
)
from exp_platform.stats.spending import Spending
from exp_platform.stats.stagewise import estimate_stopped

PLAN = SequentialPlan(min_units_per_arm=2)


def _schedule(units, elapsed):
    looks = [Look(int(n), int(n), t) for n, t in zip(units, elapsed, strict=True)]
    return schedule_looks(looks, PLAN)


def test_estimate_stopped_agrees_with_mvtnorm(golden):
    for case in golden("group_sequential")["cases"]:
        found = estimate_stopped(
            _schedule(np.array(case["info"]) * 2e6, case["times"]),
            Spending(case["kind"], case["exponent"]),
            (case["stop_look"] - 1, case["stop_z"]),
            alpha=case["alpha"],
            sides=case["sides"],
        )
        # The recursion is good to 1e-10, Miwa's algorithm and R's roots to 1e-10.
        np.testing.assert_allclose(
            [found.lower, found.median, found.upper],
            case["stop_drift"],
            rtol=1e-8,
            atol=1e-8,
        )


def test_estimate_stopped_agrees_with_rpact(golden):
    answer = golden("group_sequential")["rpact"][-1]
    error = np.sqrt(2 / 300)
    effect = (10.2 + 10.35) / 2 - 10
    found = estimate_stopped(
        _schedule([150, 300, 500], [0.3, 0.6, 1.0]),
        Spending(),
        (1, effect / error),
        alpha=0.05,
        sides=1,
    )
    # rpact's design is one-sided .025: the same interval, its own boundary. It pools
    # the variance over stages (1.0037 here), which moves the third digit.
    assert found.median * error == pytest.approx(answer["median"], rel=2e-2)


def test_first_look_gives_the_fixed_interval():
    schedule = _schedule([500, 900], [0.5, 1.0])
    found = estimate_stopped(schedule, Spending("pocock"), (0, 3.0), alpha=0.05)
    np.testing.assert_allclose(
        [found.lower, found.median, found.upper],
        [3 - 1.959963984540054, 3.0, 3 + 1.959963984540054],
        rtol=1e-9,
    )
    assert found.p_value == pytest.approx(0.0026997960632601866, rel=1e-9)


def test_estimate_after_an_early_stop_is_shrunk():
    schedule = _schedule([300, 600, 900], [1 / 3, 2 / 3, 1.0])
    critical = critical_values(schedule, Spending("pocock"), np.array([0.05]))[0]
    found = estimate_stopped(
        schedule, Spending("pocock"), (1, critical[1] + 0.05), alpha=0.05
    )
    assert found.median < critical[1] + 0.05
    assert found.lower > 0


@settings(max_examples=20)
@given(
    z=st.floats(-5, 5),
    kind=st.sampled_from(["obrien_fleming", "pocock", "power"]),
    alpha=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_turning_the_arms_turns_the_estimate(z, kind, alpha):
    schedule = _schedule([200, 700, 900], [0.2, 0.7, 1.0])
    ours, theirs = (
        estimate_stopped(schedule, Spending(kind), (2, sign * z), alpha=alpha)
        for sign in (1, -1)
    )
    np.testing.assert_allclose(
        [ours.lower, ours.median, ours.upper, ours.p_value],
        [-theirs.upper, -theirs.median, -theirs.lower, theirs.p_value],
        atol=1e-8,
    )
    assert ours.lower < ours.median < ours.upper


def test_stop_at_the_boundary_has_the_spent_alpha_as_p_value():
    schedule = _schedule([300, 600, 900], [1 / 3, 2 / 3, 1.0])
    critical = critical_values(schedule, Spending(), np.array([0.05]))[0]
    found = estimate_stopped(schedule, Spending(), (2, critical[2]), alpha=0.05)
    assert found.p_value == pytest.approx(0.05, rel=1e-8)
    # The interval and the test agree at the boundary.
    assert found.lower == pytest.approx(0, abs=1e-8)


def test_stop_at_an_end_without_new_units():
    repeated = _schedule([300, 600, 600], [1 / 3, 2 / 3, 1.0])
    direct = _schedule([300, 600], [1 / 3, 1.0])
    found = [
        estimate_stopped(schedule, Spending(), (look, 2.1), alpha=0.05)
        for schedule, look in ((repeated, 2), (direct, 1))
    ]
    assert found[0].median == pytest.approx(found[1].median, rel=1e-9)
