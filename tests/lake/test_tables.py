import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import StringType

from exp_platform import schemas
from exp_platform.errors import ContractError
from exp_platform.lake.tables import new_metadata, plan_evolution
from exp_platform.schemas import Field, TableSchema, load_schema


def _evolved(table: TableSchema, fields) -> TableSchema:
    return TableSchema(table.name, table.description, tuple(fields), table.key)


def _column(**changes) -> Field:
    facts = {
        "name": "note",
        "type": "string",
        "field_id": 101,
        "required": False,
        "description": "",
    }
    return Field(**(facts | changes))


@pytest.fixture
def edit_schema(monkeypatch, tmp_path):
    """Edit the JSON Schema of a table for the rest of the test."""
    folder = tmp_path / "schemas"
    shutil.copytree(Path(schemas.__file__).parent / "schemas", folder)
    caches = (schemas.load_document, schemas.load_schema, schemas.arrow_schema)

    def edit(table, change):
        path = folder / f"{table}.schema.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        monkeypatch.setattr(schemas, "_folder", lambda: folder)
        for cached in caches:
            cached.cache_clear()

    yield edit
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_new_metadata_keeps_the_ids_and_is_version_2():
    table = load_schema("exposures")
    metadata = new_metadata(table, "file:///somewhere")
    assert metadata.format_version == 2
    ids = {f.name: f.field_id for f in metadata.schema().fields}
    assert ids == {f.name: f.field_id for f in table.fields}
    assert metadata.properties["write.metadata.previous-versions-max"] == "5"


def test_plan_evolution_of_a_fitting_table_is_empty():
    table = load_schema("exposures")
    assert plan_evolution(table, new_metadata(table, "file:///x")) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fs: [*fs, _column(required=True)], "required column was added"),
        (lambda fs: fs[:-1], "gone from the JSON Schema"),
        (lambda fs: [*fs[:-1], _retyped(fs[-1])], "became string"),
        (lambda fs: [_relaxed(fs[0]), *fs[1:]], "required became optional"),
        (lambda fs: [*fs, _column(field_id=2)], "was used before"),
    ],
)
def test_plan_evolution_refuses_any_other_change(change, message):
    table = load_schema("decisions")
    metadata = new_metadata(table, "file:///x")
    other = _evolved(table, change(list(table.fields)))
    if "used before" in message:
        kept = [f for f in table.fields if f.field_id != 2]
        later = Schema(*_without(metadata, 2), schema_id=1)
        metadata = metadata.model_copy(
            update={"schemas": [*metadata.schemas, later], "current_schema_id": 1}
        )
        other = _evolved(table, [*kept, _column(field_id=2)])
    with pytest.raises(ContractError, match="cannot be reconciled") as caught:
        plan_evolution(other, metadata)
    assert message in caught.value.parts["found"]


def test_plan_evolution_refuses_another_partitioning():
    table = load_schema("decisions")
    metadata = new_metadata(table, "file:///x")
    spec = metadata.spec().model_copy(update={"fields": ()})
    other = metadata.model_copy(update={"partition_specs": [spec]})
    with pytest.raises(ContractError) as caught:
        plan_evolution(table, other)
    assert "partition spec" in caught.value.parts["where"]


def _rename_and_add(document):
    """`value` becomes `amount` in its place; `note` is new."""
    columns = document["properties"]
    for name in list(columns):
        column = columns.pop(name)
        columns["amount" if name == "value" else name] = column
    document["required"] = [
        "amount" if name == "value" else name for name in document["required"]
    ]
    columns["note"] = {
        "type": ["string", "null"],
        "description": "Remark.",
        "x-field-id": 101,
    }


def test_publish_adds_an_optional_column_and_renames_one(
    lake, rows, plain, edit_schema
):
    before = lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    edit_schema("outcomes", _rename_and_add)
    new = rows("outcomes", "exp_b", 2, note=["seen", None])
    lake.replace_experiment("outcomes", "exp_b", new)

    now = plain().load_table("exp.outcomes")
    assert now.scan().to_arrow().column("amount").to_pylist() == [1.5] * 5
    old = now.scan(snapshot_id=before.snapshot_id).to_arrow()
    assert old.column("value").to_pylist() == [1.5] * 3
    assert "note" not in old.column_names

    with lake.engine() as engine:
        lake.attach(engine, "outcomes")
        answer = engine.rows(
            "select experiment_id, amount, note from exp.outcomes order by 1, 3"
        )
        assert answer == [
            *[("exp_a", 1.5, None)] * 3,
            ("exp_b", 1.5, "seen"),
            ("exp_b", 1.5, None),
        ]
        lake.attach(engine, "outcomes", snapshot_id=before.snapshot_id)
        assert engine.rows("select amount, note from exp.outcomes") == [(1.5, None)] * 3
    assert lake.read("outcomes", "exp_a").column("amount").to_pylist() == [1.5] * 3


def _remark(document):
    """The next release has a column of its own, with the next free id."""
    document["properties"]["seen_by"] = {
        "type": ["string", "null"],
        "description": "Who saw it.",
        "x-field-id": max(f.field_id for f in load_schema("outcomes").fields) + 1,
    }


def test_publish_keeps_a_column_that_another_program_added(
    lake, rows, plain, edit_schema
):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    theirs = plain().load_table("exp.outcomes")
    with theirs.update_schema() as update:
        update.add_column("note", StringType())
    own = rows("outcomes", "exp_b")
    theirs.append(own.append_column("note", pa.array(["seen", None, "read"])))
    edit_schema("outcomes", _remark)
    new = rows("outcomes", "exp_c", seen_by=[None] * 3)
    lake.replace_experiment("outcomes", "exp_c", new)

    found = plain().load_table("exp.outcomes").scan().to_arrow()
    notes = dict.fromkeys(("exp_a", "exp_c"), [None] * 3)
    notes["exp_b"] = ["seen", None, "read"]
    for name, expected in notes.items():
        rows_of = found.filter(pc.equal(found.column("experiment_id"), name))
        assert rows_of.column("note").to_pylist() == expected
        assert rows_of.column("seen_by").to_pylist() == [None] * 3
    assert lake.read("outcomes", "exp_b").drop(["seen_by"]).equals(own)


def test_publish_refuses_a_column_of_the_same_name(lake, rows, plain, edit_schema):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    with plain().load_table("exp.outcomes").update_schema() as update:
        update.add_column("seen_by", StringType())
    edit_schema("outcomes", _remark)
    with pytest.raises(ContractError, match="cannot be reconciled") as caught:
        lake.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b"))
    assert "another engine added" in caught.value.parts["found"]


def test_publish_leaves_a_table_it_cannot_evolve(lake, rows, plain, edit_schema):
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    edit_schema("outcomes", lambda d: d["properties"].pop("received_ts"))
    with pytest.raises(ContractError, match="cannot be reconciled"):
        lake.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b"))
    found = plain().load_table("exp.outcomes")
    assert found.scan().to_arrow().num_rows == 3
    assert len(found.metadata.schemas) == 1


def _retyped(field: Field) -> Field:
    return Field(
        field.name, "string", field.field_id, field.required, field.description
    )


def _relaxed(field: Field) -> Field:
    return Field(field.name, field.type, field.field_id, False, field.description)


def _without(metadata, field_id):
    return [f for f in metadata.schema().fields if f.field_id != field_id]
