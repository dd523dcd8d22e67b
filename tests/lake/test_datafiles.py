import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO, parquet_file_to_data_file

from exp_platform.lake.areas import LocalArea
from exp_platform.lake.datafiles import to_data_file
from exp_platform.lake.tables import new_metadata
from exp_platform.lake.writing import write_data_file
from exp_platform.schemas import load_schema, table_names


@pytest.mark.parametrize("table", table_names())
def test_to_data_file_says_what_pyiceberg_would_say(table, rows, partition, tmp_path):
    schema = load_schema(table)
    place = LocalArea(tmp_path).new_file("file.parquet")
    own = partition(table)
    file = write_data_file(place, schema, own, rows(table))
    assert file is not None
    ours = to_data_file(file, schema, own)
    theirs = parquet_file_to_data_file(
        PyArrowFileIO(), new_metadata(schema, "file:///x"), place.location
    )
    for name in (
        "partition",
        "file_path",
        "record_count",
        "file_size_in_bytes",
        "split_offsets",
        "lower_bounds",
        "upper_bounds",
    ):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_to_data_file_leaves_out_bounds_of_an_empty_column(rows, tmp_path):
    schema = load_schema("outcomes")
    place = LocalArea(tmp_path).new_file("f.parquet")
    data = rows("outcomes", received_ts=[None] * 3)
    file = write_data_file(place, schema, ("exp_a",), data)
    assert file is not None
    found = to_data_file(file, schema, ("exp_a",))
    assert set(found.lower_bounds) == {
        schema.field(name).field_id for name in ("experiment_id", "outcome_ts")
    }
