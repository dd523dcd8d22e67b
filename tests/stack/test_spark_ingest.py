"""Spark judges delivered rows as DuckDB does: same rows, same reasons, same payloads."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exp_platform.config import Settings
from exp_platform.errors import StorageError, UsageError
from exp_platform.lake import Engine, LakeSettings, open_lake
from exp_platform.lake.rules import REASONS
from exp_platform.lake.spark_validation import SparkJudge
from exp_platform.lake.validation import Delivery, Rules, accept_rows
from exp_platform.pipelines import run_ingest
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end
from exp_platform.schemas import load_schema
from exp_platform.spark.engine import SparkEngine

MINE = "exp_mine"
ARMS = ("control", "it's \\ new")
RULES = Rules(MINE, ARMS)
OUTCOMES = Rules(MINE)
# 2025, and the edges: 1970, 2200, and what no calendar has
INSTANTS = (
    1_735_689_600_000_001,
    1_735_689_600_000_000,
    -1,
    0,
    7_258_118_399_999_999,
    7_258_118_400_000_000,
    -(2**55),
    None,
)
TEXTS = ("u1", "u2", "U2", "ü", "", " ", "\u00a0\u3000", "\t", "\u200b", "\x00", None)
N_ROWS = 800
PIECES = ("maxPartitionBytes", "openCostInBytes")
INGESTED = ("exposures", "outcomes", "quarantine", "experiment_registry")

Judged = tuple[list[str], list[Any], Delivery]
Ingest = Callable[..., list[Judged]]


@pytest.fixture
def ingest(spark: Any, tmp_path: Path) -> Iterator[Ingest]:
    """The answers of Spark and of DuckDB to one file."""
    settings = LakeSettings(
        warehouse=tmp_path,
        catalog=tmp_path / "catalog.db",
        raw=tmp_path,
        temp_directory=tmp_path / "spill",
    )
    engine = Engine(settings)
    turn = iter(range(100))

    def judge_twice(
        table: str, rows: pa.Table, rules: Rules = RULES, **options: Any
    ) -> list[Judged]:
        place = tmp_path / f"turn {next(turn)}"
        place.mkdir()
        path = place / f"{table}.parquet"
        pq.write_table(rows, path, **{"row_group_size": 300, **options})
        one = SparkEngine(spark, place / "spark")
        # a small file in several pieces, as a large one is
        one._set({f"spark.sql.files.{name}": "4000" for name in PIECES})
        judge = SparkJudge(one, place / "answers")
        judge.begin([path])
        answers = []
        for who in (judge, None):
            delivery = accept_rows(engine, table, path, rules=rules, judge=who)
            columns = engine.columns(f"exp.{table}")
            # text of DuckDB's: instants to the microsecond, doubles to the last bit
            shown = ", ".join(f"cast({c} as varchar) as {c}" for c in columns)
            accepted = engine.rows(f"select {shown} from exp.{table}")
            rejected = engine.rows(f"select * from exp_run.rejected_{table}")
            types = engine.rows(f"describe exp.{table}")
            delivery = replace(delivery, files=())
            answers.append(([*map(repr, accepted), str(types)], rejected, delivery))
        one.close()
        return answers

    yield judge_twice
    engine.close()


def instants(kind: pa.DataType, values: list[int | None]) -> pa.Array:
    """Microseconds as another type, where that can hold them."""
    per_unit = {"ms": 1000, "us": 1, "ns": 1}
    unit = getattr(kind, "unit", "us") if kind != pa.date32() else "us"
    factor = 1000 if unit == "ns" else 1
    numbers: list[int | None] = []
    for value in values:
        if value is None or abs(value) * factor >= 2**63:
            numbers.append(None)
        elif kind == pa.date32():
            numbers.append(value // 86_400_000_000)
        else:
            # halves of a microsecond are where rounding would show
            numbers.append(value * factor // per_unit[unit] + (factor // 2))
    if kind == pa.date32():
        return pa.array(numbers, pa.int32()).cast(kind)
    return pa.array(numbers, pa.int64()).cast(kind)


def exposures(draw: random.Random, kind: pa.DataType, n_rows: int = N_ROWS) -> pa.Table:
    """Rows with everything that can be wrong, many of them repeated."""

    def some(*values: Any) -> list[Any]:
        return [draw.choice(values) for _ in range(n_rows)]

    maps = [None, [], [("a", "1"), ("b", None)], [("b", None), ("a", "1")]]
    own = [MINE] * 30
    return pa.table(
        {
            "extra": pa.array(range(n_rows)),
            "experiment_id": pa.array(some(*own, "other", " ", None), pa.string()),
            "user_id": pa.array(some(*["u1", "u2", "u3"] * 8, *TEXTS), pa.string()),
            "variant": pa.array(some(*ARMS * 9, "new", "Control"), pa.string()),
            "exposure_ts": instants(kind, some(*INSTANTS[:2] * 9, *INSTANTS)),
            "unit": pa.array(some("user", "user", "\u2003", "u\u2003"), pa.string()),
            "attributes": pa.array(some(*maps), pa.map_(pa.string(), pa.string())),
            "first_seen_ts": instants(kind, some(*[None] * 9, *INSTANTS)),
        }
    )


def outcomes(draw: random.Random, values: pa.Array) -> pa.Table:
    """Rows whose values are these, in some order, again and again."""
    picked = values.take(pa.array(draw.choices(range(len(values)), k=N_ROWS)))
    at = datetime(2025, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
    return pa.table(
        {
            "experiment_id": [MINE] * N_ROWS,
            "user_id": pa.array(draw.choices(range(40), k=N_ROWS), pa.int16()),
            "metric_name": pa.array(draw.choices(("a", "b"), k=N_ROWS)),
            "value": picked,
            "outcome_ts": pa.array([at] * N_ROWS, pa.timestamp("us", "UTC")),
            "received_ts": pa.array(
                instants(pa.timestamp("us"), draw.choices(INSTANTS[:2], k=N_ROWS))
            ),
        }
    )


KINDS: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
    "microseconds": (pa.timestamp("us"), {}),
    "microseconds with a zone": (pa.timestamp("us", "Europe/Berlin"), {}),
    "milliseconds": (pa.timestamp("ms", "UTC"), {}),
    "nanoseconds": (pa.timestamp("ns"), {}),
    "nanoseconds with a zone": (pa.timestamp("ns", "UTC"), {}),
    "dates": (pa.date32(), {}),
    # what Spark itself writes when it is not told otherwise
    "int96": (pa.timestamp("us"), {"use_deprecated_int96_timestamps": True}),
}


@pytest.mark.parametrize("name", KINDS)
def test_exposures_are_judged_alike(ingest: Ingest, name: str) -> None:
    kind, options = KINDS[name]
    rows = exposures(random.Random(name), kind)
    spark, duckdb = ingest("exposures", rows, **options)
    assert spark == duckdb
    delivery = spark[2]
    assert delivery.delivered == N_ROWS
    assert delivery.accepted > 0
    assert delivery.ignored_columns == ("extra",)
    about_keys = {"MISSING_KEY", "WRONG_EXPERIMENT", "UNKNOWN_VARIANT"}
    assert about_keys | {"BAD_TIMESTAMP", "DUPLICATE_ROW"} <= delivery.rejected.keys()


WIDE = [0, 1, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), None]
NUMBERS = {
    "doubles": pa.array(
        [
            *(
                0.0,
                -0.0,
                0.1,
                5e-324,
                -2.5,
                1e99,
                1e100,
                -1e100,
                1.7976931348623157e308,
            ),
            *(float("nan"), float("inf"), float("-inf"), None),
        ]
    ),
    # statistics of the file know nothing of this one
    "doubles and NaN": pa.array([1.5, float("nan"), 2.0, None]),
    "floats": pa.array([0.1, -0.0, 3.4e38, float("nan"), float("-inf"), None]).cast(
        pa.float32()
    ),
    "longs": pa.array(WIDE, pa.int64()),
    "unsigned longs": pa.array(
        [0, 2**53 + 1, 2**64 - 1, 2**64 - 1025, None], pa.uint64()
    ),
    "unsigned integers": pa.array([0, 2**32 - 1, None], pa.uint32()),
    "small integers": pa.array([-128, 127, None], pa.int8()),
    "unsigned bytes": pa.array([0, 255, None], pa.uint8()),
    "booleans": pa.array([True, False, None]),
    "decimals": pa.array(
        [
            *(Decimal(n).scaleb(-7) for n in (10**15 - 1, -3, 1, 0, 123456789012345)),
            None,
        ],
        pa.decimal128(15, 7),
    ),
    "small decimals": pa.array(
        [Decimal("0.07"), Decimal("-9.99"), None], pa.decimal128(3, 2)
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_outcomes_are_judged_alike(ingest: Ingest, name: str) -> None:
    rows = outcomes(random.Random(name), NUMBERS[name])
    spark, duckdb = ingest("outcomes", rows, OUTCOMES)
    assert spark == duckdb
    assert {"MISSING_VALUE", "DUPLICATE_ROW"} <= spark[2].rejected.keys()


def test_every_reason_but_one_occurs_on_spark(ingest: Ingest) -> None:
    draw = random.Random(1)
    found = set(ingest("exposures", exposures(draw, pa.timestamp("us")))[0][2].rejected)
    rows = outcomes(draw, NUMBERS["doubles"])
    found |= set(ingest("outcomes", rows, OUTCOMES)[0][2].rejected)
    # only a text is no number, and Spark is asked to read plain ones alone
    assert found == REASONS.keys() - {"NOT_A_NUMBER"}


def test_copies_stay_where_they_are_wanted(ingest: Ingest) -> None:
    rows = outcomes(random.Random(2), NUMBERS["longs"])
    kept = Rules(MINE, keep_duplicates=True)
    spark, duckdb = ingest("outcomes", rows, kept)
    assert spark == duckdb
    assert "DUPLICATE_ROW" not in spark[2].rejected


PLAIN = ("1", "-0", "+1.", ".5", "0.1", "1e99", "12E-99", "00012", None)
LONG = ("0.30000000000000004", "1234567890.12345678901234567890", "9" * 60, "2.5e-16")


def test_plain_numbers_as_text_are_judged_alike(ingest: Ingest) -> None:
    """What the import of a CSV file leaves."""
    draw = random.Random(7)
    rows = outcomes(draw, NUMBERS["longs"])
    texts = pa.array([draw.choice([*PLAIN, *LONG]) for _ in range(N_ROWS)])
    place = rows.column_names.index("value")
    spark, duckdb = ingest("outcomes", rows.set_column(place, "value", texts), OUTCOMES)
    assert spark == duckdb
    assert {"MISSING_VALUE", "DUPLICATE_ROW"} <= spark[2].rejected.keys()


@pytest.mark.parametrize("n_rows", [0, 1])
def test_short_files_and_missing_optional_columns(ingest: Ingest, n_rows: int) -> None:
    rows = exposures(random.Random(3), pa.timestamp("us"), n_rows)
    rows = rows.drop_columns(["first_seen_ts"]).set_column(
        6, "attributes", pa.nulls(n_rows)
    )
    spark, duckdb = ingest("exposures", rows)
    assert spark == duckdb
    nothing = exposures(random.Random(4), pa.timestamp("us")).slice(0, 20)
    alien = Rules("exp_nobody", ARMS)
    spark, duckdb = ingest("exposures", nothing, alien)
    assert spark == duckdb
    assert spark[2].accepted == 0


def test_a_row_that_spark_lost_is_an_error(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SparkEngine.write

    def lossy(self: Any, select: str, *rest: Any) -> Any:
        return whole(self, f"{select} limit 5", *rest)

    monkeypatch.setattr(SparkEngine, "write", lossy)
    with pytest.raises(StorageError, match="did not judge every row"):
        ingest("exposures", exposures(random.Random(8), pa.timestamp("us")))


def test_assignments_are_judged_alike(ingest: Ingest) -> None:
    rows = exposures(random.Random(5), pa.timestamp("us", "UTC"))
    rows = rows.rename_columns({"exposure_ts": "assigned_ts"})
    spark, duckdb = ingest("assignments", rows)
    assert spark == duckdb
    assert spark[2].ignored_columns == ("extra", "attributes", "first_seen_ts")


REFUSED: dict[str, tuple[str, pa.Array]] = {
    **{
        f"number {text!r}": ("value", pa.array(["1"] * (N_ROWS - 1) + [text]))
        for text in ("", " 1", "1\n", "1_0", "0x10", "1d", "NaN", "1e400", "9" * 61)
    },
    "instants as text": ("outcome_ts", pa.array(["2025-01-01"] * N_ROWS)),
    "wide decimals": ("value", pa.array([Decimal(1)] * N_ROWS, pa.decimal128(16, 2))),
    "half floats": ("value", pa.array([1.0] * N_ROWS, pa.float16())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_spark_would_read_otherwise_is_refused(ingest: Ingest, name: str) -> None:
    column, values = REFUSED[name]
    rows = outcomes(random.Random(6), NUMBERS["longs"])
    place = rows.column_names.index(column)
    with pytest.raises(UsageError) as told:
        ingest("outcomes", rows.set_column(place, column, values), OUTCOMES)
    assert "stages: {ingest: duckdb}" in str(told.value)


@pytest.mark.parametrize("column", ["user_id", "attributes"])
def test_broken_text_is_refused(ingest: Ingest, column: str) -> None:
    rows = exposures(random.Random(7), pa.timestamp("us"), 3)
    raw = pa.array([b"\xff"] * 3, pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    if column == "attributes":
        offsets = pa.array([0, 1, 2, 3], pa.int32())
        broken = pa.MapArray.from_arrays(offsets, pa.array(["a"] * 3), broken)
    place = rows.column_names.index(column)
    with pytest.raises(UsageError, match="Spark would not read"):
        ingest("exposures", rows.set_column(place, column, broken))


def published(settings: Settings, name: str) -> dict[str, list[str]]:
    """What ingest publishes, but for run facts."""
    facts = {"run_id", "computed_at"}
    with open_lake(settings) as lake:
        tables = {t: lake.read(t, name).to_pylist() for t in INGESTED}
    return {
        table: [repr({k: v for k, v in row.items() if k not in facts}) for row in rows]
        for table, rows in tables.items()
    }


def files_of(settings: Settings, name: str) -> list[str]:
    with open_lake(settings) as lake, lake.engine() as engine:
        return [
            file
            for table in INGESTED
            for file in lake.file_selects(engine, table, experiment_id=name)
        ]


def test_run_ingest_on_spark_publishes_the_same_rows(
    shared: Any, ran: str, spark: Any, call: Any
) -> None:
    settings, name = shared.settings(), shared.names[-1]
    run_end_to_end(settings, name, RunOptions(generate_synth=True))
    before, others = published(settings, name), files_of(settings, ran)
    assert any("DUPLICATE_ROW" in row for row in before["quarantine"])
    config = shared.computing(ingest="spark")
    words = ("run_ingest", "--config", config, "--experiment-id", name)
    for turn in range(2):
        answer = call(run_ingest.main, *words)
        assert answer.code == 0, answer.err
        assert published(settings, name) == before, turn
        assert files_of(settings, ran) == others
    files = "iceberg.exp.outcomes.files"
    own = f"select file_path from {files} where partition.experiment_id = '{name}'"
    (row,) = spark.sql(own).collect()
    with open_lake(settings) as lake:
        ledger = lake.read("analysis_runs", name).to_pylist()
        with lake.area.open(row.file_path) as opened:
            writer = pq.read_metadata(opened).created_by
    # the large table's files are Spark's own, and Iceberg's readers find its columns
    assert "parquet-mr" in writer
    table = f"iceberg.exp.outcomes where experiment_id = '{name}'"
    # others add columns of their own to the table
    names = ", ".join(load_schema("outcomes").names)
    seen = spark.sql(f"select {names} from {table}").toArrow().to_pylist()
    assert sorted(map(repr, seen)) == sorted(before["outcomes"])
    last = max(ledger, key=lambda row: row["computed_at"])
    assert f"ingest by spark {spark.version}" in last["engine"]
    assert len(ledger) == 3
    temp = settings.paths.temp
    assert not [*temp.glob("*-ingest"), *temp.glob("*-spark")]
