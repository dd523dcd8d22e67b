"""Numbers of percentile caps, taken over from an earlier result."""

from dataclasses import replace
from typing import Any

import pytest

from exp_platform.metrics.caps import give_caps, lacks_cap, recall_caps, require_caps
from exp_platform.metrics.definitions import parse_definition
from exp_platform.records import MetricDefinition


def define(share: float = 0.9, **text: Any) -> MetricDefinition:
    plain = {
        "name": "spend",
        "type": "mean",
        "source": {"outcome": "spend"},
        "cap": {"percentile": share},
        "covariates": [{"cap": 4}, {"lookback_days": 7, "cap": {"percentile": 0.8}}],
    }
    return parse_definition(plain | text, "here")


def test_give_caps_fills_only_what_is_open() -> None:
    given = give_caps(define(), [10.0, 20.0, 30.0])
    assert (given.cap, [c.cap for c in given.covariates]) == (10.0, [4, 30.0])
    assert given.definition_hash == define().definition_hash
    assert not lacks_cap(given)
    require_caps(given)


def test_recall_caps_takes_the_earlier_numbers() -> None:
    earlier = give_caps(define(), [10.0, None, 30.0])
    assert recall_caps(replace(define(), version=2, owner="x"), earlier) == replace(
        earlier, version=2, owner="x"
    )


@pytest.mark.parametrize(
    "text", [{"share": 0.99}, {"window": {"days": 3}}, {"covariates": []}]
)
def test_recall_caps_of_another_meaning_stay_open(text: dict[str, Any]) -> None:
    earlier = give_caps(define(), [10.0, None, 30.0])
    assert recall_caps(define(**text), earlier) == define(**text)
    assert lacks_cap(define(**text))


def test_recall_caps_without_a_result_stay_open() -> None:
    assert recall_caps(define(), None) == define()
