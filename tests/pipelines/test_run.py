"""A run and its place in the ledger."""

from datetime import timedelta

from exp_platform.config import Paths, Settings
from exp_platform.lake import open_lake
from exp_platform.pipelines.run import open_run


def test_a_run_by_a_clock_that_went_back_is_the_last_one(tmp_path, caplog):
    """Else the older run would go on being shown as the last."""
    paths = {name: tmp_path / path for name, path in Paths().model_dump().items()}
    settings = Settings(environment="test", paths=Paths(**paths), root=tmp_path)
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
