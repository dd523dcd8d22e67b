"""`exp import`: what a file may hold, and what is inferred."""

import gzip
import json

import pytest

from tests.pipelines.imported import (
    BASE,
    GOOD,
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
        (b"\xef\xbb\xbf" + GOOD.encode(), "file.csv"),
        (GOOD.replace(",", ";"), "file.csv"),
        (GOOD.replace(",", "\t"), "file.tsv"),
        (gzip.compress(GOOD.encode()), "file.csv.gz"),
        (GOOD + GOOD.split("\n", 1)[1], "file.csv"),
    ],
    ids=["plain", "crlf", "bom", "semicolon", "tabs", "gzip", "delivered twice"],
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
