"""A lake on a temporary folder, rows for any table, and a plain PyIceberg reader."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from exp_platform.lake import Lake, LakeSettings
from exp_platform.schemas import arrow_schema, load_schema

_VALUES: dict[str, Any] = {
    "string": "x",
    "json": "{}",
    "long": 7,
    "double": 1.5,
    "boolean": True,
    "timestamptz": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "date": date(2026, 1, 2),
    "map": [("country", "NL"), ("device", None)],
}


def make_rows(
    table: str, experiment: str = "exp_a", n: int = 3, **columns: list[Any]
) -> pa.Table:
    """Schema-valid rows; `columns` replaces the values of some columns."""
    schema = arrow_schema(table)
    content = {f.name: [_VALUES[f.type]] * n for f in load_schema(table).fields}
    if "experiment_id" in content:
        content["experiment_id"] = [experiment] * n
    content |= columns
    arrays = [pa.array(content[f.name], f.type) for f in schema]
    return pa.table(arrays, schema=schema)


@pytest.fixture
def settings(tmp_path: Path) -> LakeSettings:
    return LakeSettings(
        warehouse=tmp_path / "warehouse",
        catalog=tmp_path / "catalog.db",
        raw=tmp_path / "raw",
        temp_directory=tmp_path / "tmp",
        memory_limit="1GB",
        threads=1,
    )


@pytest.fixture
def lake(settings: LakeSettings) -> Iterator[Lake]:
    lake = Lake(settings)
    yield lake
    lake.close()


@pytest.fixture
def rows() -> Callable[..., pa.Table]:
    return make_rows


def partition_of(table: str, experiment: str = "exp_a") -> tuple[Any, ...]:
    """The partition in which `make_rows` puts its rows."""
    schema = load_schema(table)
    kinds = {name: schema.field(name).type for name in schema.partition}
    values = {name: _VALUES[kind] for name, kind in kinds.items()}
    return tuple((values | {"experiment_id": experiment})[name] for name in kinds)


@pytest.fixture
def partition() -> Callable[..., tuple[Any, ...]]:
    return partition_of


@pytest.fixture
def plain(settings: LakeSettings) -> Iterator[Callable[[], SqlCatalog]]:
    """What anyone with PyIceberg alone would open."""
    opened: list[SqlCatalog] = []

    def connect() -> SqlCatalog:
        catalog = SqlCatalog(
            "iceberg",
            uri=f"sqlite:///{settings.catalog}",
            warehouse=f"file://{settings.warehouse}",
        )
        opened.append(catalog)
        return catalog

    yield connect
    for catalog in opened:
        catalog.close()
