import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.records import Direction, EstimateStatus, MetricType
from exp_platform.stats.bayes_binomial import BetaPrior, estimate_bayes_proportions
from exp_platform.stats.beta_rates import Beta, compare_rates
from exp_platform.stats.settings import EstimateSettings


def _beta(*pairs):
    a, b = np.array(pairs, dtype=float).T
    return Beta(a, b)


@pytest.fixture(scope="module")
def converts(define):
    definition = define(MetricType.PROPORTION)
    return EstimateSettings(definition, min_units_per_arm=2)


def _events(total, control, treatment):
    return tuple(
        total(np.repeat([1.0, 0.0], [events, n - events]), name)
        for (events, n), name in ((control, "control"), (treatment, "treatment"))
    )


def test_compare_rates_agrees_with_quadrature(golden):
    cases = golden("bayes")["rates"]
    found = compare_rates(
        _beta(*(case["control"] for case in cases)),
        _beta(*(case["treatment"] for case in cases)),
        0.05,
    )
    for k, case in enumerate(cases):
        for name in ("probability_above", "lower", "upper"):
            assert getattr(found, name)[k] == pytest.approx(
                case[name], rel=1e-9, abs=1e-11
            )
        for name in ("loss_above", "loss_below"):
            assert getattr(found, name)[k] == pytest.approx(
                case[name], rel=1e-8, abs=1e-15
            )
        if case["exact"] is not None:
            assert found.probability_above[k] == pytest.approx(case["exact"], rel=1e-9)


RATES = st.tuples(st.floats(0.5, 400), st.floats(0.5, 4000))


@settings(max_examples=30)
@given(control=RATES, treatment=RATES)
def test_swapping_the_arms_mirrors_the_beliefs(control, treatment):
    ours = compare_rates(_beta(control), _beta(treatment), 0.1)
    theirs = compare_rates(_beta(treatment), _beta(control), 0.1)
    assert ours.probability_above[0] == pytest.approx(
        1 - theirs.probability_above[0], abs=1e-10
    )
    assert ours.lower[0] == pytest.approx(-theirs.upper[0], abs=1e-9)
    assert ours.loss_above[0] == pytest.approx(theirs.loss_below[0], abs=1e-12)
    turned = 1 / (1 + theirs.lift_upper[0]) - 1
    assert ours.lift_lower[0] == pytest.approx(turned, abs=1e-8)
    # Gain less loss is the expected difference.
    gain = ours.loss_below[0] - ours.loss_above[0]
    assert gain == pytest.approx(ours.difference[0], abs=1e-10)


@settings(max_examples=20)
@given(control=RATES, treatment=RATES)
def test_limits_enclose_the_promised_belief(control, treatment):
    arms = (_beta(control), _beta(treatment))
    inner, outer = (compare_rates(*arms, alpha) for alpha in (0.5, 0.05))
    assert outer.lower[0] <= inner.lower[0] <= inner.upper[0] <= outer.upper[0]
    assert outer.lower[0] >= -1
    assert outer.upper[0] <= 1
    assert outer.lift_lower[0] > -1


def test_beliefs_agree_with_simulation():
    random = np.random.default_rng(6)
    control, treatment = random.beta(4, 97, 400_000), random.beta(9, 92, 400_000)
    found = compare_rates(_beta((4, 97)), _beta((9, 92)), 0.05)
    slack = 4 * np.sqrt(0.25 / 400_000)
    share = (treatment > control).mean()
    assert found.probability_above[0] == pytest.approx(share, abs=slack)
    for quantile, limit in ((0.025, found.lower), (0.5, None), (0.975, found.upper)):
        if limit is not None:
            below = (treatment - control < limit[0]).mean()
            assert below == pytest.approx(quantile, abs=slack)
    below = (treatment / control - 1 < found.lift[0]).mean()
    assert below == pytest.approx(0.5, abs=slack)


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ((0.5, 30.5), (99.5, 1.5)),
        ((9909.5, 91.5), (50.5, 50.5)),
        ((10.5, 0.5), (1, 999)),
    ],
    ids=["opposite", "unequal", "corner"],
)
def test_limits_of_arms_at_opposite_ends(control, treatment):
    # Two of these limits were -1 and 1, the others that of another level.
    random = np.random.default_rng(11)
    gap = random.beta(*treatment, 10**6) - random.beta(*control, 10**6)
    found = compare_rates(_beta(control), _beta(treatment), 0.05)
    for limit, chance in ((found.lower, 0.025), (found.upper, 0.975)):
        assert (gap < limit[0]).mean() == pytest.approx(chance, abs=7e-4)


def test_a_chance_is_never_above_one():
    found = compare_rates(_beta((0.5, 100_000.5)), _beta((3.5, 0.5)), 0.05)
    assert found.probability_above[0] == 1


def test_no_events_at_all_still_have_a_belief(total, converts):
    found = estimate_bayes_proportions(*_events(total, (0, 300), (0, 300)), converts)
    assert found.is_ok
    assert found.difference == pytest.approx(0, abs=1e-15)
    assert found.details["probability_to_beat"] == pytest.approx(0.5)
    assert found.ci_lower < 0 < found.ci_upper


def test_row_has_beliefs_and_no_p_value(total, converts):
    found = estimate_bayes_proportions(
        *_events(total, (100, 1000), (130, 1000)), converts
    )
    assert found.method == "bayes_beta_binomial"
    assert found.p_value is None
    assert found.ci_lower < found.difference < found.ci_upper
    assert found.relative_ci_lower < found.relative_lift < found.relative_ci_upper
    table = found.details["sensitivity"]
    chances = [row["probability_to_beat"] for row in table]
    assert chances == sorted(chances, reverse=True)
    assert table[0]["difference"] == found.difference


def test_decrease_turns_what_beats(total, define, converts):
    lower = EstimateSettings(
        define(MetricType.PROPORTION, Direction.DECREASE), min_units_per_arm=2
    )
    arms = _events(total, (30, 400), (44, 410))
    ours, theirs = (
        estimate_bayes_proportions(*arms, chosen).details
        for chosen in (converts, lower)
    )
    assert ours["probability_to_beat"] == pytest.approx(
        1 - theirs["probability_to_beat"]
    )
    assert ours["expected_loss"] == theirs["expected_loss_control"]


def test_values_that_are_no_events_are_refused(total, converts):
    arms = (total([0.0, 3.0] * 9), total([0.0, 1.0] * 9, "treatment"))
    found = estimate_bayes_proportions(*arms, converts)
    assert found.status is EstimateStatus.METRIC_ERRORED
    assert found.reason == "NOT_A_PROPORTION"


@pytest.mark.parametrize("prior", [(0, 1), (1, -1), (float("inf"), 1), ("few", 1)])
def test_improper_prior_is_a_broken_contract(prior):
    with pytest.raises(ContractError, match="proper"):
        BetaPrior(*prior)


def test_hundreds_of_comparisons_at_once():
    random = np.random.default_rng(7)
    a, b = random.uniform(0.5, 300, (2, 300)), random.uniform(1, 3000, (2, 300))
    found = compare_rates(Beta(a[0], b[0]), Beta(a[1], b[1]), 0.05)
    alone = compare_rates(Beta(a[0, 7:8], b[0, 7:8]), Beta(a[1, 7:8], b[1, 7:8]), 0.05)
    assert found.lower[7] == pytest.approx(alone.lower[0], abs=1e-12)
    assert np.isfinite(found.lift_upper).all()
