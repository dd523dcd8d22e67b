"""A small project folder, its command line in process, and a plain PyIceberg reader."""

import contextlib
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# What may differ between two runs of the same command.
VOLATILE = frozenset({"run_id", "computed_at"})

CONFIG = """\
environment: test
engine: {memory_limit: 1GB, threads: 1}
experiments:
  exp_tiny: &tiny
    days: 8
    n_users: 400
    base_conversion: 0.3
    effect_lift_conversion: 0.25
    pre_period_days: 7
    plan: {segments: [platform]}
  exp_other:
    <<: *tiny
    seed: 8
  exp_messy:
    <<: *tiny
    failure_modes: {duplicate_share: 0.1, crossover_share: 0.05, late_share: 0.1}
  exp_tracked:
    <<: *tiny
    events: true
    plan: {segments: [platform, dim_user.platform]}
    failure_modes: {duplicate_share: 0.1, crossover_share: 0.05, late_share: 0.1}
  exp_rollout:
    <<: *tiny
    assignment: policy
    policy_day: 4
    n_clusters: 30
"""


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Project:
    """A project folder of its own, with small scenarios."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "configs" / "dev.yaml"

    @property
    def raw(self) -> Path:
        return self.root / "data" / "raw" / "exp_platform"

    @property
    def warehouse(self) -> Path:
        return self.root / "data" / "warehouse"

    def exp(self, *words: object) -> Answer:
        """Run `exp`, in this process."""
        from exp_platform.cli import main

        return call(main, "exp", *words, "--config", self.config)

    def job(self, experiment_id: str, *flags: str) -> Answer:
        """Run the main job's module, in this process."""
        from exp_platform.pipelines.run_end_to_end import main

        options = ("--config", self.config, "--experiment-id", experiment_id)
        return call(main, "run_end_to_end", *options, *flags)

    def tables(self, *names: str) -> dict[str, list[dict[str, Any]]]:
        """Rows of tables (all, if none is named), read with PyIceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        path = self.warehouse / "catalog.db"
        if not path.exists():
            return {}
        catalog = SqlCatalog("iceberg", uri=f"sqlite:///{path}")
        try:
            return {
                name: catalog.load_table((space, name)).scan().to_arrow().to_pylist()
                for space, name in catalog.list_tables("exp")
                if not names or name in names
            }
        finally:
            catalog.close()

    def snapshots(self) -> dict[str, int | None]:
        """Current snapshot of every table, read by PyIceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        path = self.warehouse / "catalog.db"
        if not path.exists():
            return {}
        catalog = SqlCatalog("iceberg", uri=f"sqlite:///{path}")
        try:
            if not catalog.namespace_exists("exp"):
                return {}
            return {
                name: catalog.load_table((space, name)).metadata.current_snapshot_id
                for space, name in catalog.list_tables("exp")
            }
        finally:
            catalog.close()


def call(main: Callable[[], Any], name: str, *words: object) -> Answer:
    """Run a command's `main` and keep what it printed."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, [name, *map(str, words)]
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = before
    return Answer(code or 0, out.getvalue(), err.getvalue())


def comparable(rows: list[dict[str, Any]]) -> list[str]:
    """Rows in no order, floats bit by bit, without what a rerun may change."""
    return sorted(
        repr([(name, value) for name, value in row.items() if name not in VOLATILE])
        for row in rows
    )


def make_project(root: Path) -> Project:
    """Lay out a project with the shipped metrics and small scenarios."""
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "dev.yaml").write_text(CONFIG, "utf-8")
    shutil.copytree(REPOSITORY / "metrics", root / "metrics")
    return Project(root)


@pytest.fixture(name="call", scope="session")
def _call() -> Callable[..., Answer]:
    return call


@pytest.fixture(name="make_project", scope="session")
def _make_project() -> Callable[[Path], Project]:
    return make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which two experiments were run; only for reading."""
    project = make_project(tmp_path_factory.mktemp("ready") / "project")
    for name in ("exp_tiny", "exp_rollout"):
        assert project.job(name, "--generate-synth").code == 0
    before = project.snapshots()
    yield project
    assert project.snapshots() == before


@pytest.fixture(name="comparable", scope="session")
def _comparable() -> Callable[[list[dict[str, Any]]], list[str]]:
    return comparable
