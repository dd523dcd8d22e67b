"""Answers of independent tools, and the frames of three libraries."""

import json
from functools import cache
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def read_golden(name):
    path = GOLDEN / name
    return json.loads((path if path.suffix else path / "golden.json").read_text())


@pytest.fixture
def golden():
    return read_golden


@pytest.fixture(
    params=[pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"]
)
def make(request):
    """A frame of each library from columns."""
    return request.param


@pytest.fixture
def arms():
    """Two arms' columns as one table with the column `arm`."""

    def join(control, treatment):
        columns = {name: [*control[name], *treatment[name]] for name in control}
        n = [len(next(iter(side.values()))) for side in (control, treatment)]
        return {**columns, "arm": ["a"] * n[0] + ["b"] * n[1]}

    return join
