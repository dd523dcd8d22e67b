from dataclasses import replace

import pytest

from exp_platform.decision.phrases import (
    describe_effect,
    describe_guardrail,
    say_crossing,
)
from exp_platform.records import Estimate, EstimateStatus, MarginScale
from exp_platform.stats.guardrail import GuardrailAssessment, GuardrailStatus

BARE = Estimate("e", "orders", "x", "A", "B", EstimateStatus.OK)
GUARDRAIL = GuardrailAssessment("e", "load", "B", GuardrailStatus.NOT_SHOWN)


@pytest.mark.parametrize(
    ("changes", "tests", "words"),
    [
        ({}, 2, "orders"),
        ({"difference": -0.5}, None, "orders \N{MINUS SIGN}0.500"),
        (
            {
                "difference": 0.5,
                "relative_lift": 0.1,
                "relative_ci_lower": 0.02,
                "relative_ci_upper": 0.18,
                "p_value_adjusted": 0.02,
            },
            2,
            "orders +10.0 % (95 % interval 2.0 % to 18.0 %, adjusted p = 0.02)",
        ),
        (
            {"difference": 0.5, "p_value_adjusted": 0.04},
            1,
            "orders +0.500 (p = 0.04)",
        ),
        (
            {"difference": 0.5, "p_value_adjusted": 0.0502},
            1,
            "orders +0.500 (p = 0.0502)",
        ),
        (
            {"difference": 0.0, "ci_lower": -1.0, "ci_upper": 1.0, "alpha": 0.1},
            None,
            "orders 0.00 (90 % interval \N{MINUS SIGN}1.00 to 1.00)",
        ),
    ],
)
def test_describe_effect_says_what_there_is(changes, tests, words):
    assert describe_effect(replace(BARE, **changes), tests=tests) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "load (margin none)"),
        ({"margin": 0.02}, "load (margin 2 %)"),
        (
            {"margin": 0.02, "bound": -0.031},
            "load at worst \N{MINUS SIGN}3.10 % (one-sided; margin 2 %)",
        ),
        (
            {"margin": 20.0, "bound": 0.0, "margin_scale": MarginScale.ABSOLUTE},
            "load at worst 0 (one-sided; margin 20)",
        ),
        (
            {"margin": 0.02, "bound": 0.02004},
            "load at worst +2.004 % (one-sided; margin 2 %)",
        ),
        (
            {"margin": 8.7654, "bound": -8.7681, "margin_scale": MarginScale.ABSOLUTE},
            "load at worst \N{MINUS SIGN}8.768 (one-sided; margin 8.765)",
        ),
    ],
)
def test_describe_guardrail_says_what_there_is(changes, words):
    assert describe_guardrail(replace(GUARDRAIL, **changes)) == words


def test_describe_effect_names_the_earlier_look_that_proved_it():
    place = {"critical_value": 2.1, "first_crossing": 6, "harm_crossing": 3}
    sides = {"p_greater": 0.006, "p_less": 0.4}
    row = replace(
        BARE,
        difference=0.5,
        p_value_adjusted=0.006,
        look=15,
        details={"sequential": place | sides},
    )
    words = "orders +0.500 (p = 0.006, bound first crossed at look 6)"
    assert describe_effect(row, tests=1) == words
    assert say_crossing(row, is_harm=True) == "first found at look 3"
    assert say_crossing(replace(row, look=6)) == ""
    both = {"sequential": place | {"p_greater": 0.006, "p_less": 0.01}}
    assert say_crossing(replace(row, details=both)) == ""
