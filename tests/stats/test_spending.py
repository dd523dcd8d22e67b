import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.stats.spending import Spending, spend_alpha

KINDS = ["obrien_fleming", "pocock", "power"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", [1, 2])
def test_spend_alpha_spends_nothing_at_first_and_all_at_the_end(kind, sides):
    found = spend_alpha(Spending(kind), [0.05, 0.2], [0, 1], sides=sides)
    expected = [[0, 0.05 / sides], [0, 0.2 / sides]]
    # The normal quantile and its inverse cost a few units in the last place.
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@given(
    kind=st.sampled_from(KINDS),
    alpha=st.floats(1e-8, 0.9),
    times=st.lists(st.floats(0, 1), min_size=2, max_size=9),
)
def test_spend_alpha_never_falls_in_time_or_alpha(kind, alpha, times):
    found = spend_alpha(Spending(kind), [alpha, alpha * 1.1], sorted(times))
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[1] >= found[0]).all()


def test_power_spending_of_exponent_one_is_even():
    found = spend_alpha(Spending("power", 1.0), 0.05, [0.25, 0.5], sides=1)
    np.testing.assert_allclose(found, [[0.0125, 0.025]], rtol=1e-15)


@pytest.mark.parametrize(("kind", "exponent"), [("linear", 1), ("power", 0)])
def test_spending_refuses_what_it_does_not_know(kind, exponent):
    with pytest.raises(ContractError, match="no such spending function"):
        Spending(kind, exponent)
