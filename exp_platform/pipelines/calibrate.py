"""Measure the error rates of every method: `make calibrate` writes docs/calibration.md.

A gate that fails is a finding about its method, and the exit code is 1.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children
from pathlib import Path

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.calibration.gate import Simulation
from exp_platform.pipelines.calibration.judge import Row, run_simulation
from exp_platform.pipelines.calibration.page import render_page, render_table
from exp_platform.pipelines.calibration.registry import N_GATES, SIMULATIONS
from exp_platform.pipelines.interrupts import end_command, hold_interrupts
from exp_platform.pipelines.progress import Progress

Figures = tuple[float, float, float, int]
"""Tolerance, value, error and runs of a row."""


def calibrate(
    *,
    only: Sequence[str] = (),
    short: bool = False,
    seed: int = 0,
    output: Path | None = None,
    jobs: int | None = None,
) -> tuple[Row, ...]:
    """Run the simulations and judge their gates.

    Args:
        only: names of simulations; empty = all.
        short: fewer experiments, as in the tests.
        seed: another one draws other experiments; 0 = those of the page.
        output: Markdown file for the whole table.
        jobs: processes; None = one per processor.

    Returns:
        One row per gate, in the order of the table.

    Raises:
        UsageError: no such simulation, or a part of the table for the page.
    """
    chosen = _choose(only)
    if output is not None and (only or short or seed):
        raise UsageError(
            "the page is the whole table at its own seed",
            found="--output together with --only, --short or --seed",
            next_step="leave out one or the other",
        )
    rows = tuple(_run(chosen, short=short, seed=seed, jobs=jobs or os.cpu_count() or 1))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(render_page(rows), "utf-8")
    return rows


def describe_rows(rows: Sequence[Row]) -> str:
    """The table, and what failed."""
    failed = [row.name for row in rows if not row.is_passed]
    end = f"{len(rows) - len(failed)} of {len(rows)} gates pass\n"
    return (
        render_table(rows) + "\n" + end + "".join(f"FAIL {name}\n" for name in failed)
    )


def _choose(only: Sequence[str]) -> list[Simulation]:
    by_name = {simulation.name: simulation for simulation in SIMULATIONS}
    for name in only:
        if name not in by_name:
            raise UsageError(
                "there is no such simulation",
                found=name,
                allowed=did_you_mean(name, by_name),
            )
    return [by_name[name] for name in dict.fromkeys(only)] or list(SIMULATIONS)


def _run(
    chosen: Sequence[Simulation], *, short: bool, seed: int, jobs: int
) -> Iterator[Row]:
    """Rows in order; the simulations run side by side."""
    run = partial(_run_one, short=short, seed=seed)
    names = [simulation.name for simulation in chosen]
    progress = Progress("calibrate")
    try:
        if jobs == 1 or len(names) == 1:
            yield from _collect(chosen, map(run, names), progress)
            return
        with ProcessPoolExecutor(jobs) as pool:
            try:
                # Not pool.map: it cancels what waits, and a pool whose processes have
                # died then prints a traceback of its own.
                with hold_interrupts():
                    futures = [pool.submit(run, name) for name in names]
                answers = (future.result() for future in futures)
                yield from _collect(chosen, answers, progress)
            except BaseException:
                # Nobody reads what the others still count.
                for process in active_children():
                    process.terminate()
                raise
    finally:
        progress.close()


def _collect(
    chosen: Sequence[Simulation],
    found: Iterable[Sequence[Figures]],
    progress: Progress,
) -> Iterator[Row]:
    for simulation, figures in zip(chosen, found, strict=True):
        progress.say(f"{simulation.name} done")
        for gate, one in zip(simulation.gates, figures, strict=True):
            yield Row(simulation, gate, *one)


def _run_one(name: str, *, short: bool, seed: int) -> tuple[Figures, ...]:
    """Numbers of one simulation: it is looked up by name, and cannot be sent back."""
    rows = run_simulation(_choose([name])[0], N_GATES, short=short, seed=seed)
    return tuple((row.tolerance, row.value, row.error, row.runs) for row in rows)


def main() -> int:
    """Print the table, or write the page; exit code 1 when a gate fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="Markdown file; default stdout")
    parser.add_argument("--short", action="store_true", help="as in the tests")
    parser.add_argument("--only", action="append", default=[], metavar="GATE")
    parser.add_argument("--seed", type=int, default=0, help="draw other experiments")
    parser.add_argument("--jobs", type=int, help="processes; default one per processor")
    arguments = parser.parse_args()

    def action() -> int:
        """Run, and say what came of it."""
        rows = calibrate(**vars(arguments))
        if arguments.output is None:
            sys.stdout.write(describe_rows(rows))
        return 0 if all(row.is_passed for row in rows) else 1

    return end_command(action)


if __name__ == "__main__":
    raise SystemExit(main())
