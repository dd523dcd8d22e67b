import pyarrow as pa
import pytest

from exp_platform.errors import ContractError
from exp_platform.lake.areas import LocalArea
from exp_platform.lake.engine import Engine
from exp_platform.lake.reading import check_field_ids
from exp_platform.lake.writing import new_data_file, write_data_file
from exp_platform.schemas import load_schema


@pytest.fixture
def write(settings, tmp_path):
    """Write rows of `outcomes` as Arrow or through the engine's COPY."""
    schema = load_schema("outcomes")

    def run(data, *, through_sql, experiment_id="exp_a"):
        area = LocalArea(tmp_path / "w")
        path = new_data_file(area, schema, (experiment_id,), "run1")
        if not through_sql:
            return write_data_file(path, schema, (experiment_id,), data)
        with Engine(settings) as engine:
            if isinstance(data, pa.Table):
                engine.register("exp_run.source", data)
                data = "exp_run.source"
            return write_data_file(path, schema, (experiment_id,), data, engine=engine)

    return run


BOTH = pytest.mark.parametrize("through_sql", [False, True], ids=["arrow", "sql"])


@BOTH
def test_write_data_file_has_field_ids_and_facts(write, rows, through_sql):
    file = write(rows("outcomes"), through_sql=through_sql)
    check_field_ids(file.place.location, LocalArea(file.place.path.parent))
    assert (file.record_count, file.size) == (3, file.place.path.stat().st_size)
    assert file.place.path.parent.name == "experiment_id=exp_a"


@BOTH
def test_write_data_file_without_rows_writes_nothing(
    write, rows, through_sql, tmp_path
):
    assert write(rows("outcomes").slice(0, 0), through_sql=through_sql) is None
    assert not list(tmp_path.rglob("*.parquet"))


@BOTH
@pytest.mark.parametrize(
    "case",
    [
        ("value", [1.0, None, 2.0], "holds nulls"),
        ("experiment_id", ["exp_a", "exp_a", "exp_b"], "another experiment"),
    ],
)
def test_write_data_file_refuses_broken_rows(write, rows, tmp_path, through_sql, case):
    column, values, message = case
    schema = load_schema("outcomes")
    broken = rows("outcomes", **{column: values}).cast(
        pa.schema([pa.field(f.name, f.type) for f in rows(schema.name).schema])
    )
    with pytest.raises(ContractError, match=message):
        write(broken, through_sql=through_sql)
    assert not list(tmp_path.rglob("*.parquet"))


@BOTH
def test_write_data_file_refuses_missing_and_unknown_columns(write, rows, through_sql):
    with pytest.raises(ContractError, match="required column is missing"):
        write(rows("outcomes").drop_columns(["user_id"]), through_sql=through_sql)
    odd = rows("outcomes").append_column("valeu", pa.array([1, 2, 3]))
    with pytest.raises(ContractError, match="not in the schema"):
        write(odd, through_sql=through_sql)


@BOTH
def test_write_data_file_refuses_another_type(write, rows, through_sql):
    data = rows("outcomes")
    at = data.column_names.index("value")
    odd = data.set_column(at, "value", pa.array(["1", "two", "3"]))
    with pytest.raises(ContractError):
        write(odd, through_sql=through_sql)


def test_write_data_file_fills_a_missing_optional_column(write, rows):
    data = rows("outcomes").drop_columns(["received_ts"])
    for through_sql in (False, True):
        assert write(data, through_sql=through_sql).record_count == 3


def test_write_data_file_keeps_the_order_of_the_relation(write, settings):
    sql = """select 'exp_a' as experiment_id, 'u' || range as user_id, 'm' as metric_name,
             hash(range)::double as value, timestamptz '2026-01-01' as outcome_ts
             from range(300000) order by hash(range)"""
    file = write(sql, through_sql=True)
    with Engine(settings) as engine:
        (answer,) = engine.rows(
            "select count(*) from (select value, lag(value) over () as previous "
            f"from read_parquet('{file.place.path}')) where previous > value"
        )
    assert answer == (0,)


def test_write_data_file_needs_an_engine_for_sql(tmp_path):
    schema = load_schema("outcomes")
    place = LocalArea(tmp_path).new_file("x.parquet")
    with pytest.raises(ContractError, match="needs an engine"):
        write_data_file(place, schema, ("exp_a",), "select 1")
