from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.errors import ContractError, ExpPlatformError, StorageError
from exp_platform.lake import LakeSettings
from exp_platform.lake.engine import Engine, from_clause


@pytest.fixture
def engine(settings):
    with Engine(settings) as engine:
        yield engine


def test_engine_sets_its_limits(engine):
    answer = engine.records(
        "select current_setting('TimeZone') as zone, "
        "current_setting('threads') as threads, "
        "current_setting('memory_limit') as memory"
    )
    assert answer == [{"zone": "UTC", "threads": 1, "memory": "953.6 MiB"}]


def test_rows_gives_plain_python_values(engine):
    sql = """select 1::hugeint, timestamptz '2026-01-02 03:04:05.000001+02', 1.25::double,
             date '2026-01-02', map {'a': 'b'}, null::timestamptz, null::hugeint, true"""
    instant = datetime(2026, 1, 2, 1, 4, 5, 1, tzinfo=UTC)
    assert engine.rows(sql) == [
        (1, instant, 1.25, date(2026, 1, 2), {"a": "b"}, None, None, True)
    ]
    assert engine.rows("select 1 where false") == []


def test_execute_sparse_hashes_and_leaves_the_setting_as_it_was(engine):
    threshold = "select current_setting('perfect_ht_threshold')"
    before = engine.rows(threshold)
    engine.execute_sparse(f"create table exp_run.seen as {threshold} as bits")
    assert engine.rows("from exp_run.seen") != before
    with pytest.raises(StorageError):
        engine.execute_sparse("select nothing from nowhere")
    assert engine.rows(threshold) == before


def test_register_makes_a_view(engine):
    engine.register("exp.exposures", pa.table({"x": [1, 2]}))
    engine.register("exp.exposures", pa.table({"x": [3]}))
    assert engine.rows("select x from exp.exposures") == [(3,)]
    assert engine.columns("exp.exposures") == ("x",)
    assert engine.columns("select 1 as y, 2 as z") == ("y", "z")


def test_create_table_in_order_restores_the_threads(engine):
    engine.execute("set threads = 2")
    engine.create_table("exp_run.t", "select 1 as x", in_order=True)
    engine.create_table("exp_run.t", "select x + 1 as x from exp_run.t")
    assert engine.rows("select x, current_setting('threads') from exp_run.t") == [
        (2, 2)
    ]
    with pytest.raises(StorageError):
        engine.create_table("exp_run.t", "select y from exp_run.t", in_order=True)
    assert engine.rows("select current_setting('threads')") == [(2,)]


def test_from_clause_brackets_statements_only():
    assert from_clause("exp.exposures") == "exp.exposures"
    assert from_clause("select 1;") == "(select 1)"


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1" + b"x" * 99])
def test_execute_reports_unreadable_parquet_as_a_broken_contract(
    engine, tmp_path, content
):
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(ContractError):
        engine.arrow(f"select * from read_parquet('{path}')")


@pytest.mark.parametrize(
    "content", [b"a,b\n1,\xff\xfe\n", b"a\n1\nfoo\n"], ids=["bytes", "text"]
)
def test_execute_reports_unreadable_csv_as_a_broken_contract(engine, tmp_path, content):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(ContractError, match="cannot be read as declared"):
        engine.arrow(f"select sum(a::bigint) from read_csv('{path}', header=true)")


def test_execute_reports_a_wrong_query_as_a_storage_error(engine):
    with pytest.raises(StorageError, match="refused a query"):
        engine.execute("select * from nowhere")
    with pytest.raises(StorageError, match="gives no rows"):
        engine.arrow("-- nothing")


def test_execute_reports_too_little_memory(settings, tmp_path):
    small = LakeSettings(
        settings.warehouse,
        settings.catalog,
        settings.raw,
        tmp_path / "spill",
        memory_limit="8MB",
        threads=1,
    )
    with Engine(small) as engine:
        engine.execute("set temp_directory = ''")
        with pytest.raises(StorageError, match="out of memory") as caught:
            engine.execute(
                "create table exp_run.t as select range::varchar || repeat('x', 50) "
                "from range(1000000)"
            )
        assert "memory_limit" in caught.value.parts["next"]


def test_execute_reports_a_full_spill_folder(settings, tmp_path):
    small = LakeSettings(
        settings.warehouse,
        settings.catalog,
        settings.raw,
        tmp_path / "spill",
        memory_limit="16MB",
        threads=1,
    )
    with Engine(small) as engine:
        engine.execute("set max_temp_directory_size = '1MB'")
        with pytest.raises(StorageError, match="disk is full"):
            engine.execute(
                "create table exp_run.t as select range::varchar || uuid()::varchar "
                "from range(2000000)"
            )


def test_numbers_come_in_pieces_without_pandas(engine):
    sql = "select range as a, range / 2 as b from range(300000)"
    parts = list(engine.numbers(sql))
    assert len(parts) > 1
    whole, half = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert np.array_equal(np.sort(whole), np.arange(300_000))
    assert np.array_equal(half, whole / 2)


@pytest.mark.parametrize("broken", [0, 299_999])
def test_batches_tell_a_broken_contract_at_once_or_late(engine, broken):
    text = f"case when range = {broken} then 'x' else '1' end"
    with pytest.raises(ContractError, match="cannot be read as declared"):
        for _ in engine.batches(f"select cast({text} as int) from range(300000)"):
            pass


def test_a_long_query_prints_nothing(engine, capfd):
    engine.execute("set progress_bar_time = 0")
    engine.rows("select sum(hash(range) % 7) from range(20000000)")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("4GB", 4_000_000_000), ("1.5 GB", 1_500_000_000), ("200MB", 200_000_000)],
)
def test_memory_limit_in_bytes(settings, limit, expected):
    assert replace(settings, memory_limit=limit).memory_bytes == expected


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from glob('{file}')",
        "copy (select 1) to '{file}.csv'",
        "attach '{file}.db'",
        "install httpfs",
        "set enable_external_access = true",
        "set memory_limit = '9TB'",
        "select * from secret_of_this_test",
    ],
)
def test_restrict_closes_files_settings_and_python(
    settings: LakeSettings, tmp_path: Path, sql: str
) -> None:
    file = tmp_path / "secret.txt"
    file.write_text("secret")
    secret_of_this_test = pa.table({"x": [1]})
    with Engine(settings) as engine:
        engine.execute("create table exp.numbers as select 1 as x")
        engine.restrict()
        assert engine.rows("select x from exp.numbers") == [(1,)]
        with pytest.raises(ExpPlatformError):
            engine.execute(sql.format(file=file))
    assert secret_of_this_test.num_rows == 1
    assert [path.name for path in tmp_path.glob("secret*")] == ["secret.txt"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", (1, 1)),
        ("with a as (select 1) from a", (1, 1)),
        ("select 1; select 2", (2, 2)),
        ("drop table x", (1, 0)),
        ("select 1; drop table x", (2, 1)),
        ("copy x to 'y'", (1, 0)),
        ("set threads = 1", (1, 0)),
    ],
)
def test_count_selects(engine: Engine, sql: str, expected: tuple[int, int]) -> None:
    assert engine.count_selects(sql) == expected


def test_engine_refuses_a_spill_folder_that_is_a_file(settings):
    settings.temp_directory.write_text("")
    with pytest.raises(StorageError, match="cannot be read or written"):
        Engine(settings)
