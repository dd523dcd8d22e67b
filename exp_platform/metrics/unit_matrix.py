"""Units by periods as a matrix, filled from rows that come in any order.

A cell is found by the unit's number, an array position: nothing is sorted or hashed,
and only whole numbers are added, so that neither order nor threads can change a bit.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exp_platform.errors import ContractError, StorageError
from exp_platform.lake import Engine
from exp_platform.metrics.unit_values import MILLIONTHS
from exp_platform.stats.inference import Array

_SHARE = 0.25
"""Of the engine's memory limit: what the cells may take beside the engine."""
_PIECE = 1 << 16


def count_cells(engine: Engine) -> int:
    """How many cells of a matrix may lie in memory beside the engine."""
    return int(engine.memory_bytes * _SHARE) // np.dtype(float).itemsize


def read_matrix(
    engine: Engine,
    sql: str,
    shape: tuple[int, int],
    *,
    most_cells: int | None = None,
) -> Array:
    """The value of every unit and period; NaN where there is no row.

    A matrix beyond `most_cells` is kept in a file of the engine's temporary folder that
    ends with it.

    Args:
        engine: answers the query.
        sql: rows of (unit_no, period_no, value), numbers from 0, no value null or NaN.
        shape: units and periods.
        most_cells: how many may lie in memory at once; None = see `count_cells`.

    Raises:
        ContractError: a unit has several values in one period.
        StorageError: the disk is full.
    """
    matrix = None
    for first, part in read_ranges(engine, sql, shape, most_cells=most_cells):
        if len(part) == shape[0]:
            return part
        if matrix is None:
            matrix = _matrix_in_file(shape, engine.temp_directory)
        matrix[first : first + len(part)] = part
    return np.empty(shape) if matrix is None else matrix


def read_ranges(
    engine: Engine,
    sql: str,
    shape: tuple[int, int],
    *,
    is_sum: bool = False,
    most_cells: int | None = None,
) -> Iterator[tuple[int, Array]]:
    """The same as ranges of units, each read from the rows anew.

    Args:
        engine: answers the query, as often as there are ranges.
        sql: rows of (unit_no, period_no, value), numbers from 0, no value null or NaN.
        shape: units and periods.
        is_sum: a unit may have several values in one period, which are added; they are
            whole millionths, whose sum is exact in any order, and an absent row is 0.
        most_cells: how many may lie in memory at once; None = see `count_cells`.

    Yields:
        Number of the first unit, and the matrix of the range.

    Raises:
        ContractError: a unit has several values in one period.
    """
    n_units, n_periods = shape
    at_once = max((most_cells or count_cells(engine)) // max(n_periods, 1), 1)
    for first in range(0, n_units, at_once):
        last = min(first + at_once, n_units)
        part = sql
        if last - first < n_units:
            part = f"select * from ({sql}) where unit_no between {first} and {last - 1}"
        size = (last - first, n_periods)
        yield first, (_add if is_sum else _fill)(engine, part, size, first=first)


def _fill(engine: Engine, sql: str, shape: tuple[int, int], *, first: int) -> Array:
    cells = np.full(shape[0] * shape[1], np.nan)
    n_rows = 0
    # Period by period: rows mostly come so, and then their cells lie near each other.
    place = f"period_no * {shape[0]} + unit_no - {first}"
    for places, value in engine.numbers(f"select {place} as place, value from ({sql})"):
        cells[places] = value
        n_rows += len(value)
    n_filled = cells.size - int(np.count_nonzero(np.isnan(cells)))
    if n_filled != n_rows:
        raise ContractError(
            "a unit has several values in one period",
            found=f"{n_rows:,} values for {n_filled:,} units and periods",
            allowed="one value per unit and period",
            next_step="aggregate to one row per unit and period",
        )
    return cells.reshape(shape[::-1]).T


def _add(engine: Engine, sql: str, shape: tuple[int, int], *, first: int) -> Array:
    cells = np.zeros(shape[0] * shape[1], dtype=np.int64)
    for place, value in engine.numbers(_places(sql, shape[1], first)):
        np.add.at(cells, place, value)
    sums = cells.view(np.float64)
    for start in range(0, cells.size, _PIECE):
        # in place: whole millionths and their doubles are of one size
        piece = slice(start, start + _PIECE)
        sums[piece] = cells[piece] / MILLIONTHS
    return sums.reshape(shape)


def _places(sql: str, n_periods: int, first: int) -> str:
    """The rows with the place of their cell in the matrix."""
    place = f"(unit_no - {first}) * {n_periods} + period_no"
    return f"select {place} as place, value from ({sql})"


def _matrix_in_file(shape: tuple[int, int], folder: Path) -> Array:
    """An empty matrix that the system may move out of memory, laid out as in `_fill`."""
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
        return np.memmap(file, dtype=float, mode="r+", shape=shape[::-1]).T
