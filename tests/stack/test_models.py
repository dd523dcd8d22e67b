"""One model at a time on DuckDB, Spark and Trino: of odd rows the same answer."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from exp_platform.lake import Engine, LakeSettings, open_lake
from exp_platform.lake.scratch import ScratchWriter
from exp_platform.metrics.handover import send_sources
from exp_platform.metrics.models import model_sql, place_relations
from exp_platform.spark.engine import SparkEngine
from exp_platform.trino.engine import TrinoEngine

Ask = Callable[..., list[list[str]]]
START = 1_767_225_600_000_000
EXPERIMENT = {"experiment_id": "odd", "start_us": START, "end_us": START + 10**12}
EXPERIMENTS = ("exp_run.run_experiments", [EXPERIMENT])
TEXTS = pa.map_(pa.string(), pa.string())
WHOLE = ("exposure_us", "first_seen_us", "row_number", "start_us", "end_us")
TYPES = dict.fromkeys(WHOLE, pa.int64()) | {"value": pa.float64(), "attributes": TEXTS}


@pytest.fixture
def ask(shared: Any, spark: Any, tmp_path: Path) -> Iterator[Ask]:
    """What each engine answers, in the order of the engines."""
    settings = LakeSettings(
        warehouse=tmp_path,
        catalog=tmp_path / "catalog.db",
        raw=tmp_path,
        temp_directory=tmp_path / "spill",
    )
    host, port = (os.environ[f"EXP_TRINO_{n}"] for n in ("HOST", "PORT"))
    with ExitStack() as open_ones:
        home = open_ones.enter_context(closing(Engine(settings)))
        lake = open_ones.enter_context(open_lake(shared.settings()))
        lake.ensure_catalog()
        writer = open_ones.enter_context(closing(ScratchWriter(lake.settings)))
        others: list[Any] = [
            SparkEngine(spark, tmp_path / "spark"),
            TrinoEngine(f"http://{host}:{port}", writer),
        ]
        for other in others:
            open_ones.enter_context(closing(other))

        def answer(
            select: Callable[[str], str], tables: dict[str, list[dict[str, Any]]]
        ) -> list[list[str]]:
            for name, rows in tables.items():
                columns = {key: TYPES.get(key, pa.string()) for key in rows[0]}
                home.register(
                    name, pa.Table.from_pylist(rows, pa.schema([*columns.items()]))
                )
            found = [home.arrow(select("duckdb"))]
            for other in others:
                send_sources(home, other, tables)
                sql = place_relations(select(other.dialect), other.dialect, other.place)
                other.create_table("exp_run.answer", sql)
                found.append(other.fetch("exp_run.answer"))
            return [sorted(map(repr, table.to_pylist())) for table in found]

        yield answer


def exposed(user: str, second: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "experiment_id": "odd",
        "user_id": user,
        "variant": "control",
        "exposure_ts": "",
        "exposure_us": START + second,
        "first_seen_us": None,
        "attributes": None,
    } | more


def test_of_two_exposures_at_one_instant_the_same_is_first(ask: Ask) -> None:
    pairs = [
        ({"v": "1"}, {"v": "10"}),
        ({"v": "1"}, {"v": "1", "w": "1"}),
        ({"v": "a"}, {"v": "a b"}),
        ({"v": "a"}, {"v": 'a"'}),
        ({"v": "a"}, {"v": "a!"}),
        ({"v": None}, {"v": "a"}),
        ({"v": None}, {"v": "null"}),
        ({"b": "2", "a": "1"}, {"a": "1", "c": "3"}),
        ({"v": "é"}, {"v": "e\u0301"}),
        ({"v": "\x00"}, {"v": "\t"}),
        ({"v": "A"}, {"v": "a"}),
        ({}, {"v": ""}),
    ]
    rows = [
        exposed(f"u{place}", attributes=list(attributes.items()))
        for place, pair in enumerate(pairs)
        for attributes in pair
    ]
    tables = {"exp_run.stg_exposures": rows, EXPERIMENTS[0]: EXPERIMENTS[1]}
    duckdb, spark, trino = ask(lambda d: model_sql("int_first_exposures", d), tables)
    assert len(duckdb) == len(pairs)
    assert spark == duckdb
    assert trino == duckdb


INSTANTS = (
    "2026-01-05 08:00:00+00",
    "2026/01/05 07:00:00",
    "2026-01-05 06:00Z",
    "2026-01-05  05:00:00",
    "2026-01-05 04:00:00 utc",
    "2026-01-05 03:00:00+00:00:30",
    "2026-01-05 02:00:00 Nowhere/At All",
    "294247-01-10 04:00:54.775806+00",
    "0044-03-15 (BC) 00:00:00+00",
    *("infinity", "now", "2026", "08:00:00", "", None),
)
BLANKS = (" ", "\t", "\u00a0", "\u3000\u2003", "\u200b", "", "\n", "\x00", "u ")


def test_rejected_rows_have_the_same_units_and_instants(ask: Ask) -> None:
    payloads = [
        {"user_id": f"v{place}", "variant": "control", "exposure_ts": text}
        for place, text in enumerate(INSTANTS)
    ]
    payloads += [
        {"user_id": text, "variant": "control", "exposure_ts": INSTANTS[0]}
        for text in BLANKS
    ]
    rejected = [
        {
            "experiment_id": "odd",
            "table_name": "exposures",
            "row_number": place,
            "reason": "MISSING_KEY",
            "payload": json.dumps(payload),
        }
        for place, payload in enumerate(payloads)
    ]
    tables = {
        "exp.quarantine": rejected,
        "exp_run.stg_exposures": [exposed("u")],
        EXPERIMENTS[0]: EXPERIMENTS[1],
    }

    def select(dialect: str) -> str:
        # what no calendar has is as early or as late as can be
        near = "when exposure_us > 9e15 then 'late' when exposure_us < 0 then 'early'"
        exact = "cast(exposure_us as varchar(20))"
        model = model_sql("int_delivered_rows", dialect)
        return f"select user_id, case {near} else {exact} end as at from ({model}) as r"

    duckdb, spark, trino = ask(select, tables)
    assert len(duckdb) == 1 + len(INSTANTS) + 5
    assert spark == duckdb
    assert trino == duckdb


VALUES = (
    *(0.0, -0.0, 0.1, -2.5, 5e-7, 1.5e-6, -5e-7, 0.1234565, 8.1987145, 100.0000005),
    *(33554432.0000005, 1073741824.0000005, 4476985786.1, 8983817152.61, 1e12 + 1),
    *(2.0**52 + 1, -(2.0**62), 1e15 + 0.5, 12345678901234567890.0, -9.9e19, 1e20),
    *(5e-324, 1 / 3, 2 / 3, 987923631860.69, 546746.5062305, 9007199254740991.0),
)


def test_a_fixed_point_sum_is_the_same(ask: Ask) -> None:
    rows = [{"user_id": f"u{i:02}", "value": value} for i, value in enumerate(VALUES)]
    rows += [{"user_id": "all", "value": value} for value in VALUES if value < 1e20]

    def select(dialect: str) -> str:
        model = model_sql("int_cohort_days", dialect)
        (found,) = re.findall(
            r"case\s+when max\(abs\(unit_days.value.*?\bend as fixed_sum",
            model,
            re.DOTALL,
        )
        kind = "string" if dialect == "spark" else "varchar"
        text = f"cast({found.removesuffix(' as fixed_sum')} as {kind}) as fixed_sum"
        return (
            f"select user_id, {text} from exp.unit_days as unit_days group by user_id"
        )

    duckdb, spark, trino = ask(select, {"exp.unit_days": rows})
    assert len(duckdb) == len(VALUES) + 1
    assert spark == duckdb
    assert trino == duckdb
