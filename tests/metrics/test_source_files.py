"""What is remembered of a data file says how its rows may be added."""

import pytest

from exp_platform.metrics.source_files import (
    OUTCOMES,
    FilePlan,
    SourceFile,
    note_files,
)


@pytest.mark.parametrize(
    ("values", "is_exact"),
    [
        ((0.1, 999_999_999.999_999, -2.5), True),
        ((0.1, 1e9), False),  # of 4476985786.1 engines make different decimals
        ((0.1, 0.123_456_7), False),
    ],
)
def test_note_files_says_which_values_are_decimals(engine, values, is_exact):
    rows = ", ".join(f"({value!r})" for value in values)
    select = (
        "select timestamptz '2026-01-05 00:00:00+00' as outcome_ts,"
        f" 'spend' as metric_name, cast(value as double) as value from (values {rows}) as v (value)"
    )
    file = SourceFile(OUTCOMES, "a.parquet", select)
    (note,) = note_files(engine, FilePlan(kept=(), unread=((1, file),), gone=()))
    assert note.inexact == (() if is_exact else ("spend",))
    assert note.large == ()
