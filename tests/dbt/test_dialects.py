"""The kept SQL of three dialects: short, and the same models in each."""

from pathlib import Path

import pytest
import sqlglot

from exp_platform.metrics.compile_models import DIALECTS
from exp_platform.metrics.models import GENERATED, model_order, model_sql

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "exp_platform" / "metrics" / "compiled"
MOST_LINES = 80


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_model_can_be_read_at_one_sitting(dialect: str) -> None:
    written = [
        *(ROOT / "dbt" / "models").rglob("*.sql"),
        *KEPT.glob(f"{dialect}/*.sql"),
    ]
    lines = {file: file.read_text("utf-8").count("\n") for file in written}
    assert len(lines) > 100
    assert {str(file): n for file, n in lines.items() if n > MOST_LINES} == {}


def test_dialects_have_the_same_models_in_the_same_order() -> None:
    orders = [[name for name, _ in model_order(dialect)] for dialect in DIALECTS]
    assert orders[0] == orders[1] == orders[2]
    for dialect in DIALECTS:
        kept = {file.stem for file in KEPT.glob(f"{dialect}/*.sql")}
        assert kept == set(orders[0]) - set(GENERATED)


def test_dialects_have_the_same_columns() -> None:
    for name, _ in model_order():
        if name not in GENERATED:
            columns = [
                sqlglot.parse_one(model_sql(name, dialect), read=dialect).named_selects
                for dialect in DIALECTS
            ]
            assert columns[0] == columns[1] == columns[2], name
