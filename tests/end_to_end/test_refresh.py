"""A refresh of a warehouse that others write to: what is new is read, and no more."""

import json
from datetime import timedelta
from typing import Any

import pytest

from exp_platform.metrics.totals import Key, compare_totals, read_totals
from exp_platform.records import MetricTotals

pytestmark = pytest.mark.end_to_end

ID = "exp_tiny"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """A project with one run, and a first refresh."""
    project = make_project(tmp_path_factory.mktemp("refresh") / "project")
    assert project.job(ID, "--generate-synth").code == 0
    assert project.exp("refresh", ID).code == 0
    return project


def totals(project: Any, table: str) -> dict[Key, MetricTotals]:
    """Those that both a run and a refresh make."""
    rows = project.tables(table)[table]
    found = read_totals([row for row in rows if row["experiment_id"] == ID])
    return {k: arm for k, arm in found.items() if not k[1].startswith("population=")}


def partials(project: Any) -> list[dict[str, Any]]:
    """Those stored of the experiment."""
    name = "unit_day_partials"
    rows = project.tables(name)[name]
    return [row for row in rows if row["experiment_id"] == ID]


def cohorts(project: Any) -> dict[str, dict[str, int]]:
    """What the last refresh remembers of the units, by day."""
    (state,) = project.tables("refresh_state")["refresh_state"]
    found: dict[str, dict[str, int]] = json.loads(state["cohorts"])
    return found


def refresh(project: Any, *flags: str) -> dict[str, Any]:
    answer = project.exp("refresh", ID, "--format", "json", *flags)
    assert answer.code == 0, answer.err
    document: dict[str, Any] = json.loads(answer.out)["refresh"]
    return document


def append_outcomes(project: Any, n_rows: int, days: int) -> None:
    """What another writer of the warehouse does: rows of some days later."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("iceberg", uri=f"sqlite:///{project.warehouse / 'catalog.db'}")
    try:
        table = catalog.load_table(("exp", "outcomes"))
        rows = table.scan(limit=n_rows).to_arrow()
        place = rows.schema.get_field_index("outcome_ts")
        later = [at + timedelta(days=days) for at in rows["outcome_ts"].to_pylist()]
        import pyarrow as pa

        field = rows.schema.field(place)
        table.append(rows.set_column(place, field, pa.array(later, field.type)))
    finally:
        catalog.close()


def recompute(project: Any, call: Any) -> None:
    """A full pass over the lake as it is."""
    from exp_platform.pipelines.compute_metric_aggregates import main

    words = ("--config", project.config, "--experiment-id", ID)
    answer = call(main, "compute_metric_aggregates", *words)
    assert answer.code == 0, answer.err


def test_refresh_has_the_totals_of_the_run(warehouse: Any) -> None:
    ours = totals(warehouse, "refreshed_totals")
    assert len({segment for _, segment, _ in ours}) > 1
    assert compare_totals(ours, totals(warehouse, "metric_aggregates_overall")) == []


def test_refresh_shows_the_ratio_as_the_mean_of_a_ratio(warehouse: Any) -> None:
    answer = warehouse.exp("refresh", ID)
    assert answer.code == 0, answer.err
    lines = [line.split() for line in answer.out.splitlines()]
    shown = {line[1]: line[3:5] for line in lines if "revenue_per_session" in line}
    expected = {}
    for (name, segment, arm), own in totals(warehouse, "refreshed_totals").items():
        if (name, segment) == ("revenue_per_session", "all"):
            ratio = own.mean / own.denominator_mean
            spread = own.variance + ratio**2 * own.denominator_variance
            spread -= 2 * ratio * own.denominator_covariance
            linearised = spread / own.denominator_mean**2
            expected[arm] = [f"{ratio:.6g}", f"{linearised:.6g}"]
    assert len(expected) == 2
    assert shown == expected


def test_refresh_reads_what_another_writer_appended(warehouse: Any, call: Any) -> None:
    append_outcomes(warehouse, n_rows=40, days=1)
    before = totals(warehouse, "refreshed_totals")
    report = refresh(warehouse)
    assert report["full_reason"] is None
    assert (report["n_files"], report["n_files_read"]) == (3, 1)
    recompute(warehouse, call)
    ours = totals(warehouse, "refreshed_totals")
    assert compare_totals(ours, totals(warehouse, "metric_aggregates_overall")) == []
    assert compare_totals(ours, before) != []


def test_refresh_without_news_leaves_the_totals_bit_by_bit(
    warehouse: Any, comparable: Any
) -> None:
    tables = ("refreshed_totals", "cohort_totals", "refreshed_units")
    before = warehouse.tables(*tables)
    report = refresh(warehouse)
    assert (report["n_files_read"], report["n_cohorts_computed"]) == (0, 0)
    after = warehouse.tables(*tables)
    for name in tables:
        assert comparable(after[name]) == comparable(before[name])


def test_refresh_in_full_agrees_with_the_refreshes_before(warehouse: Any) -> None:
    ours, kept = totals(warehouse, "refreshed_totals"), cohorts(warehouse)
    report = refresh(warehouse, "--full")
    assert (report["full_reason"], report["batch"]) == ("it was asked for", 1)
    assert compare_totals(ours, totals(warehouse, "refreshed_totals")) == []
    counted = cohorts(warehouse)
    assert sum(own["n_units"] for own in counted.values()) == report["n_units"]
    assert {day: own["n_units"] for day, own in kept.items()} == {
        day: own["n_units"] for day, own in counted.items()
    }


def test_refresh_says_how_far_its_totals_are_complete(warehouse: Any) -> None:
    (row,) = warehouse.tables("experiment_registry")["experiment_registry"]
    early = row["watermark_ts"] - timedelta(days=1)
    refresh(warehouse, "--watermark", early.isoformat())
    (state,) = warehouse.tables("refresh_state")["refresh_state"]
    assert state["watermark_ts"] == early
    assert state["full_reason"] == "the watermark moved back"
    found = warehouse.tables("refreshed_totals")["refreshed_totals"]
    assert {row["watermark_ts"] for row in found} == {early}
    answer = warehouse.exp("refresh", ID)
    assert f"complete as of {row['watermark_ts']:%Y-%m-%d %H:%M} UTC" in answer.out
    assert "incremental" in answer.out


def test_refresh_refuses_what_it_cannot_read(warehouse: Any) -> None:
    assert warehouse.exp("refresh", "exp_other").code == 3
    answer = warehouse.exp("refresh", ID, "--watermark", "soon")
    assert answer.code == 2
    assert "not an instant" in answer.err


def test_refresh_ingests_first_where_it_is_told_to(warehouse: Any) -> None:
    report = refresh(warehouse, "--ingest")
    # what is delivered whole is one new file each, and the appended rows are gone
    assert (report["full_reason"], report["n_files_read"]) == (None, 2)
    assert report["n_files"] == 2
    ours = totals(warehouse, "refreshed_totals")
    stored = partials(warehouse)
    # those of the replaced files are gone: nothing but this refresh's own is left
    assert {row["batch_id"] for row in stored} == {f"{report['batch']:06d}"}
    refresh(warehouse, "--full")
    assert len(partials(warehouse)) == len(stored) > 0
    assert compare_totals(ours, totals(warehouse, "refreshed_totals")) == []
