"""`exp import`: what is refused, and that nothing is written then."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.imported import (
    BASE,
    DATED,
    GOOD,
    LONG,
    LONG_FILE,
    arm,
    csv,
    spend,
)

REFUSED = {
    "empty file": ("", BASE, 3, ("the file is empty", "file.csv")),
    "header only": ("user,grp,spend\n", BASE, 3, ("no rows",)),
    "one arm": (
        csv("user,grp,spend", lambda i: f"u{i},A,{i}"),
        BASE,
        2,
        ("two or more arms", "1 arms: A", "--variant"),
    ),
    "no control": (
        csv("user,grp,spend", lambda i: f"u{i},B,{i}"),
        BASE,
        2,
        ("control 'A'", "known: B"),
    ),
    "an arm for every row": (
        GOOD,
        ("--variant", "user", "--control", "u1", "--metric", "spend"),
        2,
        ("two or more arms",),
    ),
    "Latin-1": (
        GOOD.replace("u5,", "ü5,").encode("latin1"),
        BASE,
        3,
        ("file.csv", "not utf-8", "UTF-8"),
    ),
    "UTF-16": (GOOD.encode("utf-16"), BASE, 3, ("file.csv", "UTF-8")),
    "a short line": (GOOD + "u9999,A\n", BASE, 3, ("file.csv", "Line: 242")),
    "a long line": (GOOD + "u9999,A,1,1,1\n", BASE, 3, ("file.csv", "Line: 242")),
    "an open quote": (GOOD + 'u9999,A,"open\n', BASE, 3, ("file.csv",)),
    "no header": (
        csv("u,A,1", spend),
        BASE,
        2,
        ("no column 'grp'", "known: "),
    ),
    "two columns of one name": (
        csv("user,grp,spend,spend", lambda i: f"{spend(i)},{i}"),
        BASE,
        2,
        ("several columns of the file are called 'spend'", "file.csv"),
    ),
    "a comment": ("# made by hand\n" + GOOD, BASE, 3, ("file.csv", "Line: 2")),
    "mistyped column": (
        GOOD,
        ("--unit", "usr", *BASE[2:]),
        2,
        ("no column 'usr'", "did you mean 'user'?", "nothing was written"),
    ),
    "unknown metric type": (
        GOOD,
        (*BASE[:-1], "spend:foo"),
        2,
        ("foo", "mean, count, proportion"),
    ),
    "several rows of a unit": (
        csv("user,grp,spend", lambda i: f"u{i // 2},{arm(i // 2)},{i % 2}"),
        BASE,
        2,
        ("one row per unit", "120 units in more than one row", "--keep-duplicates"),
    ),
    "the arm as the unit": (
        GOOD,
        ("--unit", "grp", *BASE[2:]),
        2,
        ("one row per unit", "'A' in 120"),
    ),
    "shares above 1": (
        GOOD,
        (*BASE, "--weight", "A=0.9", "--weight", "B=0.3"),
        2,
        ("--weight", "A=0.9, B=0.3"),
    ),
    "share that is no number": (
        GOOD,
        (*BASE, "--weight", "A=nan", "--weight", "B=0.3"),
        2,
        ("--weight", "A=nan"),
    ),
    "metric name of 300 characters": (
        csv(f"user,grp,{'m' * 300}", spend),
        (*BASE[:-1], "m" * 300),
        2,
        ("at most 128",),
    ),
    "arm of 600 characters": (
        csv("user,grp,spend", lambda i: f"u{i},{['A', 'B' * 600][i % 2]},{i}"),
        BASE,
        3,
        ("arms",),
    ),
    "no readable instant": (
        csv(DATED, lambda i: f"{spend(i)},later"),
        (*BASE, "--exposure-ts", "ts"),
        2,
        ("'ts' holds no instant", "ISO 8601"),
    ),
    "window the wrong way round": (
        csv(DATED, lambda i: f"{spend(i)},2026-01-0{1 + i % 9}"),
        (*BASE, "--exposure-ts", "ts", "--start", "2026-02-01", "--end", "2026-01-01"),
        3,
        ("ends before it starts",),
    ),
    "window without dates": (
        GOOD,
        (*BASE, "--start", "2026-02-01"),
        2,
        ("--exposure-ts",),
    ),
    "ratio with a metric's name": (
        GOOD,
        (*BASE, "--ratio", "spend=spend/spend"),
        3,
        ("twice", "spend"),
    ),
    "ratio of an unknown metric": (
        GOOD,
        (*BASE, "--ratio", "r=spend/visits"),
        2,
        ("'visits' is not a metric",),
    ),
    "tie-break that is no metric": (
        GOOD,
        (*BASE, "--tie-break", "spent"),
        3,
        ("tie_break", "did you mean 'spend'?"),
    ),
    "guardrail and monitor": (
        GOOD,
        (*BASE, "--guardrail", "spend=0.02", "--monitor", "spend"),
        2,
        ("both a guardrail and a monitor",),
    ),
    "two margins": (
        GOOD,
        (*BASE, "--guardrail", "spend=0.02", "--guardrail-absolute", "spend=3"),
        2,
        ("'spend' has two margins", "--guardrail 0.02 and --guardrail-absolute 3"),
    ),
    "covariate that is the metric": (
        GOOD,
        (*BASE, "--covariate", "spend=spend"),
        2,
        ("the metric itself",),
    ),
    "a segment for every unit": (
        GOOD,
        (*BASE, "--segment", "user"),
        2,
        ("too many values", "240"),
    ),
    "a segment called like the arm": (
        csv("user,Variant,spend", spend),
        ("--variant", "Variant", *BASE[4:], "--segment", "Variant"),
        2,
        ("'Variant' cannot be told from the arm", "another name"),
    ),
    "a segment called like rows of ours": (
        csv("user,grp,spend,population", lambda i: f"{spend(i)},young"),
        (*BASE, "--segment", "population"),
        2,
        ("'population' cannot be told from the rows without bots", "another name"),
    ),
    "a segment with an equals sign": (
        csv("user,grp,spend,a=b", lambda i: f"{spend(i)},c"),
        (*BASE, "--segment", "a=b"),
        2,
        ("'a=b' cannot be told from a level of 'a'",),
    ),
    "long file without such an outcome": (
        LONG_FILE,
        (*LONG, "--metric", "zzz"),
        2,
        ("'zzz'", "known: a, b"),
    ),
    "long file without unit": (
        LONG_FILE,
        (*LONG[2:], "--metric", "a"),
        2,
        ("--unit",),
    ),
    "long file with two of three columns": (
        LONG_FILE,
        (*LONG[:-2], "--metric", "a"),
        2,
        ("--outcome-ts",),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_import_refuses_and_writes_nothing(project, bring, name):
    content, flags, code, words = REFUSED[name]
    answer = bring(content, *flags)
    assert answer.code == code, answer
    assert answer.err.startswith("error: ")
    assert len(answer.err) < 1500
    for word in words:
        assert word in answer.err
    assert not project.raw.exists()
    assert project.tables() == {}


def test_import_without_file_is_refused(project):
    answer = project.exp("import", "no.csv", "--experiment-id", "exp_file", *BASE)
    assert answer.code == 2
    assert "no.csv" in answer.err


@pytest.mark.parametrize("experiment_id", ["../up", "x" * 300, "a; drop table b", ""])
def test_import_with_unsafe_experiment_id_is_refused(project, bring, experiment_id):
    answer = bring(GOOD, *BASE, experiment_id=experiment_id)
    assert answer.code == 2
    assert "not an experiment id" in answer.err
    assert not (project.root / "data").exists()


def test_import_with_truncated_parquet_is_refused(project, bring):
    table = pa.table({"user": ["a", "b"], "grp": ["A", "B"], "spend": [1.0, 2.0]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    half = sink.getvalue().to_pybytes()[:200]
    answer = bring(half, *BASE, name="file.parquet")
    assert answer.code == 3
    assert "file.parquet" in answer.err
    assert not project.raw.exists()


def test_import_with_bytes_that_are_not_utf8_in_parquet_is_refused(project):
    broken = pa.array([b"\xff\xfe"] * 4, pa.binary())
    arms = pa.Array.from_buffers(pa.string(), 4, broken.buffers())
    file = project.root / "file.parquet"
    pq.write_table(
        pa.table({"user": list("abcd"), "grp": arms, "spend": [1.0] * 4}), file
    )
    answer = project.exp("import", file, "--experiment-id", "exp_file", *BASE)
    assert answer.code == 3
    assert "UTF8" in answer.err
    assert not project.raw.exists()


def test_import_refuses_a_metric_of_words(bring):
    answer = bring(csv("user,grp,spend", lambda i: f"u{i},{arm(i)},many"), *BASE)
    assert answer.code == 2
    assert "has no number at all" in answer.err


def test_import_refuses_arms_that_differ_in_spaces(bring):
    def line(i):
        return f"u{i},{arm(i)}{' ' if i % 6 == 0 else ''},{i % 3}"

    answer = bring(csv("user,grp,spend", line), *BASE)
    assert answer.code == 2
    assert "differ only in spaces or capitals" in answer.err


def test_import_refuses_a_margin_of_everything(bring):
    def line(i):
        return f"u{i},{arm(i)},{i % 3}"

    answer = bring(csv("user,grp,spend", line), *BASE, "--guardrail", "spend=5")
    assert answer.code == 2
    assert "100 %" in answer.err
