"""Kill a run at every one of its storage events and look at what a reader finds.

    python crash_trials.py PROJECT PART PARTS [--every]

The project needs the scenarios of `exp_crash` in configs/old.yaml and configs/new.yaml.
Each trial runs in a child that is forked after the imports: it publishes the other
state, and kills itself with SIGKILL at event k. A second child reads all tables with
PyIceberg alone; a third runs the same command again to its end. Without `--every`, a
row of equal events (fsyncs, new files, removals) is killed at its first and last one,
a long row in its middle too; renames and catalog commits are always killed one by one.
The trials are dealt out to PARTS processes, this one does those of PART (from 0).

Prints one JSON document: the events of a clean run and the outcome of every trial.
"""

import hashlib
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

EXPERIMENT = "exp_crash"
VOLATILE = {"run_id", "computed_at"}
LEDGER = "analysis_runs"
LONG_ROW = 10
BATCHED = {"fsync", "create", "copy", "unlink"}


class Events:
    """Counts storage events and kills the process at the one that was asked for."""

    def __init__(self, fatal: int = 0) -> None:
        self.fatal = fatal
        self.names: list[str] = []
        self._lock = threading.Lock()

    def note(self, name: str) -> None:
        """An event is about to happen."""
        with self._lock:
            self.names.append(name)
            if len(self.names) == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """The action, noted first."""

        def noted(*args: Any, **options: Any) -> Any:
            self.note(name)
            return action(*args, **options)

        return noted

    def install(self) -> None:
        """Put the counter in front of everything that changes the disk."""
        from sqlalchemy.engine.default import DefaultDialect

        from exp_platform.lake.engine import Engine
        from exp_platform.lake.fileio import LocalFile

        os.fsync = self.before("fsync", os.fsync)
        os.unlink = self.before("unlink", os.unlink)
        os.rename = self.before("rename", os.rename)
        os.replace = self.before("rename", os.replace)
        LocalFile.create = self.before("create", LocalFile.create)
        commit, execute = DefaultDialect.do_commit, Engine.execute

        def do_commit(dialect: Any, connection: Any) -> None:
            self.note("before commit")
            commit(dialect, connection)
            self.note("after commit")

        def noted_execute(engine: Any, sql: str) -> None:
            if sql.startswith("copy "):
                self.note("copy")
            execute(engine, sql)

        DefaultDialect.do_commit = do_commit
        Engine.execute = noted_execute


def in_child(action: Callable[[], Any]) -> tuple[int, Any]:
    """Run an action in a forked child: its exit status and what it returned."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        try:
            with os.fdopen(sink, "w") as stream:
                json.dump(action(), stream)
        except BaseException as error:  # noqa: BLE001 - told to the parent
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(text) if text else None


def publish(config: Path, fatal: int = 0) -> list[str]:
    """Run the main job; the events it went through."""
    from exp_platform.config import load_settings
    from exp_platform.pipelines.run_end_to_end import RunOptions, run_end_to_end

    events = Events(fatal)
    events.install()
    options = RunOptions(generate_synth=True)
    run_end_to_end(load_settings(config), EXPERIMENT, options)
    return events.names


def publish_and_look(config: Path) -> dict[str, Any]:
    """Run the main job to its end and read everything."""
    publish(config)
    return look(config.parents[1])


def look(project: Path) -> dict[str, Any]:
    """What a reader with PyIceberg alone finds, and whether the raw files are whole."""
    from pyiceberg.catalog.sql import SqlCatalog

    from exp_platform.errors import ContractError
    from exp_platform.lake import verify_raw

    catalog = SqlCatalog(
        "iceberg", uri=f"sqlite:///{project}/data/warehouse/catalog.db"
    )
    tables, runs = {}, set()
    for name in catalog.list_tables("exp"):
        rows = catalog.load_table(name).scan().to_arrow().to_pylist()
        if name[-1] == LEDGER:
            last = max(rows, key=lambda row: (row["computed_at"], row["run_id"]))
            tables["ledger"] = [len(rows), last["run_id"]]
            continue
        runs |= {row["run_id"] for row in rows if "run_id" in row}
        stable = sorted(
            repr([(k, v) for k, v in row.items() if k not in VOLATILE]) for row in rows
        )
        tables[name[-1]] = hashlib.sha256("\n".join(stable).encode()).hexdigest()
    ledger = tables.pop("ledger")
    try:
        verify_raw(project / "data" / "raw", EXPERIMENT)
        raw = "whole"
    except ContractError as error:
        raw = "reported" if error.parts.get("next") else "unclear"
    return {
        "tables": tables,
        "runs": sorted(runs),
        "ledger_rows": ledger[0],
        "last_run": ledger[1],
        "raw": raw,
    }


def choose_fatal(names: list[str], *, every: bool) -> list[int]:
    """Numbers of the events to be killed at."""
    numbers = list(range(1, len(names) + 1))
    if every:
        return numbers
    chosen = []
    for name, group in groupby(numbers, key=lambda number: names[number - 1]):
        members = list(group)
        if name in BATCHED:
            middle = members[len(members) // 2 : len(members) // 2 + 1]
            ends = {members[0], members[-1]}
            members = sorted(ends.union(middle if len(members) > LONG_ROW else ()))
        chosen += members
    return chosen


def judge(seen: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> str:
    """old or new when every table shows one whole run; mixed otherwise."""
    if seen["runs"] != [seen["last_run"]]:
        return "mixed"
    added = seen["ledger_rows"] - old["ledger_rows"]
    is_new = seen["last_run"] != old["last_run"]
    if seen["tables"] == new["tables"] and is_new and added == 1:
        return "new"
    if seen["tables"] == old["tables"] and not is_new and added == 0:
        return "old"
    return "mixed"


def clean_run(config: Path) -> list[str]:
    """Run to the end in a child.

    Raises:
        SystemExit: it did not.
    """
    code, names = in_child(lambda: publish(config))
    if code:
        raise SystemExit(f"a clean run of {config} ended with {code}")
    return names


def import_everything() -> None:
    """What a run and a reader import, once, before the forks."""
    for name in (
        "exp_platform.generate_synth",
        "exp_platform.lake.catalog",
        "exp_platform.lake.reading",
        "exp_platform.lake.staging",
        "exp_platform.pipelines.run_end_to_end",
        "exp_platform.report",
        "duckdb",
        "pandas",
        "pyarrow.dataset",
        "pyiceberg.io.pyarrow",
        "tenacity",
    ):
        importlib.import_module(name)
    from exp_platform.report.memo import open_templates

    for form in ("memo.md.j2", "memo.html.j2"):
        open_templates().get_template(form)


def run_trials(project: Path, part: int, parts: int, *, every: bool) -> dict[str, Any]:
    """The trials of a part, going back and forth between two known states."""
    configs = [project / "configs" / f"{name}.yaml" for name in ("old", "new")]
    known, names = [], []
    clean_run(configs[1])
    for config in configs:
        names = clean_run(config)
        before = in_child(partial(look, project))[1]
        known.append(before["tables"])
    at, trials = 1, []
    for number in choose_fatal(names, every=every)[part::parts]:
        at = 1 - at
        new = {"tables": known[at]}
        status, _ = in_child(partial(publish, configs[at], number))
        _, seen = in_child(partial(look, project))
        again, after = in_child(partial(publish_and_look, configs[at]))
        trials.append(
            {
                "event": number,
                "name": names[number - 1],
                "status": status,
                "found": judge(seen, before, new) if seen else "unread",
                "raw": seen["raw"] if seen else "unread",
                "rerun": again,
                "after": judge(after, seen or before, new) if after else "unread",
                "after_raw": after["raw"] if after else "unread",
            }
        )
        before = after or seen or before
    return {"events": names, "differ": known[0] != known[1], "trials": trials}


if __name__ == "__main__":
    import_everything()
    answer = run_trials(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        every="--every" in sys.argv,
    )
    sys.stdout.write(json.dumps(answer))
