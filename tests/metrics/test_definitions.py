"""Definitions: one file each, strict, with an error that says what to do."""

from pathlib import Path
from typing import Any

import pytest

from exp_platform.errors import StorageError, UsageError
from exp_platform.metrics.caps import require_caps
from exp_platform.metrics.dbt_export import export_models
from exp_platform.metrics.definitions import (
    choose_definitions,
    load_definitions,
    parse_definition,
)
from exp_platform.metrics.scope import metric_tables
from exp_platform.records import AnalysisPlan, Covariate, Direction, MetricType

PLAIN = {"name": "revenue", "type": "mean", "source": {"outcome": "orders"}}
RATIO = {
    "name": "per_session",
    "type": "ratio",
    "numerator": {"outcome": "orders"},
    "denominator": {"outcome": "sessions"},
}


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # What the root of a container may read anyway.
    monkeypatch.setattr(Path, "iterdir", deny)
    monkeypatch.setattr("os.scandir", deny)
    with pytest.raises(StorageError, match="cannot be read"):
        load_definitions(tmp_path)
    assert load_definitions(tmp_path / "none") == {}


def test_parse_definition_fills_the_record() -> None:
    text = PLAIN | {
        "version": 3,
        "direction": "decrease",
        "window": {"days": 7, "delay_days": 1},
        "cap": 100,
        "covariate": {"outcome": "visits", "lookback_days": 28},
        "aggregation": "max",
    }
    metric = parse_definition(text, "here")
    assert (metric.type, metric.direction) == (MetricType.MEAN, Direction.DECREASE)
    assert (metric.numerator, metric.denominator) == ("orders", None)
    assert (metric.window_days, metric.delay_days, metric.cap) == (7.0, 1.0, 100.0)
    assert (metric.aggregation, metric.version) == ("max", 3)
    assert metric.covariate == Covariate("visits", 28)


def test_parse_definition_reads_both_parts_of_a_ratio() -> None:
    metric = parse_definition(RATIO, "here")
    assert (metric.numerator, metric.denominator) == ("orders", "sessions")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "ratio"},
        {"numerator": {"outcome": "x"}},
        {"source": None},
        {"type": "median"},
        {"cap": 0},
        {"cap": float("inf")},
        {"window": {"days": 0}},
        {"window": {"delay_days": -1}},
        {"covariate": {"outcome": "x", "lookback_days": 0}},
        {"name": ""},
        {"version": 0},
        {"aggregation": "avg"},
        {"source": {"outcome": "x", "where": "1 = 1"}},
    ],
)
def test_parse_definition_refuses_what_makes_no_metric(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_definition(PLAIN | change, "metrics/revenue.yml")
    assert caught.value.parts["where"] == "metrics/revenue.yml"


@pytest.mark.parametrize("part", ["numerator", "denominator"])
def test_parse_definition_refuses_half_a_ratio(part: str) -> None:
    with pytest.raises(UsageError, match=f"a ratio needs {part}"):
        parse_definition({k: v for k, v in RATIO.items() if k != part}, "here")


def test_parse_definition_suggests_the_key_that_was_meant() -> None:
    with pytest.raises(UsageError, match="unknown key 'directoin'") as caught:
        parse_definition(PLAIN | {"directoin": "increase"}, "here")
    assert "direction" in caught.value.parts["allowed"]


def test_parse_definition_refuses_what_is_no_mapping() -> None:
    with pytest.raises(UsageError):
        parse_definition(["name", "revenue"], "here")


def test_load_definitions_reads_the_shipped_metrics() -> None:
    found = load_definitions(Path(__file__).parents[2] / "metrics")
    assert "conversion" in found
    assert all(name == metric.name for name, metric in found.items())
    assert all(metric.description for metric in found.values())


def test_load_definitions_refuses_a_name_defined_twice(tmp_path: Path) -> None:
    for file in ("a.yml", "b.yaml"):
        (tmp_path / file).write_text("{name: m, type: mean, source: {outcome: o}}")
    with pytest.raises(UsageError, match="defined twice") as caught:
        load_definitions(tmp_path)
    assert caught.value.parts["where"].endswith("b.yaml")


@pytest.mark.parametrize("content", [b"name: [", b"\xff\xfe\x00", b"name: 'm"])
def test_load_definitions_refuses_bad_yaml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.yml").write_bytes(content)
    with pytest.raises(UsageError, match="YAML"):
        load_definitions(tmp_path)


@pytest.mark.parametrize("place", ["description", "owner"])
def test_load_definitions_refuses_half_a_character(tmp_path: Path, place: str) -> None:
    text = f'name: m\ntype: mean\nsource: {{outcome: o}}\n{place}: "a \\ud800 b"\n'
    (tmp_path / "m.yml").write_text(text)
    with pytest.raises(UsageError, match="half a character") as caught:
        load_definitions(tmp_path)
    assert caught.value.parts["where"].endswith(f"m.yml:4:{len(place) + 3}")


@pytest.mark.parametrize("target", ["nowhere", "m.yml", "."])
def test_load_definitions_refuses_what_is_no_file(tmp_path: Path, target: str) -> None:
    (tmp_path / "m.yml").symlink_to(target)
    with pytest.raises(UsageError, match="not a readable file") as caught:
        load_definitions(tmp_path)
    assert caught.value.parts["where"] == str(tmp_path / "m.yml")
    assert caught.value.parts["found"]
    assert caught.value.parts["next"]


def test_load_definitions_passes_over_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "m.yml").write_text("{name: m, type: mean, source: {outcome: o}}")
    (tmp_path / ".#m.yml").symlink_to("me@host.1234:99")
    (tmp_path / ".m.yml").write_text("half wri: [")
    assert list(load_definitions(tmp_path)) == ["m"]


def test_load_definitions_of_an_absent_folder_is_empty(tmp_path: Path) -> None:
    assert load_definitions(tmp_path / "nothing") == {}


def test_choose_definitions_prefers_the_experiments_own() -> None:
    project = {"revenue": parse_definition(PLAIN, "here")}
    own = {"revenue": PLAIN | {"version": 9}}
    chosen = choose_definitions(["revenue"], project, own, experiment_id="exp_a")
    assert chosen["revenue"].version == 9


def test_choose_definitions_suggests_a_near_name() -> None:
    project = {"revenue": parse_definition(PLAIN, "here")}
    with pytest.raises(UsageError, match="'revenu' is not defined") as caught:
        choose_definitions(["revenu"], project, {}, experiment_id="exp_a")
    assert "revenue" in caught.value.parts["allowed"]
    assert "exp_a" in caught.value.parts["where"]


def test_definition_hash_follows_the_meaning_only() -> None:
    plain = parse_definition(PLAIN, "here")
    worded = parse_definition(PLAIN | {"owner": "x", "description": "y"}, "here")
    capped = parse_definition(PLAIN | {"cap": 5}, "here")
    assert plain.definition_hash == worded.definition_hash
    assert plain.definition_hash != capped.definition_hash


@pytest.mark.parametrize(
    "text",
    [
        {"cap": {"percentile": 0.99}},
        {"covariate": {"lookback_days": 7, "cap": {"percentile": 0.99}}},
    ],
)
def test_require_caps_refuses_a_percentile_cap_without_its_number(
    text: dict[str, Any],
) -> None:
    document = {"name": "m", "type": "mean", "source": {"outcome": "m"}, **text}
    definition = parse_definition(document, "m.yml")
    with pytest.raises(UsageError, match="has no number"):
        require_caps(definition)
    with pytest.raises(UsageError, match="has no number"):
        metric_tables("exp_a", {"m": definition}, AnalysisPlan(metrics=()))
    with pytest.raises(UsageError, match="has no number"):
        export_models({"m": definition})
