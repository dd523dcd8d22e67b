import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.records import LookMethod
from exp_platform.stats.confidence_sequence import critical_sequence, tune_mixture
from exp_platform.stats.sequential_cost import (
    MOST_LOOKS,
    LookRule,
    SequentialCost,
    find_cost,
)
from exp_platform.stats.spending import Spending

SPENDING = {
    "asOF": Spending("obrien_fleming"),
    "asP": Spending("pocock"),
    "asKD": Spending("power", 3.0),
}
# rpact's integration: two-sided good to about 1e-6; one-sided it cuts the paths off at
# six standard errors, which over 20 looks moves the fifth digit.
RPACT = {2: 1e-6, 1: 5e-5}


def _rule(n_looks, kind="obrien_fleming"):
    return LookRule(LookMethod.GROUP_SEQUENTIAL, n_looks, Spending(kind))


def test_find_cost_agrees_with_rpact(golden):
    for case in golden("sequential_cost")["cases"]:
        rule = LookRule(
            LookMethod.GROUP_SEQUENTIAL, case["looks"], SPENDING[case["spending"]]
        )
        sides = case["sides"]
        found = find_cost(rule, case["alpha"], case["power"], sides=sides)
        told = (case["inflation"], case["expected"], case["expected_null"])
        ours = np.array([1, found.expected, found.expected_null]) * found.inflation
        assert ours == pytest.approx(told, rel=RPACT[sides])


def test_find_cost_of_one_look_is_nothing():
    assert find_cost(LookRule(), 0.05, 0.8) == SequentialCost()
    assert find_cost(_rule(1), 0.05, 0.8) == SequentialCost()


def test_find_cost_holds_the_power_in_simulation():
    """28 looks, 20,000 paths at the inflated size: power and expected units."""
    found = find_cost(_rule(28), 0.05, 0.8)
    times = np.arange(1, 29) / 28
    random = np.random.default_rng(17)
    # the drift of a fixed test with power .8, times the root of the inflation
    drift = (1.959963985 + 0.841621234) * found.inflation**0.5
    steps = random.normal(drift / 28, (1 / 28) ** 0.5, (20_000, 28))
    z = np.cumsum(steps, axis=1) / np.sqrt(times)
    from exp_platform.stats.boundary import solve_boundaries
    from exp_platform.stats.spending import spend_alpha

    bounds = solve_boundaries(spend_alpha(Spending(), [0.05], times), times).critical[0]
    crossed = np.abs(z) >= bounds
    stop = np.where(crossed.any(axis=1), crossed.argmax(axis=1), 27)
    # four standard errors: of a share of .8, and of units with a spread of about .2
    assert crossed.any(axis=1).mean() == pytest.approx(0.8, abs=4 * 0.0029)
    assert times[stop].mean() == pytest.approx(found.expected, abs=4 * 0.0015)


def test_find_cost_of_a_confidence_sequence_is_paid_at_its_tightest():
    found = find_cost(LookRule(LookMethod.CONFIDENCE_SEQUENCE, 28), 0.05, 0.8)
    width = critical_sequence(1.0, tune_mixture(1.0, 0.05), 0.05)
    # Without looks before the end the drift would have to reach the last bound.
    at_end = ((float(width) + 0.841621234) / (1.959963985 + 0.841621234)) ** 2
    assert 1.5 < found.inflation < at_end
    assert found.inflation > find_cost(_rule(28), 0.05, 0.8).inflation


def test_find_cost_counts_many_looks_as_the_most():
    assert find_cost(_rule(MOST_LOOKS), 0.05, 0.8) == find_cost(_rule(400), 0.05, 0.8)


def test_find_cost_refuses_what_has_no_end():
    with pytest.raises(UsageError, match="no planned end"):
        find_cost(LookRule(LookMethod.MSPRT, 10), 0.05, 0.8)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(2, 12),
    st.sampled_from(["obrien_fleming", "pocock", "power"]),
    st.floats(0.001, 0.2),
    st.floats(0.3, 0.99),
)
def test_find_cost_takes_more_at_most_and_less_on_average(looks, kind, alpha, power):
    found = find_cost(_rule(looks, kind), alpha, power)
    assert 1 < found.inflation < 2
    assert 0 < found.expected < found.expected_null < 1
