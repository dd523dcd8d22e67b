"""Words of a definition, what changes between two, and records read back from JSON."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from exp_platform.metrics.changes import compare_definitions
from exp_platform.metrics.definitions import parse_definition
from exp_platform.metrics.stored import read_stored
from exp_platform.metrics.wording import describe

TEXTS: dict[str, dict[str, Any]] = {
    "mean": {
        "name": "m", "type": "mean", "owner": "growth", "tags": ["a", "b"],
        "source": {"outcome": "orders", "filter": "value > 1", "value": "value / 100"},
        "window": {"days": 7, "delay_days": 1}, "cap": {"percentile": 0.99},
        "covariates": [{"cap": 9}, {"event": "visit", "aggregation": "count"}],
        "defaults": {"role": "guardrail", "margin": 0.02},
    },
    "ratio": {
        "name": "m", "type": "ratio", "numerator": {"outcome": "orders"},
        "denominator": {"event": "visit", "aggregation": "count"}, "covariate": {},
    },
    "quantile": {
        "name": "m", "type": "quantile", "source": {"event": "load"}, "quantile": 0.95,
        "of": "rows",
    },
    "retention": {
        "name": "m", "type": "retention", "source": {"event": "visit"},
        "retention": {"day": 7}, "window": {"grain": "day"},
    },
    "funnel": {
        "name": "m", "type": "funnel", "covariate": {"lookback_days": 7},
        "steps": [{"event": "visit"}, {"outcome": "orders", "filter": "value > 1"}],
    },
}  # fmt: skip


WALK = (
    "1 if the unit reached, each later than the one before: event visit, then outcome "
    "orders where value > 1"
)


def _of(kind: str, **changes: Any) -> Any:
    return parse_definition(TEXTS[kind] | changes, "here")


def test_describe_has_every_digit() -> None:
    before, after = (
        describe(_of("ratio", cap=cap, window={"days": days}))
        for cap, days in ((1234567, 1.0000001), (1234568, 1.0000002))
    )
    assert before["cap"] == "1234567 per unit"
    assert after["cap"] == "1234568 per unit"
    assert "until 1.0000001 days" in before["window"]
    assert "until 1.0000002 days" in after["window"]


def test_describe_says_every_part() -> None:
    words = describe(_of("mean"))
    assert words["value"] == "sum of outcome orders worth value / 100 where value > 1"
    assert words["window"] == (
        "from 1 day after the first exposure until 8 days after it"
    )
    assert words["cap"].startswith("order statistic 0.99 of all units")
    assert words["covariate"].endswith("capped at 9 per unit")
    assert words["covariate 2"].startswith("visit_14d: number of rows of event visit")
    assert words["default role"] == "guardrail, margin 0.02 relative"
    assert (words["owner"], words["tags"]) == ("growth", "a, b")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ratio", "sum of outcome orders, over number of rows of event visit"),
        ("quantile", "each row of event load"),
        ("retention", "1 if the unit came back with an event visit, else 0"),
        ("funnel", WALK),
    ],
)
def test_describe_says_what_a_units_value_is(kind: str, words: str) -> None:
    assert describe(_of(kind))["value"] == words


@pytest.mark.parametrize(
    ("kind", "covariate", "words"),
    [
        (
            "retention",
            {"outcome": "sessions"},
            "1 if the unit had a positive outcome sessions, else 0 (as the metric's",
        ),
        ("retention", {"event": "open"}, "1 if the unit had an event open, else 0 (as"),
        (
            "retention",
            {"outcome": "sessions", "aggregation": "sum"},
            "sum of outcome sessions, in",
        ),
        ("ratio", {"outcome": "paid"}, "sum of outcome paid (as the metric's value"),
        ("retention", {}, "as the value, from event visit"),
    ],
)
def test_describe_says_what_a_covariate_of_other_rows_is(
    kind: str, covariate: dict[str, Any], words: str
) -> None:
    said = describe(_of(kind, covariate=covariate))["covariate"]
    assert said.split(": ", 1)[1].startswith(words)


def test_describe_tells_calendar_days() -> None:
    words = describe(_of("retention"))
    assert words["window"] == "calendar days 7 to 7 (the exposure's is 0)"


def test_no_change_is_nothing() -> None:
    assert compare_definitions({"m": _of("mean")}, {"m": _of("mean")}) == []


def test_change_of_meaning_needs_a_new_version() -> None:
    old, new = _of("mean"), _of("mean", window={"days": 14, "delay_days": 1})
    (change,) = compare_definitions({"m": old}, {"m": new})
    assert change.is_meaning_changed
    assert change.is_unmarked
    assert {"window", "version"} == set(change.words)
    assert "-    " in change.sql
    assert "15 * 86400000000" in change.sql
    (marked,) = compare_definitions({"m": old}, {"m": replace(new, version=2)})
    assert marked.is_meaning_changed
    assert not marked.is_unmarked


def test_change_of_words_has_the_same_sql() -> None:
    (change,) = compare_definitions({"m": _of("mean")}, {"m": _of("mean", owner="x")})
    assert not change.is_meaning_changed
    assert change.words == {"owner": ("growth", "x")}
    assert change.sql == ""


def test_added_and_removed_metrics_are_told() -> None:
    mean, ratio = _of("mean"), _of("ratio")
    first, second = compare_definitions({"a": mean}, {"b": ratio})
    assert (first.name, first.new, second.name, second.old) == ("a", None, "b", None)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_stored_definition_is_the_same_record(kind: str) -> None:
    metric = _of(kind)
    document = json.loads(json.dumps(asdict(metric), sort_keys=True))
    found = read_stored(document)
    assert found == metric
    assert found.definition_hash == metric.definition_hash


def test_a_stored_definition_of_another_age_is_read() -> None:
    metric = _of("ratio")
    document = json.loads(json.dumps(asdict(metric)))
    del document["steps"], document["quantile"]
    assert read_stored({**document, "no_longer_there": 1}) == metric
