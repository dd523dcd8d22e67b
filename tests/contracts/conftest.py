"""One suite of promises for every engine that is there.

DuckDB alone keeps them on a lake of the local disk. Beside a running stack Spark and
Trino join in, and all work on the same shared tables: each runs what another one wrote.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

from exp_platform.config import Settings, load_settings
from exp_platform.lake import open_lake
from exp_platform.pipelines.run import STAGE_TABLES
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end
from exp_platform.schemas import load_schema

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = yaml.safe_load(
    Path(__file__).with_name("scenarios.yaml").read_text("utf-8")
)
EXPERIMENTS = tuple(SCENARIOS["experiments"])
BUILT = "contract_built"
COOKIE_CATS = REPOSITORY.parent / "shared" / "data" / "cookie_cats.csv"
COOKIE_CATS_WORDS = (
    *("--unit", "userid", "--variant", "version", "--control", "gate_30"),
    *("--metric", "retention_1", "--metric", "retention_7"),
    *("--metric", "sum_game_rounds"),
)
MANY_ROWS = 100_000
TRIES = 9
IS_SHARED = "EXP_CATALOG_URI" in os.environ
ENGINES = ("duckdb", "spark", "trino") if IS_SHARED else ("duckdb",)
BROUGHT = pytest.param(
    "cookie_cats",
    marks=pytest.mark.skipif(
        not COOKIE_CATS.is_file(),
        reason="cookie_cats.csv is not beside the checkout (shared/data)",
    ),
)
EVENT_TABLES = ("fact_experiment_exposure", "dim_feature")
TABLES = (
    *sorted({table for tables in STAGE_TABLES.values() for table in tables}),
    "analysis_results",
    *EVENT_TABLES,
)

# PySpark leaves the socket of an Arrow answer to the garbage collector
SOCKETS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:unclosed <socket:ResourceWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Which experiment's runs a test reads, where no parameter says it."""
    config.addinivalue_line("markers", "reads(experiment): whose runs a test reads")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of an experiment share its runs, so they stay in one process."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(SOCKETS)
            item.add_marker(pytest.mark.xdist_group(find_group(item)))


def find_group(item: pytest.Item) -> str:
    """Two halves of the experiments, and dbt."""
    if item.path.stem == "test_dbt":
        return "contracts_dbt"
    given = getattr(item, "callspec", None)
    parameters = given.params if given else {}
    marker = item.get_closest_marker("reads")
    default = marker.args[0] if marker else EXPERIMENTS[0]
    name = parameters.get("experiment", parameters.get("name", default))
    is_first = name in EXPERIMENTS[: len(EXPERIMENTS) // 2]
    return "contracts_1" if is_first else "contracts_2"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`engine`: those that are there. `experiment`: the ten, and Cookie Cats."""
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ENGINES)
    if "experiment" in metafunc.fixturenames:
        metafunc.parametrize("experiment", (*EXPERIMENTS, BROUGHT))


def rows_or_hash(name: str, table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table; of very many rows what they say, in one number."""
    if table.num_rows <= MANY_ROWS:
        return list(table.to_pylist())
    key = [(column, "ascending") for column in load_schema(name).key]
    text = table.sort_by(key).combine_chunks().to_batches()[0].serialize()
    return [{"rows": table.num_rows, "sha256": hashlib.sha256(text).hexdigest()}]


@dataclass(frozen=True)
class Written:
    """What a reader found after one engine had run an experiment."""

    engine: str
    tables: dict[str, list[dict[str, Any]]]
    ledger: list[dict[str, Any]]
    memo: str
    others: dict[str, list[str]]

    @property
    def run(self) -> dict[str, Any]:
        """The run's own row of the ledger."""
        return max(self.ledger, key=lambda row: (row["computed_at"], row["run_id"]))


@dataclass
class Workspace:
    """A project with one lake, whose experiments each engine runs in turn."""

    root: Path
    call: Callable[..., Any]
    done: dict[str, list[Written]] = field(default_factory=dict)

    def config(self, engine: str = "duckdb") -> Path:
        return self.root / "configs" / f"{engine}.yaml"

    def settings(self, engine: str = "duckdb") -> Settings:
        return load_settings(self.config(engine))

    def history(self, name: str) -> list[Written]:
        """Every engine ran the experiment, one after the other; DuckDB alone did twice.

        The order changes with the experiment, so that each engine comes after each.
        """
        if name not in self.done:
            place = (*EXPERIMENTS, "cookie_cats").index(name)
            order = ENGINES if len(ENGINES) > 1 else ENGINES * 2
            order = order[:: 1 if place // len(order) % 2 == 0 else -1]
            turn = place % len(order)
            order = (*order[turn:], *order[:turn])
            neighbour = EXPERIMENTS[0] if name == EXPERIMENTS[4] else ""
            if neighbour:
                self.history(neighbour)
            self.done[name] = [self.write(e, name, neighbour) for e in order]
        return self.done[name]

    def is_written(self, name: str) -> bool:
        """Whether the lake has the experiment."""
        with open_lake(self.settings()) as lake:
            return bool(lake.read("experiment_registry", name).num_rows)

    def written(self, engine: str, name: str) -> Written:
        """What an engine left in its turn, the last time."""
        return [w for w in self.history(name) if w.engine == engine][-1]

    def write(self, engine: str, name: str, neighbour: str = "") -> Written:
        """Run an experiment on an engine and read all its rows."""
        settings = self.settings(engine)
        is_synthetic = name != "cookie_cats"
        if not is_synthetic and not self.is_written(name):
            self._bring(name)
        run_end_to_end(settings, name, RunOptions(generate_synth=is_synthetic))
        with open_lake(settings) as lake:
            tables = {t: rows_or_hash(t, lake.read(t, name)) for t in TABLES}
            ledger = lake.read("analysis_runs", name).to_pylist()
        memo = (settings.paths.memos / f"{name}.md").read_text("utf-8")
        return Written(engine, tables, ledger, memo, self.files(neighbour))

    def files(self, name: str) -> dict[str, list[str]]:
        """Data files of an experiment by table."""
        if not name:
            return {}
        with open_lake(self.settings()) as lake, lake.engine() as engine:
            return {
                table: sorted(lake.file_selects(engine, table, experiment_id=name))
                for table in TABLES
            }

    def change(self, table: str, work: Callable[[Any], None]) -> None:
        """Change a table with PyIceberg alone, which does not try again by itself."""
        for _ in range(TRIES):
            with self.table(table) as opened, suppress(CommitFailedException):
                work(opened)
                return
        pytest.fail(f"{table}: others committed first {TRIES} times")

    @contextmanager
    def table(self, name: str) -> Iterator[Any]:
        """A table as PyIceberg alone opens it."""
        with open_lake(self.settings()) as lake:
            remote, own = lake.settings.remote, lake.settings.catalog
            uri = f"sqlite:///{own}" if remote is None else remote.catalog
            places = {"uri": uri, "warehouse": lake.area.root}
            catalog = SqlCatalog("iceberg", **places, **lake.area.io_properties)
            yield catalog.load_table(("exp", name))
            catalog.close()

    def _bring(self, name: str) -> None:
        from exp_platform.cli import main

        words = ("import", COOKIE_CATS, "--experiment-id", name, *COOKIE_CATS_WORDS)
        answer = self.call(main, "exp", *words, "--config", self.config())
        assert answer.code == 0, answer.err


class Readers:
    """What each engine's own reader sees of a table: rows as plain values."""

    def __init__(self, workspace: Workspace) -> None:
        self._settings = workspace.settings()
        self._config = workspace.config()

    def read(self, reader: str, table: str, rest: str, version: Any = None) -> Any:
        """Rows of a table, in no order.

        Args:
            reader: duckdb, spark or trino.
            table: of the lake.
            rest: where and so on.
            version: a snapshot's id, or a tag's name for Spark and Trino.
        """
        return sorted(map(repr, getattr(self, f"_{reader}")(table, rest, version)))

    def shown(self, rows: list[dict[str, Any]]) -> list[str]:
        """Rows as `read` shows them."""
        return sorted(repr(readable(row)) for row in rows)

    def sql(self, reader: str, statement: str) -> Any:
        """Run a statement on Spark or Trino."""
        if reader == "spark":
            return self._spark_session.sql(statement).toArrow().to_pylist()
        return self._ask_trino(statement)

    def _duckdb(self, table: str, rest: str, version: Any) -> list[Any]:
        with open_lake(self._settings) as lake, lake.engine() as engine:
            lake.attach(engine, table, snapshot_id=version)
            rows = engine.records(select(table, f"exp.{table}", rest))
        return [readable(row) for row in rows]

    def _spark(self, table: str, rest: str, version: Any) -> list[Any]:
        quoted = f"'{version}'" if isinstance(version, str) else version
        at = "" if version is None else f"version as of {quoted}"
        place = f"iceberg.exp.{table} {at}"
        rows = self.sql("spark", select(table, place, rest))
        return [readable(row) for row in rows]

    def _trino(self, table: str, rest: str, version: Any) -> list[Any]:
        quoted = f"'{version}'" if isinstance(version, str) else version
        at = "" if version is None else f"for version as of {quoted}"
        place = f"iceberg.exp.{table} {at}"
        rows = self.sql("trino", select(table, place, rest))
        return [readable(row) for row in rows]

    @cached_property
    def _spark_session(self) -> Any:
        from exp_platform.spark.session import build_spark_session

        return build_spark_session("tests", self._config)

    def _ask_trino(self, statement: str) -> list[dict[str, Any]]:
        import trino

        host, port = (os.environ[f"EXP_TRINO_{n}"] for n in ("HOST", "PORT"))
        with trino.dbapi.connect(
            host=host, port=int(port), user="tests", catalog="iceberg", timezone="UTC"
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall()
            names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]


def select(table: str, place: str, rest: str) -> str:
    """The platform's columns of a table; another engine may have added some."""
    return f"select {', '.join(load_schema(table).names)} from {place} {rest}"


def readable(row: dict[str, Any]) -> list[Any]:
    """A row's columns by name, instants in seconds, maps in order."""
    return [(name, _readable(row[name])) for name in sorted(row)]


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return sorted(value.items())
    return sorted(value) if isinstance(value, list) else value


@pytest.fixture(scope="session")
def readers(workspace: Workspace) -> Readers:
    return Readers(workspace)


@pytest.fixture(scope="session")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, call: Any
) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("contracts")
    (root / "configs").mkdir()
    shutil.copytree(REPOSITORY / "metrics", root / "metrics")
    for name, definition in SCENARIOS["metrics"].items():
        text = yaml.safe_dump({"name": name, **definition}, sort_keys=False)
        (root / "metrics" / f"{name}.yml").write_text(text, "utf-8")
    base, experiments = SCENARIOS["base"], dict(SCENARIOS["experiments"])
    # the richest one again, for a process of its own
    experiments[BUILT] = experiments["contract_events"]
    for engine in ENGINES:
        document: dict[str, Any] = {
            "environment": engine,
            "engine": {
                "memory_limit": "1GB",
                # sums must not depend on how threads split the rows
                "threads": 2,
                "stages": {
                    "ingest": "duckdb" if engine == "trino" else engine,
                    "metrics": engine,
                },
            },
            "experiments": {n: base | changed for n, changed in experiments.items()},
        }
        if IS_SHARED:
            host, port = (os.environ[f"EXP_TRINO_{n}"] for n in ("HOST", "PORT"))
            document["engine"]["trino"] = f"http://{host}:{port}"
            document["remote"] = {
                "catalog": os.environ["EXP_CATALOG_URI"],
                "warehouse": "s3://warehouse",
                "raw": "s3://raw",
                "endpoint": os.environ["EXP_S3_ENDPOINT"],
            }
        text = yaml.safe_dump(document, sort_keys=False)
        (root / "configs" / f"{engine}.yaml").write_text(text, "utf-8")
    yield Workspace(root, call)
    if IS_SHARED:
        from pyspark.sql import SparkSession

        session = SparkSession.getActiveSession()
        if session is not None:
            session.stop()
