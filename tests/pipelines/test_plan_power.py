import json
from dataclasses import replace

import numpy as np
import pytest

from exp_platform.config import load_settings
from exp_platform.errors import UsageError
from exp_platform.pipelines.plan_looks import read_look_request
from exp_platform.pipelines.plan_power import plan_power
from exp_platform.pipelines.plan_request import PowerRequest
from exp_platform.stats.design import Design


def _ask(**request):
    return plan_power(None, PowerRequest(design=Design(), **request))


def test_numbers_give_one_row_that_reaches_the_power():
    (row,) = _ask(kind="proportion", baseline=0.1, mde=0.05).rows
    assert row["power"] >= 0.8
    assert row["difference"] == pytest.approx(0.005)
    assert row["n_total"] == row["n_control"] + row["n_treatment"]


def test_units_ask_for_power_and_the_smallest_effect():
    rows = _ask(baseline=10.0, sd=20.0, mde=0.02, units=40_000).rows
    assert [row["question"] for row in rows] == ["size", "power", "smallest"]
    assert rows[1]["power"] < 0.8 < rows[2]["difference"] / 0.2
    (only,) = _ask(baseline=10.0, sd=20.0, units=40_000).rows
    assert only["difference"] == rows[2]["difference"]


@pytest.mark.parametrize("n_treatments", [1, 2, 9])
@pytest.mark.parametrize("control_share", [None, 0.3])
@pytest.mark.parametrize("units", [16, 33, 1001])
def test_units_as_asked_are_divided_whole(units, n_treatments, control_share):
    design = Design(n_treatments=n_treatments, control_share=control_share)
    request = PowerRequest(design=design, baseline=10.0, sd=20.0, units=units)
    (row,) = plan_power(None, request).rows
    assert row["n_control"] + n_treatments * row["n_treatment"] == units
    share = design.shares[1] * units
    assert share - 1 < row["n_treatment"] <= share


def test_a_share_of_a_negative_value_keeps_the_sign_of_the_difference():
    (row,) = _ask(baseline=-5.0, sd=2.0, mde=0.05).rows
    assert row["difference"] == 0.25
    assert row["target"] == "+0.25 (+5.00%)"


@pytest.mark.parametrize("target", [{"mde": 0.0}, {"difference": 0.0}])
@pytest.mark.parametrize("looks", [None, "group_sequential"])
def test_a_target_of_zero_is_a_row_with_its_reason(target, looks):
    asked = {"baseline": 20.0, "sd": 30.0, "looks": _looking(looks), **target}
    (row,) = _ask(**asked).rows
    assert (row["question"], row["reason"]) == ("size", "NO_EFFECT")
    assert (row["n_total"], row["power"]) == (None, None)
    rows = _ask(**{**asked, "looks": _looking()}, units=40_000).rows
    assert [row["question"] for row in rows] == ["size", "smallest"]
    assert rows[0]["reason"] == "NO_EFFECT"


def test_a_command_without_rows_says_what_that_means(ready):
    assert (
        "NO_EFFECT" in ready.exp("power", "--baseline", 20, "--sd", 30, "--mde", 0).out
    )
    none = ready.exp("metrics", "list", "--tag", "nothing")
    assert "no metric with the tag 'nothing'" in none.out
    assert "generate-synth" not in none.out


def test_what_units_cannot_find_is_said_not_numbered():
    (row,) = _ask(kind="proportion", baseline=0.5, units=4).rows
    assert (row["reason"], row["power"], row["difference"]) == (
        "OUT_OF_REACH",
        None,
        None,
    )


def test_a_decrease_is_a_negative_difference():
    (row,) = _ask(kind="proportion", baseline=0.1, mde=0.05, is_decrease=True).rows
    assert row["difference"] == pytest.approx(-0.005)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"mde": 0.1}, "nothing to size for"),
        ({"baseline": 1.0, "mde": 0.1}, "standard deviation"),
        ({"baseline": 1.0, "sd": 1.0}, "one target"),
        ({"baseline": 1.0, "sd": 1.0, "mde": 0.1, "margin": 0.1}, "one target"),
        ({"baseline": 1.0, "kind": "medain", "mde": 0.1}, "no metric type"),
        ({"baseline": 1.5, "kind": "proportion", "mde": 0.1}, "out of range"),
        ({"experiment_id": "exp_tiny"}, "configuration"),
    ],
)
def test_missing_or_contradicting_numbers_are_refused(request_, words):
    with pytest.raises(UsageError, match=words):
        _ask(**request_)


@pytest.mark.end_to_end
def test_past_experiment_gives_every_size_and_the_whole(ready):
    settings = load_settings(ready.config)
    answer = plan_power(
        settings, PowerRequest(design=Design(), experiment_id="exp_tiny", mde=0.1)
    )
    *metrics, whole = answer.rows
    assert whole["question"] == "P(SHIP)"
    assert {row["role"] for row in metrics} >= {"goal"}
    if not whole["reason"]:
        assert whole["n_total"] >= max(row["n_total"] for row in metrics)
        assert whole["power"] >= 0.8 - 1e-9
    json.dumps(answer.document, allow_nan=False)


@pytest.fixture
def ask_past(ready):
    """Asks about a past experiment."""
    settings = load_settings(ready.config)

    def ask(**request):
        request.setdefault("looks", _looking("fixed"))
        asked = PowerRequest(design=Design(), experiment_id="exp_tiny", **request)
        return plan_power(settings, asked)

    return ask


@pytest.mark.end_to_end
def test_units_ask_every_metric_of_a_past_plan_what_they_find(ask_past):
    answer = ask_past(units=40_000)
    names = dict.fromkeys(row["metric"] for row in answer.rows if row["role"] != "all")
    assert len(names) > 1
    for name in names:
        alone = ask_past(units=40_000, metric=name).rows
        assert [row for row in answer.rows if row["metric"] == name] == list(alone)
        assert alone[-1]["question"] == "smallest"
        assert (alone[-1]["n_total"], alone[-1]["reason"]) == (40_000, "")


@pytest.mark.end_to_end
def test_units_with_a_target_tell_size_power_and_the_whole(ask_past):
    answer = ask_past(mde=0.1, units=40_000)
    *metrics, sized, given = answer.rows
    by_name = {}
    for row in metrics:
        by_name.setdefault(row["metric"], []).append(row["question"])
    assert set(map(tuple, by_name.values())) == {("size", "power", "smallest")}
    assert sized == ask_past(mde=0.1).rows[-1]
    assert (given["question"], given["n_total"]) == ("P(SHIP), these units", 40_000)
    powers = [row for row in metrics if row["question"] == "power"]
    goal = max(row["power"] for row in powers if row["role"] == "goal")
    lost = sum(1 - row["power"] for row in powers if row["role"] == "guardrail")
    assert given["power"] == pytest.approx(max(goal - lost, 0), abs=1e-12)
    (again,) = [
        row
        for row in ask_past(mde=0.1, units=sized["n_total"]).rows
        if row["question"] == given["question"]
    ]
    assert again["power"] == pytest.approx(sized["power"], abs=1e-9)


@pytest.mark.end_to_end
@pytest.mark.parametrize("looks", ["fixed", "group_sequential"])
def test_a_target_of_zero_of_a_past_plan_is_named(ask_past, looks):
    rows = ask_past(mde=0.0, looks=_looking(looks)).rows
    assert {row["reason"] for row in rows if row["role"] != "guardrail"} == {
        "NO_EFFECT"
    }


@pytest.mark.end_to_end
def test_command_prints_a_table_and_json(ready):
    table = ready.exp("power", "--from-experiment", "exp_tiny", "--mde", 0.1)
    assert table.code == 0, table.err
    assert "P(SHIP)" in table.out
    found = ready.exp(
        "power",
        "--baseline",
        0.1,
        "--type",
        "proportion",
        "--mde",
        0.05,
        "--format",
        "json",
    )
    assert json.loads(found.out)["sizes"][0]["n_total"] == 115_526
    wrong = ready.exp("power", "--from-experiment", "exp_tiny", "--metric", "nothing")
    assert (wrong.code, "not in the plan" in wrong.err) == (2, True)


def _looking(method=None, spending=None, n_looks=None):
    return read_look_request(method, spending, n_looks)


def test_looks_cost_a_few_units_at_most_and_save_many_on_average():
    (plain,) = _ask(kind="proportion", baseline=0.1, mde=0.05).rows
    asked = {"kind": "proportion", "baseline": 0.1, "mde": 0.05}
    answer = _ask(**asked, looks=_looking(n_looks=28))
    (row,) = answer.rows
    # 1.0491 for 28 O'Brien-Fleming looks; see tests/golden/sequential_cost.
    assert row["n_total"] == pytest.approx(1.0491 * plain["n_total"], rel=1e-4)
    assert row["n_expected"] == pytest.approx(0.7406 * row["n_total"], rel=1e-4)
    assert row["n_expected_null"] > row["n_expected"]
    assert "28 looks, group sequential, spending obrien_fleming" in answer.notes[0]
    assert "4.9 % more units" in answer.notes[0]
    (dear,) = _ask(**asked, looks=_looking("confidence_sequence", None, 28)).rows
    assert dear["n_total"] > 1.5 * plain["n_total"]
    assert plain["n_expected"] == plain["n_total"]


def test_looks_by_day_are_as_many_as_the_days_they_make():
    request = PowerRequest(
        design=Design(units_per_day=4_000),
        kind="proportion",
        baseline=0.1,
        mde=0.05,
        looks=_looking("group_sequential", "pocock"),
    )
    answer = plan_power(None, request)
    (row,) = answer.rows
    assert answer.notes[0].startswith(f"{row['days']} looks")
    (again,) = plan_power(
        None, replace(request, looks=_looking(None, "pocock", row["days"]))
    ).rows
    assert again["n_total"] == row["n_total"]


def test_guardrails_and_arms_have_a_cost_of_their_own():
    design = Design(n_goals=2, n_treatments=3, n_guardrails=2, control_share=0.4)
    asked = {"baseline": 10.0, "sd": 20.0, "design": design}
    for target in ({"mde": 0.03}, {"margin": 0.03}):
        (plain,) = plan_power(None, PowerRequest(**asked, **target)).rows
        (row,) = plan_power(
            None, PowerRequest(**asked, **target, looks=_looking(n_looks=14))
        ).rows
        assert row["inflation"] == pytest.approx(
            row["n_total"] / plain["n_total"], rel=1e-3
        )
        assert 1.02 < row["inflation"] < 1.06


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("group_sequential", None, None), "how often the data are looked at"),
        (("fixed", None, 5), "fixed has one look"),
        ((None, None, 0), "counts from 1"),
        (("msprt", None, None), "does not exist"),
        ((None, "bonferroni", None), "does not exist"),
    ],
)
def test_looks_that_cannot_be_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        _ask(baseline=1.0, sd=1.0, mde=0.1, looks=_looking(*flags))


def test_clusters_are_sized_by_their_design_effect():
    asked = {"baseline": 10.0, "sd": 20.0, "mde": 0.05}
    (units,) = _ask(**asked).rows
    answer = _ask(**asked, cluster_size=50, cluster_icc=0.02)
    (row,) = answer.rows
    # 1 + 49 x .02, and t with clusters in place of normal: a little more.
    assert row["n_total"] / units["n_total"] == pytest.approx(1.98, rel=0.01)
    assert row["n_total"] == 50 * row["n_clusters"]
    assert row["n_total"] >= 1.98 * units["n_total"]
    assert "clusters of 50 units" in answer.notes[-1]
    few = _ask(baseline=10.0, sd=20.0, mde=0.5, cluster_size=50, cluster_icc=0.02)
    assert "a bootstrap decides" in few.notes[-1]


def test_clusters_whose_units_are_independent_take_as_many_units():
    asked = {"baseline": 10.0, "sd": 20.0, "mde": 0.02}
    (units,) = _ask(**asked).rows
    (row,) = _ask(**asked, cluster_size=10, cluster_icc=0.0).rows
    assert row["n_total"] == pytest.approx(units["n_total"], rel=1e-3)


@pytest.mark.parametrize("given_", [(None, 0.1), (10.0, None), (1.0, 0.1), (5.0, 1.2)])
def test_clusters_need_size_and_correlation(given_):
    size, icc = given_
    with pytest.raises(UsageError, match="belong together"):
        _ask(baseline=1.0, sd=1.0, mde=0.1, cluster_size=size, cluster_icc=icc)


def test_quantile_is_sized_from_its_standard_error():
    (row,) = _ask(kind="quantile", baseline=10.0, sd=20.0, mde=0.05).rows
    (mean,) = _ask(kind="mean", baseline=10.0, sd=20.0, mde=0.05).rows
    # normal in place of t: fewer by about z^2 / 2 units
    assert 0 <= mean["n_total"] - row["n_total"] <= 6


@pytest.mark.end_to_end
def test_past_experiment_looks_as_it_registered(ready):
    settings = load_settings(ready.config)
    asked = PowerRequest(design=Design(), experiment_id="exp_tiny", mde=0.1)
    registered = plan_power(settings, asked)
    fixed = plan_power(settings, replace(asked, looks=_looking("fixed")))
    assert any("looks, group sequential" in note for note in registered.notes)
    assert not any("group sequential" in note for note in fixed.notes)
    assert registered.rows[-1]["n_total"] > fixed.rows[-1]["n_total"]


@pytest.mark.end_to_end
def test_past_clusters_are_the_noise_of_new_ones(project):
    random = np.random.default_rng(3)
    lines = ["id,city,arm,spend"]
    for city in range(60):
        mood = random.normal(0, 0.6)
        lines += [
            f"{city}-{unit},{city},{'AB'[city % 2]},{5 + mood + random.normal():.5f}"
            for unit in range(20)
        ]
    file = project.root / "cities.csv"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    answer = project.exp(
        *("import", file, "--experiment-id", "cities", "--unit", "id"),
        *("--variant", "arm", "--control", "A", "--cluster", "city"),
        *("--metric", "spend"),
    )
    assert answer.code == 0, answer.err
    assert project.exp("run", "cities").code == 0
    done = project.exp(
        *("power", "--from-experiment", "cities", "--metric", "spend"),
        *("--mde", 0.05, "--format", "json"),
    )
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)["sizes"]
    # A cluster's mean has variance .6^2 + 1 / 20, the t test clusters as units.
    told = _ask(baseline=5.0, sd=(0.36 + 0.05) ** 0.5, mde=0.05).rows[0]
    assert row["n_clusters"] == pytest.approx(told["n_total"], rel=0.35)
    assert row["n_total"] == 20 * row["n_clusters"]


@pytest.mark.parametrize("sd", [-1.0, 0.0, float("nan"), float("inf")])
def test_spread_that_is_no_number_is_refused(sd):
    with pytest.raises(UsageError, match="standard deviation") as caught:
        _ask(baseline=10.0, sd=sd, mde=0.05)
    assert caught.value.parts["where"] == "--sd"
