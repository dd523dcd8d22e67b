"""A project on the running stack's shared lake, and the same one on the local disk."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import create_engine, make_url, text

from exp_platform.config import Settings, load_settings
from exp_platform.lake import open_lake
from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end
from exp_platform.schemas import load_schema, table_names

REPOSITORY = Path(__file__).resolve().parents[2]
# sessions are short here: compiling Java well would cost more than it brings
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a lake and a Spark stays in one process; two groups end together."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            of_spark = item.path.stem.startswith("test_spark")
            group = "stack_spark" if of_spark else "stack"
            item.add_marker(pytest.mark.xdist_group(group))


@dataclass(frozen=True)
class Shared:
    """Two configurations with the same scenarios, whose names nobody used before.

    Attributes:
        names: of the experiments; rows of the last one are delivered twice.
    """

    root: Path
    names: tuple[str, ...]

    def settings(self, name: str = "stack") -> Settings:
        return load_settings(self.root / "configs" / f"{name}.yaml")

    def files(self) -> dict[str, list[str]]:
        """Data files of these experiments by table; others write to the lake too."""
        where = {"experiment_id": self.names}
        tables = (
            t for t in table_names() if "experiment_id" in load_schema(t).partition
        )
        with open_lake(self.settings()) as lake, lake.engine() as engine:
            return {
                table: sorted(lake.file_selects(engine, table, where=where))
                for table in tables
            }

    def write(self, name: str, **changed: str) -> Settings:
        """A configuration of the shared lake with some lines under `remote` changed."""
        lines = {
            "catalog": os.environ["EXP_CATALOG_URI"],
            "warehouse": "s3://warehouse",
            "raw": "s3a://raw",
            "endpoint": os.environ["EXP_S3_ENDPOINT"],
            **changed,
        }
        remote = "".join(f"  {key}: {value}\n" for key, value in lines.items())
        paths = "{raw: shared/raw, memos: shared/memos, temp: shared/tmp}"
        self._file(name, f"remote:\n{remote}paths: {paths}\n")
        return self.settings(name)

    def computing(self, **stages: str) -> Path:
        """The shared configuration, with other engines for some stages."""
        file = self.root / "configs" / "stack.yaml"
        document = yaml.safe_load(file.read_text("utf-8"))
        document["environment"] = "-".join(stages.values())
        host, port = os.environ["EXP_TRINO_HOST"], os.environ["EXP_TRINO_PORT"]
        document["engine"] |= {"stages": stages, "trino": f"http://{host}:{port}"}
        names = (f"{stage}-{engine}" for stage, engine in stages.items())
        other = file.with_name(f"{'-'.join(names)}.yaml")
        other.write_text(yaml.safe_dump(document), "utf-8")
        return other

    def write_local(self) -> None:
        self._file("local", "")

    def _file(self, name: str, places: str) -> None:
        shape = (
            "{days: 8, n_users: 2000, base_conversion: 0.3, pre_period_days: 7,"
            " effect_lift_conversion: 0.1, plan: {segments: [platform]}}"
        )
        copies = f"{shape[:-1]}, failure_modes: {{duplicate_share: 0.05}}}}"
        shapes = dict.fromkeys(self.names, shape) | {self.names[-1]: copies}
        scenarios = "".join(f"  {name}: {shapes[name]}\n" for name in self.names)
        text_ = f"environment: {name}\n{places}engine: {{memory_limit: 1GB}}\n"
        file = self.root / "configs" / f"{name}.yaml"
        file.write_text(f"{text_}experiments:\n{scenarios}", "utf-8")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    root = tmp_path_factory.mktemp("shared")
    (root / "configs").mkdir()
    shutil.copytree(REPOSITORY / "metrics", root / "metrics")
    mark = secrets.token_hex(4)
    project = Shared(root, tuple(f"exp_{mark}_{n}" for n in range(5)))
    project.write("stack")
    project.write_local()
    return project


@pytest.fixture(scope="session")
def ran(shared: Shared) -> str:
    """An experiment that was run on both lakes."""
    name = shared.names[0]
    for lake in ("stack", "local"):
        run_end_to_end(shared.settings(lake), name, RunOptions(generate_synth=True))
    return name


@pytest.fixture
def new_database() -> Iterator[Callable[[], str]]:
    """Makes empty databases beside the stack's own; drops them afterwards."""
    url = make_url(os.environ["EXP_CATALOG_URI"])
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"test_{secrets.token_hex(4)}")
        with server.connect() as connection:
            connection.execute(text(f"create database {made[-1]}"))
        return url.set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with server.connect() as connection:
        for name in made:
            connection.execute(text(f"drop database {name} with (force)"))
    server.dispose()


@pytest.fixture(scope="session")
def trino_rows() -> Iterator[Callable[[str], list[Any]]]:
    """Ask the running Trino."""
    import trino

    connection = trino.dbapi.connect(
        host=os.environ["EXP_TRINO_HOST"],
        port=int(os.environ["EXP_TRINO_PORT"]),
        user="tests",
        catalog="iceberg",
        schema="exp",
    )

    def ask(sql: str) -> list[Any]:
        cursor = connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]

    yield ask
    connection.close()


@pytest.fixture(scope="session")
def spark(shared: Shared) -> Iterator[Any]:
    from exp_platform.spark.session import build_spark_session

    session = build_spark_session("tests", shared.root / "configs" / "stack.yaml")
    yield session
    session.stop()
