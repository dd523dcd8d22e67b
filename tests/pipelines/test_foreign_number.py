"""What `exp reconcile` refuses: queries that are more than a SELECT, and bad input."""

from pathlib import Path
from typing import Any

import pytest

ID = "exp_tiny"

ATTACKS = {
    "file": "select count(*) from read_csv('/etc/passwd')",
    "file by name": "select count(*) from '/etc/passwd'",
    "text": "select length(content) from read_text('/etc/passwd')",
    "glob": "select count(*) from glob('/etc/*')",
    "two": "select 1; select 2",
    "drop": "drop table exp.outcomes",
    "hidden write": "select 1; drop table exp.outcomes",
    "copy": "copy exp.outcomes to '/tmp/out.csv'",
    "attach": "attach '/tmp/x.db'",
    "setting": "set enable_external_access = true",
    "settings": "select count(*) from duckdb_settings()",
    "another schema": "select count(*) from exp_run.run_experiments",
    "another catalog": "select count(*) from memory.exp.outcomes",
    "query in a text": "select * from query('select 1')",
    "nested": "select (select count(*) from read_csv('/etc/passwd'))",
    "in a with": "with a as (from read_parquet('x')) select count(*) from a",
    "extension": "install httpfs",
    "nothing": "   ",
    "no query": "tell me why",
    "several columns": "select 1, 2, 3",
    "no number": "select 'a'",
    "not finite": "select cast('nan' as double)",
    "unknown variant": "select 'neither', 1.0",
    "variant twice": "select 'control', i from range(2) as t(i)",
    "no row": "select 1 where false",
    "unknown column": "select nothing from exp.outcomes",
    "no text": "\udcff",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_reconcile_refuses_a_query_that_is_more_than_a_select(
    ready: Any, tmp_path: Path, attack: str
) -> None:
    file = tmp_path / "attack.sql"
    file.write_text(ATTACKS[attack], "utf-8", errors="surrogateescape")
    answer = ready.exp("reconcile", ID, "conversion", "--sql", file)
    assert answer.code == 2, answer.out
    assert answer.err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((ID, "conversion"), 2),
        ((ID, "conversion", "--value", "1", "--sql", "x.sql"), 2),
        ((ID, "conversion", "--value", "a lot"), 2),
        ((ID, "conversion", "--value", "1,234"), 2),
        ((ID, "conversion", "--value", "nan"), 2),
        ((ID, "conversion", "--value", "1", "--statistic", "median"), 2),
        ((ID, "conversion", "--value", "1", "--statistic", "denominator"), 2),
        (
            (
                ID,
                "conversion",
                "--value",
                "1",
                "--statistic",
                "lift",
                "--variant",
                "control",
            ),
            2,
        ),
        ((ID, "conversion", "--value", "1", "--variant", "neither"), 2),
        ((ID, "conversion", "--value", "1", "--timezone", "Moon"), 2),
        ((ID, "conversion", "--value", "1", "--depth", "9"), 2),
        ((ID, "conversion", "--sql", "nowhere.sql"), 2),
        ((ID, "no_metric", "--value", "1"), 2),
        (("exp_never", "conversion", "--value", "1"), 3),
        (("../x", "conversion", "--value", "1"), 2),
    ],
)
def test_reconcile_refuses_bad_input(ready: Any, words: Any, code: int) -> None:
    answer = ready.exp("reconcile", *words)
    assert answer.code == code, answer.out
    assert answer.out == ""
