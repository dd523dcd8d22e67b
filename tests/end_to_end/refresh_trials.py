"""Kill a refresh at random storage events and look at what it leaves.

    python refresh_trials.py PROJECT TRIALS SEED

The project holds one run and one refresh of `exp_tiny`. Before each trial another writer
appends rows, and takes the last ones away again every other time, so that each refresh
has something to do. The refresh kills itself with SIGKILL at an event drawn at random,
two of the trials just before and just after its commit. Then a child reads its tables,
and another refreshes again and makes a full pass beside it, which is not published.

Prints one JSON document: the outcome of every trial.
"""

import json
import random
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from crash_trials import Events, import_everything, in_child

ID = "exp_tiny"
COMMIT = "before commit"


def append(project: Path, trial: int) -> None:
    """Rows of some hours later; every other time those of the last time go."""
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.expressions import EqualTo

    catalog = SqlCatalog(
        "iceberg", uri=f"sqlite:///{project}/data/warehouse/catalog.db"
    )
    table = catalog.load_table(("exp", "outcomes"))
    rows = table.scan(limit=30 + trial).to_arrow()
    later = [at + timedelta(hours=1 + trial) for at in rows["outcome_ts"].to_pylist()]
    place = rows.schema.get_field_index("outcome_ts")
    field = rows.schema.field(place)
    rows = rows.set_column(place, field, pa.array(later, field.type))
    place = rows.schema.get_field_index("user_id")
    if trial % 2:
        table.delete(EqualTo("user_id", rows["user_id"][0].as_py()))
    table.append(rows)
    catalog.close()


def refresh(config: Path, fatal: int = 0) -> dict[str, Any]:
    """Refresh, killed at an event; what it read and the events it went through."""
    from exp_platform.config import load_settings
    from exp_platform.pipelines.refresh import refresh_experiment

    events = Events(fatal)
    events.install()
    report = refresh_experiment(load_settings(config), ID).report
    return {
        "events": events.names,
        "full_reason": report.full_reason,
        "n_files_read": report.n_files_read,
    }


def look(config: Path) -> dict[str, str]:
    """Every table of a refresh, and how many have been published."""
    from exp_platform.config import load_settings
    from exp_platform.lake import open_lake
    from exp_platform.pipelines.refresh import TABLES

    with open_lake(load_settings(config)) as lake:
        found = {}
        for name in TABLES:
            rows = lake.read(name, ID).to_pylist()
            found[name] = repr(sorted(map(repr, rows)))
        runs = lake.read("analysis_runs", ID).to_pylist()
        (state,) = lake.read("refresh_state", ID).to_pylist()
    last = max(runs, key=lambda row: row["computed_at"])
    is_whole = state["run_id"] == last["run_id"]
    return {**found, "ledger": str(len(runs)), "is_whole": str(is_whole)}


def go_on(config: Path) -> dict[str, Any]:
    """Refresh again; where its totals differ from a full pass that is thrown away."""
    from exp_platform.config import load_settings
    from exp_platform.metrics.totals import compare_totals
    from exp_platform.pipelines.refresh import refresh_experiment, refresh_tables
    from exp_platform.pipelines.run import open_run
    from exp_platform.pipelines.run_ingest import load_ingested

    settings = load_settings(config)
    done = refresh_experiment(settings, ID)
    with open_run(settings, ID, "refresh") as run:
        data = load_ingested(run)
        whole = refresh_tables(run, data.spec, data.definitions, is_full=True)
    return {
        "full_reason": done.report.full_reason,
        "n_files_read": done.report.n_files_read,
        "n_totals": len(whole.totals),
        "differences": [str(d) for d in compare_totals(done.totals, whole.totals)],
    }


def run_trials(project: Path, n_trials: int, seed: int) -> list[dict[str, Any]]:
    """As many trials; the events of the clean refresh before them say when."""
    config = project / "configs" / "dev.yaml"
    draw = random.Random(seed)
    in_child(partial(append, project, 0))
    _, clean = in_child(partial(refresh, config))
    names = clean["events"]
    commit = names.index(COMMIT) + 1
    fatal = [commit, commit + 1]
    fatal += [draw.randrange(1, commit) for _ in range(n_trials - len(fatal))]
    trials = []
    for trial, number in enumerate(fatal, start=1):
        in_child(partial(append, project, trial))
        before = in_child(partial(look, config))[1]
        status, _ = in_child(partial(refresh, config, number))
        after = in_child(partial(look, config))[1]
        again, end = in_child(partial(go_on, config))
        trials.append(
            {
                "event": number,
                "name": names[number - 1],
                "status": status,
                "is_old": after == before,
                "is_whole": after["is_whole"],
                "published": int(after["ledger"]) - int(before["ledger"]),
                "again": again,
                "end": end,
            }
        )
    return trials


if __name__ == "__main__":
    import_everything()
    answer = run_trials(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(answer))
