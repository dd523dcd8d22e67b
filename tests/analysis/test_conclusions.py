"""Beliefs, margins, families and segments: the answers of independent tools."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import ContractError, UsageError
from exp_platform.stats.equivalence import EquivalenceStatus
from exp_platform.stats.guardrail import GuardrailStatus

ARMS = {"variant": "arm", "baseline": "a"}
# The same sums in another order, by numpy and by the tool: a few last digits.
ROUNDING = 1e-9


def test_bayes_of_proportions_agrees_with_scipy(golden, make):
    case = golden("bayes")["rates"][0]
    # The golden parameters are a beta(1, 1) prior and the counts.
    counts = [(int(a - 1), int(b - 1)) for a, b in (case["control"], case["treatment"])]
    values = [v for yes, no in counts for v in [True] * yes + [False] * no]
    arm = [
        name for name, pair in zip("ab", counts, strict=True) for _ in range(sum(pair))
    ]
    prior = xp.BetaPrior(1, 1)
    (row,) = xp.bayes(
        make({"paid": values, "arm": arm}),
        metric="paid",
        method="proportion",
        prior=prior,
        **ARMS,
    )
    found = row.details["probability_to_beat"]
    assert found == pytest.approx(case["probability_above"], rel=1e-8)
    assert row.ci_lower == pytest.approx(case["lower"], rel=1e-6)


def test_bayes_of_means_is_normal_on_normal(make):
    random = np.random.default_rng(2)
    values = random.normal(10, 3, 2000).tolist()
    frame = make({"y": values, "arm": list("ab") * 1000})
    prior = xp.NormalPrior(sd=0.5, scale="absolute")
    (row,) = xp.bayes(frame, metric="y", prior=prior, **ARMS)
    (welch,) = xp.compare(frame, metric="y", **ARMS)
    share = 0.25 / (0.25 + welch.standard_error**2)
    assert row.difference == pytest.approx(share * welch.difference, rel=ROUNDING)
    (relative,) = xp.bayes(frame, metric="y", **ARMS)
    assert relative.details["prior_sd"] == 0.3


def test_bayes_refuses_a_beta_prior_of_means():
    frame = pd.DataFrame({"y": np.arange(400.0), "arm": list("ab") * 200})
    with pytest.raises(UsageError, match="one of rates"):
        xp.bayes(frame, metric="y", prior=xp.BetaPrior(), **ARMS)


def test_non_inferiority_agrees_with_scipy(golden, arms, make):
    answer = golden("guardrail")
    frame = make(arms({"y": answer["control"]}, {"y": answer["treatment"]}))
    for direction in ("increase", "decrease"):
        (one,) = xp.non_inferiority(
            frame, margin=answer["margin"], direction=direction, metric="y", **ARMS
        )
        expected = answer[f"{direction}_is_good"]
        # Welch's df of the difference, theirs of the contrast T - (1 - m) C
        assert one.p_value == pytest.approx(expected, rel=1e-3)
        assert one.status is GuardrailStatus.NOT_SHOWN
    (absolute,) = xp.non_inferiority(
        frame, margin=answer["absolute_margin"], scale="absolute", metric="y", **ARMS
    )
    assert absolute.p_value == pytest.approx(answer["absolute"], rel=1e-8)


def test_equivalence_agrees_with_statsmodels(golden, arms, make):
    answer = golden("equivalence")
    frame = make(arms({"y": answer["control"]}, {"y": answer["treatment"]}))
    rows = xp.compare(frame, metric="y", **ARMS)
    (one,) = xp.equivalence(rows, tuple(answer["margins"]), scale="absolute")
    for name in ("p_lower", "p_upper", "p_value", "ci_lower", "ci_upper"):
        assert getattr(one, name) == pytest.approx(answer[name], rel=1e-8)
    (narrow,) = xp.equivalence(rows[0], 0.001)
    assert narrow.status is EquivalenceStatus.NOT_SHOWN
    with pytest.raises(ContractError, match="not a range"):
        xp.equivalence(rows, (1.0, -1.0))


@pytest.mark.parametrize("method", ["bonferroni", "holm", "hochberg", "bh", "by"])
def test_adjust_agrees_with_r(method, golden):
    for case in golden("multiplicity/corrections.json")["cases"]:
        found = xp.adjust(case["p_values"], method=method)
        assert found == pytest.approx(case[method], rel=ROUNDING, nan_ok=False)


def test_adjust_takes_rows_and_leaves_gaps(make):
    random = np.random.default_rng(4)
    frame = make({"y": random.normal(0, 1, 900).tolist(), "arm": list("abc") * 300})
    rows = xp.compare(frame, metric="y", **ARMS)
    assert [row.treatment for row in rows] == ["b", "c"]
    adjusted = xp.adjust(rows)
    assert [row.p_value_adjusted for row in adjusted] == pytest.approx(
        xp.adjust([row.p_value for row in rows])
    )
    wide = xp.adjust(rows, method="dunnett")
    assert all(w.ci_upper > r.ci_upper for w, r in zip(wide, rows, strict=True))
    assert xp.adjust([0.01, None], family_size=4) == (pytest.approx(0.04), None)


def test_segments_agree_with_statsmodels(golden, make):
    answer = golden("segments")["interaction"]
    data = answer["data"]
    found = xp.segments(
        make(data), segment="b", metric="y", variant="a", baseline="c", min_units=2
    )
    assert {one.treatment for one in found} == set(data["a"]) - {"c"}
    for one in found:
        inside = pd.DataFrame(data).query(f"a in ('c', '{one.treatment}')")
        rows = [
            xp.compare(part, metric="y", variant="a", baseline="c")[0]
            for _, part in inside.groupby("b")
        ]
        effects = [row.difference for row in one.segments]
        assert effects == pytest.approx([row.difference for row in rows], rel=ROUNDING)
        weights = np.array([row.standard_error**-2 for row in rows])
        common = float(np.average(effects, weights=weights))
        q = float(weights @ (np.array(effects) - common) ** 2)
        assert one.q == pytest.approx(q, rel=1e-8)
        assert xp.segments(one.segments)[0].q == pytest.approx(q, rel=1e-8)


def test_interaction_agrees_with_statsmodels(golden, make):
    answer = golden("segments")["interaction"]
    found = xp.interaction(
        make(answer["data"]),
        metric="y",
        variants=("a", "b"),
        baselines=("c", "c"),
        min_units=2,
    )
    assert [found.statistic, found.p_value] == pytest.approx(answer["wald"], rel=1e-9)
    differences = [one.difference for one in found.contrasts]
    assert differences == pytest.approx(answer["difference"], rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: xp.segments(f, metric="y", **ARMS), "needs segment"),
        (
            lambda f: xp.interaction(
                f, metric="y", variants=("arm", "arm"), baselines=("a", "z")
            ),
            "no arm in 'arm' 'z'",
        ),
        (lambda _: xp.adjust([0.5, 1.5]), "between 0 and 1"),
        (lambda _: xp.adjust([0.5, "x"]), "p-value lies"),
        (lambda _: xp.adjust([0.5], method="dunnett"), "rows"),
        (lambda _: xp.adjust([0.5], method="holmes"), "did you mean 'holm'"),
        (lambda f: xp.bayes(f, metric="y", method="median", **ARMS), "no method"),
        (
            lambda f: xp.bayes(f, metric="y", method="ratio", **ARMS),
            "needs denominator",
        ),
        (lambda f: xp.bayes(f, metric="y", direction="up", **ARMS), "no direction"),
        (
            lambda f: xp.non_inferiority(f, margin=1, scale="log", metric="y", **ARMS),
            "no scale",
        ),
    ],
)
def test_bad_input_names_what_is_allowed(call, words):
    frame = pd.DataFrame({"y": [0.0, 1, 2, 3], "arm": list("aabb")})
    with pytest.raises(UsageError, match=words):
        call(frame)


TWO_ARMS = pd.DataFrame({"y": np.arange(400.0), "arm": ["a", "b"] * 200})


@pytest.mark.parametrize("margin", ["x", float("nan"), float("inf"), 0, -0.1, None])
def test_margin_that_is_no_number_is_refused(margin):
    with pytest.raises(UsageError, match="margin"):
        xp.non_inferiority(
            TWO_ARMS, margin=margin, metric="y", variant="arm", baseline="a"
        )


@pytest.mark.parametrize(
    ("variants", "baselines", "words"),
    [
        (("arm",), ("a", "a"), "variants"),
        (("arm", "arm"), ("a",), "baselines"),
        ("arm", ("a", "a"), "variants"),
        (("arm", "arm"), None, "baselines"),
    ],
)
def test_interaction_of_other_than_two_is_refused(variants, baselines, words):
    with pytest.raises(UsageError, match=words):
        xp.interaction(TWO_ARMS, metric="y", variants=variants, baselines=baselines)


@pytest.mark.parametrize("values", ["0.05", 0.05, ["0.05"], [0.1, float("nan")], [2]])
def test_p_values_that_are_none_are_refused(values):
    with pytest.raises(UsageError, match=r"several results|p-value lies"):
        xp.adjust(values)


@pytest.mark.parametrize("scale", ["relative", "absolute"])
@pytest.mark.parametrize("method", ["mean", "proportion"])
def test_equivalence_of_a_posterior_is_unknown(method, scale):
    random = np.random.default_rng(3)
    users = pd.DataFrame(
        {
            "arm": np.repeat(["old", "new"], 200),
            "paid": np.repeat([0.2, 0.6], 200) > random.random(400),
        }
    )
    rows = xp.bayes(
        users,
        metric="paid",
        variant="arm",
        baseline="old",
        method=method,
        prior=xp.NormalPrior(sd=1e-4),
    )
    (found,) = xp.equivalence(rows, 0.05, scale=scale)
    assert (found.status, found.reason) == ("UNKNOWN", "NO_TEST")
    assert found.p_value is None


def test_equivalence_of_one_look_among_several_is_unknown():
    random = np.random.default_rng(3)
    users = pd.DataFrame(
        {
            "arm": np.tile(["old", "new"], 500),
            "spend": random.normal(10, 2, 1000),
            "day": np.arange(1000) // 250,
        }
    )
    names = {"metric": "spend", "variant": "arm", "baseline": "old"}
    looks = xp.sequential(users, look="day", planned_units=1000, **names)
    for found in xp.equivalence(looks, 0.1):
        assert (found.status, found.reason) == ("UNKNOWN", "NOT_ADJUSTED_FOR_LOOKS")
        assert found.p_value is None
    (once,) = xp.equivalence(xp.compare(users, **names), 0.1)
    assert once.status == "EQUIVALENT"


@pytest.mark.parametrize("method", ["holm", "hochberg", "bonferroni", "bh", "by"])
def test_p_values_and_their_rows_are_one_family(method):
    draws = np.random.default_rng(7).normal(0, 1, (3, 400))
    rows = []
    for values in (draws[0], draws[1] * 0, draws[2]):
        users = pd.DataFrame({"arm": ["a", "b"] * 200, "value": values})
        rows += xp.compare(users, metric="value", **ARMS)
    assert [row.p_value is None for row in rows] == [False, True, False]
    by_row = [row.p_value_adjusted for row in xp.adjust(rows, method=method)]
    found = xp.adjust([row.p_value for row in rows], method=method)
    assert list(found) == by_row


@pytest.mark.parametrize("alpha", [0.5, 0.6])
def test_one_sided_alpha_is_refused_as_it_was_given(alpha):
    users = pd.DataFrame({"arm": ["a", "b"] * 200, "value": np.arange(400) % 7})
    with pytest.raises(UsageError, match=r"between 0 and 0\.5") as raised:
        xp.non_inferiority(users, margin=0.05, alpha=alpha, metric="value", **ARMS)
    assert repr(alpha) in str(raised.value)


def test_segments_of_columns_with_an_equals_sign_are_refused():
    users = pd.DataFrame(
        {
            "arm": ["a", "b"] * 400,
            "value": np.arange(800) % 7,
            "age=old": np.arange(800) % 3,
            "age=new": np.arange(800) % 5,
        }
    )
    with pytest.raises(UsageError, match="'age=old'"):
        xp.segments(users, segment=["age=old", "age=new"], metric="value", **ARMS)
