"""Refreshes find every unit that a new row can count for, and every new unit."""

from dataclasses import replace
from datetime import timedelta

import pytest

from exp_platform.lake import Engine
from exp_platform.metrics.totals import compare_totals
from exp_platform.records import ExperimentSpec
from tests.metrics.warehouse import (
    DAY,
    DEFINITIONS,
    START,
    Build,
    Row,
    Warehouse,
    bought,
    define,
    event_rule,
    exposed,
)

INSTANT = timedelta(microseconds=1)
EDGED = ("by_date", "early", "ever", "rows", "scaled", "total")


@pytest.mark.parametrize("metric", ["m", "k"])
def test_refresh_totals_takes_in_single_rows_at_the_edges_of_every_window(
    engine: Engine, design: ExperimentSpec, build: Build, metric: str
) -> None:
    """A file of one row spans an instant: no unit is left out that it may count for."""
    warehouse = Warehouse(engine, design, {n: DEFINITIONS[n] for n in EDGED})
    warehouse.write("exposures", [exposed(f"u{n}", 3.5 + n / 4) for n in range(4)])
    warehouse.refresh(START + 9 * DAY)
    # before and behind the exposure of u0 and its midnight, by the lengths in use
    edges = [START + days * DAY for days in (1.5, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5)]
    for number, edge in enumerate(edges):
        for at in (edge - INSTANT, edge):
            # no sum of others is the same: a row that is lost or too many shows
            value = 2.0 ** (2 * number + (at == edge))
            row = {"user": "u0", "metric": metric, "value": value, "at": at}
            warehouse.write("outcomes", [row])
            done = warehouse.refresh(START + 9 * DAY)
            assert done.full_reason == ""
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_tells_a_missing_value_of_a_metric_without_partials(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    kinds = define(
        "prices", "count", "buy", rows=event_rule(value="properties.price"),
        aggregation="distinct", window_days=2.0,
    )  # fmt: skip
    warehouse = Warehouse(engine, design, {"prices": kinds})
    warehouse.write("exposures", [exposed("u1", 0.5), exposed("u2", 1.5)])
    for number, properties in enumerate(({"price": "0.1"}, {})):
        event = {"id": f"e{number}", "user": f"u{number + 1}", "event": "buy"}
        at = START + 2 * DAY
        event |= {"value": None, "at": at, "properties": properties}
        warehouse.write("fact_event", [event])
        done = warehouse.refresh(START + 5 * DAY)
    assert done.totals["prices", "all", "control"].n_missing == 1
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_stores_new_units_beside_those_that_stand(
    warehouse: Warehouse, build: Build
) -> None:
    # u00 is seen again, later: that changes nothing of it
    again = [exposed("u00", 3.75), exposed("u40", 3.25), exposed("u41", 3.25)]
    warehouse.write("exposures", again)
    warehouse.write("outcomes", [bought("u40", 3.5, 8.0), bought("u00", 0.75, 16.0)])
    done = warehouse.refresh(START + 6 * DAY)
    assert (done.units.n_touched, done.units.n_new) == (2, 2)
    assert (done.units.is_whole, done.units.is_moved) == (False, False)
    assert [table.num_rows for table in warehouse.units] == [12, 2]
    # the same of the units that were added
    warehouse.write("exposures", [exposed("u40", 3.75), exposed("u42", 3.0)])
    warehouse.write("outcomes", [bought("u42", 4.5, 32.0), bought("u40", 4.9, 64.0)])
    done = warehouse.refresh(START + 6 * DAY)
    assert [table.num_rows for table in warehouse.units] == [12, 2, 1]
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


@pytest.mark.parametrize(
    ("change", "is_moved"),
    [
        # at the same instant the arm that sorts first counts
        ({"variant": "control"}, False),
        ({"at": START + 1.1 * DAY}, True),
    ],
)
def test_refresh_totals_stores_all_units_when_one_is_another(
    warehouse: Warehouse, build: Build, change: Row, *, is_moved: bool
) -> None:
    first = exposed("u10", 1.25, "treatment")
    warehouse.write("exposures", [first | change, exposed("u43", 3.5)])
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.units.is_whole, done.units.is_moved) == (True, is_moved)
    assert (done.units.n_touched, done.units.n_new) == (2, 1)
    assert [table.num_rows for table in warehouse.units] == [13]
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_counts_cohorts_that_an_earlier_version_did_not_leave(
    warehouse: Warehouse, build: Build
) -> None:
    assert warehouse.state is not None
    days = warehouse.state.days
    left = {day: replace(own, first_new_us=None) for day, own in days.items()}
    assert sum(own.n_units for own in left.values()) > 0
    warehouse.state = replace(warehouse.state, days={})
    done = warehouse.refresh(START + 6 * DAY)
    assert done.state.days == left
    assert (done.full_reason, done.units.n_touched) == ("", 0)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_forgets_a_unit_whose_exposures_are_gone(
    warehouse: Warehouse, build: Build
) -> None:
    _, rows = warehouse.files.pop("exposures-003")
    warehouse.write("exposures", rows[1:])
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.units.is_whole, done.units.is_moved) == (True, True)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []
