"""Twenty small experiments in one DuckDB file, built by dbt, to be read or broken."""

import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.definitions import parse_definition
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.scope import scope_tables
from exp_platform.records import (
    AnalysisPlan,
    ExperimentSpec,
    MetricDefinition,
    Variant,
)
from exp_platform.schemas import arrow_schema

PROJECT = Path(__file__).resolve().parents[2] / "dbt"
START = datetime(2026, 3, 2, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
N_EXPERIMENTS = 20
MISSING = "MISSING_VALUE"

DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"name": "buyers", "type": "proportion", "source": {"outcome": "money"}},
    {
        "name": "spent",
        "type": "mean",
        "source": {"outcome": "money"},
        "cap": 60,
        "window": {"days": 3, "delay_days": 0.5},
        "covariate": {"outcome": "money", "lookback_days": 3},
    },
    {
        "name": "large_orders",
        "type": "count",
        "source": {"outcome": "money", "filter": "value >= 20"},
        "aggregation": "count",
        "window": {"days": 2},
    },
    {
        "name": "came_back",
        "type": "retention",
        "source": {"outcome": "visits"},
        "retention": {"day": 1},
    },
    {
        "name": "looked_then_bought",
        "type": "funnel",
        "steps": [{"outcome": "visits"}, {"outcome": "money"}],
        "window": {"days": 4},
    },
    {
        "name": "money_per_visit",
        "type": "ratio",
        "numerator": {"outcome": "money"},
        "denominator": {"outcome": "visits"},
        "window": {"days": 4},
    },
)


@dataclass(frozen=True)
class Rows:
    """What was delivered, as the canonical tables have it after ingest."""

    exposures: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Warehouse:
    """A DuckDB file that dbt has built, with what it was built from."""

    database: Path
    rows: Rows
    specs: tuple[ExperimentSpec, ...]
    definitions: Mapping[str, MetricDefinition]
    generated: Mapping[str, str]


def make_specs() -> tuple[ExperimentSpec, ...]:
    """Experiments that differ in watermark and in what becomes of bots."""
    plain = AnalysisPlan(metrics=(), bot_rows_per_day=8)
    strict = AnalysisPlan(metrics=(), bot_rows_per_day=8, exclude_bots=True)
    return tuple(
        ExperimentSpec(
            f"exp_{number:02}",
            START,
            START + 4 * DAY,
            START + (5 + number % 4) * DAY,
            variants=(Variant("control", 0.5), Variant("treatment", 0.5)),
            control="control",
            plan=strict if number % 2 else plain,
        )
        for number in range(N_EXPERIMENTS)
    )


def play(spec: ExperimentSpec, random: np.random.Generator) -> Rows:
    """Units with repeated exposures, crossovers, bots, late rows and lost values."""
    rows = Rows()
    for number in range(30):
        user, arm = f"u{number}", str(random.choice(["control", "treatment"]))
        first = START + timedelta(hours=float(random.uniform(-6, 100)))
        is_new = random.random() < 0.2
        seen = first - timedelta(hours=float(random.uniform(0, 96))) if is_new else None
        for again in range(int(random.integers(1, 4))):
            other = random.random() < 0.05
            variant = {"control": "treatment"}.get(arm, "control") if other else arm
            rows.exposures.append(
                {
                    "experiment_id": spec.experiment_id,
                    "user_id": user,
                    "variant": variant,
                    "exposure_ts": first + again * timedelta(hours=7),
                    "unit": "user",
                    "first_seen_ts": seen,
                }
            )
        is_bot = random.random() < 0.05
        for _ in range(40 if is_bot else int(random.integers(0, 9))):
            days = 0.3 if is_bot else 6.0
            at = first + timedelta(days=float(random.uniform(-3.5, days)))
            _deliver(rows, spec, user, at, random)
    return rows


def _deliver(
    rows: Rows,
    spec: ExperimentSpec,
    user: str,
    at: datetime,
    random: np.random.Generator,
) -> None:
    name = str(random.choice(["money", "visits", "visits"]))
    value = 1.0 if name == "visits" else float(np.round(random.lognormal(3, 1), 2))
    row = {
        "experiment_id": spec.experiment_id,
        "user_id": user,
        "metric_name": name,
        "value": value,
        "outcome_ts": at,
    }
    if random.random() > 0.01:
        rows.outcomes.append(row)
        return
    payload = {**row, "value": None, "outcome_ts": f"{at:%Y-%m-%d %H:%M:%S.%f}+00"}
    rows.quarantine.append(
        {
            "experiment_id": spec.experiment_id,
            "table_name": "outcomes",
            "row_number": len(rows.quarantine) + 1,
            "reason": MISSING,
            "payload": json.dumps(payload),
            "run_id": "r",
            "computed_at": EPOCH,
        }
    )


@pytest.fixture(name="fill", scope="session")
def _fill() -> Callable[[Engine, Warehouse], None]:
    return fill


def fill(engine: Engine, warehouse: Warehouse) -> None:
    """Sources and scope as tables of the engine's file."""
    rows = warehouse.rows
    sources: dict[str, list[dict[str, Any]]] = {
        "exposures": rows.exposures,
        "outcomes": rows.outcomes,
        "quarantine": rows.quarantine,
        "assignments": [],
        "fact_event": [],
        "event_quarantine": [],
        "experiment_registry": [],
    }
    for name, delivered in sources.items():
        table = pa.Table.from_pylist(delivered, schema=arrow_schema(name))
        keep(engine, f"exp.{name}", table)
    parts = [scope_tables(spec, warehouse.definitions) for spec in warehouse.specs]
    for name in parts[0]:
        keep(engine, f"exp_run.{name}", pa.concat_tables(part[name] for part in parts))
    facts = {"events": "fact_event", "event_quarantine": "event_quarantine"}
    for name, schema in facts.items():
        table = arrow_schema(schema).empty_table()
        keep(engine, f"exp_run.run_published_{name}", table)
    keep(engine, "exp_raw.user_events", _no_raw_events())


def _no_raw_events() -> pa.Table:
    instant = pa.timestamp("us", tz="UTC")
    texts = ("namespace", "source_file", "event_id", "event_name", "anonymous_id")
    more = ("user_id", "unreadable_instants", "properties", "context")
    fields = [(name, pa.string()) for name in (*texts, *more)]
    fields += [(name, instant) for name in ("client_ts", "sent_ts", "received_ts")]
    return pa.schema([*fields, ("source_row", pa.int64())]).empty_table()


def keep(engine: Engine, name: str, table: pa.Table) -> None:
    """A table of the file, not a view over memory."""
    engine.register("exp_run.arriving", table)
    engine.execute(f"create or replace table {name} as from exp_run.arriving")
    engine.execute("drop view exp_run.arriving")


@pytest.fixture(scope="session")
def lake_settings(tmp_path_factory: pytest.TempPathFactory) -> LakeSettings:
    folder = tmp_path_factory.mktemp("dbt")
    return LakeSettings(
        warehouse=folder / "warehouse",
        catalog=folder / "catalog.db",
        raw=folder / "raw",
        temp_directory=folder / "tmp",
        memory_limit="1GB",
        threads=1,
    )


class Dbt:
    """dbt in this process; the project is parsed once."""

    def __init__(self, folder: Path, project: Path = PROJECT) -> None:
        self.folder = folder
        self.project = project
        self.warnings: list[str] = []
        self._manifest: Any = None

    def run(
        self, *words: str, database: Path, generated: Mapping[str, str] | None = None
    ) -> Any:
        """Run a command and give what it hands back."""
        runner = importlib.import_module("dbt.cli.main").dbtRunner
        command = [*words, "--quiet", "--no-send-anonymous-usage-stats"]
        command += ["--project-dir", str(self.project), "--log-level-file", "none"]
        command += ["--profiles-dir", str(self.project), "--log-path", str(self.folder)]
        if words[0] != "deps":
            command += ["--target-path", str(self.folder / "target")]
        if generated:
            command += ["--vars", json.dumps(dict(generated))]
        with _environment(database):
            return runner(self._manifest, callbacks=[self._note]).invoke(command)

    def _note(self, event: Any) -> None:
        if event.info.level == "warn":
            self.warnings.append(event.info.msg)

    def build(
        self, *selection: str, database: Path, generated: Mapping[str, str]
    ) -> set[str]:
        """Build a selection with its tests; names of the nodes that failed."""
        words = ("build", "--exclude-resource-type", "unit_test", "--select")
        outcome = self.run(*words, *selection, database=database, generated=generated)
        assert outcome.exception is None, outcome.exception
        return {
            result.node.name
            for result in outcome.result
            if str(result.status) in {"error", "fail"}
        }

    def parse(self, database: Path, generated: Mapping[str, str]) -> None:
        """Read the project, for every later run."""
        outcome = self.run(
            "parse", "--no-partial-parse", database=database, generated=generated
        )
        assert outcome.success, outcome.exception
        self._manifest = outcome.result


@contextmanager
def _environment(database: Path) -> Iterator[None]:
    before = os.environ.get("EXP_DBT_DATABASE")
    os.environ["EXP_DBT_DATABASE"] = str(database)
    try:
        yield
    finally:
        connections = importlib.import_module("dbt.adapters.duckdb.connections")
        connections.DuckDBConnectionManager.close_all_connections()
        if before is None:
            del os.environ["EXP_DBT_DATABASE"]
        else:
            os.environ["EXP_DBT_DATABASE"] = before


@pytest.fixture(scope="session")
def make_dbt() -> type[Dbt]:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    return Dbt


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    return Dbt(tmp_path_factory.mktemp("dbt_folder"))


@pytest.fixture(scope="session")
def warehouse(
    tmp_path_factory: pytest.TempPathFactory, lake_settings: LakeSettings, dbt: Dbt
) -> Warehouse:
    """Twenty experiments in one file, every model and test built by one `dbt build`."""
    random = np.random.default_rng(4)
    specs = make_specs()
    played = [play(spec, random) for spec in specs]
    rows = Rows(
        [row for part in played for row in part.exposures],
        [row for part in played for row in part.outcomes],
        [row for part in played for row in part.quarantine],
    )
    parsed = [parse_definition(text, text["name"]) for text in DEFINITIONS]
    definitions = {definition.name: definition for definition in parsed}
    generated = generate_selects(parsed, (), fixed_point={"money", "visits"})
    database = tmp_path_factory.mktemp("warehouse") / "built.duckdb"
    built = Warehouse(database, rows, specs, definitions, generated)
    with Engine(lake_settings, database) as engine:
        fill(engine, built)
    dbt.parse(database, generated)
    # unit tests have rows of their own; tests/pipelines/test_dbt_build.py runs them
    rest = ("build", "--exclude-resource-type", "unit_test")
    outcome = dbt.run(*rest, database=database, generated=generated)
    assert outcome.success, failures(outcome)
    return built


def failures(outcome: Any) -> Sequence[str]:
    """Names of the nodes that did not succeed, with what they say."""
    if outcome.exception is not None:
        return [str(outcome.exception)]
    return [
        f"{result.node.name}: {result.message}"
        for result in outcome.result
        if str(result.status) not in {"success", "pass", "skipped"}
    ]


@pytest.fixture
def broken(
    warehouse: Warehouse, lake_settings: LakeSettings, tmp_path: Path
) -> Callable[[str], Path]:
    """A copy of the built file on which a statement was run."""

    def make(statement: str) -> Path:
        copy = tmp_path / "built.duckdb"
        shutil.copy(warehouse.database, copy)
        with Engine(lake_settings, copy) as engine:
            engine.execute(statement)
        return copy

    return make
