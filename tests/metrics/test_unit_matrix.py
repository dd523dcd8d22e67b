"""Rows in any order to units by periods."""

import resource

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.errors import ContractError, StorageError
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics.unit_matrix import read_matrix, read_ranges

SQL = "select unit_no, period_no, value from exp_run.cells"
SHAPE = (1000, 7)


@pytest.fixture
def engine(tmp_path):
    settings = LakeSettings(tmp_path, tmp_path / "c.db", tmp_path, tmp_path)
    with Engine(settings) as engine:
        yield engine


@pytest.fixture
def cells(engine):
    """Half of the cells, shuffled."""
    random = np.random.default_rng(5)
    expected = np.where(random.random(SHAPE) < 0.5, random.normal(0, 1, SHAPE), np.nan)
    unit, period = np.nonzero(np.isfinite(expected))
    order = random.permutation(unit.size)
    columns = {
        "unit_no": unit[order],
        "period_no": period[order],
        "value": expected[unit, period][order],
    }
    engine.register("exp_run.cells", pa.table(columns))
    return expected


@pytest.mark.parametrize("most_cells", [7000, 6999, 700, 7, 1])
def test_read_matrix_is_the_same_in_memory_and_in_a_file(engine, cells, most_cells):
    found = read_matrix(engine, SQL, SHAPE, most_cells=most_cells)
    np.testing.assert_array_equal(found, cells)
    assert isinstance(found, np.memmap) == (most_cells < 7000)
    found[0] = 1.0
    assert not [path for path in engine.temp_directory.iterdir() if path.is_file()]


@pytest.mark.usefixtures("cells")
def test_read_matrix_refuses_two_values_in_a_cell(engine):
    twice = f"{SQL} union all (select * from ({SQL}) limit 1)"
    with pytest.raises(ContractError, match="several values in one period"):
        read_matrix(engine, twice, SHAPE)


@pytest.mark.usefixtures("cells")
def test_read_matrix_says_that_the_disk_is_full(engine):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StorageError, match="disk is full"):
            read_matrix(engine, SQL, SHAPE, most_cells=70)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("most_cells", [7000, 700])
def test_read_ranges_adds_millionths_exactly(engine, most_cells):
    random = np.random.default_rng(8)
    unit, period = random.integers(0, 999, 20_000), random.integers(0, 7, 20_000)
    millionths = random.integers(-(10**12), 10**12, 20_000)
    columns = {"unit_no": unit, "period_no": period, "value": millionths}
    engine.register("exp_run.cells", pa.table(columns))
    ranges = read_ranges(engine, SQL, SHAPE, is_sum=True, most_cells=most_cells)
    found = np.vstack([part for _, part in ranges])
    expected = [[0] * 7 for _ in range(1000)]
    for i, j, value in zip(unit, period, millionths.tolist(), strict=True):
        expected[i][j] += value
    np.testing.assert_array_equal(found, np.array(expected) / 1e6)
