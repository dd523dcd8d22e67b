"""Small experiments in an engine, with every model built from the compiled SQL."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.models import build_models
from exp_platform.metrics.scope import write_scope
from exp_platform.records import (
    AnalysisPlan,
    ExperimentSpec,
    MetricDefinition,
    Variant,
)
from exp_platform.schemas import arrow_schema
from tests.metrics.warehouse import DAY, DEFINITIONS, Warehouse, bought, exposed

START = datetime(2026, 1, 5, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Build = Callable[..., Engine]


def make_spec(**changes: Any) -> ExperimentSpec:
    """Four days of exposures, six days of data, two arms."""
    plain: dict[str, Any] = {
        "experiment_id": "exp_a",
        "start_ts": START,
        "end_ts": START + timedelta(days=4),
        "watermark_ts": START + timedelta(days=6),
        "variants": (Variant("control", 0.5), Variant("treatment", 0.5)),
        "control": "control",
        "plan": AnalysisPlan(metrics=()),
    }
    return ExperimentSpec(**(plain | changes))


@pytest.fixture(scope="session")
def spec() -> Callable[..., ExperimentSpec]:
    return make_spec


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    settings = LakeSettings(
        warehouse=folder / "warehouse",
        catalog=folder / "catalog.db",
        raw=folder / "raw",
        temp_directory=folder / "tmp",
        memory_limit="1GB",
        threads=1,
    )
    with Engine(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def build(engine: Engine) -> Build:
    """Build every model over rows given as dictionaries with a datetime `at`.

    An exposure has user, variant, at and maybe first_seen, attributes; an outcome has
    user, metric, value, at; one whose value is None goes to quarantine as ingest does.
    An event has user, event, value (maybe None), properties, at; one whose properties
    are None goes to the events' quarantine.
    """

    def build_all(  # noqa: PLR0917 - as the tests before it call it
        exposures: Sequence[dict[str, Any]],
        outcomes: Sequence[dict[str, Any]],
        definitions: Sequence[MetricDefinition],
        spec: ExperimentSpec,
        events: Sequence[dict[str, Any]] = (),
        only: Collection[str] = (),
    ) -> Engine:
        _register(engine, "exposures", [_exposure(row) for row in exposures])
        valid = [row for row in outcomes if row["value"] is not None]
        lost = [row for row in outcomes if row["value"] is None]
        _register(engine, "outcomes", [_outcome(row) for row in valid])
        _register(engine, "quarantine", [_rejected(i, r) for i, r in enumerate(lost)])
        by_name = {d.name: d for d in definitions}
        write_scope(engine, spec, by_name)
        rows = [_event(i, r) for i, r in enumerate(events)]
        known = [row for row in rows if row["reason"] is None]
        refused = [row for row in rows if row["reason"] is not None]
        _register(engine, "fact_event", known)
        _register(engine, "event_quarantine", refused)
        generated = _generated(by_name, valid, spec)
        build_models(engine, generated, has_events=bool(events), only=only)
        return engine

    return build_all


def _register(engine: Engine, table: str, rows: list[dict[str, Any]]) -> None:
    schema = arrow_schema(table)
    engine.register(f"exp.{table}", pa.Table.from_pylist(rows, schema=schema))


def _exposure(row: dict[str, Any]) -> dict[str, Any]:
    attributes = row.get("attributes")
    return {
        "experiment_id": "exp_a",
        "user_id": row["user"],
        "variant": row["variant"],
        "exposure_ts": row["at"],
        "unit": "user",
        "attributes": None if attributes is None else list(attributes.items()),
        "first_seen_ts": row.get("first_seen"),
    }


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "experiment_id": "exp_a",
        "user_id": row["user"],
        "metric_name": row["metric"],
        "value": row["value"],
        "outcome_ts": row["at"],
        "received_ts": None,
    }


def _event(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "namespace": "shop",
        "event_date": row["at"].date(),
        "user_id": row["user"],
        "is_known": True,
        "event_name": row["event"],
        "event_ts": row["at"],
        "client_ts": row["at"],
        "received_ts": row["at"],
        "value": row["value"],
        "properties": list((row["properties"] or {}).items()),
        "source_file": "f",
        "source_row": number,
        "reason": "BAD_PROPERTIES" if row["properties"] is None else None,
        "payload": "{}",
    }


def _rejected(number: int, row: dict[str, Any]) -> dict[str, Any]:
    delivered = {
        "user_id": row["user"],
        "metric_name": row["metric"],
        "value": None,
        "outcome_ts": f"{row['at']:%Y-%m-%d %H:%M:%S.%f}+00",
    }
    return {
        "experiment_id": "exp_a",
        "table_name": "outcomes",
        "row_number": number,
        "reason": "MISSING_VALUE",
        "payload": json.dumps(delivered),
        "run_id": "r",
        "computed_at": EPOCH,
    }


def _generated(
    definitions: dict[str, MetricDefinition],
    outcomes: Sequence[dict[str, Any]],
    spec: ExperimentSpec,
) -> dict[str, str]:
    names = {row["metric"] for row in outcomes}
    inexact = {
        row["metric"]
        for row in outcomes
        if row["value"] != round(row["value"], 6) or abs(row["value"]) >= 1e9
    }
    return generate_selects(
        definitions.values(), spec.plan.segments, fixed_point=names - inexact
    )


@pytest.fixture(scope="module")
def design(spec: Callable[..., ExperimentSpec]) -> ExperimentSpec:
    return spec(plan=AnalysisPlan(metrics=(), segments=("platform",)), namespace="shop")


@pytest.fixture
def warehouse(engine: Engine, design: ExperimentSpec) -> Warehouse:
    """Four days with an exposure each, refreshed to the end of day 5."""
    made = Warehouse(engine, design, {n: DEFINITIONS[n] for n in ("early", "total")})
    for day in range(4):
        arm = ("control", "treatment")[day % 2]
        rows = [exposed(f"u{day}{i}", day + 0.25, arm) for i in range(3)]
        made.write("exposures", rows)
        made.write("outcomes", [bought(row["user"], day + 0.5) for row in rows])
    done = made.refresh(START + 5 * DAY)
    assert done.full_reason == "there is no earlier refresh"
    return made
