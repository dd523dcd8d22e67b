"""`schemas.py` over `schemas/`: one JSON Schema per table, one source of columns."""

import json
from datetime import UTC, date, datetime

import jsonschema
import pyarrow as pa
import pytest

from exp_platform.errors import ContractError
from exp_platform.schemas import (
    arrow_schema,
    load_document,
    load_schema,
    table_names,
)

VALUES = {
    "string": "x",
    "json": "{}",
    "long": 7,
    "double": 1.5,
    "boolean": True,
    "timestamptz": datetime(2026, 1, 2, tzinfo=UTC),
    "date": date(2026, 1, 2),
    "map": {"country": "NL"},
}


def as_json(value):
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("table", table_names())
def test_document_is_a_json_schema_with_descriptions_and_field_ids(table):
    document = load_document(table)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["title"] == table
    assert document["additionalProperties"] is False
    columns = document["properties"].values()
    assert all(column["description"].endswith(".") for column in columns)
    ids = [column["x-field-id"] for column in columns]
    ids += [
        column[name]
        for column in columns
        for name in ("x-key-id", "x-value-id")
        if name in column
    ]
    assert len(set(ids)) == len(ids)
    assert set(document["x-key"]) <= set(document["properties"])
    # No look is a value of its own: all data up to the watermark. The ledger's metric
    # came later than its table, and an added column may be null.
    optional = {"look"} if table != "unit_ledger" else {"metric_name"}
    assert set(document["x-key"]) - optional <= set(document["required"])


@pytest.mark.parametrize("table", table_names())
def test_both_doors_accept_the_same_row(table):
    schema = load_schema(table)
    row = {field.name: VALUES[field.type] for field in schema.fields}
    row |= {"experiment_id": "exp_a"} if "experiment_id" in row else {}
    for name, column in load_document(table)["properties"].items():
        if "enum" in column:
            row[name] = column["enum"][0]
    jsonschema.validate(
        {name: as_json(value) for name, value in row.items()}, load_document(table)
    )
    cells = {k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()}
    stored = pa.Table.from_pylist([cells], schema=arrow_schema(table))
    assert stored.num_rows == 1


@pytest.mark.parametrize("table", table_names())
def test_arrow_schema_has_the_columns_in_order_and_their_nullability(table):
    fields, arrow = load_schema(table).fields, arrow_schema(table)
    assert [f.name for f in fields] == arrow.names
    assert [not f.required for f in fields] == [f.nullable for f in arrow]


def test_instants_are_utc_in_microseconds():
    kind = arrow_schema("exposures").field("exposure_ts").type
    assert kind == pa.timestamp("us", tz="UTC")


def test_json_columns_are_text_for_engines():
    assert load_schema("experiment_registry").field("plan").type == "json"
    assert arrow_schema("experiment_registry").field("plan").type == pa.string()


def test_unknown_table_names_the_nearest():
    with pytest.raises(ContractError, match="did you mean 'exposures'"):
        load_schema("exposure")


def test_unknown_column_names_the_nearest():
    with pytest.raises(ContractError, match="did you mean 'variant'"):
        load_schema("exposures").field("varian")


def test_documents_are_written_as_json_with_two_spaces():
    from importlib import resources

    folder = resources.files("exp_platform").joinpath("schemas")
    for name in table_names():
        text = folder.joinpath(f"{name}.schema.json").read_text("utf-8")
        assert text == json.dumps(json.loads(text), indent=2) + "\n"
