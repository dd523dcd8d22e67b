import pyarrow.parquet as pq
import pytest

from exp_platform.lake.engine import Engine
from exp_platform.lake.types import (
    arrow_field_id,
    arrow_file_schema,
    field_ids_clause,
    iceberg_schema,
    partition_spec,
    quote_name,
    quote_text,
    schema_map_clause,
    write_number,
)
from exp_platform.schemas import load_schema, table_names


@pytest.mark.parametrize("table", table_names())
def test_iceberg_schema_keeps_the_ids_of_the_json_schema(table):
    schema = load_schema(table)
    found = iceberg_schema(schema)
    for field in schema.fields:
        column = found.find_field(field.name)
        assert (column.field_id, column.required) == (field.field_id, field.required)
        if field.type == "map":
            assert column.field_type.key_id == field.key_id
            assert column.field_type.value_id == field.value_id
    assert len(found.fields) == len(schema.fields)


@pytest.mark.parametrize("table", table_names())
def test_partition_spec_has_the_columns_of_the_schema(table):
    schema = load_schema(table)
    if "experiment_id" in schema.names:
        assert schema.partition[0] == "experiment_id"
    found = [field.source_id for field in partition_spec(schema).fields]
    assert found == [schema.field(name).field_id for name in schema.partition]


def test_clauses_and_arrow_schema_agree_on_ids(settings, rows, tmp_path):
    schema = load_schema("exposures")
    path = tmp_path / "ids.parquet"
    with Engine(settings) as engine:
        engine.register("exp_run.source", rows("exposures"))
        engine.execute(
            f"copy (select * from exp_run.source) to '{path}' "
            f"(format parquet, field_ids {field_ids_clause(schema)})"
        )
        back = engine.rows(
            f"select * from read_parquet(['{path}'], schema={schema_map_clause(schema)})"
        )
        direct = engine.rows("select * from exp_run.source")
    assert back == direct
    written = pq.read_schema(path)
    for found, wanted in zip(written, arrow_file_schema(schema), strict=True):
        assert arrow_field_id(found) == arrow_field_id(wanted)
    entries, wanted_map = (
        s.field("attributes").type for s in (written, arrow_file_schema(schema))
    )
    assert arrow_field_id(entries.key_field) == arrow_field_id(wanted_map.key_field)
    assert arrow_field_id(entries.item_field) == arrow_field_id(wanted_map.item_field)


def test_quote_doubles_quotes():
    assert quote_name('a"b') == '"a""b"'
    assert quote_text("a'b") == "'a''b'"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.5, "0.5"),
        (-40.0, "-40.0"),
        (1e22, "1e+22"),
        (123456789.012345, "123456789.012345"),
        (12345678951.234568, "12345678951.234568e0"),
        (0.12345678912345678, "0.12345678912345678e0"),
    ],
)
def test_write_number_keeps_every_bit(number, text):
    assert write_number(number) == text
    assert float(text) == number
