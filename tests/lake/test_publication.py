import hashlib
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.expressions import EqualTo
from sqlalchemy import event

from exp_platform.errors import ContractError, StorageError, UsageError
from exp_platform.lake import TableState, states_from_json, states_to_json
from exp_platform.lake.catalog import CommitConflict
from exp_platform.lake.types import arrow_file_schema
from exp_platform.schemas import load_schema, table_names

TABLES = tuple(name for name in table_names() if name != "analysis_runs")


@pytest.fixture
def ledger(rows):
    """A maker of one ledger row for an experiment."""

    def maker(experiment_id="exp_a", before=None):
        def make(states):
            if before is not None:
                before()
            text = states_to_json(states)
            return rows("analysis_runs", experiment_id, 1, snapshots=[text])

        return make

    return maker


@pytest.fixture
def impatient(monkeypatch):
    """Retry without waiting."""
    monkeypatch.setattr("exp_platform.lake.publication._LONGEST_WAIT_SECONDS", 0.001)


def _pointers(catalog):
    """Snapshot id of every table a plain reader sees."""
    if not catalog.namespace_exists("exp"):
        return {}
    tables = (catalog.load_table(name) for name in catalog.list_tables("exp"))
    return {table.name()[-1]: table.metadata.current_snapshot_id for table in tables}


def _hashes(folder, experiment_id):
    files = folder.rglob(f"experiment_id={experiment_id}/*.parquet")
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _data_files(settings):
    return sorted(settings.warehouse.rglob("*.parquet"))


def test_publish_every_table_reads_back_by_plain_pyiceberg(
    lake, rows, partition, ledger, plain
):
    with lake.begin("run1", "exp_a") as publication:
        for table in TABLES:
            own = partition(table)
            assert publication.replace_partition(table, own, rows(table)) == 3
        states = publication.publish(ledger())
    catalog = plain()
    for table in TABLES:
        found = catalog.load_table(f"exp.{table}")
        assert found.scan().to_arrow().to_pylist() == rows(table).to_pylist()
        assert found.metadata.format_version == 2
        assert states[table].snapshot_id == found.metadata.current_snapshot_id
        assert lake.read(table).equals(rows(table))
    (row,) = catalog.load_table("exp.analysis_runs").scan().to_arrow().to_pylist()
    assert states_from_json(row["snapshots"]) == states


def test_publish_states_tell_the_files(lake, rows, settings):
    state = lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    (file,) = state.files
    path = settings.warehouse / file.path
    content = path.read_bytes()
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert (file.size, file.record_count) == (len(content), 3)


def test_replace_experiment_twice_is_once(lake, rows, plain):
    for _ in range(2):
        lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    table = plain().load_table("exp.outcomes")
    assert (
        table.scan()
        .to_arrow()
        .equals(rows("outcomes").cast(table.scan().to_arrow().schema))
    )
    operations = [s.operation for s in lake.history("outcomes")]
    assert operations == ["append", "overwrite"]


def test_replace_experiment_leaves_other_experiments_alone(lake, rows, settings):
    for table in ("exposures", "outcomes"):
        lake.replace_experiment(table, "exp_b", rows(table, "exp_b", 5))
    before = _hashes(settings.warehouse, "exp_b")
    assert len(before) == 2
    for n in (2, 0, 4):
        lake.replace_experiment("outcomes", "exp_a", rows("outcomes", n=n))
    assert _hashes(settings.warehouse, "exp_b") == before
    assert lake.read("outcomes", "exp_b").num_rows == 5
    assert lake.read("outcomes", "exp_a").num_rows == 4


def test_replace_experiment_twice_in_one_publication_keeps_the_last(
    lake, rows, settings
):
    with lake.begin("run1", "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes", n=9))
        publication.replace_experiment("outcomes", rows("outcomes", n=2))
        publication.publish()
    assert lake.read("outcomes").num_rows == 2
    assert len(_data_files(settings)) == 1


def test_add_to_experiment_leaves_what_stands_there(lake, rows):
    for number, experiment in enumerate(("exp_a", "exp_b", "exp_a")):
        with lake.begin(f"run{number}", experiment) as publication:
            added = rows("refreshed_units", experiment, 2 + number)
            assert publication.add_to_experiment("refreshed_units", added) == 2 + number
            publication.publish()
    assert lake.read("refreshed_units", "exp_a").num_rows == 2 + 4
    assert lake.read("refreshed_units", "exp_b").num_rows == 3
    with lake.begin("run4", "exp_a") as publication:
        publication.replace_experiment("refreshed_units", rows("refreshed_units", n=1))
        publication.publish()
    assert lake.read("refreshed_units", "exp_a").num_rows == 1
    assert lake.read("refreshed_units", "exp_b").num_rows == 3


def test_add_to_experiment_does_not_mix_with_replacing(lake, rows):
    data = rows("refreshed_units", "exp_a", 1)
    with lake.begin("run1", "exp_a") as publication:
        publication.add_to_experiment("refreshed_units", data)
        with pytest.raises(UsageError, match="adds to a table once"):
            publication.replace_experiment("refreshed_units", data)
    with lake.begin("run2", "exp_a") as publication:
        publication.replace_experiment("refreshed_units", data)
        with pytest.raises(UsageError, match="adds to a table once"):
            publication.add_to_experiment("refreshed_units", data)


def test_replace_experiment_from_the_engine(lake, rows):
    with lake.engine() as engine:
        engine.register("exp_run.source", rows("exposures"))
        with lake.begin("run1", "exp_a", engine) as publication:
            publication.replace_experiment("exposures", "exp_run.source")
            publication.publish()
    assert lake.read("exposures").equals(rows("exposures"))


def test_remove_experiment_removes_its_rows_only(lake, rows):
    for name in ("exp_a", "exp_b"):
        lake.replace_experiment("outcomes", name, rows("outcomes", name))
    with lake.begin("run2", "exp_a") as publication:
        publication.remove_experiment("outcomes")
        states = publication.publish()
    assert states["outcomes"].files == ()
    assert lake.read("outcomes").column("experiment_id").to_pylist() == ["exp_b"] * 3


def test_publish_without_change_makes_no_snapshot_but_the_table(lake, plain):
    with lake.begin("run1", "exp_a") as publication:
        publication.remove_experiment("quarantine")
        assert publication.publish() == {"quarantine": TableState(None, ())}
    assert plain().load_table("exp.quarantine").scan().to_arrow().num_rows == 0
    location = plain().load_table("exp.quarantine").metadata_location
    with lake.begin("run2", "exp_a") as publication:
        publication.remove_experiment("quarantine")
        publication.publish()
    assert plain().load_table("exp.quarantine").metadata_location == location


def test_publish_shows_all_tables_or_none(lake, rows, partition, ledger, plain):
    lake.replace_experiment("exposures", "exp_a", rows("exposures"))
    reader = plain()
    old = _pointers(reader)
    seen = []
    engine = lake._catalog().engine
    event.listen(engine, "commit", lambda _: seen.append(_pointers(plain())))
    with lake.begin("run2", "exp_a") as publication:
        for table in TABLES:
            publication.replace_partition(table, partition(table), rows(table, n=2))
        publication.publish(ledger())
    assert seen == [old]
    new = _pointers(reader)
    assert set(new) == set(table_names())
    assert not set(new.values()) & set(old.values())


def test_publish_retries_after_a_conflict(lake, rows, ledger, plain):
    """A foreign writer appends between planning and commit: nobody loses a row."""
    for table in ("exposures", "outcomes"):
        lake.replace_experiment(table, "exp_b", rows(table, "exp_b"))
    attempts = []

    def interfere():
        attempts.append(_pointers(plain()))
        if len(attempts) == 1:
            foreign = plain().load_table("exp.outcomes")
            foreign.append(rows("outcomes", "exp_c", 4))

    with lake.begin("run1", "exp_a") as publication:
        publication.replace_experiment("exposures", rows("exposures"))
        publication.replace_experiment("outcomes", rows("outcomes"))
        publication.publish(ledger(before=interfere))
    assert len(attempts) == 2
    assert attempts[0]["exposures"] == attempts[1]["exposures"]
    counts = lake.read("outcomes").column("experiment_id").value_counts().to_pylist()
    assert {c["values"]: c["counts"] for c in counts} == {
        "exp_a": 3,
        "exp_b": 3,
        "exp_c": 4,
    }
    assert lake.read("analysis_runs").num_rows == 1


@pytest.mark.usefixtures("impatient")
def test_publish_that_never_wins_leaves_everything_as_it_was(
    lake, rows, ledger, plain, settings
):
    lake.replace_experiment("outcomes", "exp_b", rows("outcomes", "exp_b"))
    files = _data_files(settings)

    def interfere():
        table = plain().load_table("exp.outcomes")
        with table.transaction() as transaction:
            transaction.set_properties({"seen": str(table.metadata.last_updated_ms)})

    publication = lake.begin("run1", "exp_a")
    publication.replace_experiment("exposures", rows("exposures"))
    publication.replace_experiment("outcomes", rows("outcomes"))
    with pytest.raises(CommitConflict, match="another writer"):
        publication.publish(ledger(before=interfere))
    assert set(_pointers(plain())) == {"outcomes"}
    assert lake.read("outcomes").num_rows == 3
    assert _data_files(settings) == files


def test_publish_that_fails_removes_what_it_wrote(lake, rows, settings):
    def fail(_):
        raise RuntimeError("no ledger")

    publication = lake.begin("run1", "exp_a")
    publication.replace_experiment("outcomes", rows("outcomes"))
    with pytest.raises(RuntimeError, match="no ledger"):
        publication.publish(fail)
    assert not [p for p in settings.warehouse.rglob("*") if p.is_file()]
    with pytest.raises(StorageError, match="publication is over"):
        publication.publish()


def test_publication_left_unpublished_removes_what_it_wrote(lake, rows, settings):
    with lake.begin("run1", "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes"))
    assert not _data_files(settings)
    with pytest.raises(StorageError, match="publication is over"):
        publication.replace_experiment("outcomes", rows("outcomes"))


def test_publication_refuses_what_it_cannot_write(lake, rows):
    with lake.begin("run1", "exp_a") as publication:
        with pytest.raises(UsageError, match="only ever appended"):
            publication.replace_experiment("analysis_runs", rows("analysis_runs"))
        with pytest.raises(ContractError, match="unknown table"):
            publication.remove_experiment("outcome")
        with pytest.raises(ContractError, match="another experiment"):
            publication.replace_experiment("outcomes", rows("outcomes", "exp_b"))


def test_publish_appends_ledger_rows(lake, rows, ledger, plain):
    for run in ("run1", "run2", "run3"):
        with lake.begin(run, "exp_a") as publication:
            publication.replace_experiment("outcomes", rows("outcomes"))
            publication.publish(ledger())
    found = plain().load_table("exp.analysis_runs").scan(EqualTo("run_id", "x"))
    assert found.to_arrow().num_rows == 3


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from conftest import make_rows
from exp_platform.lake import Lake, LakeSettings
root, name = Path(sys.argv[1]), sys.argv[2]
lake = Lake(LakeSettings(root / "warehouse", root / "catalog.db", root / "raw", root / "tmp"))
for n in range(1, 7):
    with lake.begin(f"run{n}", name) as publication:
        for table in ("exposures", "outcomes", "decisions"):
            publication.replace_experiment(table, make_rows(table, name, n))
        publication.publish(lambda s: make_rows("analysis_runs", name, 1))
"""


def test_publish_from_two_processes_loses_nothing(tmp_path, lake, plain, request):
    here = str(request.path.parent)
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    names = ("exp_a", "exp_b")
    writers = [subprocess.Popen([*command, name, here]) for name in names]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    for table in ("exposures", "outcomes", "decisions"):
        rows = plain().load_table(f"exp.{table}").scan().to_arrow()
        counts = rows.column("experiment_id").value_counts().to_pylist()
        assert {c["values"]: c["counts"] for c in counts} == {"exp_a": 6, "exp_b": 6}
    assert lake.read("analysis_runs").num_rows == 12


def test_publish_reports_a_folder_it_may_not_write(lake, settings):
    settings.warehouse.parent.mkdir(exist_ok=True)
    settings.warehouse.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be read or written"):
        lake.replace_experiment("outcomes", "exp_a", pa.table({"x": [1]}))


def _pieces(folder, rows, n_files=3, **columns):
    """Files as Spark leaves them: every column optional, the ids set."""
    schema = arrow_file_schema(load_schema("outcomes"))
    loose = pa.schema(field.with_nullable(True) for field in schema)
    for number in range(n_files):
        users = [f"u{number}{n}" for n in range(3)]
        table = rows("outcomes", user_id=users, **columns)
        pq.write_table(table.cast(loose), folder / f"part-{number}.parquet")
    return sorted(folder.glob("*.parquet"))


def test_adopt_experiment_takes_over_files_in_their_order(lake, rows, ledger, tmp_path):
    pieces = _pieces(tmp_path, rows)
    empty = tmp_path / "part-9.parquet"
    pq.write_table(pq.read_table(pieces[0]).slice(0, 0), empty)
    for run in ("run1", "run2"):
        with lake.begin(run, "exp_a") as publication:
            assert publication.adopt_experiment("outcomes", [*pieces, empty]) == 9
            states = publication.publish(ledger())
    assert [file.record_count for file in states["outcomes"].files] == [3, 3, 3]
    kept = lake.read("outcomes", "exp_a").column("user_id").to_pylist()
    assert kept == [f"u{number}{n}" for number in range(3) for n in range(3)]
    with lake.begin("run3", "exp_a") as publication:
        publication.replace_experiment("outcomes", rows("outcomes", n=1))
        publication.publish(ledger())
    assert lake.read("outcomes", "exp_a").num_rows == 1
    assert all(path.exists() for path in pieces)


def test_adopt_experiment_again_or_unpublished_leaves_no_file(
    lake, rows, tmp_path, settings
):
    pieces = _pieces(tmp_path, rows)
    with lake.begin("run1", "exp_a") as publication:
        publication.adopt_experiment("outcomes", pieces)
        publication.adopt_experiment("outcomes", pieces[:1])
        assert len(_data_files(settings)) == 1
    assert _data_files(settings) == []


@pytest.mark.parametrize("broken", ["experiment", "null", "ids", "type", "columns"])
def test_adopt_experiment_refuses_a_broken_file_and_leaves_none(
    lake, rows, tmp_path, settings, broken
):
    pieces = _pieces(tmp_path, rows)
    table = pq.read_table(pieces[-1])
    if broken == "experiment":
        table = table.set_column(0, table.field(0), pa.array(["exp_b"] * 3))
    elif broken == "null":
        table = table.set_column(1, table.field(1), pa.nulls(3, pa.string()))
    elif broken == "ids":
        table = table.cast(pa.schema(f.remove_metadata() for f in table.schema))
    elif broken == "type":
        field = table.field("value").with_type(pa.float32())
        table = table.set_column(3, field, table["value"].cast(pa.float32()))
    else:
        table = table.drop_columns(["received_ts"])
    pq.write_table(table, pieces[-1])
    with lake.begin("run1", "exp_a") as publication:
        with pytest.raises(ContractError):
            publication.adopt_experiment("outcomes", pieces)
        publication.discard()
    assert _data_files(settings) == []


def test_adopt_experiment_refuses_a_table_with_a_map(lake, rows, tmp_path):
    file = tmp_path / "part-0.parquet"
    schema = arrow_file_schema(load_schema("exposures"))
    pq.write_table(rows("exposures").cast(schema), file)
    with (
        lake.begin("run1", "exp_a") as publication,
        pytest.raises(ContractError, match="other columns"),
    ):
        publication.adopt_experiment("exposures", [file])
