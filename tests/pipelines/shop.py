"""A shop whose raw events are collected file by file, and ingested."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exp_platform.config import Paths, Settings
from exp_platform.lake import open_lake
from exp_platform.lake.events import events_folder
from exp_platform.lake.validation import Delivery
from exp_platform.pipelines.ingest_events import ingest_events
from exp_platform.pipelines.run import open_run

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SHOP = "shop"
COLUMNS = {
    "event_id": pa.string(),
    "event_name": pa.string(),
    "anonymous_id": pa.string(),
    "user_id": pa.string(),
    "client_ts": pa.timestamp("us", tz="UTC"),
    "sent_ts": pa.timestamp("us", tz="UTC"),
    "received_ts": pa.timestamp("us", tz="UTC"),
    "properties": pa.string(),
    "context": pa.string(),
}
Row = dict[str, Any]


def event(event_id: str | None, user: str | None = "u1", **changed: Any) -> Row:
    """A raw event that nothing is wrong with, unless it is changed."""
    at = changed.pop("at", NOON)
    plain = {
        "event_id": event_id,
        "event_name": "purchase",
        "anonymous_id": None,
        "user_id": user,
        "client_ts": at,
        "sent_ts": None,
        "received_ts": at + timedelta(seconds=1),
        "properties": '{"value": 2.5}',
        "context": '{"country": "NL", "platform": "web"}',
    }
    return plain | changed


@dataclass(frozen=True)
class Shop:
    """A warehouse and its raw events."""

    settings: Settings

    @property
    def raw(self) -> Path:
        return self.settings.paths.raw

    def collect(self, name: str, rows: Sequence[Row], day: str = "2026-01-05") -> Path:
        """Add a file, as a collector does."""
        path = events_folder(self.raw, SHOP) / f"event_date={day}" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = pa.schema(list(COLUMNS.items()))
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
        return path

    def ingest(self, experiment_id: str = "exp_a") -> Delivery:
        """Bring the events up to date, and publish them."""
        with open_run(self.settings, experiment_id, "test") as run:
            delivery = ingest_events(run, SHOP)
            run.publication.publish()
        return delivery

    def table(self, name: str = "fact_event") -> list[Row]:
        lake = open_lake(self.settings)
        try:
            rows: list[Row] = lake.read(name).to_pylist()
        finally:
            lake.close()
        return sorted(rows, key=repr)

    def ids(self) -> list[str]:
        return sorted(row["event_id"] for row in self.table())

    def files(self) -> dict[str, set[str]]:
        """Data files of fact_event that a reader sees, by day."""
        lake = open_lake(self.settings)
        try:
            plan = lake._plan("fact_event", None, None, None)
        finally:
            lake.close()
        found: dict[str, set[str]] = {}
        for location in plan.files:
            path = Path(location)
            found.setdefault(path.parent.parent.name, set()).add(path.name)
        return found


def make_shop(root: Path) -> Shop:
    paths = {name: root / path for name, path in Paths().model_dump().items()}
    return Shop(Settings(environment="test", paths=Paths(**paths), root=root))
