import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.stats.mixture import (
    always_valid_p,
    critical_mixture,
    log_e_value,
)

RATIOS = st.floats(1e-4, 1e5)
SIDES = st.sampled_from([1, 2])


def test_evidence_and_critical_value_agree_with_quadrature(golden):
    for case in golden("confidence_sequence")["cases"]:
        found = log_e_value(case["z"], case["ratio"], sides=case["sides"])
        # Closed form against 20 digits; the log loses what cancels in it.
        assert float(found) == pytest.approx(case["log_e"], rel=1e-11, abs=1e-12)
        critical = critical_mixture(case["ratio"], case["alpha"], sides=case["sides"])
        assert float(critical) == pytest.approx(case["critical"], rel=1e-10)


@given(ratio=RATIOS, alpha=st.floats(1e-6, 0.5), sides=SIDES)
def test_evidence_at_the_critical_value_is_one_over_alpha(ratio, alpha, sides):
    critical = critical_mixture(np.array([ratio]), alpha, sides=sides)
    log_e = log_e_value(critical, ratio, sides=sides)
    np.testing.assert_allclose(log_e, -np.log(alpha), rtol=1e-9)


@given(ratio=RATIOS, alpha=st.floats(1e-6, 0.4))
def test_one_sided_bound_lies_between_its_neighbours(ratio, alpha):
    v = np.array([ratio])
    exact = critical_mixture(v, alpha, sides=1)[0]
    # Waudby-Smith and others give a closed form that is never below the exact one.
    closed = np.sqrt(2 * (v + 1) / v * np.log1p(np.sqrt(v + 1) / (2 * alpha)))[0]
    assert exact <= closed * (1 + 1e-12)
    assert exact < critical_mixture(v, alpha)[0]


@given(
    z=st.lists(st.floats(-8, 8), min_size=1, max_size=20),
    ratio=RATIOS,
    sides=SIDES,
)
def test_always_valid_p_never_rises(z, ratio, sides):
    ratios = ratio * np.arange(1, len(z) + 1)
    found = always_valid_p(np.array([z]), ratios, sides=sides)
    assert (np.diff(found[0]) <= 0).all()
    assert ((found > 0) & (found <= 1)).all()


def test_look_that_did_not_happen_has_no_evidence():
    found = always_valid_p([[np.nan, 4.0, np.nan]], [1.0, 2.0, 3.0])[0]
    assert found[0] == 1
    assert found[1] == found[2] < 0.05


def test_interval_and_p_value_agree():
    ratios = np.geomspace(0.01, 1000, 50)
    critical = critical_mixture(ratios, 0.05)
    for factor, is_rejected in ((0.999, False), (1.001, True)):
        p = np.exp(-np.maximum(log_e_value(factor * critical, ratios), 0))
        assert ((p <= 0.05) == is_rejected).all()
