"""Data without dates: no day is invented for them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from exp_platform.metrics.query import Vocabulary
from exp_platform.pipelines.ask import AsOf, Subject
from exp_platform.records import AnalysisPlan, ExperimentSpec, MetricType, Variant
from exp_platform.serve import reading

DAY = datetime(2000, 1, 1, tzinfo=UTC)
SPEC = ExperimentSpec(
    experiment_id="e",
    start_ts=DAY,
    end_ts=DAY,
    watermark_ts=DAY,
    variants=(Variant("A", 0.5), Variant("B", 0.5)),
    control="A",
    plan=AnalysisPlan(()),
)


@pytest.mark.parametrize("is_dated", [True, False])
def test_an_experiment_without_dates_tells_none(monkeypatch, is_dated):
    spec = replace(SPEC, is_dated=is_dated)
    words = Vocabulary({"m": MetricType.MEAN}, (), ("A", "B"))
    as_of = AsOf("e", {}, {}, DAY if is_dated else None, DAY, "r")
    subject = Subject(spec, words, as_of)
    monkeypatch.setattr(reading, "find_subject", lambda *_: subject)
    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(settings=None)))
    response = reading.describe_experiment(request, "e", "holder")
    body = json.loads(response.body)
    dates = [body["start"], body["end"], body["as_of"]["watermark"]]
    assert dates == ["2000-01-01T00:00:00Z" if is_dated else None] * 3
