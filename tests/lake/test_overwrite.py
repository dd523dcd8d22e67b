import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog

from exp_platform.lake import Lake, LakeSettings
from exp_platform.lake import overwrite as module


def _make_lake(root: Path) -> Lake:
    return Lake(LakeSettings(root / "w", root / "c.db", root / "raw", root / "tmp"))


def _manifests(lake: Lake, table: str):
    found = lake._table(table)
    return found.current_snapshot().manifests(found.io)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `rows` has no state
)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)),
        min_size=1,
        max_size=14,
    )
)
def test_any_sequence_of_replacements_equals_a_dictionary(rows, writes):
    """Leaves of two files make every split, join and removal happen."""
    model: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(module, "LEAF_FILES", 2)
        lake = _make_lake(Path(folder))
        for name, n in writes:
            lake.replace_experiment("decisions", name, rows("decisions", name, n))
            model[name] = n
        reader = SqlCatalog(
            "iceberg", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{folder}/w"
        )
        found = reader.load_table("exp.decisions")
        counts = found.scan().to_arrow().column("experiment_id").value_counts()
        assert {r["values"]: r["counts"] for r in counts.to_pylist()} == {
            name: n for name, n in model.items() if n
        }
        if snapshot := found.current_snapshot():
            total = int(snapshot.summary["total-records"])
            assert total == sum(model.values())
        reader.close()
        lake.close()


def test_commits_stay_flat_over_reruns_and_experiments(lake, rows, settings):
    data = {f"exp_{i:02}": rows("decisions", f"exp_{i:02}", 1) for i in range(40)}
    for name, table in data.items():
        lake.replace_experiment("decisions", name, table)
    for _ in range(12):
        lake.replace_experiment("decisions", "exp_07", data["exp_07"])
    manifests = _manifests(lake, "decisions")
    n_files = [module._n_files(manifest) for manifest in manifests]
    assert sum(n_files) == 40
    assert max(n_files) <= module.LEAF_FILES
    assert len(manifests) <= 40 / (module.LEAF_FILES / 2) + 1
    ranges = sorted(
        (m.partitions[0].lower_bound, m.partitions[0].upper_bound) for m in manifests
    )
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    assert len(lake.history("decisions")) == module.KEPT_SNAPSHOTS
    folder = settings.warehouse / "exp" / "decisions" / "metadata"
    assert len(list(folder.glob("*.metadata.json"))) == 6


def test_expire_snapshots_keeps_tags(lake, rows, plain):
    first = lake.replace_experiment("decisions", "exp_a", rows("decisions"))
    table = plain().load_table("exp.decisions")
    table.manage_snapshots().create_tag(first.snapshot_id, "decided").commit()
    for n in range(module.KEPT_SNAPSHOTS + 3):
        lake.replace_experiment("decisions", "exp_a", rows("decisions", n=n + 1))
    ids = [state.snapshot_id for state in lake.history("decisions")]
    assert first.snapshot_id in ids
    assert len(ids) == module.KEPT_SNAPSHOTS + 1
    assert lake.read("decisions", snapshot_id=first.snapshot_id).num_rows == 3


def test_overwrite_keeps_files_of_other_writers(lake, rows, plain):
    """PyIceberg's own appends put several experiments into manifests of their own."""
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes"))
    for name in ("exp_a", "exp_b", "exp_c"):
        plain().load_table("exp.outcomes").append(rows("outcomes", name, 2))
    lake.replace_experiment("outcomes", "exp_a", rows("outcomes", n=1))
    found = plain().load_table("exp.outcomes").scan().to_arrow()
    assert sorted(found.column("experiment_id").to_pylist()) == [
        "exp_a",
        *["exp_b"] * 2,
        *["exp_c"] * 2,
    ]
