import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.records import Direction, MarginScale
from exp_platform.stats.design import Design, Noise, Target, noise_of_rate
from exp_platform.stats.power import (
    MetricDesign,
    find_days,
    find_margin,
    find_mde,
    find_power,
    find_units,
    size_experiment,
)

# The same closed forms; ours and statsmodels' noncentral t share Boost's series.
SAME = 1e-8
# Roots are halved to the last double, but power is flat around them: (1 / slope) x eps.
ROOT = 1e-9


def _goal(difference=0.5, noise=None):
    return MetricDesign("goal", noise or Noise(10.0, 25.0), Target(difference))


def _guardrail(margin=0.05, noise=None, **target):
    target = Target(margin=margin, **target)
    return MetricDesign("guard", noise or noise_of_rate(0.1), target)


def test_power_of_t_agrees_with_statsmodels_for_equal_arms(golden):
    for one in golden("power")["means"]:
        d, n, alpha = one["case"]
        found = find_power(Noise(0.0, 1.0), Target(d), Design(alpha=alpha), 2 * n)
        assert found == pytest.approx(one["power"], rel=SAME)


def test_power_of_normal_agrees_with_statsmodels_for_unequal_arms(golden):
    for one in golden("power")["unequal_normal"]:
        d, n, ratio, alpha = one["case"]
        design = Design(alpha=alpha, control_share=1 / (1 + ratio))
        noise = Noise(0.0, 1.0, "normal")
        found = find_power(noise, Target(d), design, n * (1 + ratio))
        assert found == pytest.approx(one["power"], rel=SAME)


def test_power_of_proportions_agrees_with_statsmodels(golden):
    for one in golden("power")["rates"]:
        p0, p1, n, control_per_treatment = one["case"]
        share = (1 / control_per_treatment) / (1 + 1 / control_per_treatment)
        design = Design(control_share=share)
        total = n * (1 + 1 / control_per_treatment)
        found = find_power(noise_of_rate(p0), Target(p1 - p0), design, total)
        assert found == pytest.approx(one["power"], rel=SAME)


def test_power_of_absolute_margin_agrees_with_statsmodels(golden):
    for one in golden("power")["margins"]:
        d, margin, n = one["case"]
        target = Target(d, margin, MarginScale.ABSOLUTE)
        found = find_power(Noise(0.0, 1.0), target, Design(), 2 * n)
        assert found == pytest.approx(one["power"], rel=SAME)


def test_relative_margin_has_the_variance_of_the_guardrail_test():
    # T - (1 - m) C: 10,000 per arm, sd 5, mean 10, m 2 %.
    error = math.sqrt(25 / 10_000 + 0.98**2 * 25 / 10_000)
    expected = 0.2 / error
    found = find_power(
        Noise(10.0, 25.0, "normal"), Target(margin=0.02), Design(), 20_000
    )
    from scipy.special import ndtr

    assert found == pytest.approx(float(ndtr(expected - 1.959963984540054)), rel=1e-9)


def test_harmful_direction_of_a_decreasing_metric_is_up():
    target = Target(margin=0.05, direction=Direction.DECREASE)
    worse, better = (
        find_power(noise_of_rate(0.1), replace(target, difference=d), Design(), 50_000)
        for d in (0.002, -0.002)
    )
    assert worse < better


def test_find_units_reaches_the_power_and_one_less_does_not():
    size = find_units(_goal(), Design())
    assert size.power >= 0.8
    fewer = find_power(_goal().noise, _goal().target, Design(), size.n_total - 2)
    assert fewer < 0.8
    assert (size.n_control, size.n_treatment, size.n_total) == (1571, 1571, 3142)


def test_find_mde_turns_find_units_round():
    size = find_units(_goal(), Design())
    found = find_mde(_goal().noise, Design(), size.n_exact)
    assert found == pytest.approx(0.5, rel=ROOT)
    down = find_mde(noise_of_rate(0.1), Design(), 29_000, direction=Direction.DECREASE)
    assert -0.1 < down < 0


def test_find_margin_turns_find_units_round():
    size = find_units(_guardrail(), Design())
    found = find_margin(_guardrail().noise, _guardrail().target, Design(), size.n_exact)
    assert found == pytest.approx(0.05, rel=ROOT)


def test_cuped_shrinks_the_size_by_its_variance_ratio():
    plain = find_units(_goal(noise=Noise(10.0, 25.0, "normal")), Design()).n_exact
    noise = Noise(10.0, 25.0, "normal", variance_ratio=0.64)
    assert find_units(_goal(noise=noise), Design()).n_exact == pytest.approx(
        0.64 * plain, rel=ROOT
    )


def test_sequential_inflation_multiplies_the_size():
    plain = find_units(_goal(), Design()).n_exact
    found = find_units(_goal(), Design(inflation=1.03)).n_exact
    assert found == pytest.approx(1.03 * plain, rel=ROOT)


def test_several_arms_use_the_first_step_of_holm():
    size = find_units(_goal(), Design(n_treatments=2, n_goals=3))
    assert size.alpha == pytest.approx(0.05 / 6)
    assert size.n_total == 3 * size.n_control


def test_guardrails_share_beta_and_keep_alpha():
    one, three = (find_units(_guardrail(), Design(n_guardrails=n)) for n in (1, 3))
    assert one.alpha == three.alpha == 0.025
    assert three.power >= 1 - 0.2 / 3
    assert three.n_total > one.n_total


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (_goal(0.0), "NO_EFFECT"),
        (_goal(0.95, noise_of_rate(0.1)), "IMPOSSIBLE_RATE"),
        (_goal(1e-9), "OUT_OF_REACH"),
        (_guardrail(difference=-0.01), "NO_EFFECT"),
    ],
)
def test_find_units_says_why_there_is_no_size(metric, reason):
    size = find_units(metric, Design(units_per_day=10))
    assert size.reason == reason
    assert (size.n_total, size.n_exact, size.power, size.days) == (None,) * 4


def test_find_mde_is_none_where_nothing_is_found():
    assert find_mde(noise_of_rate(0.5), Design(), 4) is None


def test_find_days_counts_whole_days_maturing_and_the_least():
    design = Design(units_per_day=100, window_days=3.5)
    assert find_days(design, 1001) == 11 + 4
    assert find_days(design, 50) == 7 + 4
    assert find_days(Design(), 50) is None


def test_size_experiment_ships_with_the_wanted_power():
    metrics = [_goal(0.01, noise_of_rate(0.1)), _guardrail(), _guardrail()]
    found = size_experiment(metrics, Design(units_per_day=10_000))
    assert found.total.power >= 0.8
    assert found.total.n_total >= max(size.n_total for size in found.metrics)
    expected = found.powers[0] - sum(1 - p for p in found.powers[1:])
    assert found.total.power == pytest.approx(expected)


def test_size_experiment_without_guardrails_is_its_cheapest_requirement():
    goals = [_goal(0.5), _goal(0.8)]
    found = size_experiment(goals, Design())
    assert found.total.n_total == max(size.n_total for size in found.metrics)


def test_size_experiment_needs_a_goal_and_a_reachable_target():
    assert size_experiment([_guardrail()], Design()) is None
    found = size_experiment([_goal(0.0)], Design())
    assert (found.total.reason, found.total.n_total) == ("NO_EFFECT", None)
    assert found.powers == ()


@given(
    difference=st.floats(0.01, 3),
    sd=st.floats(0.1, 100),
    share=st.floats(0.05, 0.95),
    n=st.integers(100, 1_000_000),
)
def test_power_is_a_probability_and_grows_with_the_units(difference, sd, share, n):
    noise, design = Noise(1.0, sd**2), Design(control_share=share)
    few, many = (find_power(noise, Target(difference), design, k * n) for k in (1, 2))
    assert 0 <= few <= many + 1e-12 <= 1 + 1e-12


@given(scale=st.floats(1e-3, 1e3), n=st.integers(50, 10_000))
def test_power_does_not_depend_on_the_unit_of_the_metric(scale, n):
    plain = find_power(Noise(2.0, 9.0), Target(0.3), Design(), n)
    scaled = find_power(
        Noise(2 * scale, 9 * scale**2), Target(0.3 * scale), Design(), n
    )
    assert scaled == pytest.approx(plain, rel=1e-9)


@given(difference=st.floats(0.01, 5))
def test_equal_arms_are_the_cheapest_for_a_mean(difference):
    metric = _goal(difference)
    equal = find_units(metric, Design()).n_exact
    skewed = find_units(metric, Design(control_share=0.8)).n_exact
    assert equal < skewed


@pytest.mark.calibration
@pytest.mark.parametrize("kind", ["mean", "proportion"])
def test_size_found_has_the_promised_power(kind, named_random):
    from exp_platform.stats.proportion import compare_proportions
    from exp_platform.stats.score import Counts
    from exp_platform.stats.welch import Arm, compare_arms

    runs = 20_000
    design = Design(control_share=0.3)
    if kind == "mean":
        metric = _goal(1.0)
        size = find_units(metric, design)
        arms = [
            Arm(
                np.full(runs, float(n)),
                mean + named_random.normal(0, 5 / math.sqrt(n), runs),
                25 * named_random.chisquare(n - 1, runs) / (n - 1),
            )
            for n, mean in ((size.n_control, 10), (size.n_treatment, 11))
        ]
        p = compare_arms(*arms, 0.05).inference.p_value
    else:
        metric = _goal(0.03, noise_of_rate(0.1))
        size = find_units(metric, design)
        n0, n1 = (np.full(runs, float(n)) for n in (size.n_control, size.n_treatment))
        events = [
            named_random.binomial(int(n[0]), rate, runs).astype(float)
            for n, rate in ((n0, 0.1), (n1, 0.13))
        ]
        counts = Counts(events[0], n0, events[1], n1)
        p = compare_proportions(counts, 0.05).inference.p_value
    # 4 binomial errors; the normal approximation of counts costs up to .005.
    slack = 4 * math.sqrt(size.power * (1 - size.power) / runs) + 0.005
    assert abs(np.mean(p < 0.05) - size.power) < slack


@pytest.mark.calibration
def test_guardrail_size_found_has_the_promised_power(named_random):
    runs, noise = 20_000, Noise(10.0, 25.0)
    size = find_units(_guardrail(0.03, noise), Design(n_guardrails=2))
    draws = [
        named_random.normal(10, 5 / math.sqrt(n), runs)
        for n in (size.n_control, size.n_treatment)
    ]
    error = math.sqrt(25 / size.n_treatment + 0.97**2 * 25 / size.n_control)
    shown = (draws[1] - 0.97 * draws[0]) / error > 1.959963984540054
    slack = 4 * math.sqrt(size.power * (1 - size.power) / runs)
    assert abs(np.mean(shown) - size.power) < slack


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.05), (0.2, 0.1), (0.01, 0.02)])
def test_power_that_no_effect_needs_is_refused(alpha, power):
    """A test rejects with probability alpha where there is nothing to find."""
    with pytest.raises(UsageError, match="power is out of range"):
        Design(alpha=alpha, power=power)
