"""A panel in a frame and an imported one are described alike."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.definitions import parse_definition
from exp_platform.pipelines.import_panel import registry_row
from exp_platform.pipelines.panel_layout import (
    define_metrics,
    describe_panel,
    lay_out_panel,
)
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.registry import read_json, read_spec

ROWS = [
    {
        "unit": unit,
        "month": f"2024-0{month}",
        "since": since,
        "town": unit % 2,
        "n": 1.0,
    }
    for unit, since in enumerate(["2024-03", None, "2024-04", None, None])
    for month in range(1, 6)
]


@pytest.fixture
def engine(tmp_path):
    settings = LakeSettings(tmp_path, tmp_path / "c", tmp_path, tmp_path)
    with Engine(settings) as engine:
        engine.register("exp_run.delivered", pa.Table.from_pylist(ROWS))
        yield engine


@pytest.mark.parametrize("cluster", [None, "town"])
def test_describe_panel_is_what_the_registry_gives_back(engine, cluster):
    request = PanelRequest(
        "month",
        {"n": "n", "sold": "n"},
        unit="unit",
        cohort="since",
        cluster=cluster,
        decreases=("sold",),
    )
    file = Path("panel.csv")
    layout, _ = lay_out_panel(engine, request, file, is_ordered=False)
    spec = describe_panel(engine, "prices", request, layout)
    row = registry_row(engine, "prices", request, layout, file)
    assert replace(spec, source="file:panel.csv") == read_spec(row)
    assert spec.panel.first_treated == "2024-03"
    documents = read_json(row["definitions"], "definitions", "prices")
    read = {name: parse_definition(text, name) for name, text in documents.items()}
    assert read == define_metrics(request)
    assert read["sold"].direction != read["n"].direction
