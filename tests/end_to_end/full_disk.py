"""Run the main job on a tiny file system that fills up.

    python full_disk.py PROJECT

PROJECT/data must be a small tmpfs. Prints, for each amount of free space left, the exit
code and the message of a run, and whether all tables are as they were; then whether a
run works again once there is space.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

FREE_KILOBYTES = (0, 16, 64, 128, 200, 260)


def run(project: Path) -> tuple[int, str]:
    """Exit code and standard error of one run."""
    from exp_platform.pipelines.run_end_to_end import main

    config = project / "configs" / "dev.yaml"
    words = ["--config", str(config), "--experiment-id", "exp_tiny"]
    sys.argv = ["run_end_to_end", *words, "--generate-synth"]
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        code = main()
    return code, error.getvalue()


def read_tables(project: Path) -> dict[str, list[str]]:
    """Every table's rows, by PyIceberg alone."""
    from pyiceberg.catalog.sql import SqlCatalog

    path = project / "data" / "warehouse" / "catalog.db"
    catalog = SqlCatalog("iceberg", uri=f"sqlite:///{path}")
    try:
        return {
            name[-1]: sorted(
                map(repr, catalog.load_table(name).scan().to_arrow().to_pylist())
            )
            for name in catalog.list_tables("exp")
        }
    finally:
        catalog.close()


def fill(filler: Path, free: int) -> None:
    """Take all space of the file system but `free` bytes."""
    state = os.statvfs(filler.parent)
    filler.write_bytes(b"x" * max(state.f_bavail * state.f_frsize - free, 0))


def main() -> None:
    """Fill, run, compare, free, run."""
    project = Path(sys.argv[1])
    filler = project / "data" / "filler"
    first = run(project)
    before = read_tables(project)
    trials = []
    for kilobytes in FREE_KILOBYTES:
        fill(filler, kilobytes * 1024)
        code, message = run(project)
        is_same = read_tables(project) == before
        filler.unlink()
        trials.append((kilobytes, code, message, is_same))
    again = run(project)
    answer = {"first": first, "trials": trials, "again": again}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
