import subprocess
import sys
from datetime import UTC, datetime

import pytest

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake import Lake


def test_import_pulls_no_engine():
    code = (
        "import sys, exp_platform.lake; "
        "heavy = {'duckdb', 'pyarrow', 'pyiceberg', 'sqlalchemy', 'filelock'}; "
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_publish_pulls_neither_pandas_nor_the_cloud():
    code = (
        "import sys, exp_platform.lake.catalog, exp_platform.lake.staging; "
        "heavy = {'pandas', 'boto3', 'fsspec', 's3fs', 'pyiceberg.io.pyarrow'}; "
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_experiment_ids_and_states_of_an_absent_warehouse(lake, settings):
    assert lake.experiment_ids() == []
    assert lake.states() == {}
    assert lake.history("outcomes") == []
    assert not settings.catalog.exists()


def test_ensure_catalog_makes_what_trino_never_makes(lake, settings):
    assert not settings.catalog.exists()
    lake.ensure_catalog()
    assert settings.catalog.is_file()
    assert lake.states() == {}


def test_experiment_ids_come_from_the_registry(lake, rows):
    for name in ("exp_b", "exp_a"):
        lake.replace_experiment(
            "experiment_registry", name, rows("experiment_registry", name, 1)
        )
    assert lake.experiment_ids() == ["exp_a", "exp_b"]


def test_states_and_history_tell_the_current_snapshot(lake, rows):
    first = lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    second = lake.replace_experiment("outcomes", "exp_a", rows("outcomes", n=2))
    assert lake.states() == {"outcomes": second.snapshot_id}
    history = lake.history("outcomes")
    assert [state.snapshot_id for state in history] == [
        first.snapshot_id,
        second.snapshot_id,
    ]
    assert [state.n_rows for state in history] == [3, 2]
    assert [state.is_current for state in history] == [False, True]
    assert history[0].committed_at <= datetime.now(UTC)


def test_preload_gives_a_working_lake(settings, rows):
    lake = Lake(settings)
    lake.preload()
    lake.preload()
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    assert lake.read("outcomes").num_rows == 3
    lake.close()


@pytest.mark.parametrize("bad", ["../x", "a/b", ""])
def test_begin_refuses_unsafe_names(lake, bad):
    with pytest.raises(UsageError):
        lake.begin("run1", bad)
    with pytest.raises(UsageError):
        lake.begin(bad, "exp_a")


def test_experiment_lock_serialises_runs_of_one_experiment(lake, settings):
    other = Lake(settings)
    with lake.experiment_lock("exp_a"):
        with other.experiment_lock("exp_b", seconds=0.1):
            pass
        with (
            pytest.raises(StorageError, match="another run holds the lock"),
            other.experiment_lock("exp_a", seconds=0.1),
        ):
            pass
    with other.experiment_lock("exp_a", seconds=0.1):
        pass


_HOLDER = """
import sys, time
from pathlib import Path
from exp_platform.lake import Lake, LakeSettings
root = Path(sys.argv[1])
lake = Lake(LakeSettings(root / "warehouse", root / "catalog.db", root / "raw", root / "tmp"))
with lake.experiment_lock("exp_a"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_experiment_lock_is_free_after_its_process_died(lake, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(StorageError),
            lake.experiment_lock("exp_a", seconds=0.1),
        ):
            pass
        holder.kill()
        holder.wait()
    with lake.experiment_lock("exp_a", seconds=1):
        pass


def test_experiment_lock_reports_a_folder_it_may_not_write(lake, settings):
    (settings.catalog.parent / "locks").write_text("a file, not a folder")
    with (
        pytest.raises(StorageError, match="cannot be read or written"),
        lake.experiment_lock("exp_a"),
    ):
        pass
