"""`exp import`: what a file may hold, and what is inferred."""

import gzip
import json

import pytest

from tests.pipelines.imported import (
    BASE,
    GOOD,
    LONG,
    LONG_FILE,
    SQL,
    arm,
    csv,
    rows,
    spend,
    welch,
)

SAFE_SQL = {
    "metric": (
        csv(f'user,grp,"{SQL.replace(chr(34), chr(34) * 2)}"', spend),
        (*BASE[:-1], SQL),
    ),
    "variant column": (
        csv(f'user,"{SQL.replace(chr(34), chr(34) * 2)}",spend', spend),
        ("--unit", "user", "--variant", SQL, *BASE[4:]),
    ),
    "unit column": (
        csv(f'"{SQL.replace(chr(34), chr(34) * 2)}",grp,spend', spend),
        ("--unit", SQL, *BASE[2:]),
    ),
    "arm": (
        csv(
            "user,grp,spend",
            lambda i: (
                f"""u{i},{["A", '"B' + "'; drop table x; --" + '"'][i % 2]},{i}"""
            ),
        ),
        BASE,
    ),
    "segment value": (
        csv("user,grp,spend,s", lambda i: f'{spend(i)},"\'; drop table x; --{i % 3}"'),
        (*BASE, "--segment", "s"),
    ),
    "segment column": (
        csv('user,grp,spend,"s\']; drop table x; --"', lambda i: f"{spend(i)},{i % 3}"),
        (*BASE, "--segment", "s']; drop table x; --"),
    ),
    "markup": (
        csv("user,grp,<script>alert(1)</script>", spend),
        (*BASE[:-1], "<script>alert(1)</script>"),
    ),
}


@pytest.mark.parametrize("name", SAFE_SQL)
def test_import_and_run_never_execute_names_and_values(project, bring, name):
    content, flags = SAFE_SQL[name]
    answer = bring(content, *flags)
    assert (answer.code, answer.err) == (0, "")
    answer = project.exp("run", "exp_file")
    assert (answer.code, answer.err) == (0, "")
    (estimate,) = rows(project, "analysis_results", method="welch_t", segment="all")
    assert (estimate["status"], estimate["n_control"]) == ("OK", 120)
    assert len(rows(project, "exposures")) == 240
    memo = project.root / "data" / "memos" / "exp_file.html"
    assert "<script>alert" not in memo.read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (GOOD, "file.csv"),
        (GOOD.replace("\n", "\r\n"), "file.csv"),
        (GOOD.replace("\n", "\r"), "file.csv"),
        (GOOD.replace("\nu", "\n#u"), "file.csv"),
        (GOOD.replace("\nu1", "\n#u1"), "file.csv"),
        (GOOD.replace("user,", "id,id,user,").replace("\nu", "\n1,2,u"), "file.csv"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "file.csv"),
        (GOOD.replace(",", ";"), "file.csv"),
        (GOOD.replace(",", "\t"), "file.tsv"),
        (gzip.compress(GOOD.encode()), "file.csv.gz"),
        (GOOD + GOOD.split("\n", 1)[1], "file.csv"),
    ],
    ids=[
        *("plain", "crlf", "cr", "ids with #", "some ids with #", "unnamed columns"),
        *("bom", "semicolon", "tabs", "gzip", "delivered twice"),
    ],
)
def test_import_gives_the_same_numbers_in_every_form(project, bring, content, name):
    answer = bring(content, *BASE, name=name)
    assert (answer.code, answer.err) == (0, "")
    assert project.exp("run", "exp_file").code == 0
    values = {
        a: [float(spend(i).split(",")[2]) for i in range(240) if arm(i) == a]
        for a in "AB"
    }
    means = {a: sum(v) / len(v) for a, v in values.items()}
    row = welch(project)
    assert (row["n_control"], row["n_treatment"]) == (120, 120)
    # sums of values with two decimals are exact; one division rounds
    assert row["control_mean"] == pytest.approx(means["A"], rel=1e-14)
    assert row["difference"] == pytest.approx(means["B"] - means["A"], rel=1e-12)


def test_import_keeping_duplicates_adds_a_units_rows_up(project, bring):
    content = csv("user,grp,spend", lambda i: f"u{i // 2},{arm(i // 2)},{1 + i % 4}")
    content = content + content.split("\n", 1)[1]
    assert bring(content, *BASE, "--keep-duplicates").code == 0
    assert project.exp("run", "exp_file").code == 0
    # units in A have rows 1 and 2, in B 3 and 4, each delivered twice
    row = welch(project)
    assert (row["control_mean"], row["treatment_mean"]) == (6.0, 14.0)
    assert row["n_control"] == 60


@pytest.mark.parametrize(
    ("values", "kind"),
    [("01", "proportion"), ("12", "count"), ("", "mean")],
)
def test_import_infers_a_type_and_says_so(project, bring, values, kind):
    def line(i):
        return f"u{i},{arm(i)},{values[i % 2] if values else ''}"

    answer = bring(csv("user,grp,spend", line), *BASE)
    assert f"spend: {kind}, because" in answer.out
    assert project.exp("run", "exp_file").code == 0
    (registry,) = rows(project, "experiment_registry")
    assert json.loads(registry["definitions"])["spend"]["type"] == kind


def visits(rows_of):
    """A long file: 240 units, with the values and days that `rows_of` says."""
    lines = [
        f"u{i},{arm(i)},2026-01-03,visit,{value},2026-01-{day:02d}"
        for i in range(240)
        for value, day in rows_of(i)
    ]
    return "\n".join(["user,grp,ts,m,v,ots", *lines])


ONES = [(1, 3), (1, 4), (1, 5)]
FLAGS = {
    "a row of 1 for each": (
        lambda _: [(1, 4)],
        "proportion, because its values are all 1, and no unit has more than one row",
    ),
    "0 or 1": (
        lambda i: [(i % 3 == 0, 4), (0, 5)],
        "proportion, because its values are 0 or 1, and no unit has more than one row",
    ),
    "several of 1": (
        lambda i: ONES[: 1 + i % 3],
        "count, because its values are all 1 and add up: 160 units have up to 3 rows",
    ),
    "0 and several of 1": (
        lambda i: ONES if i == 7 else [(0, 3)],
        "count, because its values are 0 or 1 and add up: 1 unit has up to 3 rows of 1",
    ),
    "the same row twice": (
        lambda _: [(1, 4), (1, 4)],
        "proportion, because its values are all 1, and no unit has more than one row",
    ),
    "one from before exposure": (
        lambda _: [(1, 1), (1, 4)],
        "proportion, because its values are all 1, and no unit has more than one row",
    ),
}


@pytest.mark.parametrize("name", FLAGS)
def test_import_of_a_long_file_tells_whether_from_how_often(bring, name):
    rows_of, words = FLAGS[name]
    content = visits(lambda i: [(int(value), day) for value, day in rows_of(i)])
    answer = bring(content, *LONG, "--metric", "visit")
    assert (answer.code, answer.err) == (0, "")
    assert f"visit: {words}" in answer.out


def test_import_of_a_long_file_keeping_duplicates_counts_equal_rows(project, bring):
    content = visits(lambda i: [(1, 4)] * (1 + i % 2))
    answer = bring(content, *LONG, "--metric", "visit", "--keep-duplicates")
    assert "visit: count, because its values are all 1 and add up" in answer.out
    assert project.exp("run", "exp_file").code == 0
    row = welch(project, "visit")
    assert (row["control_mean"], row["treatment_mean"]) == (1.0, 2.0)


def test_import_takes_the_treatment_received_as_yes_or_no(bring):
    flags = ("--metric", "visit", "--received", "visit")
    answer = bring(visits(lambda i: ONES[: 1 + i % 3]), *LONG, *flags)
    assert "visit: proportion, because its values are 0 or 1" in answer.out


def test_import_of_true_and_false_is_a_proportion(project, bring):
    content = csv("user,grp,spend", lambda i: f"u{i},{arm(i)},{i % 3 == 0}")
    assert "spend: proportion" in bring(content, *BASE).out
    assert project.exp("run", "exp_file").code == 0
    # every third unit: 40 of the 120 in each arm
    assert welch(project)["control_mean"] == pytest.approx(1 / 3, rel=1e-14)


def test_import_without_unit_takes_the_row_number(project, bring):
    content = csv("grp,spend", lambda i: f"{arm(i)},{i % 7}")
    answer = bring(content, *BASE[2:])
    assert "each row is one unit" in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["n_control"] == 120


def test_import_of_columns_with_our_internal_names(project, bring):
    content = csv("__row_number,file_row_number,spend", lambda i: f"u{i},{arm(i)},{i}")
    flags = ("--unit", "__row_number", "--variant", "file_row_number", *BASE[4:])
    assert bring(content, *flags).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["n_control"] == 120


def test_import_again_replaces_the_first_file(project, bring):
    assert bring(GOOD, *BASE).code == 0
    assert project.exp("run", "exp_file").code == 0
    half = csv("user,grp,spend", spend, 220)
    assert bring(half, *BASE).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["n_control"] == 110
    assert len(rows(project, "analysis_runs")) == 2


def test_import_keeps_ids_that_look_like_decimals_apart(project, bring):
    def line(i):
        return f"{i // 20}.{1 + i % 20},{arm(i)},{i % 7}"

    assert bring(csv("user,grp,spend", line), *BASE).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["n_control"] == 120


def test_import_tells_of_the_outcomes_that_no_flag_names(bring):
    """They were left out without a word, among the rows that landed."""
    content = (
        LONG_FILE + "u0,A,2026-01-01,c,1,2026-01-02\nu0,A,2026-01-01,,1,2026-01-02\n"
    )
    answer = bring(content, *LONG, "--metric", "a")
    assert (answer.code, answer.err) == (0, "")
    assert "482 rows of outcomes that no flag names ('b', 'c'): left out" in answer.out
    answer = bring(content, *LONG, "--metric", "a", "--metric", "b", "--metric", "c")
    assert "1 row of outcomes without a name: left out" in answer.out
    answer = bring(LONG_FILE, *LONG, "--metric", "a", "--metric", "b")
    assert "left out" not in answer.out


@pytest.mark.parametrize("name", ["A", "a ", " a"])
def test_import_refuses_an_outcome_written_in_two_ways(project, bring, name):
    """Values of the other one were lost, and its units had 0."""
    content = LONG_FILE + f"u0,A,2026-01-01,{name},1,2026-01-02\n"
    answer = bring(content, *LONG, "--metric", "a", "--metric", "b")
    assert answer.code == 2, answer
    assert "two outcomes differ only in spaces or capitals" in answer.err
    assert not project.raw.exists()
    flags = ("--metric", "a", "--metric", "b", "--metric", name)
    assert bring(content, *LONG, *flags).code == 0
