"""Units by periods as one matrix, filled from rows that come in any order.

A cell is found by the unit's number, an array position: nothing is sorted, hashed or
summed, so that neither order nor threads can change a bit.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from exp_platform.errors import ContractError, StorageError
from exp_platform.lake import Engine
from exp_platform.stats.inference import Array

CELLS_IN_MEMORY = 1 << 27
"""Cells beyond which the matrix lies in a file (1 GiB of values)."""


def read_matrix(
    engine: Engine,
    sql: str,
    shape: tuple[int, int],
    *,
    most_cells: int = CELLS_IN_MEMORY,
) -> Array:
    """The value of every unit and period; NaN where there is no row.

    A matrix beyond `most_cells` is filled range by range of units, each from the rows
    anew, and kept in a file of the engine's temporary folder that ends with it.

    Args:
        engine: answers the query.
        sql: rows of (unit_no, period_no, value), numbers from 0, no value null or NaN.
        shape: units and periods.
        most_cells: how many may lie in memory at once.

    Raises:
        ContractError: a unit has several values in one period.
        StorageError: the disk is full.
    """
    n_units, n_periods = shape
    at_once = max(most_cells // max(n_periods, 1), 1)
    if n_units <= at_once:
        return _fill(engine, sql, shape, first=0)
    matrix = _matrix_in_file(shape, engine.temp_directory)
    for first in range(0, n_units, at_once):
        last = min(first + at_once, n_units)
        part = f"select * from ({sql}) where unit_no >= {first} and unit_no < {last}"
        matrix[first:last] = _fill(engine, part, (last - first, n_periods), first=first)
    return matrix


def _fill(engine: Engine, sql: str, shape: tuple[int, int], *, first: int) -> Array:
    n_units, n_periods = shape
    cells = np.full(n_units * n_periods, np.nan)
    n_rows = 0
    for place, value in engine.numbers(
        f"select (unit_no - {first}) * {n_periods} + period_no as place, value\n"
        f"from ({sql})"
    ):
        cells[place] = value
        n_rows += len(value)
    n_filled = cells.size - int(np.count_nonzero(np.isnan(cells)))
    if n_filled != n_rows:
        raise ContractError(
            "a unit has several values in one period",
            found=f"{n_rows:,} values for {n_filled:,} units and periods",
            allowed="one value per unit and period",
            next_step="aggregate to one row per unit and period",
        )
    return cells.reshape(shape)


def _matrix_in_file(shape: tuple[int, int], folder: Path) -> Array:
    """An empty matrix that the system may move out of memory."""
    size = shape[0] * shape[1] * np.dtype(float).itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # Reserved now: a mapped file that finds the disk full kills the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise StorageError(
                "the disk is full",
                where=str(folder),
                found=f"{size / 1e9:,.1f} GB are needed for a panel",
                next_step="free space, or set temp_directory to another disk",
            ) from error
        return np.memmap(file, dtype=float, mode="r+", shape=shape)
