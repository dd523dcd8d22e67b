"""`exp import --design did`: a ready-made panel as raw data."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from exp_platform.errors import ContractError
from exp_platform.pipelines.panel_request import PanelLayout, read_layout
from exp_platform.pipelines.periods import read_periods

NJMIN = Path(__file__).parents[3] / "shared" / "data" / "njmin.csv"
FIELDS = ["shop", "year", "sales", "since", "town", "size", "weight", "flag"]


def _rows():
    """Six shops over four years; two begin in 2005, one in 2006."""
    since = {"a": 2005, "b": 2005, "c": 2006}
    return [
        {
            "shop": shop,
            "year": year,
            "sales": 10 * number + year - 2003,
            "since": since.get(shop, 0),
            "town": "north" if shop in "abd" else "south",
            "size": 5 + number,
            "weight": 1 + number,
            "flag": int(year >= since.get(shop, 9999)),
        }
        for number, shop in enumerate("abcdef")
        for year in range(2003, 2007)
    ]


@pytest.fixture
def panel(project):
    """Write rows as CSV, import them, and read what landed."""

    def make(rows, *flags, name="shops"):
        file = project.root / f"{name}.csv"
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, FIELDS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        answer = project.exp(
            "import", file, "--design", "did", "--experiment-id", name, *flags
        )
        return answer, project.raw / name

    return make


def _table(folder, name):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


BASE = ("--unit", "shop", "--time", "year", "--outcome", "sales=sales")
COHORTS = (*BASE, "--cohort", "since")


def test_import_lands_units_with_cohort_and_outcomes_by_period(panel):
    answer, folder = panel(_rows(), *COHORTS, "--cluster", "town")
    assert answer.code == 0, answer.err
    exposures = {row["user_id"]: row for row in _table(folder, "exposures")}
    assert exposures["a"]["variant"] == "treated"
    assert exposures["d"]["variant"] == "not_treated"
    assert dict(exposures["c"]["attributes"]) == {
        "cohort": "2006",
        "cohort_no": "3",
        "cluster": "south",
    }
    assert dict(exposures["f"]["attributes"])["cohort"] == "never"
    outcomes = _table(folder, "outcomes")
    assert len(outcomes) == 24
    assert outcomes[0]["outcome_ts"] == datetime(2003, 1, 1, tzinfo=UTC)
    assert "3 treated, from 2 dates on" in answer.out


def test_import_writes_the_registry_and_the_layout(panel):
    _, folder = panel(_rows(), *COHORTS, "--cluster", "town", "--covariate", "size")
    row = _table(folder, "experiment_registry")[0]
    assert row["assignment"] == "policy"
    assert row["policy_ts"] == datetime(2005, 1, 1, tzinfo=UTC)
    assert row["cluster"] == "cluster"
    layout = read_layout(row["panel"])
    assert (layout.grain, layout.labels) == ("year", ("2003", "2004", "2005", "2006"))
    assert layout.covariates == ("size",)
    assert not layout.is_cross_section
    assert json.loads(row["plan"])["metrics"][0]["role"] == "goal"


def test_the_same_file_gives_the_same_bytes(panel):
    _, folder = panel(_rows(), *COHORTS)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    panel(_rows(), *COHORTS)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    "flags",
    [
        ("--cohort", "since"),
        ("--treated-from", "since"),
        ("--treated", "flag"),
    ],
)
def test_ways_to_say_who_was_treated_when_agree(panel, flags):
    _, folder = panel(_rows(), *BASE, *flags)
    cohorts = {
        row["user_id"]: dict(row["attributes"])["cohort"]
        for row in _table(folder, "exposures")
    }
    assert cohorts == {
        "a": "2005",
        "b": "2005",
        "c": "2006",
        "d": "never",
        "e": "never",
        "f": "never",
    }


@pytest.mark.parametrize(
    "flags",
    [
        ("--treated", "town=north"),
        ("--treated", "town", "--control", "south"),
    ],
)
def test_a_group_is_treated_from_the_policy_date_on(panel, flags):
    answer, folder = panel(_rows(), *BASE, *flags, "--policy-date", "2004-06-30")
    cohorts = {
        row["user_id"]: dict(row["attributes"])["cohort"]
        for row in _table(folder, "exposures")
    }
    assert {unit for unit, cohort in cohorts.items() if cohort == "2005"} == set("abd")
    assert "the first that begins at or after 2004-06-30" in answer.out


def test_without_units_each_row_is_one(panel):
    flags = ("--time", "year", "--outcome", "sales=sales", "--treated", "town=north")
    answer, folder = panel(_rows(), *flags, "--policy-date", "2005")
    assert len(_table(folder, "exposures")) == 24
    layout = read_layout(_table(folder, "experiment_registry")[0]["panel"])
    assert layout.is_cross_section
    assert "24 rows, each a unit of its own" in answer.out


def test_missing_rows_are_counted_out_loud(panel):
    answer, folder = panel(_rows()[1:], *COHORTS)
    assert "1 units miss a period: the analysis leaves them out" in answer.out
    assert len(_table(folder, "outcomes")) == 23


@pytest.mark.parametrize("value", ["inf", "nan", ""])
def test_a_covariate_that_is_not_finite_is_told(value, panel):
    rows = [{**row, "size": value if row["shop"] == "e" else 5} for row in _rows()]
    answer, _ = panel(rows, *COHORTS, "--covariate", "size")
    assert "size is missing or infinite in 1 unit: the analysis leaves" in answer.out


def test_a_covariate_that_changes_is_told(panel):
    rows = [{**row, "size": row["year"]} for row in _rows()]
    answer, folder = panel(rows, *COHORTS, "--covariate", "size")
    assert "size changes over time in 6 units" in answer.out
    attributes = dict(_table(folder, "exposures")[0]["attributes"])
    assert attributes["covariate:size"] == "2003.0"


def test_everybody_may_be_treated_in_the_end(panel):
    rows = [{**row, "since": row["since"] or 2006} for row in _rows()]
    answer, folder = panel(rows, *COHORTS)
    assert answer.code == 0
    variants = json.loads(_table(folder, "experiment_registry")[0]["variants"])
    assert [variant["weight"] for variant in variants] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((*COHORTS, "--cluster", "twon"), "no column 'twon'"),
        (BASE, "say once who was treated"),
        ((*COHORTS, "--treated", "flag"), "say once who was treated"),
        ((*COHORTS, "--policy-date", "2005"), "--policy-date belongs to --treated"),
        ((*COHORTS, "--control", "east"), "--control belongs to --treated"),
        ((*COHORTS, "--treated", "flag"), "--cohort COL (or --treated-from COL), or"),
        ((*BASE, "--treated", "town", "--policy-date", "2005"), "does not say who"),
        ((*BASE, "--treated", "town=west", "--policy-date", "2005"), "no row has"),
        ((*BASE, "--treated", "flag", "--policy-date", "2003"), "leaves no period"),
        (
            (*BASE, "--treated", "flag", "--policy-date", "2003"),
            "correct --policy-date",
        ),
        ((*BASE, "--treated", "town", "--policy-date", "2005"), "--treated COL=VALUE"),
        ((*BASE, "--treated", "flag", "--policy-date", "2030"), "leaves no period"),
        ((*COHORTS, "--decrease", "costs"), "not a metric of this import"),
        ((*COHORTS, "--segment", "town"), "--segment does not belong"),
        ((*COHORTS, "--assignment", "self_selected"), "--assignment does not belong"),
        ((*COHORTS, "--covariate", "size", "--covariate", "size"), "named twice"),
        ((*COHORTS, "--weight", "size", "--weight", "weight"), "one --weight"),
        (("--unit", "shop", "--cohort", "since"), "needs --time COL and --outcome"),
        (("--time", "year", "--outcome", "s=sales", "--treated", "flag"), "whose"),
    ],
)
def test_flags_that_cannot_be_are_refused(panel, flags, words):
    answer, folder = panel(_rows(), *flags)
    assert answer.code == 2
    assert words in answer.err
    assert not folder.exists()


def test_an_unknown_design_is_refused(project):
    answer = project.exp("import", "x.csv", "--design", "rdd", "--experiment-id", "x")
    assert answer.code == 2
    assert "no design 'rdd'" in answer.err


def test_panel_flags_need_a_design(project):
    answer = project.exp("import", "x.csv", "--time", "year", "--experiment-id", "x")
    assert answer.code == 2
    assert "--time does not belong to an import without --design" in answer.err


def test_an_experiment_still_needs_its_flags(project):
    answer = project.exp("import", "x.csv", "--variant", "arm", "--experiment-id", "x")
    assert answer.code == 2
    assert "missing option --control, --metric" in answer.err


def _change(position, **values):
    rows = _rows()
    rows[position] |= values
    return rows


@pytest.mark.parametrize(
    ("rows", "flags", "words"),
    [
        ([*_rows(), _rows()[0]], COHORTS, "several rows in one period"),
        (_change(0, since=2006), COHORTS, "'since' changes within a unit"),
        (
            _change(0, town="west"),
            (*COHORTS, "--cluster", "town"),
            "'town' changes within a unit",
        ),
        (_change(3, flag=0), (*BASE, "--treated", "flag"), "switched off again"),
        (_change(3, weight=0), (*COHORTS, "--weight", "weight"), "not above 0"),
        (_change(3, weight=""), (*COHORTS, "--weight", "weight"), "not above 0"),
        ([{**row, "shop": ""} for row in _rows()], COHORTS, "no row has a unit"),
    ],
)
def test_panels_that_break_the_contract_are_refused(panel, rows, flags, words):
    answer, folder = panel(rows, *flags)
    assert answer.code == 3, answer.out
    assert words in answer.err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{**row, "since": 0} for row in _rows()], "no unit becomes treated"),
        ([{**row, "year": 2003} for row in _rows()], "periods before and after"),
        ([{**row, "year": "soon"} for row in _change(0)], "periods before and after"),
    ],
)
def test_panels_without_before_and_after_are_refused(panel, rows, words):
    answer, _ = panel(rows, *COHORTS)
    assert answer.code == 2
    assert words in answer.err


def test_rows_without_unit_or_period_go_to_quarantine(panel):
    answer, folder = panel(_change(0, year=""), *COHORTS)
    assert answer.code == 0
    assert "1 rows lack a unit or a period" in answer.out
    assert sum(row["outcome_ts"] is None for row in _table(folder, "outcomes")) == 1


@pytest.mark.parametrize("document", ["no", "[]", '{"grain": "year"}'])
def test_read_layout_refuses_what_is_none(document):
    with pytest.raises(ContractError, match="layout cannot be read"):
        read_layout(document)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (("2003", "2004", "2005"), "year"),
        (("2004Q1", "2004Q2", "2004Q4"), "quarter"),
        (("2004-01", "2004-02"), "month"),
        (("2004-01-01", "2004-01-02", "2004-01-03"), "day"),
        (("2004-01-01", "2004-01-08", "2004-01-15"), "week"),
        (("2004-01-01", "2004-01-02", "2004-01-09"), "period"),
        (("1", "2", "3"), "period"),
    ],
)
def test_period_word_is_what_people_call_a_period(labels, word):
    periods = read_periods(labels, "test")
    starts = tuple(start.isoformat() for start in periods.starts)
    layout = PanelLayout(periods.grain, periods.labels, starts, is_cross_section=False)
    assert layout.period_word == word
    assert layout.name_instant(periods.starts[1]) == labels[1]
    assert layout.name_instant(datetime(1999, 1, 1, tzinfo=UTC)) == ""


@pytest.mark.parametrize(
    "flags",
    [
        ("--treated", "flag"),
        ("--treated", "group", "--policy-date", "2005"),
        ("--treated", "group=1", "--policy-date", "2005"),
        ("--treated", "group", "--control", "0", "--policy-date", "2005"),
    ],
)
def test_import_refuses_a_treatment_that_is_null(panel, monkeypatch, flags):
    monkeypatch.setattr(f"{__name__}.FIELDS", [*FIELDS, "group"])
    rows = [
        {**row, "group": int(row["since"] > 0)}
        | ({"group": "", "flag": ""} if row["shop"] in "bf" else {})
        for row in _rows()
    ]
    answer, folder = panel(rows, *BASE, *flags)
    assert answer.code == 2
    assert "null in 8 rows of 2 units: b, f" in answer.err
    assert not folder.exists()


@pytest.mark.parametrize("words", [(), ("sales",), ("sales", "--full")])
def test_sql_of_a_panel_is_refused(panel, project, words):
    answer, _ = panel(_rows(), *COHORTS)
    assert answer.code == 0, answer.err
    assert project.exp("run", "shops").code == 0
    answer = project.exp("sql", "shops", *words)
    assert (answer.code, answer.out) == (2, "")
    assert "a ready-made panel has no totals per unit" in answer.err
    assert "exp results shops" in answer.err


def test_an_import_says_which_methods_adjust(panel):
    answer, _ = panel(_rows(), *COHORTS, "--covariate", "size")
    assert "size: callaway_santanna_* adjust for them\n" in answer.out
    rows = [{**row, "since": row["since"] and 2005} for row in _rows()]
    answer, _ = panel(rows, *COHORTS, "--covariate", "size")
    assert "which stand beside did_2x2, unadjusted" in answer.out


def test_a_flag_as_covariate_is_no_text(panel):
    rows = [{**row, "size": str(row["shop"] < "d").lower()} for row in _rows()]
    answer, folder = panel(rows, *COHORTS, "--covariate", "size")
    assert answer.code == 0
    assert "no number" not in answer.out
    sizes = [
        dict(r["attributes"])["covariate:size"] for r in _table(folder, "exposures")
    ]
    assert sizes == ["1.0"] * 3 + ["0.0"] * 3


@pytest.mark.parametrize(
    "words",
    [
        ("power", "--from-experiment", "shops"),
        ("interactions", "shops", "other"),
        ("reconcile", "shops", "sales", "--value", "3"),
    ],
)
def test_what_needs_totals_says_that_a_panel_has_none(words, panel, project):
    panel(_rows(), *COHORTS)
    assert project.exp("run", "shops").code == 0
    answer = project.exp(*words)
    assert answer.code == 2
    assert "shops is a ready-made panel: no totals" in answer.err
    assert "`exp results shops` has its numbers" in answer.err


def test_a_column_that_stands_twice_is_refused(project, bring):
    lines = ["shop,year,sales,since,sales"]
    lines += [
        f"{s},{y},{s + y},{2005 * (s < 5)},1" for s in range(9) for y in (2004, 2005)
    ]
    flags = ("--design", "did", "--unit", "shop", "--time", "year", "--cohort", "since")
    answer = bring("\n".join(lines), *flags, "--outcome", "m=sales")
    assert answer.code == 2
    assert "several columns of the file are called 'sales'" in answer.err
    assert not project.raw.exists()
