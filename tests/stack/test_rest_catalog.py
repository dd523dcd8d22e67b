"""The catalog behind an Iceberg REST server: the same runs, whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from exp_platform.config import Settings
from exp_platform.errors import UsageError
from exp_platform.lake import open_lake
from exp_platform.lake.catalog import CommitConflict
from exp_platform.lake.rest import RestLakeCatalog
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end
from exp_platform.schemas import load_schema
from infra.stack.nessie import serving
from infra.stack.places import Addresses, Places

REPOSITORY = Path(__file__).resolve().parents[2]
VOLATILE = {"run_id", "computed_at", "snapshots", "inputs", "config_hash"}
COMPARED = ("metric_aggregates_overall", "analysis_results", "decisions", "exposures")


@pytest.fixture(scope="module")
def server(shared: Any) -> Iterator[str]:
    """A server of this module's own, whose tables lie beside the stack's."""
    places = Places(Path(os.environ.get("EXP_STACK_FOLDER", REPOSITORY / ".stack")))
    store = Addresses(
        postgres_port=0,
        s3_port=urlsplit(os.environ["EXP_S3_ENDPOINT"]).port or 0,
        trino_port=0,
        s3_server="",
        user=os.environ["AWS_ACCESS_KEY_ID"],
        password=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    location = f"s3://warehouse/rest_{shared.names[0]}"
    with serving(places, store, location) as address:
        yield address


@pytest.fixture(scope="module")
def rest(shared: Any, server: str) -> Settings:
    warehouse = f"s3://warehouse/rest_{shared.names[0]}"
    return shared.write("rest", catalog=server, warehouse=warehouse)


@pytest.fixture(scope="module")
def twice(rest: Settings, shared: Any) -> list[Any]:
    """One experiment run two times, and another one in between."""
    first, other = shared.names[0], shared.names[3]
    options = RunOptions(generate_synth=True)
    ran = [run_end_to_end(rest, name, options) for name in (first, other)]
    return [ran[0], run_end_to_end(rest, first, RunOptions())]


def rows_of(settings: Settings, table: str, experiment_id: str) -> list[str]:
    with open_lake(settings) as lake:
        rows = lake.read(table, experiment_id).to_pylist()
    kept = [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows]
    return sorted(map(repr, kept))


@pytest.mark.parametrize("table", COMPARED)
def test_rest_catalog_holds_what_the_other_lakes_hold(
    rest: Settings, shared: Any, ran: str, twice: list[Any], table: str
) -> None:
    assert len(twice) == 2
    mine, local = (rows_of(s, table, ran) for s in (rest, shared.settings("local")))
    assert len(mine) > 0
    assert mine == local


def test_rest_catalog_keeps_every_run(
    rest: Settings, shared: Any, twice: list[Any]
) -> None:
    assert len(twice) == 2
    first, other = shared.names[0], shared.names[3]
    assert len(rows_of(rest, "analysis_runs", first)) == 2
    assert len(rows_of(rest, "analysis_runs", other)) == 1


def test_commit_moves_no_table_when_one_was_changed(
    rest: Settings, twice: list[Any]
) -> None:
    assert twice
    names = ("decisions", "check_results")
    with open_lake(rest) as one, open_lake(rest) as two:
        mine, theirs = one._catalog(), two._catalog()
        assert isinstance(mine, RestLakeCatalog)
        assert isinstance(theirs, RestLakeCatalog)
        before = mine.load_tables(names)
        staged = [mine.stage(before[name], emptied(before[name])) for name in names]
        later = theirs.load_tables(["check_results"])["check_results"]
        theirs.commit_staged([theirs.stage(later, emptied(later))])

        with pytest.raises(CommitConflict, match="another writer"):
            mine.commit_staged(staged)

        assert not mine.any_current(staged)
        after = mine.load_tables(names)
        pointers = [table["decisions"].metadata_location for table in (before, after)]
        assert pointers[0] == pointers[1]
        assert after["check_results"].current_snapshot() != (
            before["check_results"].current_snapshot()
        )


def emptied(table: Any) -> Any:
    """A change of the table: one experiment's rows are gone."""
    from exp_platform.lake.staging import stage_partitions

    schema = load_schema(table.name()[-1])
    partition = next(iter(partitions_of(table, schema)))
    return stage_partitions(table, {partition: ()}).transaction


def partitions_of(table: Any, schema: Any) -> Iterator[tuple[str, ...]]:
    for task in table.scan().plan_files():
        values = task.file.partition
        yield tuple(values[place] for place in range(len(schema.partition)))


def test_sweep_leaves_the_servers_files_alone(rest: Settings) -> None:
    with open_lake(rest) as lake, pytest.raises(UsageError, match="server's to remove"):
        lake.sweep()


def test_spark_reads_the_rest_catalog(
    rest: Settings, twice: list[Any], spark: Any, shared: Any
) -> None:
    from exp_platform.spark.session import CATALOG, spark_properties

    assert twice
    prefix = f"spark.sql.catalog.{CATALOG}"
    for key, value in spark_properties(rest).items():
        if key.startswith(prefix):
            spark.conf.set(key.replace(prefix, "spark.sql.catalog.rest"), value)
    rows = spark.sql(
        "select count(*) from rest.exp.exposures "
        f"where experiment_id = '{shared.names[0]}'"
    ).collect()
    assert rows[0][0] == len(rows_of(rest, "exposures", shared.names[0]))


def test_added_column_keeps_its_number(rest: Settings) -> None:
    from pyiceberg.schema import Schema
    from pyiceberg.table.update import AddSchemaUpdate, SetCurrentSchemaUpdate
    from pyiceberg.types import NestedField, StringType

    from exp_platform.lake.overwrite import StagedTransaction

    with open_lake(rest) as lake:
        catalog = lake._catalog()
        table = catalog.new_table(load_schema("assignments"))
        added = NestedField(97, "added", StringType(), required=False)
        wider = Schema(*table.schema().fields, added, schema_id=1)
        updates = (AddSchemaUpdate(schema_=wider), SetCurrentSchemaUpdate(schema_id=-1))
        staged = catalog.stage(table, StagedTransaction(table, updates))
        catalog.commit_staged([staged])
        now = catalog.load_tables(["assignments"])["assignments"].schema()
    assert now.fields == wider.fields
