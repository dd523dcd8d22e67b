"""As of when an answer holds: the run that computed its totals, not the last one."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from exp_platform.errors import StorageError
from exp_platform.lake.states import FileState, TableState, states_to_json
from exp_platform.pipelines.ask import _describe, _find_origin


def ledger_row(day, stages, registry):
    file = FileState(f"registry-{day}.parquet", 1, registry, 1)
    state = TableState(100 + day, (file,))
    return {
        "run_id": f"run{day}",
        "computed_at": datetime(2026, 3, day, tzinfo=UTC),
        "stages": json.dumps(stages),
        "snapshots": states_to_json({"experiment_registry": state}),
    }


FULL = ledger_row(1, {"ingest": "done", "metrics": "done"}, "early")


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([], ("run1", None)),
        # the rows that the totals are of, and the watermark they reach
        ([ledger_row(2, {"ingest": "done"}, "late")], ("run1", 101)),
        ([ledger_row(2, {"refresh": "full"}, "late")], ("run1", 101)),
        ([ledger_row(2, {"metrics": "inherited"}, "early")], ("run1", None)),
        ([ledger_row(2, {"metrics": "done"}, "late")], ("run2", None)),
        # a panel under the same name: there are no totals any more
        ([ledger_row(2, {"metrics": "panel"}, "late")], ("run2", None)),
        ([ledger_row(2, {"metrics": "skipped"}, "late")], ("run2", None)),
    ],
)
def test_the_origin_is_the_run_that_computed_the_totals(later, expected):
    made, registry = _find_origin([*later, FULL])
    assert (made["run_id"], registry) == expected


def test_before_any_totals_the_last_run_is_told():
    rows = [ledger_row(day, {"ingest": "done"}, str(day)) for day in (1, 2)]
    assert _find_origin(rows)[0]["run_id"] == "run2"


class FakeLake:
    """Two runs, and of the registry the last snapshot alone."""

    def states(self):
        return {"analysis_runs": 1, "experiment_registry": 102}

    def read(self, table, _, *, snapshot_id):
        if table == "experiment_registry":
            raise StorageError("unknown snapshot", found=str(snapshot_id))
        later = ledger_row(2, {"ingest": "done"}, "late")
        return pa.Table.from_pylist([FULL, later])


def test_totals_whose_plan_expired_are_not_told_by_another():
    with pytest.raises(StorageError, match="plan that the totals") as caught:
        _describe(FakeLake(), "e")
    assert caught.value.parts["next"] == "exp run e"
