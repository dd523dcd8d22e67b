"""Sizes, powers and splits: the answers of independent tools."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import ContractError, UsageError


def test_power_agrees_with_statsmodels(golden):
    answer = golden("power")
    for case in answer["means"]:
        effect, n, alpha = case["case"]
        found = xp.power(
            0.0, 2 * n, sd=1.0, difference=effect, design=xp.Design(alpha=alpha)
        )
        assert found == pytest.approx(case["power"], rel=1e-8)
    for case in answer["rates"]:
        control, treatment, n, ratio = case["case"]
        total = n * (1 + 1 / ratio)
        design = xp.Design(control_share=1 / (1 + ratio))
        found = xp.power(control, total, difference=treatment - control, design=design)
        assert found == pytest.approx(case["power"], rel=1e-6)


def test_sample_size_has_the_power_that_was_asked_for():
    size = xp.sample_size(0.10, mde=0.05)
    assert xp.power(0.10, size.n_total, mde=0.05) >= 0.8
    assert xp.power(0.10, size.n_total - 4, mde=0.05) < 0.8
    found = xp.mde(0.10, size.n_exact)
    assert found == pytest.approx(0.005, rel=1e-6)


def test_sample_size_shrinks_with_the_covariate():
    plain, adjusted = (
        xp.sample_size(20, sd=30, mde=0.02, variance_ratio=r) for r in (1.0, 0.5)
    )
    # t instead of normal: a handful of units beside half of them
    assert adjusted.n_total == pytest.approx(plain.n_total / 2, rel=1e-3)


def test_sample_size_of_a_decrease_is_that_of_its_sign():
    down = xp.sample_size(0.3, mde=0.1, direction="decrease")
    assert down.n_total == xp.sample_size(0.3, difference=-0.03).n_total


def test_sample_size_without_effect_has_a_reason():
    size = xp.sample_size(0.10, mde=0.0)
    assert (size.n_total, size.reason) == (None, "NO_EFFECT")


def test_noise_of_past_data_is_their_variance(make):
    random = np.random.default_rng(7)
    x = random.normal(10, 2, 3000)
    y = x + random.normal(0, 2, 3000)
    frame = make({"y": y.tolist(), "x": x.tolist(), "n": [1.0] * 3000})
    plain = xp.noise(frame, metric="y")
    assert (plain.mean, plain.variance) == pytest.approx((y.mean(), y.var(ddof=1)))
    adjusted = xp.noise(frame, metric="y", method="cuped", covariate="x")
    left = 1 - np.corrcoef(x, y)[0, 1] ** 2
    # Both arms' slopes cost a degree of freedom each
    assert adjusted.variance_ratio == pytest.approx(left, rel=1e-2)
    ratio = xp.noise(frame, metric="y", method="ratio", denominator="n")
    assert ratio.variance == pytest.approx(plain.variance, rel=1e-9)
    assert (
        xp.sample_size(adjusted, mde=0.02).n_total
        < xp.sample_size(plain, mde=0.02).n_total
    )


def test_noise_of_constant_data_is_refused():
    with pytest.raises(ContractError, match="do not vary"):
        xp.noise(pd.DataFrame({"y": [1.0] * 10}), metric="y")


def _past(seed=5, n=400):
    random = np.random.default_rng(seed)
    before = random.gamma(2, 2, n)
    return pd.DataFrame({"before": before, "y": before + random.normal(0, 1, n)})


def test_noise_with_a_covariate_far_from_0_is_that_of_one_near_0():
    past = _past()
    past.loc[past.before < 2, "before"] = np.nan
    columns = {"metric": "y", "method": "cuped", "covariate": "before"}
    near = xp.noise(past, **columns).variance_ratio
    far = xp.noise(past.assign(before=past.before + 1e9), **columns).variance_ratio
    assert far == pytest.approx(near, abs=0.02)


def test_noise_with_an_empty_covariate_is_refused():
    past = _past().assign(before=np.nan)
    with pytest.raises(UsageError, match="'before' is empty"):
        xp.noise(past, metric="y", method="cuped", covariate="before")


def test_noise_of_a_proportion_takes_only_0_and_1():
    past = _past().assign(share=lambda frame: frame.before / frame.before.max())
    with pytest.raises(UsageError, match="one yes or no per unit"):
        xp.noise(past, metric="share", method="proportion")
    one, other = xp.moments(
        past.assign(arm=np.arange(len(past)) % 2),
        metric="share",
        variant="arm",
        baseline=0,
    )
    assert one.n == other.n
    with pytest.raises(ContractError, match="of a proportion 0 and 1"):
        xp.noise(one, method="proportion")


@pytest.mark.parametrize("denominator", [-1.0, 0.0])
def test_noise_of_a_ratio_without_a_denominator_is_refused(denominator):
    below = np.random.default_rng(6).normal(denominator, 1, 400)
    with pytest.raises(ContractError, match="mean denominator well above 0"):
        xp.noise(
            _past().assign(below=below), metric="y", method="ratio", denominator="below"
        )


def test_noise_that_is_rounding_is_refused():
    past = _past().assign(y=lambda frame: frame.y + 1e16)
    with pytest.raises(ContractError, match="more than their rounding"):
        xp.noise(past, metric="y")


def test_check_srm_agrees_with_scipy(golden, make):
    for case in golden("srm")["large"]:
        names = [f"arm{i}" for i in range(len(case["observed"]))]
        counts = dict(zip(names, case["observed"], strict=True))
        weights = dict(zip(names, case["weights"], strict=True))
        found = xp.check_srm(counts, weights)
        assert found.p_value == pytest.approx(case["p_value"], rel=1e-8)
        sequence = xp.track_srm([counts], weights)
        assert np.log(sequence.e_values[0]) == pytest.approx(case["log_e"], rel=1e-8)
    case = golden("srm")["small"][0]
    arm = [
        name for name, n in zip("ab", case["observed"], strict=True) for _ in range(n)
    ]
    weights = dict(zip("ab", case["weights"], strict=True))
    found = xp.check_srm(make({"arm": arm}), weights, variant="arm")
    assert found.p_value == pytest.approx(case["exact"], rel=1e-8)


def test_check_srm_counts_an_arm_that_nobody_is_in():
    found = xp.check_srm({"a": 100}, {"a": 1, "b": 1})
    assert found.observed == (100, 0)
    assert found.p_value < 1e-20


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: xp.check_srm({"a": 1, "c": 2}, {"a": 1, "b": 1}), "arm 'c'"),
        (lambda: xp.check_srm(pd.DataFrame({"arm": ["a"]})), "needs variant"),
        (lambda: xp.sample_size(0.1), "one target"),
        (lambda: xp.sample_size(0.1, mde=0.1, margin=0.1), "one target"),
        (lambda: xp.sample_size(1.1, mde=0.1), "between 0 and 1"),
        (lambda: xp.mde(0.1, 100, direction="up"), "no direction"),
        (lambda: xp.noise(pd.DataFrame({"y": [1.0]})), "needs metric"),
        (
            lambda: xp.sample_size(
                xp.noise(pd.DataFrame({"y": [1.0, 2.0]}), metric="y"), sd=1, mde=0.1
            ),
            "bring sd",
        ),
    ],
)
def test_bad_input_names_what_is_allowed(call, words):
    with pytest.raises(UsageError, match=words):
        call()


NO_NUMBERS = [float("nan"), float("inf"), -10, "ten", None, True]


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n_total", lambda v: xp.power(0.1, v, mde=0.05)),
        ("n_total", lambda v: xp.mde(0.1, v)),
        ("sd", lambda v: xp.sample_size(10, sd="" if v is None else v, mde=0.05)),
        ("sd", lambda v: xp.power(10, 100, sd="" if v is None else v, mde=0.05)),
        ("variance_ratio", lambda v: xp.power(10, 100, sd=1, variance_ratio=v, mde=1)),
        ("power", lambda v: xp.Design(power=v)),
        ("alpha", lambda v: xp.Design(alpha=v)),
    ],
)
def test_argument_that_is_no_number_is_refused_by_name(name, call, value):
    with pytest.raises(UsageError, match=name) as caught:
        call(value)
    assert caught.value.parts["found"]
    assert caught.value.parts["allowed"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "ten", True])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("baseline", lambda v: xp.sample_size(v, mde=0.05)),
        ("baseline", lambda v: xp.mde(v, 100, sd=1)),
        ("mde", lambda v: xp.sample_size(0.1, mde=v)),
        ("difference", lambda v: xp.sample_size(0.1, difference=v)),
        ("margin", lambda v: xp.power(0.1, 100, margin=v)),
        ("difference", lambda _: xp.power(0.5, 100, difference=0.9)),
    ],
)
def test_target_that_is_no_number_is_refused_by_name(name, call, value):
    with pytest.raises(UsageError, match=name):
        call(value)


def test_mde_that_no_effect_reaches_is_none():
    assert xp.mde(0.99, 1000) is None


@pytest.mark.parametrize("value", [*NO_NUMBERS, 10.5, "10"])
def test_units_that_were_not_counted_are_refused(value):
    for call in (xp.check_srm, lambda units: xp.track_srm([units])):
        with pytest.raises(UsageError, match="units of the arm 'a'") as caught:
            call({"a": value, "b": 10})
        assert "registry" not in str(caught.value)


@pytest.mark.parametrize("share", [*NO_NUMBERS, 0])
def test_shares_that_are_not_positive_are_refused(share):
    for call in (xp.check_srm, lambda units, w: xp.track_srm([units], w)):
        with pytest.raises(UsageError, match="share of the arm 'a'"):
            call({"a": 10, "b": 10}, {"a": share, "b": 1})


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ("abc", "not units by arm"),
        ({"a": 1, "b": 1}, "not units by arm"),
        ([{"a": 1, "b": 1}, "abc"], "not units by arm"),
        (7, "not units by arm"),
        ([{"a": 10, "b": 10}, {"a": 9, "b": 20}], "arm 'a' fall"),
        ([{"a": 10, "b": 10}, {"a": 20}], "arm 'b' fall"),
    ],
)
def test_looks_that_are_not_cumulative_are_refused(looks, words):
    with pytest.raises(UsageError, match=words):
        xp.track_srm(looks)


def test_weights_that_are_a_list_are_refused():
    with pytest.raises(UsageError, match="no shares by arm"):
        xp.check_srm({"a": 1, "b": 1}, [1, 1])


@pytest.mark.parametrize("design", [xp.Design(), xp.Design(control_share=0.1)])
def test_sample_size_leaves_no_arm_with_a_single_unit(design):
    size = xp.sample_size(10, sd=1e-9, mde=1, design=design)
    assert min(size.n_control, size.n_treatment) == 2
    assert size.n_total == size.n_control + size.n_treatment
    assert size.power == pytest.approx(1)


def test_shares_are_of_arms_whose_names_are_numbers():
    users = pd.DataFrame({"arm": [0] * 300 + [1] * 100, "y": np.arange(400) % 7})
    found = xp.check_srm(users, {0: 3, 1: 1}, variant="arm")
    assert (found.observed, found.expected) == ((300, 100), (300, 100))
    look = users.assign(look=1)
    columns = {"metric": "y", "variant": "arm", "baseline": 0, "look": "look"}
    rows = [
        xp.sequential(look, planned_units=800, weights=weights, **columns)
        for weights in ({0: 3, 1: 1}, {"0": 3, "1": 1})
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("baseline", [0, -10])
def test_margin_relative_to_no_positive_mean_is_never_shown(baseline):
    size = xp.sample_size(baseline, sd=3, margin=0.02)
    assert (size.n_total, size.reason) == (None, "CONTROL_MEAN_NOT_POSITIVE")
    assert xp.power(baseline, 1000, sd=3, margin=0.02) == 0
    absolute = {"sd": 3, "margin": 0.2, "scale": "absolute"}
    assert xp.power(baseline, 1000, **absolute) == pytest.approx(
        xp.power(10, 1000, **absolute)
    )


def test_noise_by_cuped_of_moments_without_a_covariate_is_refused():
    arms = {"variant": "arm", "baseline": 0}
    past = _past().assign(arm=np.arange(400) % 2)
    plain, _ = xp.moments(past, metric="y", **arms)
    with pytest.raises(UsageError, match="no covariate"):
        xp.noise(plain, method="cuped")
    one, _ = xp.moments(past, metric="y", covariate="before", **arms)
    assert xp.noise(one, method="cuped").variance_ratio < 0.5


def test_split_of_no_arms_is_refused():
    with pytest.raises(UsageError, match="no arms"):
        xp.check_srm({})
