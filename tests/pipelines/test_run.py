"""A run and its place in the ledger."""

from datetime import timedelta

import pytest

from exp_platform.config import Paths, Settings
from exp_platform.errors import ContractError
from exp_platform.lake import open_lake
from exp_platform.pipelines.run import open_run
from exp_platform.pipelines.shown import read_memo


@pytest.fixture
def settings(tmp_path):
    paths = {name: tmp_path / path for name, path in Paths().model_dump().items()}
    return Settings(environment="test", paths=Paths(**paths), root=tmp_path)


def test_a_memo_of_an_earlier_run_is_not_shown_as_the_last_one(settings):
    """A run that is killed between its publication and its memo leaves the old memo."""
    path = settings.paths.memos / "exp_a.md"
    path.parent.mkdir(parents=True)
    path.write_text("| Run | before |")
    assert read_memo(settings, "exp_a") == "| Run | before |"
    with open_run(settings, "exp_a", "run_end_to_end") as run:
        run.outcome = "SHIP"
        run.publish()
    with pytest.raises(ContractError, match="of another run than the last one"):
        read_memo(settings, "exp_a")
    path.write_text(f"| Run | {run.run_id} |")
    with open_run(settings, "exp_a", "refresh") as later:
        later.publish()
    assert run.run_id in read_memo(settings, "exp_a")


def test_a_run_by_a_clock_that_went_back_is_the_last_one(settings, caplog):
    """Else the older run would go on being shown as the last."""
    with open_run(settings, "exp_a", "test") as run:
        run.computed_at += timedelta(hours=1)
        run.publish()
    assert not caplog.messages
    with open_run(settings, "exp_a", "test") as late:
        late.publish()
    assert f"before run {run.run_id}" in caplog.text
    assert late.computed_at == run.computed_at + timedelta(microseconds=1)
    with open_run(settings, "exp_b", "test") as other:
        other.publish()
    assert other.computed_at < run.computed_at
    with open_lake(settings) as lake:
        rows = lake.read("analysis_runs", "exp_a").sort_by("computed_at").to_pylist()
    assert [row["run_id"] for row in rows] == [run.run_id, late.run_id]
