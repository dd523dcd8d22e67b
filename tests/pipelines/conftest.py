"""Raw data of one small experiment, to be broken in every way."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RAW = ("exposures", "outcomes", "experiment_registry")


@pytest.fixture(scope="session")
def delivered(ready: Any) -> dict[str, pa.Table]:
    """The tables of a good delivery; every column may be null."""
    tables = {}
    for name in RAW:
        table = pq.read_table(ready.raw / "exp_tiny" / f"{name}.parquet")
        loose = pa.schema([field.with_nullable(True) for field in table.schema])
        tables[name] = table.cast(loose)
    return tables


def land(project: Any, tables: dict[str, pa.Table]) -> Any:
    """Put raw files in place by hand."""
    folder = project.raw / "exp_tiny"
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return project


@pytest.fixture
def deliver(project: Any, delivered: dict[str, pa.Table]) -> Callable[..., Any]:
    """A project of its own with raw files, some of them changed."""

    def make(**changed: pa.Table) -> Any:
        return land(project, {**delivered, **changed})

    return make


@pytest.fixture(scope="session")
def published(
    tmp_path_factory: pytest.TempPathFactory,
    make_project: Callable[..., Any],
    delivered: dict[str, pa.Table],
) -> Any:
    """A project with one good run."""
    project = make_project(tmp_path_factory.mktemp("published") / "project")
    land(project, delivered)
    assert project.job("exp_tiny").code == 0
    return project


@pytest.fixture
def deliver_again(published: Any, delivered: dict[str, pa.Table]) -> Callable[..., Any]:
    """A second delivery after a good run, some of its files changed."""

    def make(**changed: pa.Table) -> Any:
        return land(published, {**delivered, **changed})

    return make


@pytest.fixture
def bring(project: Any) -> Callable[..., Any]:
    """Import a file's content by the command line."""

    def make(
        content: str | bytes,
        *flags: str,
        name: str = "file.csv",
        experiment_id: str = "exp_file",
    ) -> Any:
        file = project.root / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return project.exp("import", file, "--experiment-id", experiment_id, *flags)

    return make
