import json

import pytest

from exp_platform.config import load_settings
from exp_platform.errors import UsageError
from exp_platform.pipelines.plan_power import PowerRequest, plan_power
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
