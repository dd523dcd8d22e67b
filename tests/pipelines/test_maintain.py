import os
import time

from exp_platform.config import load_settings
from exp_platform.lake import Lake, open_lake
from exp_platform.pipelines.maintain import MaintenanceRequest, maintain

HOUR = 3600.0


def _results(lake: Lake) -> list[str]:
    rows = lake.read("analysis_results").to_pylist()
    return sorted(map(repr, rows))


def test_maintain_keeps_what_was_published(deliver):
    project = deliver()
    settings = load_settings(project.config)
    for _ in range(2):
        assert project.job("exp_tiny").code == 0
    with open_lake(settings) as lake:
        before = _results(lake)
    left = settings.paths.warehouse / "exp" / "outcomes" / "data" / "left.parquet"
    left.write_bytes(b"x")
    os.utime(left, (time.time() - 2 * HOUR,) * 2)
    request = MaintenanceRequest(
        min_files=2, keep_snapshots=1, min_age_hours=1.0, is_rehearsal=True
    )
    told = list(maintain(settings, request).lines())
    assert "analysis_results: snapshots would be expired: 1" in told
    assert (
        "analysis_runs: 2 files would be rewritten as 1, snapshots would be expired: 1"
        in told
    )
    assert told[-1] == "files that nobody reaches: 1 would be removed"
    assert left.exists()
    done = maintain(
        settings,
        MaintenanceRequest(min_files=2, keep_snapshots=1, min_age_hours=1.0),
    )
    assert [location.rsplit("/", 1)[-1] for location in done.removed] == [left.name]
    assert not left.exists()
    with open_lake(settings) as lake:
        assert _results(lake) == before
    assert list(maintain(settings, MaintenanceRequest(min_files=2)).lines()) == [
        "tables: nothing to rewrite or expire",
        "files that nobody reaches: 0 removed",
    ]
    assert project.job("exp_tiny").code == 0
