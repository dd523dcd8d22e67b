"""What a commit costs as experiments grow in number, and what a row takes on disk.

    python bench/commits.py [--experiments 400] [--rows 1000000]

A local lake, so that the catalog and the store answer at once: CPU time of publishing one
experiment's rows when the table has few and many experiments, and of planning a read of
one. A store far away adds its round trips, which the script counts as files written.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from metrics import DAYS, OUTCOMES, ROWS_PER_UNIT, settings


def outcomes(number: int, rows: int) -> str:
    """Rows of one experiment."""
    own = {
        "id": f"exp_{number:05d}",
        "seed": number,
        "units": max(rows // ROWS_PER_UNIT, 2),
        "rows": rows,
        "first": 0,
        "last": rows,
    }
    return OUTCOMES.format(**own, days=DAYS)


def publish(lake: Any, engine: Any, number: int, rows: int) -> float:
    """CPU seconds of one publication."""
    began = time.process_time()
    lake.replace_experiment(
        "outcomes", f"exp_{number:05d}", outcomes(number, rows), engine=engine
    )
    return time.process_time() - began


def planned(lake: Any, engine: Any, number: int) -> float:
    """CPU seconds of finding one experiment's files."""
    began = time.process_time()
    lake.file_selects(engine, "outcomes", experiment_id=f"exp_{number:05d}")
    return time.process_time() - began


def tree(folder: Path) -> dict[str, int]:
    return {str(f): f.stat().st_size for f in folder.rglob("*") if f.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=400)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    from exp_platform.lake import open_lake

    n = arguments.experiments
    with tempfile.TemporaryDirectory() as folder:
        chosen = settings(Path(folder))
        with open_lake(chosen) as lake, lake.engine() as engine:
            publish(lake, engine, n + 1, arguments.rows)
            data = [
                (name, size)
                for name, size in tree(chosen.paths.warehouse).items()
                if name.endswith(".parquet")
            ]
            size = sum(size for _, size in data)
            print(f"an outcome row takes {size / arguments.rows:.1f} bytes on disk")
            took = [publish(lake, engine, number, 100) for number in range(n)]
            few, many = sum(took[1:21]) / 20, sum(took[-20:]) / 20
            print(f"a commit at {n} experiments: {many / few:.2f}x of the first ones")
            reads = [planned(lake, engine, number) for number in (0, n // 2, n - 1)]
            print(f"planning a read of one: {sum(reads) / 3 / many:.2f}x of a commit")
            before = set(tree(chosen.paths.warehouse))
            publish(lake, engine, 0, 100)
            new = {
                k: v for k, v in tree(chosen.paths.warehouse).items() if k not in before
            }
            kinds = sorted(Path(name).suffix for name in new)
            print(
                f"a commit writes {len(new)} files, {sum(new.values()):,} bytes: {kinds}"
            )


if __name__ == "__main__":
    main()
