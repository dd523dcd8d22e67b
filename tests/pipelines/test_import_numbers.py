"""`exp import`: numbers in another notation are refused, other texts are said."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipelines.imported import (
    BASE,
    LONG,
    LONG_FILE,
    arm,
    csv,
    rows,
    welch,
)

FOREIGN = [
    *("1,234", "4,136.58", "1.234,5", "1.234.567", "1 234", "1\u00a0234,50"),
    *("12,34,567.5", "1'234.50", "1\u2019234", "6,99", ",5", "-6,99", "1,5e3"),
    *("$19.72", "19,72 €", "-$5", "£ 1,234", "12%", "12.5 %", "(5.20)", "5.20-"),
    *("\u22125.2", "1.2k", "3 M"),
]
TEXTS = ["n/a", "-", "twelve", "18-25", "01.02.2026", "2026-01-02", "1.2.3", "12:30"]
PANEL = ("--design", "did", "--unit", "shop", "--time", "year", "--cohort", "since")


def odd(value, *, row=17, plain=lambda i: f"{i % 7}.5"):
    """A file in which one unit has a value of its own."""

    def line(i):
        return f'u{i},{arm(i)},"{value if i == row - 1 else plain(i)}"'

    return csv("user,grp,spend", line)


@pytest.mark.parametrize(
    ("value", "kind"), [*((value, "") for value in FOREIGN), ("4,136.58", ":mean")]
)
def test_import_refuses_a_number_in_another_notation(project, bring, value, kind):
    answer = bring(odd(value), *BASE[:-1], f"spend{kind}")
    assert answer.code == 3, answer
    assert "values of 'spend' look like numbers in another notation" in answer.err
    assert f"spend: 1 of 240 values, e.g. {value!r} in row 17" in answer.err
    assert "write them as plain numbers" in answer.err
    assert not project.raw.exists()
    assert project.tables() == {}


@pytest.mark.parametrize("value", TEXTS)
def test_import_says_which_values_are_no_number(project, bring, value):
    answer = bring(odd(value), *BASE)
    assert (answer.code, answer.err) == (0, "")
    assert (
        f"spend: 1 of 240 values is no number (first: {value!r}, in row 17 of the "
        "data); their units are left out as missing"
    ) in answer.out
    assert "spend: mean, because its readable values are numbers" in answer.out
    assert project.exp("run", "exp_file").code == 0
    row = welch(project)
    assert (row["n_control"], row["n_treatment"]) == (119, 120)


@pytest.mark.parametrize("value", ["", " ", "NULL", "null", "5e3", "+5", " 5 ", "1."])
def test_import_says_nothing_of_numbers_and_of_nulls(bring, value):
    answer = bring(odd(value), *BASE)
    assert (answer.code, answer.err) == (0, "")
    assert "no number" not in answer.out
    assert "spend: mean, because its values are numbers" in answer.out


@pytest.mark.parametrize("value", ["N", "no", "T"])
def test_import_refuses_words_for_yes_and_no_among_amounts(project, bring, value):
    answer = bring(odd(value), *BASE)
    assert answer.code == 3
    assert "'spend' are amounts and words that mean yes or no" in answer.err
    assert f"1 of 240 values, e.g. {value!r} in row 17" in answer.err
    assert not project.raw.exists()


@pytest.mark.parametrize("plain", [("yes", "no"), ("TRUE", "FALSE"), ("1", "no")])
def test_import_takes_yes_and_no_beside_what_is_not_known(project, bring, plain):
    answer = bring(odd("NA", plain=lambda i: plain[i % 3 > 0]), *BASE)
    assert (answer.code, answer.err) == (0, "")
    assert "spend: proportion, because its readable values are 0 or 1" in answer.out
    assert "spend: 1 of 240 values is no number (first: 'NA', in row 17" in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["control_mean"] == pytest.approx(40 / 119)


def test_import_counts_every_column_with_foreign_numbers(bring):
    def line(i):
        return f'{arm(i)};"{i},5";{i};{i}.5;{i}.000,1'

    flags = (*BASE[2:], "--metric", "b", "--covariate", "spend=c")
    answer = bring(csv("grp;spend;a;c;b", line), *flags, "--ratio", "r=spend/b")
    assert answer.code == 3
    assert "spend: 240 of 240 values, e.g. '0,5' in row 1" in answer.err
    assert "; b: " in answer.err


def test_import_refuses_foreign_numbers_of_a_covariate(project, bring):
    content = csv("user,grp,spend,x", lambda i: f'u{i},{arm(i)},{i % 5},"{i},5"')
    content = content.replace('"7,5"', "7.5")
    answer = bring(content, *BASE, "--covariate", "spend=x")
    assert answer.code == 3
    assert "x: 239 of 240 values, e.g. '0,5' in row 1" in answer.err
    assert not project.raw.exists()


def test_import_says_which_values_of_a_covariate_are_missing(bring):
    content = csv("user,grp,spend,x", lambda i: f"u{i},{arm(i)},{i % 5},{i % 9}")
    content = content.replace(",8\n", ",unknown\n")
    answer = bring(content, *BASE, "--covariate", "spend=x")
    assert answer.code == 0
    assert "x: 26 of 240 values are no number (first: 'unknown', in row 9" in answer.out
    assert "they count as missing" in answer.out
    assert "spend: count, because its values are whole numbers" in answer.out


@pytest.mark.parametrize(("value", "code"), [("1,234", 3), ("n/a", 0)])
def test_import_judges_a_long_file_by_outcome(bring, value, code):
    content = LONG_FILE.replace(",b,5,", f',b,"{value}",')
    answer = bring(content, *LONG, "--metric", "a", "--metric", "b")
    assert answer.code == code
    said = answer.err + answer.out
    n = content.count(f'"{value}"')
    assert f"b: {n} of 480 values" in said
    assert "a: 1" not in said
    # what stands in an outcome nobody named is not this import's
    assert bring(content, *LONG, "--metric", "a").code == 0


def test_import_reads_texts_of_parquet_as_it_reads_those_of_csv(project):
    def bring(values):
        file = project.root / "file.parquet"
        table = {
            "user": list("abcdef"),
            "grp": list("ABABAB"),
            "spend": pa.array(values, pa.string()),
            "m0": [1.0] * 6,
        }
        pq.write_table(pa.table(table), file)
        flags = ("--experiment-id", "exp_file", *BASE, "--metric", "m0")
        return project.exp("import", file, *flags)

    answer = bring(["1", "2", "", None, "1,234", "x"])
    assert answer.code == 3
    assert "spend: 1 of 4 values, e.g. '1,234' in row 5" in answer.err
    answer = bring(["1", "2", "", None, "0", "x"])
    assert "spend: 1 of 4 values is no number (first: 'x', in row 6" in answer.out
    assert "spend: count, because its readable values are whole" in answer.out


def chosen(value, plain=lambda i: 18 + i % 50):
    """Units that chose their arm, with an age; that of one is given."""
    return csv(
        "user,grp,spend,age",
        lambda i: f'u{i},{arm(i)},{i % 7}.5,"{value if i == 16 else plain(i)}"',
    )


CHOSEN = (*BASE, "--assignment", "self_selected", "--covariate", "age")


def test_import_says_that_a_text_makes_categories_of_a_fact(bring):
    answer = bring(chosen("n/a"), *CHOSEN)
    assert (answer.code, answer.err) == (0, "")
    assert (
        "age: 1 of 240 values is no number (first: 'n/a', in row 17 of the data); each "
        "of its values is a category, no number"
    ) in answer.out


def test_import_refuses_foreign_numbers_of_a_fact(project, bring):
    answer = bring(chosen("1,018"), *CHOSEN)
    assert answer.code == 3
    assert "values of 'age' look like numbers in another notation" in answer.err
    assert not project.raw.exists()


@pytest.mark.parametrize("value", ["", "19", "NULL"])
def test_import_says_nothing_of_facts_that_are_numbers(bring, value):
    assert "category" not in bring(chosen(value), *CHOSEN).out


@pytest.mark.parametrize("value", ["10%", "north"])
def test_import_says_nothing_of_facts_that_are_names(bring, value):
    answer = bring(chosen(value, lambda i: f"{i % 5}0%"), *CHOSEN)
    assert (answer.code, "category" in answer.out) == (0, False)


@pytest.mark.parametrize("value", ["", "NULL", "nan"])
def test_import_takes_no_category_from_a_fact_that_is_missing(project, bring, value):
    def line(i):
        dice = random.Random(i)
        fact = value if i % 20 < 2 else dice.randint(18, 80)
        return f"u{i},{dice.choice('AB')},{dice.gauss(5, 1):.3f},{fact}"

    assert bring(csv("user,grp,spend,age", line, 600), *CHOSEN).code == 0
    assert project.exp("run", "exp_file").code == 0
    (row,) = rows(project, "analysis_results", method="regression_adjustment")
    assert json.loads(row["details"])["covariates"] == ["age", "age missing"]


def panel(value):
    """Six shops over four years; one cell of `sales` is given."""
    lines = ["shop;year;sales;since;size"]
    for number, shop in enumerate("abcdef"):
        for year in range(2003, 2007):
            sales = value if (shop, year) == ("b", 2003) else 10 * number + year
            lines.append(f"{shop};{year};{sales};{2005 if number < 2 else 0};{number}")
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["sales", "size"])
def test_import_refuses_foreign_numbers_of_a_panel(project, bring, name):
    content = panel("1.234,5")
    if name == "size":
        content = panel("5").replace("0;4\n", "0;4,5\n")
    flags = (*PANEL, "--outcome", "money=sales", "--covariate", "size")
    answer = bring(content, *flags)
    assert answer.code == 3
    found = "money: 1 of 24" if name == "sales" else "size: 4 of 24"
    assert f"{found} values, e.g. " in answer.err
    assert not project.raw.exists()


def test_import_says_which_values_of_a_panel_are_no_number(project, bring):
    answer = bring(panel("closed"), *PANEL, "--outcome", "money=sales")
    assert answer.code == 0, answer.err
    assert "money: 1 of 24 values is no number (first: 'closed', in row 5" in answer.out
    assert project.exp("run", "exp_file").code == 0
    found = rows(project, "analysis_results", metric_name="money")
    assert "missing_value" in "".join(row["details"] for row in found)


def test_import_of_a_panel_without_texts_says_nothing(bring):
    answer = bring(panel(""), *PANEL, "--outcome", "money=sales")
    assert answer.code == 0, answer.err
    assert "no number" not in answer.out


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
@pytest.mark.parametrize("plain", ["1.5", "n/a"], ids=["numbers", "texts"])
def test_import_counts_what_has_no_end_among_what_is_no_number(bring, value, plain):
    lines = {40: plain, 16: value}
    content = csv("user,grp,spend", lambda i: f"u{i},{arm(i)},{lines.get(i, '7.5')}")
    answer = bring(content, *BASE)
    assert answer.code == 0, answer
    many = "2 of 240 values are" if plain == "n/a" else "1 of 240 values is"
    assert f"spend: {many} no number" in answer.out
    assert "spend: mean, because its readable values" in answer.out


@pytest.mark.parametrize("last", ["Total,,170", " ,A,170"])
def test_import_judges_no_metric_by_a_row_of_totals(bring, last):
    """A last row of sums made a count of zeros and ones."""
    content = csv("user,grp,spend", lambda i: f"u{i},{arm(i)},{i % 2}") + f"{last}\n"
    answer = bring(content, *BASE)
    assert answer.code == 0, answer
    assert "spend: proportion, because its values are 0 or 1" in answer.out
    assert "1 row lacks a unit or an arm: it goes to quarantine" in answer.out
