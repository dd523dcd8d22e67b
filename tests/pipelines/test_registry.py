"""A plan as text and back, and plans about looking that cannot be."""

import json

import pytest

from exp_platform.errors import ContractError
from exp_platform.pipelines.registry import read_plan, write_plan
from exp_platform.records import (
    AnalysisPlan,
    LookMethod,
    MetricPlan,
    MetricRole,
    SequentialDesign,
)


def plan_text(**sequential):
    goal = {"metric_name": "orders", "role": "goal"}
    return json.dumps({"metrics": [goal], "sequential": sequential})


def test_read_plan_gives_back_what_was_written():
    plan = AnalysisPlan(
        metrics=(MetricPlan("orders", MetricRole.GOAL, mixture_sd=0.5),),
        sequential=SequentialDesign(
            method=LookMethod.MSPRT,
            spending="power",
            exponent=2.0,
            planned_units=9_000,
            look_days=(7, 14),
            follow_up_days=7.0,
        ),
    )
    assert read_plan(write_plan(plan), "plan") == plan


def test_read_plan_without_a_word_about_looks_has_the_defaults():
    text = json.dumps({"metrics": [{"metric_name": "orders", "role": "goal"}]})
    assert read_plan(text, "plan").sequential == SequentialDesign()


@pytest.mark.parametrize(
    "design",
    [
        {"method": "group_sequential", "spending": "pocock"},
        {"method": "confidence_sequence", "has_end": False},
        {"clock": "units", "planned_units": 10_000, "has_end": False},
        {"method": "fixed", "has_end": False},
        {"look_every_days": 7, "follow_up_days": 3.5},
    ],
)
def test_read_plan_accepts_a_registered_design(design):
    found = read_plan(plan_text(**design), "plan").sequential
    for name, value in design.items():
        assert getattr(found, name) == value


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"method": "peek"}, "sequential.method"),
        ({"spending": "late"}, "sequential.spending"),
        ({"exponent": 0}, "sequential.exponent"),
        ({"planned_units": 1}, "sequential.planned_units"),
        ({"look_every_days": 0}, "sequential.look_every_days"),
        ({"look_days": [0]}, "sequential.look_days"),
        ({"spendng": "pocock"}, "did you mean 'spending'"),
        ({"clock": "units"}, "needs planned_units"),
        ({"has_end": False, "method": "group_sequential"}, "without a registered end"),
        ({"has_end": False, "planned_units": 900}, "without a registered end"),
        ({"look_days": [7], "look_every_days": 2}, "exclude each other"),
        ({"method": "msprt"}, "msprt needs mixture_sd of orders"),
    ],
)
def test_read_plan_refuses_a_design_that_cannot_be(design, message):
    with pytest.raises(ContractError) as caught:
        read_plan(plan_text(**design), "plan of e")
    assert message in str(caught.value)
    assert "plan of e" in str(caught.value)


def test_read_plan_shows_a_design_that_cannot_be_as_it_was_written():
    design = {"has_end": False, "method": "group_sequential"}
    with pytest.raises(ContractError) as caught:
        read_plan(plan_text(**design), "plan of e")
    assert 'found:   {"method": "group_sequential", "has_end": false}' in str(
        caught.value
    )
