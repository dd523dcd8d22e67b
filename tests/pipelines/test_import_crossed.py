"""`exp import`: values of a unit that stands in several arms are taken once."""

import json

import pytest

from tests.pipelines.imported import BASE, arm, csv, rows, welch

DATED = (*BASE, "--exposure-ts", "ts", "--sequential", "fixed")
EXTRA = ("--received", "took", "--covariate", "spend=x")


def line(i, name="", day=2, *, spend=None, took=None):
    """A row of unit i; its arm, its day and its values may be said."""
    name = name or arm(i)
    spend = 10 + i % 7 + 0.5 * (name == "B") if spend is None else spend
    took = int(name == "B") if took is None else took
    return f"u{i},{name},{spend},{took},{i % 9},2026-03-{day:02d}T10:00:00Z"


def delivered(*more):
    """240 units, and rows of some of them in another arm."""
    return csv("user,grp,spend,took,x,ts", line) + "".join(f"{row}\n" for row in more)


def means(units):
    """Of (arm, value) pairs, by arm."""
    found = {}
    for name in "AB":
        mine = [value for a, value in units if a == name]
        found[name] = (len(mine), sum(mine) / len(mine))
    return found


def values(changed):
    """(arm, spend) of the 240 units, some of them as they are said."""
    plain = {i: (arm(i), 10 + i % 7 + 0.5 * (i % 2)) for i in range(240)}
    return list((plain | changed).values())


def read(project, metric="spend"):
    row = welch(project, metric)
    return {
        "A": (row["n_control"], row["control_mean"]),
        "B": (row["n_treatment"], row["treatment_mean"]),
    }


def exact(found):
    return {
        name: (n, pytest.approx(value, rel=1e-12)) for name, (n, value) in found.items()
    }


def test_import_of_crossed_units_takes_the_row_of_the_first_exposure(project, bring):
    # u0 and u1 met the other arm later, u2 and u3 before
    more = [
        line(0, "B", 5, spend=90),
        line(1, "A", 5, spend=80),
        line(2, "B", 1, spend=70),
        line(3, "A", 1, spend=60),
    ]
    answer = bring(delivered(*more), *DATED)
    assert answer.code == 0, answer.err
    assert (
        "4 units stand in several arms: only the values of the row of the first "
        "exposure count; the check CROSSOVER sees all exposures"
    ) in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert read(project) == exact(means(values({2: ("B", 70), 3: ("A", 60)})))
    (check,) = rows(project, "check_results", check_name="CROSSOVER")
    assert sum(json.loads(check["details"])["crossed"].values()) == 4
    assert len(rows(project, "exposures")) == 244


def test_import_of_crossed_units_without_dates_takes_the_arm_first_by_name(
    project, bring
):
    # equal values are taken once as well
    more = [line(0, "B", spend=90), line(1, "A", spend=80), line(2, "B", spend=12)]
    answer = bring(delivered(*more), *BASE)
    assert answer.code == 0, answer.err
    assert (
        "3 units stand in several arms: only the values of the row of the arm first by "
        "name count, as no exposure time says which was first"
    ) in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert read(project) == exact(means(values({1: ("A", 80)})))


@pytest.mark.parametrize("flags", [(), ("--exposure-ts", "ts")])
def test_import_of_crossed_units_takes_facts_and_uptake_once(project, bring, flags):
    more = [line(i, "AB"[i % 2 == 0], 5, took=1) for i in range(0, 40, 2)]
    assert bring(delivered(*more), *BASE, *EXTRA, *flags).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert read(project, "took") == {"A": (120, 0.0), "B": (120, 1.0)}
    landed = rows(project, "outcomes")
    assert len(landed) == 3 * 240
    assert {r["value"] for r in landed if r["metric_name"] == "x"} == set(
        map(float, range(9))
    )


def test_import_of_crossed_units_leaves_exposures_outside_the_window_out(
    project, bring
):
    more = [line(1, "A", 1, spend=80), line(0, "B", 9, spend=90)]
    window = (
        "--start",
        "2026-03-02",
        "--end",
        "2026-03-08",
        "--watermark",
        "2026-03-12",
    )
    answer = bring(delivered(*more), *DATED, *window)
    assert answer.code == 0, answer.err
    assert project.exp("run", "exp_file").code == 0
    assert read(project) == exact(means(values({})))


def test_import_takes_no_value_of_a_row_without_arm_of_a_unit_with_one(project, bring):
    answer = bring(delivered(line(0, " ", 1, spend=90), line(1, " ", spend=80)), *BASE)
    assert answer.code == 0, answer.err
    assert "several arms" not in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert read(project) == exact(means(values({})))


def test_import_keeping_duplicates_says_that_crossed_units_are_added_up(project, bring):
    answer = bring(delivered(line(1, "A", spend=80)), *BASE, "--keep-duplicates")
    assert answer.code == 0, answer.err
    assert (
        "1 unit stands in several arms: --keep-duplicates adds up the values of all "
        "rows of a unit, and they count for its first arm"
    ) in answer.out
    assert project.exp("run", "exp_file").code == 0
    assert read(project) == exact(means(values({1: ("A", 91.5)})))


def test_import_of_units_in_one_arm_each_says_nothing_of_several(bring):
    content = delivered(*(line(i) for i in range(20)))
    assert "several arms" not in bring(content, *BASE).out
