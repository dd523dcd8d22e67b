from dataclasses import replace

import numpy as np
import pytest

from exp_platform.errors import ContractError
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    critical_sequence,
    estimate_confidence_sequence,
    track_confidence_sequence,
    tune_mixture,
)
from exp_platform.stats.welch import estimate_welch


@pytest.fixture(scope="module")
def looks(total):
    def build(effect, units=(50, 400, 1000, 2000)):
        random = np.random.default_rng(5)
        control = random.normal(10, 3, units[-1])
        treatment = random.normal(10, 3, units[-1]) + effect
        return (
            [total(control[:n]) for n in units],
            [total(treatment[:n], "treatment") for n in units],
        )

    return build


def test_tuning_is_where_the_sequence_is_tightest():
    for planned, alpha in ((5000, 0.05), (100_000, 0.01)):
        rho2 = tune_mixture(planned, alpha)
        widths = critical_sequence(planned, rho2 * np.linspace(0.5, 2, 31), alpha)
        here = critical_sequence(planned, rho2, alpha)
        assert (widths >= here - 1e-12).all()


def test_width_is_that_of_the_published_formula():
    # Waudby-Smith and others: sqrt(2 (t rho^2 + 1) / (t^2 rho^2)
    # log(sqrt(t rho^2 + 1) / alpha)), for a mean of t values of variance 1.
    t, alpha = np.array([100, 5000, 1e6]), 0.05
    rho2 = tune_mixture(5000, alpha)
    margin = np.sqrt(
        2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha)
    )
    found = critical_sequence(t, rho2, alpha) / np.sqrt(t)
    np.testing.assert_allclose(found, margin, rtol=1e-13)


def test_no_look_before_a_hundred_matured_units(looks, settings):
    rows = estimate_confidence_sequence(
        *looks(0.3), settings, plan=SequencePlan((2000, 2000), min_units_per_arm=2)
    )
    assert rows[0].reason == "TOO_FEW_UNITS"
    assert rows[0].p_value is None
    assert [row.is_ok for row in rows[1:]] == [True] * 3
    assert [row.look for row in rows] == [1, 2, 3, 4]


def test_interval_and_p_value_of_a_row_agree(looks, settings):
    plan = SequencePlan((2000, 2000))
    for effect in (0.0, 0.6):
        lowest = 1.0
        for row in estimate_confidence_sequence(*looks(effect), settings, plan=plan):
            if not row.is_ok:
                continue
            is_outside = row.ci_lower > 0 or row.ci_upper < 0
            own = 1 / row.details["e_value"]
            assert is_outside == (own < 0.05)
            lowest = min(lowest, own)
            assert row.p_value == pytest.approx(lowest)
            assert row.relative_ci_lower < row.relative_lift < row.relative_ci_upper


def test_sequence_is_wider_than_one_look(looks, settings):
    controls, treatments = looks(0.2)
    rows = estimate_confidence_sequence(
        controls, treatments, settings, plan=SequencePlan((2000, 2000))
    )
    fixed = estimate_welch(controls[-1], treatments[-1], settings)
    assert rows[-1].ci_lower < fixed.ci_lower
    assert rows[-1].p_value > fixed.p_value
    assert rows[-1].difference == fixed.difference


def test_one_sided_sequences_are_open_and_mirror_each_other(looks, settings):
    controls, treatments = looks(0.5)
    above = estimate_confidence_sequence(
        controls, treatments, settings, plan=SequencePlan((2000, 2000), "greater")
    )[-1]
    below = estimate_confidence_sequence(
        treatments, controls, settings, plan=SequencePlan((2000, 2000), "less")
    )[-1]
    assert above.ci_upper is None
    assert below.ci_lower is None
    assert above.ci_lower == pytest.approx(-below.ci_upper)
    assert above.p_value == pytest.approx(below.p_value)
    both = estimate_confidence_sequence(
        controls, treatments, settings, plan=SequencePlan((2000, 2000))
    )[-1]
    assert above.ci_lower > both.ci_lower


def test_refused_estimates_stay_refused(total, settings):
    same = total(np.ones(300))
    rows = estimate_confidence_sequence(
        [same], [replace(same, variant="b")], settings, plan=SequencePlan((9, 9))
    )
    assert rows[0].reason == "ZERO_VARIANCE"
    assert rows[0].method == "confidence_sequence"
    assert track_confidence_sequence([], SequencePlan((9, 9))) == ()


@pytest.mark.parametrize("units", [(0, 5), (-1, 1)])
def test_plan_without_units_is_a_broken_contract(units):
    with pytest.raises(ContractError, match="cannot be tuned"):
        SequencePlan(units)


def test_unknown_alternative_is_a_broken_contract():
    with pytest.raises(ContractError, match="cannot be tuned"):
        SequencePlan((5, 5), "sideways")
