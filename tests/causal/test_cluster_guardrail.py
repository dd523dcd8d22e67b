from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.cluster_guardrail import build_margin_test
from exp_platform.causal.cluster_sums import ClusterSums, sum_clusters
from exp_platform.causal.few_clusters import estimate_did_by_cluster
from exp_platform.causal.wild_bootstrap import bootstrap_clusters, draw_bootstrap
from exp_platform.records import Direction, MarginScale, MetricPlan, MetricRole
from exp_platform.stats.guardrail import GuardrailStatus, assess_guardrail
from exp_platform.stats.harm import harm_p_value, is_resampled


def _arm(n_clusters, *, before=10.0, change=0.0, seed=1, variant="control"):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), 20)
    pre = random.normal(before, 1, n_clusters)[cluster]
    post = pre + random.normal(change, 0.5, n_clusters)[cluster]
    noise = random.normal(0, 0.5, (2, cluster.size))
    return sum_clusters(
        ("exp_1", "spend", variant),
        (pre + noise[0], post + noise[1]),
        cluster,
        days=(7, 7),
    )


ARMS = (_arm(8), _arm(6, change=0.2, seed=2, variant="new"))


@pytest.mark.parametrize("good", [1.0, -1.0])
def test_absolute_margin_is_a_test_of_that_difference(good):
    test = build_margin_test(*ARMS, is_relative=False, good=good)
    drawn = draw_bootstrap(*ARMS)
    for margin in (-0.5, 0.0, 0.4, 1.0):
        two_sided = drawn.p_of(-good * margin)
        is_inside = good * drawn.estimate > -margin
        expected = two_sided / 2 if is_inside else 1 - two_sided / 2
        assert test(margin) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("good", [1.0, -1.0])
def test_relative_margin_is_a_share_of_the_counterfactual(good):
    control, treatment = ARMS
    means = [
        (arm.pre.sum() / arm.units.sum(), arm.post.sum() / arm.units.sum())
        for arm in ARMS
    ]
    counterfactual = means[1][0] + means[0][1] - means[0][0]
    difference = means[1][1] - counterfactual
    test = build_margin_test(control, treatment, is_relative=True, good=good)
    # At the margin that equals the harm found, the data are no evidence either way.
    harm = -good * difference / counterfactual
    assert test(harm + 1e-9) == pytest.approx(0.5, abs=0.01)
    assert test(harm + 0.2) < 0.01
    assert test(harm - 0.2) > 0.99


def test_relative_margin_of_means_is_a_share_of_controls_mean():
    sums = [replace(arm, pre=np.zeros(arm.n_clusters), pre_days=0) for arm in ARMS]
    means = [arm.post.sum() / arm.units.sum() for arm in sums]
    harm = 1 - means[1] / means[0]
    test = build_margin_test(*sums, is_relative=True, good=1.0)
    assert test(harm + 1e-9) == pytest.approx(0.5, abs=0.01)


def test_p_above_is_one_tail_of_the_symmetric_test():
    test = draw_bootstrap(*ARMS)
    whole = bootstrap_clusters(*ARMS)
    assert (test.p_of(0.0), test.n_draws) == (whole.p_value, whole.n_draws)
    assert test.p_above(0.0) + test.p_above(-0.0) in {
        whole.p_value,
        2 - whole.p_value,
    }
    assert test.p_above(test.estimate - 1) < 0.5 < test.p_above(test.estimate + 1)


@pytest.mark.parametrize("scale", MarginScale)
@pytest.mark.parametrize("good", Direction)
def test_guardrail_of_few_clusters_rests_on_the_bootstrap(scale, good, settings, panel):
    estimate = estimate_did_by_cluster(*ARMS, settings, seed=5)
    assert is_resampled(estimate)
    margin = 0.08 if scale is MarginScale.RELATIVE else 0.8
    plan = MetricPlan("spend", MetricRole.GUARDRAIL, margin, scale)
    test = build_margin_test(
        *ARMS,
        is_relative=scale is MarginScale.RELATIVE,
        good=1.0 if good is Direction.INCREASE else -1.0,
        seed=5,
    )
    arms = (panel([1.0, 2.0], [1.0, 2.0]), panel([1.0, 2.0], [1.0, 2.0]))
    found = assess_guardrail(
        *arms,
        estimate,
        plan,
        replace(settings.definition, direction=good),
        margin_test=test,
    )
    assert found.test == "wild_cluster_bootstrap"
    assert found.p_value == test(margin)
    assert found.status is (
        GuardrailStatus.NON_INFERIOR
        if found.p_value <= 0.025
        else GuardrailStatus.NOT_SHOWN
    )
    # The bound is where the margin stops being proven.
    harm = -found.bound if good is Direction.INCREASE else found.bound
    assert test(harm * (1 + 1e-4)) <= 0.025 < test(harm * (1 - 1e-4))
    assert found.harm_p_value == pytest.approx(harm_p_value(estimate, good), rel=1e-9)
    assert (harm < margin) == (found.status is GuardrailStatus.NON_INFERIOR)


def test_guardrail_that_no_margin_can_prove_has_no_bound(settings, panel):
    estimate = estimate_did_by_cluster(*ARMS, settings)
    plan = MetricPlan("spend", MetricRole.GUARDRAIL, 0.1, MarginScale.ABSOLUTE)
    arms = (panel([1.0, 2.0], [1.0, 2.0]), panel([1.0, 2.0], [1.0, 2.0]))
    found = assess_guardrail(
        *arms, estimate, plan, settings.definition, margin_test=lambda _: 0.5
    )
    assert (found.status, found.bound) == (GuardrailStatus.NOT_SHOWN, None)


def test_margin_of_few_clusters_holds_its_level():
    """Harm exactly at the margin, 5 against 7 clusters: shown in 2.5 % at most."""
    random = np.random.default_rng(2)
    runs, shown = 250, {True: 0, False: 0}
    for run in range(runs):
        arms = []
        for name, n, mean in (("control", 7, 10.0), ("new", 5, 9.0)):
            sizes = random.integers(5, 15, n).astype(float)
            sums = sizes * random.normal(mean, 1, n)
            arms.append(ClusterSums("e", "m", name, sizes, np.zeros(n), sums, 0, 1))
        for is_relative, margin in ((True, 0.1), (False, 1.0)):
            test = build_margin_test(*arms, is_relative=is_relative, good=1.0, seed=run)
            shown[is_relative] += test(margin) <= 0.025
    # binomial error at .025 over 250 runs is .0099
    assert max(shown.values()) / runs <= 0.025 + 3 * 0.0099
