"""Definitions of every type: what they become, and what they may not say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exp_platform.errors import UsageError
from exp_platform.metrics.definition_schema import FILE, json_schema, schema_text
from exp_platform.metrics.definitions import parse_definition, read_file, read_folder
from exp_platform.metrics.measures import FUNNEL, covariate_of
from exp_platform.records import (
    CapOrigin,
    Covariate,
    FunnelStep,
    MarginScale,
    MetricRole,
    MetricType,
    PercentileCap,
    RoleDefaults,
    RowRule,
    SourceKind,
)

METRICS = Path(__file__).parents[2] / "metrics"
ORDERS = {"outcome": "orders"}
VISIT = {"event": "visit"}
MEAN = {"name": "m", "type": "mean", "source": ORDERS}
RATIO = {"name": "m", "type": "ratio", "numerator": ORDERS, "denominator": VISIT}
QUANTILE = {"name": "m", "type": "quantile", "source": ORDERS, "quantile": 0.9}
RETENTION = {"name": "m", "type": "retention", "source": VISIT, "retention": {"day": 7}}
FUNNELS = {"name": "m", "type": "funnel", "steps": [VISIT, ORDERS]}
PAGES = VISIT | {"value": "lower(page)"}
KINDS = MEAN | {"source": PAGES, "aggregation": "distinct"}
PER_ORDER = RATIO | {"numerator": PAGES | {"aggregation": "distinct"}}


def test_filter_and_value_are_kept_in_even_layout() -> None:
    source = {"event": "buy", "filter": "plan='pro' AND price>1", "value": "price*2"}
    metric = parse_definition(MEAN | {"source": source}, "here")
    assert metric.numerator == "buy"
    assert metric.rows == RowRule(
        SourceKind.EVENT, "plan = 'pro' and price > 1", "price * 2"
    )


def test_ratio_parts_have_rules_and_aggregations_of_their_own() -> None:
    text = RATIO | {
        "aggregation": "max",
        "denominator": VISIT | {"aggregation": "count", "filter": "value > 1"},
    }
    metric = parse_definition(text, "here")
    assert (metric.aggregation, metric.denominator_aggregation) == ("max", "count")
    assert metric.denominator_rows == RowRule(SourceKind.EVENT, "value > 1")


def test_ratio_part_without_an_aggregation_has_the_metrics() -> None:
    text = RATIO | {"aggregation": "max", "numerator": ORDERS | {"aggregation": "sum"}}
    metric = parse_definition(text, "here")
    assert (metric.aggregation, metric.denominator_aggregation) == ("sum", "max")


def test_quantile_of_rows() -> None:
    metric = parse_definition(QUANTILE | {"of": "rows"}, "here")
    assert (metric.quantile, metric.is_of_rows) == (0.9, True)


@pytest.mark.parametrize(
    ("spoken", "delay", "days"),
    [
        ({"day": 7}, 7.0, 1.0),
        ({"day": 0}, 0.0, 1.0),
        ({"day": 7, "rolling": True}, 7.0, None),
        ({"day": 7, "rolling": True, "to_days": 28}, 7.0, 21.0),
        ({"from_days": 7, "to_days": 14}, 7.0, 7.0),
        ({"from_days": 0.5, "to_days": 2}, 0.5, 1.5),
    ],
)
def test_retention_is_a_window(
    spoken: dict[str, Any], delay: float, days: float | None
) -> None:
    metric = parse_definition(RETENTION | {"retention": spoken}, "here")
    assert (metric.delay_days, metric.window_days) == (delay, days)
    assert metric.type is MetricType.RETENTION


def test_funnel_has_its_steps_in_order() -> None:
    text = FUNNELS | {"steps": [VISIT, ORDERS | {"filter": "value > 2"}]}
    metric = parse_definition(text, "here")
    assert metric.numerator == "orders"
    assert metric.steps == (
        FunnelStep("visit", RowRule(SourceKind.EVENT)),
        FunnelStep("orders", RowRule(filter="value > 2")),
    )


def test_covariate_without_a_source_is_the_metrics_own_past() -> None:
    source = ORDERS | {"filter": "value > 1"}
    text = MEAN | {"source": source, "covariate": {"lookback_days": 28}}
    metric = parse_definition(text, "here")
    assert metric.covariates == (Covariate("orders", 28, RowRule(filter="value > 1")),)


def test_covariate_of_a_ratio_is_the_past_of_both_parts() -> None:
    metric = parse_definition(RATIO | {"covariate": {}}, "here")
    assert [c.label for c in metric.covariates] == ["orders_14d", "visit_14d"]
    same = RATIO | {"denominator": ORDERS | {"aggregation": "count"}, "covariate": {}}
    labels = [c.label for c in parse_definition(same, "here").covariates]
    assert labels == ["numerator_14d", "denominator_14d"]


def test_covariate_of_a_ratio_gives_its_name_to_both_parts() -> None:
    for below in (VISIT, ORDERS | {"aggregation": "count"}):
        text = RATIO | {"denominator": below, "covariate": {"name": "past"}}
        labels = [c.label for c in parse_definition(text, "here").covariates]
        assert labels == ["past_numerator_14d", "past_denominator_14d"]


def test_covariate_of_a_ratio_may_tell_texts_apart_as_its_numerator_does() -> None:
    metric = parse_definition(PER_ORDER | {"covariate": PAGES}, "here")
    assert covariate_of(metric, metric.covariates[0]).aggregation == "distinct"
    own = parse_definition(KINDS | {"covariate": {}}, "here")
    assert covariate_of(own, own.covariates[0]).aggregation == "distinct"


def test_covariate_of_a_funnel_is_whether_it_was_walked() -> None:
    metric = parse_definition(FUNNELS | {"covariate": {}}, "here")
    assert [c.aggregation for c in metric.covariates] == [FUNNEL]


def test_covariate_of_a_funnel_from_named_rows_keeps_its_cap() -> None:
    text = FUNNELS | {"covariate": VISIT | {"aggregation": "count", "cap": 2}}
    (covariate,) = parse_definition(text, "here").covariates
    assert (covariate.aggregation, covariate.cap) == ("count", 2.0)


def test_several_covariates_keep_their_order() -> None:
    text = MEAN | {
        "covariates": [{}, VISIT | {"aggregation": "count", "lookback_days": 7}]
    }
    first, second = parse_definition(text, "here").covariates
    assert (first.metric_name, second.metric_name) == ("orders", "visit")
    assert (second.aggregation, second.lookback_days) == ("count", 7)


@pytest.mark.parametrize("cap", [100, 100.0, {"value": 100}])
def test_cap_is_a_number(cap: Any) -> None:
    assert parse_definition(MEAN | {"cap": cap}, "here").cap == 100.0


def test_cap_is_a_percentile_and_the_covariate_has_its_own() -> None:
    text = MEAN | {
        "window": {"days": 7},
        "cap": {"percentile": 0.999, "nonzero": True, "taken_from": "pre_period"},
        "covariate": {"cap": {"percentile": 0.99}},
    }
    metric = parse_definition(text, "here")
    assert metric.percentile_cap == PercentileCap(0.999, True, CapOrigin.PRE_PERIOD)
    assert metric.cap is None
    assert metric.covariates[0].percentile_cap == PercentileCap(0.99)


def test_a_frozen_number_is_no_change_of_meaning() -> None:
    from dataclasses import replace

    metric = parse_definition(MEAN | {"cap": {"percentile": 0.999}}, "here")
    assert replace(metric, cap=7.5).definition_hash == metric.definition_hash
    plain = parse_definition(MEAN | {"cap": 7.5}, "here")
    assert plain.definition_hash != metric.definition_hash


def test_defaults_and_tags_are_no_change_of_meaning() -> None:
    worded = MEAN | {
        "version": 2,
        "tags": ["money"],
        "defaults": {"role": "guardrail", "margin": 0.02, "mde": 0.01},
    }
    metric = parse_definition(worded, "here")
    assert metric.defaults == RoleDefaults(
        MetricRole.GUARDRAIL, 0.02, MarginScale.RELATIVE, 0.01
    )
    assert metric.tags == ("money",)
    assert metric.definition_hash == parse_definition(MEAN, "here").definition_hash


REFUSED = [
    (MEAN | {"retention": {"day": 1}}, "a mean has no retention"),
    (MEAN | {"type": "proportion", "cap": 3}, "a proportion has no cap"),
    (MEAN | {"type": "proportion", "aggregation": "sum"}, "has no aggregation"),
    (MEAN | {"source": {}}, "name one outcome or one event"),
    (MEAN | {"source": {"outcome": "a", "event": "b"}}, "one outcome or one event"),
    (MEAN | {"source": ORDERS | {"filter": "value +"}}, "this is no expression"),
    (MEAN | {"source": ORDERS | {"filter": "value"}}, "a filter says yes or no"),
    (MEAN | {"source": ORDERS | {"value": "plan"}}, "no properties"),
    (MEAN | {"source": VISIT | {"value": "plan = 'x'"}}, "a value is a number"),
    (MEAN | {"source": ORDERS | {"value": "value; select 1"}}, "does not belong here"),
    (MEAN | {"covariate": {"filter": "value > 1"}}, "from the metric's own rows"),
    (MEAN | {"covariate": {}, "covariates": [{}]}, "say covariate or covariates"),
    (MEAN | {"covariates": [{}, {}]}, "two covariates of one name"),
    (MEAN | {"attribution": "last_exposure"}, "first_exposure"),
    (MEAN | {"window": {"grain": "day", "days": 1.5}}, "calendar days are whole"),
    (
        {
            "name": "m",
            "type": "retention",
            "source": VISIT,
            "window": {"grain": "day"},
            "retention": {"day": 3, "rolling": True, "to_days": 3.5},
        },
        "calendar days are whole",
    ),
    (MEAN | {"cap": {}}, "a value or a percentile"),
    (MEAN | {"cap": {"value": 1, "percentile": 0.9}}, "a value or a percentile"),
    (MEAN | {"cap": {"value": 1, "nonzero": True}}, "nonzero goes with a percentile"),
    (MEAN | {"cap": {"percentile": 1}}, "less than 1"),
    (MEAN | {"cap": True}, "keys with values are needed"),
    (
        MEAN | {"cap": {"percentile": 0.9, "taken_from": "pre_period"}},
        "needs window.days",
    ),
    (MEAN | {"defaults": {"role": "guardrail"}}, "a guardrail needs a margin"),
    (MEAN | {"defaults": {"margin": 0.1}}, "only a guardrail has a margin"),
    (MEAN | {"defaults": {"role": "guardrail", "margin": 1}}, "100 %"),
    (RATIO | {"source": ORDERS}, "a ratio has no source"),
    (QUANTILE | {"quantile": 1.0}, "less than 1"),
    (QUANTILE | {"quantile": None}, "a quantile needs quantile"),
    (QUANTILE | {"covariate": {}}, "a quantile has no covariate"),
    (QUANTILE | {"of": "rows", "aggregation": "max"}, "single rows are not aggregated"),
    (RETENTION | {"retention": None}, "a retention needs retention"),
    (RETENTION | {"retention": {}}, "say `day`, or `from_days` and `to_days`"),
    (RETENTION | {"retention": {"day": 1, "from_days": 1}}, "say `day`, or"),
    (RETENTION | {"retention": {"from_days": 1}}, "from_days needs to_days"),
    (RETENTION | {"retention": {"from_days": 3, "to_days": 3}}, "ends before it"),
    (RETENTION | {"retention": {"day": 3, "to_days": 5}}, "one day ends by itself"),
    (
        RETENTION | {"retention": {"day": 3, "to_days": 3, "rolling": True}},
        "ends before it begins",
    ),
    (RETENTION | {"window": {"days": 3}}, "stand in `retention`"),
    (FUNNELS | {"steps": [VISIT]}, "at least two steps"),
    (FUNNELS | {"steps": []}, "a funnel needs steps"),
    (FUNNELS | {"steps": [VISIT, {"value": "1"}]}, "unknown key 'steps.1.value'"),
    (FUNNELS | {"window": {"grain": "day"}}, "put in order by their instants"),
    (KINDS | {"covariate": {"aggregation": "sum"}}, "a value is a number"),
    (PER_ORDER | {"covariate": {"aggregation": "max"}}, "a value is a number"),
    (
        RATIO
        | {"numerator": ORDERS | {"aggregation": "sum"}}
        | {"aggregation": "distinct", "covariate": PAGES},
        "a value is a number",
    ),
    (FUNNELS | {"covariate": {"aggregation": "sum"}}, "whether it was walked"),
    (FUNNELS | {"covariate": {"cap": 2}}, "whether it was walked"),
    (FUNNELS | {"covariates": [VISIT, {"cap": 0.5}]}, "whether it was walked"),
    (FUNNELS | {"covariate": {"cap": {"percentile": 0.9}}}, "whether it was walked"),
]


@pytest.mark.parametrize(("text", "what"), REFUSED)
def test_definition_refuses_what_does_not_fit(text: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_definition(text, "here")
    assert what in str(caught.value)


# --- files --------------------------------------------------------------------------

WRONG = """\
name: revenue
type: mean
directoin: increase
source:
  outcome: orders
  filtr: value > 1
window:
  days: -1
"""


def _write(folder: Path, text: str, name: str = "m.yml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_every_problem_of_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    path = _write(tmp_path, WRONG)
    found = sorted(str(finding) for finding in read_file(path).findings)
    assert found == [
        f"{path}:3:1: unknown key 'directoin'; did you mean 'direction'?",
        f"{path}:6:3: unknown key 'source.filtr'; did you mean 'filter'?",
        f"{path}:8:9: window.days: Input should be greater than 0; found -1",
    ]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("name: [", "1:8", "not valid YAML"),
        ("- a", "1:1", "keys with values are needed"),
        ("", "1:1", "keys with values are needed"),
        (
            "name: a\ntype: funnel\nsteps: [{outcome: o}, {outcome: p}]\ncovariate: {cap: 2}",
            "4:13",
            "a funnel's own past is whether it was walked",
        ),
        ("name: a\nname: b\ntype: mean\nsource: {outcome: o}", "2:1", "stands twice"),
        (
            "name: a\ntype: mean\nsource: {outcome: o}\ncap: x",
            "4:6",
            "keys with values are needed",
        ),
        (
            "name: a\ntype: funnel\nsteps:\n- {outcome: o}\n- {outcome: p, filter: 1 +}",
            "5:24",
            "no expression",
        ),
        ("name: a\ntype: mean\nsource: {outcome: o}\nsteps: []", "4:1", "has no steps"),
        ("name: a\n---\nname: b", "2:1", "not valid YAML"),
        ("name: !!python/object:os.system x", "1:7", "not valid YAML"),
        ("a: &a [*a]", "1:1", "not valid YAML"),
        ("name: a\nsource: {outcome: o}", "1:1", "type: missing"),
        ("name: |\n  a\ntype: mean\nsource: {outcome: o}", "1:7", "a line break"),
        ('name: a\ntype: mean\nsource: {event: "o\\n"}', "3:17", "a line break"),
    ],
)
def test_a_problem_stands_at_its_key(
    tmp_path: Path, text: str, place: str, what: str
) -> None:
    path = _write(tmp_path, text)
    first = str(read_file(path).findings[0])
    assert first.startswith(f"{path}:{place}: ")
    assert what in first


def test_a_flood_of_aliases_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    (finding,) = read_file(_write(tmp_path, "\n".join(lines))).findings
    assert "too large" in str(finding)


def test_read_folder_goes_on_after_a_broken_file(tmp_path: Path) -> None:
    _write(tmp_path, WRONG, "a.yml")
    _write(tmp_path, "{name: b, type: mean, source: {outcome: o}}", "b.yml")
    first, second = read_folder(tmp_path)
    assert first.definition is None
    assert second.definition is not None


# --- the published schema -----------------------------------------------------------


def test_schema_is_not_stale() -> None:
    assert FILE.read_text("utf-8") == schema_text(), "run `make compile`"


def test_schema_describes_every_key() -> None:
    document = json_schema()
    for model in [document, *document["$defs"].values()]:
        assert model["description"]
        for key in model["properties"].values():
            assert key["description"]


@pytest.mark.parametrize("file", sorted(METRICS.glob("*.yml")), ids=lambda f: f.stem)
def test_shipped_definitions_meet_their_schema(file: Path) -> None:
    text = file.read_text("utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={FILE.name}\n")
    document = json.loads(json.dumps(yaml.safe_load(text)))
    jsonschema.Draft202012Validator(json_schema()).validate(document)


@pytest.mark.parametrize(
    "text", [MEAN, RATIO, QUANTILE, RETENTION, FUNNELS, MEAN | {"cap": 3}]
)
def test_schema_and_models_agree(text: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(text)
    assert parse_definition(text, "here")
    assert not validator.is_valid(text | {"no_such_key": 1})
    assert not validator.is_valid(text | {"window": {"days": 0}})
