"""Units of a delivered panel, found in one period or in all of them."""

from pathlib import Path

import pyarrow as pa
import pytest

from exp_platform.errors import ContractError
from exp_platform.lake import Engine, LakeSettings
from exp_platform.pipelines.delivered_file import ROW_NUMBER
from exp_platform.pipelines.panel_cohorts import place_treatments
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.panel_rows import build_units, number_periods

FILE = Path("panel.csv")
UNITS, YEARS = 40, range(2000, 2006)
ROWS = [
    {
        "unit": unit,
        "year": year,
        "since": 2003 if unit % 3 else None,
        "town": unit // 4,
        "size": float(unit),
        "sold": unit * 0.5 + year,
        ROW_NUMBER: number,
    }
    for number, (year, unit) in enumerate((y, u) for y in YEARS for u in range(UNITS))
]
REQUEST = PanelRequest(
    "year",
    {"sold": "sold"},
    unit="unit",
    cohort="since",
    cluster="town",
    covariates=("size",),
)


@pytest.fixture
def engine(tmp_path):
    settings = LakeSettings(tmp_path, tmp_path / "c", tmp_path, tmp_path)
    with Engine(settings) as engine:
        yield engine


def _build(engine, rows, *, is_ordered):
    engine.execute("drop view if exists exp_run.delivered")
    engine.register("exp_run.delivered", pa.Table.from_pylist(rows))
    periods = number_periods(engine, REQUEST, FILE)
    place_treatments(engine, REQUEST, periods, FILE)
    n_periods = len(periods.labels)
    build_units(engine, REQUEST, FILE, n_periods=n_periods, is_ordered=is_ordered)
    units = engine.records("select * from exp_run.panel_units order by unit")
    return [{k: v for k, v in unit.items() if k != "row_no"} for unit in units]


def test_build_units_finds_the_same_in_one_period_as_in_all(engine):
    found = _build(engine, ROWS, is_ordered=False)
    assert found == _build(engine, ROWS, is_ordered=True)
    assert len(found) == UNITS
    assert {unit["n_rows"] for unit in found} == {len(YEARS)}


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 99.5},
        {"size": None},
        {"since": 2004, "town": 0, "unit": UNITS},
        {"unit": None},
    ],
)
@pytest.mark.parametrize("place", [1, UNITS * 3 + 1])
def test_build_units_reads_all_periods_where_they_differ(engine, changed, place):
    rows = [row | changed if i == place else row for i, row in enumerate(ROWS)]
    found = _build(engine, rows, is_ordered=False)
    assert found == _build(engine, rows, is_ordered=True)


def test_build_units_refuses_a_unit_that_is_there_twice_in_every_period(engine):
    rows = [row | {"unit": max(row["unit"], 1), "town": 0} for row in ROWS]
    rows = [row | {"since": 2003} for row in rows]
    with pytest.raises(ContractError, match="several rows in one period"):
        _build(engine, rows, is_ordered=False)


@pytest.mark.parametrize("others", [[3, 3], [6, 6]])
def test_build_units_refuses_a_unit_that_stands_for_others_in_one_period(
    engine, others
):
    # As many rows by period and treatment as before; of an even number of equal rows
    # the marks are those of none, of three those of one.
    instead = dict(zip([UNITS * 3 + 9, UNITS * 3 + 12], others, strict=True))
    rows = [row | ROWS[instead.get(i, i % UNITS)] for i, row in enumerate(ROWS)]
    rows = [row | {"year": old["year"]} for row, old in zip(rows, ROWS, strict=True)]
    with pytest.raises(ContractError, match="several rows in one period"):
        _build(engine, rows, is_ordered=False)


@pytest.mark.parametrize("column", ["since", "town"])
def test_build_units_refuses_units_that_swap_their_values(engine, column):
    rows = [dict(row) for row in ROWS]
    one, other = rows[-2], rows[-UNITS]
    one[column], other[column] = other[column], one[column]
    with pytest.raises(ContractError, match="changes within a unit"):
        _build(engine, rows, is_ordered=False)
