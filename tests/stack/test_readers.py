"""Dashboards read documented views through SQLAlchemy's Trino dialect."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from exp_platform.lake import open_lake
from exp_platform.trino.views import SCHEMA, VIEWS, create_views

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stack.md"


@pytest.fixture(scope="module")
def database(ran: str) -> Any:
    """What Superset is given: one URL."""
    assert ran
    place = "{EXP_TRINO_HOST}:{EXP_TRINO_PORT}".format(**os.environ)
    create_views(f"http://{place}")
    create_views(f"http://{place}")  # again, as after an upgrade
    engine = create_engine(f"trino://dashboard@{place}/iceberg/{SCHEMA}")
    yield engine
    engine.dispose()


def test_create_views_lists_what_the_page_documents(database: Any) -> None:
    seen = set(inspect(database).get_view_names(schema=SCHEMA))
    documented = set(
        re.findall(r"^\| `exp_views\.(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    )
    assert set(VIEWS) == documented <= seen


def test_views_show_what_was_published(database: Any, shared: Any, ran: str) -> None:
    with open_lake(shared.settings()) as lake:
        published = [
            row
            for row in lake.read("analysis_results", ran).to_pylist()
            if row["look"] is None and row["role"] != "diagnostic"
        ]
        decisions = lake.read("decisions", ran).to_pylist()
    chosen = text(
        f"select metric_name, segment, method, difference from {SCHEMA}.estimates"
        " where experiment_id = :name"
    )
    with database.connect() as connection:
        shown = connection.execute(chosen, {"name": ran}).all()
        chosen = text(
            f"select treatment, outcome from {SCHEMA}.decisions"
            " where experiment_id = :name"
        )
        decided = connection.execute(chosen, {"name": ran}).all()
    columns = ("metric_name", "segment", "method", "difference")
    assert sorted(map(repr, map(tuple, shown))) == sorted(
        repr(tuple(row[name] for name in columns)) for row in published
    )
    assert len(shown) > 0
    assert sorted(map(repr, map(tuple, decided))) == sorted(
        repr((row["treatment"], row["outcome"])) for row in decisions
    )


@pytest.mark.parametrize("name", VIEWS)
def test_view_has_rows_of_every_experiment(database: Any, ran: str, name: str) -> None:
    counted = text(f"select count(*) from {SCHEMA}.{name} where experiment_id = :name")
    with database.connect() as connection:
        assert connection.execute(counted, {"name": ran}).scalar_one() > 0
