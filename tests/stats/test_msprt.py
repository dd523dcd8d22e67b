import numpy as np
import pytest
from scipy.special import ndtri

from exp_platform.errors import ContractError
from exp_platform.stats.msprt import estimate_msprt


@pytest.fixture(scope="module")
def arms(total):
    random = np.random.default_rng(9)
    control, treatment = random.normal(5, 2, 900), random.normal(5.4, 2, 900)
    units = (60, 300, 900)
    return (
        [total(control[:n]) for n in units],
        [total(treatment[:n], "treatment") for n in units],
    )


def test_evidence_is_that_of_the_published_formula(arms, settings):
    rows = estimate_msprt(*arms, settings, tau=0.3)
    assert rows[0].reason == "TOO_FEW_UNITS"
    row = rows[-1]
    variance, effect, tau2 = row.standard_error**2, row.difference, 0.09
    # Johari and others (2022): the normal mixture of likelihood ratios.
    evidence = np.sqrt(variance / (variance + tau2)) * np.exp(
        tau2 * effect**2 / (2 * variance * (variance + tau2))
    )
    assert row.details["e_value"] == pytest.approx(evidence, rel=1e-10)
    width = np.sqrt(
        variance
        * (variance + tau2)
        / tau2
        * (np.log((variance + tau2) / variance) - 2 * np.log(0.05))
    )
    assert row.ci_upper - effect == pytest.approx(width, rel=1e-12)


def test_msprt_is_wider_than_one_look(arms, settings):
    row = estimate_msprt(*arms, settings, tau=0.3)[-1]
    assert row.details["critical_value"] > ndtri(0.975)
    assert row.method == "msprt"


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan")])
def test_mixture_without_width_is_a_broken_contract(arms, settings, tau):
    with pytest.raises(ContractError, match="no width"):
        estimate_msprt(*arms, settings, tau=tau)


def test_refused_estimate_stays_refused(total, settings):
    same = total(np.ones(300))
    assert estimate_msprt([same], [same], settings, tau=1.0)[0].reason == (
        "ZERO_VARIANCE"
    )
    assert estimate_msprt([], [], settings, tau=1.0) == ()
