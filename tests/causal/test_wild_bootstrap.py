import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exp_platform.causal.cluster_sums import sum_clusters
from exp_platform.causal.wild_bootstrap import bootstrap_clusters


def _arms(units):
    units = {name: np.array(values) for name, values in units.items()}
    return [
        sum_clusters(
            ("exp_1", "spend", name),
            (units["pre"][side], units["post"][side]),
            units["cluster"][side],
            days=(7, 14),
        )
        for name, side in (
            ("control", units["treated"] == 0),
            ("new", units["treated"] == 1),
        )
    ]


def _draw(seed, n_clusters=6, effect=0.0, size=4):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), size)
    pre = random.normal(10, 2, cluster.size)
    post = pre + effect + random.normal(0, 1, n_clusters)[cluster]
    return sum_clusters(
        ("exp_1", "spend", f"arm {seed}"),
        (pre, post + random.normal(0, 1, cluster.size)),
        cluster,
        days=(7, 14),
    )


def test_all_sign_vectors_agree_with_wildboottest(golden):
    answer = golden("few_clusters")["enumerated"]
    found = bootstrap_clusters(*_arms(answer["units"]))
    assert (found.is_enumerated, found.n_draws) == (True, 2**11)
    # Shares of the same 2,048 sign vectors. wildboottest counts statistics beyond the
    # observed one; ours also those equal to it: the data themselves and their mirror.
    ties = 2 / 2**11
    assert found.p_value == pytest.approx(answer["p_value"] + ties, rel=1e-12)


@pytest.mark.parametrize("case", ["drawn", "webb"])
def test_drawn_weights_agree_with_wildboottest(case, golden):
    answer = golden("few_clusters")[case]
    found = bootstrap_clusters(
        *_arms(answer["units"]), weights=answer["weights"], draws=19_999
    )
    p_value = answer["p_value"]
    # Other draws than theirs (99,999): three standard errors of ours and theirs.
    error = np.sqrt(p_value * (1 - p_value) * (1 / 19_999 + 1 / 99_999))
    assert not found.is_enumerated
    assert found.p_value == pytest.approx(p_value, abs=3 * error)


def test_interval_holds_the_effects_that_are_not_rejected():
    control, treatment = _draw(1, effect=0.0), _draw(2, effect=1.5)
    lower, upper = bootstrap_clusters(control, treatment).interval
    for effect, is_kept in (
        (lower - 1e-3, False),
        (lower + 1e-3, True),
        (upper - 1e-3, True),
        (upper + 1e-3, False),
    ):
        shifted = _shift(treatment, -effect)
        assert (bootstrap_clusters(control, shifted).p_value > 0.05) is is_kept


def _shift(arm, change):
    return type(arm)(
        arm.experiment_id,
        arm.metric_name,
        arm.variant,
        arm.units,
        arm.pre,
        arm.post + change * arm.units,
        arm.pre_days,
        arm.post_days,
    )


def test_interval_without_an_end_is_none():
    # 2 of 2^4 sign vectors are the data and their mirror: p is never below .125.
    assert bootstrap_clusters(_draw(1, 2), _draw(2, 2)).interval is None


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_scale_and_swapped_arms_leave_p_alone(seed, scale):
    control, treatment = _draw(seed), _draw(seed + 1, effect=0.5)
    found = bootstrap_clusters(control, treatment)
    swapped = bootstrap_clusters(treatment, control)
    scaled = bootstrap_clusters(_scale(control, scale), _scale(treatment, scale))
    assert swapped.p_value == found.p_value == scaled.p_value
    assert swapped.interval[0] == pytest.approx(-found.interval[1], rel=1e-6, abs=1e-6)


def _scale(arm, factor):
    return type(arm)(
        arm.experiment_id,
        arm.metric_name,
        arm.variant,
        arm.units,
        arm.pre * factor,
        arm.post * factor,
        arm.pre_days,
        arm.post_days,
    )


def test_seed_decides_the_draws():
    arms = _draw(1, 10), _draw(2, 10)
    first, again, other = (
        bootstrap_clusters(*arms, draws=199, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.p_value != other.p_value
