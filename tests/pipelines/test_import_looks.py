"""What an import registers about looking before the end."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from exp_platform.errors import UsageError
from exp_platform.pipelines.import_looks import (
    choose_design,
    describe_design,
    read_looks,
)
from exp_platform.pipelines.import_request import ImportRequest
from exp_platform.records import LookMethod, SequentialDesign

REQUEST = ImportRequest(
    "grp", "A", {"spend": "mean", "visits": "count"}, exposure_ts="ts"
)
END = "2026-03-29"
START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def describe(request):
    return describe_design(request, START)


def dated(**changes):
    return replace(REQUEST, **{"end": datetime(2026, 3, 29, tzinfo=UTC), **changes})


def test_read_looks_keeps_only_what_was_said():
    assert read_looks(None, None, None) == {}
    found = read_looks("fixed", "pocock", 900, look_days=(14, 7), follow_up_days=3.0)
    assert found == {
        "method": "fixed",
        "spending": "pocock",
        "planned_units": 900,
        "look_days": (7, 14),
        "follow_up_days": 3.0,
    }


@pytest.mark.parametrize(("method", "spending"), [("peek", None), (None, "late")])
def test_read_looks_refuses_what_does_not_exist(method, spending):
    with pytest.raises(UsageError, match="does not exist"):
        read_looks(method, spending, None)


def test_choose_design_promises_an_end_only_where_one_was_named():
    assert choose_design(dated()) == SequentialDesign()
    assert not choose_design(REQUEST).has_end
    undated = ImportRequest("grp", "A", {"spend": "mean"})
    assert choose_design(undated) == SequentialDesign()


def test_choose_design_without_an_end_spends_by_units():
    found = choose_design(replace(REQUEST, looks={"planned_units": 900}))
    assert (found.clock, found.has_end) == ("units", False)


def test_describe_design_says_how_often_it_looks():
    undated = ImportRequest("grp", "A", {"spend": "mean"})
    assert describe(undated) == [
        "one look: p-values and intervals are those of a single test"
    ]
    notes = describe(dated(windows={"spend": 7.0, "visits": 7.0}))
    first, second = notes
    assert (
        first == "looks: daily at 00:00 UTC, group sequential, spending obrien_fleming"
    )
    assert second == (
        "the windows of spend and visits close after the last look for units exposed in "
        "the last 7 days before --end, which do not count: with --follow-up 7 all do"
    )
    looks = {"look_days": (7, 14), "planned_units": 9_000}
    note, _ = describe(dated(windows={"spend": 7.0, "visits": 7}, looks=looks))
    assert note.startswith(
        "looks: after 7 and 14 days and at the end, group sequential"
    )
    assert note.endswith("9,000 units planned")
    fixed = describe(dated(looks={"method": LookMethod.FIXED.value}))
    assert fixed == ["one look, at the end: valid if nobody looked before"]
    planned = {"method": LookMethod.FIXED.value, "planned_units": 9_000}
    assert describe(dated(looks=planned)) == fixed
    assert describe(dated(looks=planned, end=None)) == [
        "one look, when the 9,000 planned units are in: valid if nobody looked before"
    ]
    (growing,) = describe(dated(looks={"planned_units": 9_000}, end=None))
    assert "tested once, when the 9,000 planned units are in:" in growing


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((7, 28), ["looks: after 7 and 28 days and at the end"]),
        (
            (7, 29, 900_000),
            [
                "looks: after 7 days and at the end",
                "--look-day 29 and 900000: after the last look at the end, never taken",
            ],
        ),
        (
            (29,),
            [
                "looks: at the end",
                "--look-day 29: after the last look at the end, never taken",
            ],
        ),
    ],
)
def test_describe_design_tells_no_look_after_the_end_for_one_to_come(days, said):
    notes = describe(
        dated(
            windows={"spend": 1.0, "visits": 1.0},
            looks={"look_days": days, "follow_up_days": 0.0},
            monitors=("spend", "visits"),
        )
    )
    assert [note.partition(", group")[0] for note in notes] == said
    endless = describe(dated(looks={"look_days": days}, end=None))
    assert "never taken" not in " ".join(endless)


@pytest.mark.parametrize(
    "changes",
    [
        {"looks": {"follow_up_days": 7.0}},
        {"end": None},
        {"monitors": ("spend",)},
        {"cluster": "city"},
        {"assignment": "self_selected"},
    ],
)
def test_describe_design_is_silent_where_every_window_closes_in_time(changes):
    assert "last look" in " ".join(describe(dated(windows={"spend": 7.0})))
    found = " ".join(describe(replace(dated(windows={"spend": 7.0}), **changes)))
    assert "last look" not in found


@pytest.mark.parametrize(
    ("days", "words"), [(1.0, "1 day before"), (1.5, "1.5 days"), (7.0, "7 days")]
)
def test_describe_design_counts_the_days_that_no_look_sees(days, words):
    found = " ".join(describe(dated(windows={"spend": days})))
    assert f"in the last {words}" in found


def test_describe_design_names_what_is_missing():
    notes = " / ".join(describe(REQUEST))
    assert "spend and visits are tested once, at the end of the data" in notes
    assert "no end and no planned units were registered" in notes


@pytest.fixture
def bring(project, tmp_path):
    """Import 40 days of units, 60 a day, from a CSV file."""

    def run(*flags):
        chance = random.Random(7)
        lines = ["user,grp,spend,ts"]
        for i in range(2400):
            arm = "AB"[i % 2]
            spend = chance.gauss(12.0 if arm == "B" else 10.0, 4.0)
            lines.append(f"u{i},{arm},{spend:.2f},2026-03-{1 + i // 60:02d}T10:00:00Z")
        lines = [line for line in lines if "2026-03-3" not in line]
        lines = [line for line in lines if "2026-03-4" not in line]
        file = tmp_path / "file.csv"
        file.write_text("\n".join(lines), "utf-8")
        words = ("--experiment-id", "exp_file", "--unit", "user", "--variant", "grp")
        words = (*words, "--control", "A", "--metric", "spend", "--exposure-ts", "ts")
        return project.exp("import", file, *words, *flags)

    return run


def outcome(project):
    assert project.exp("run", "exp_file").code == 0
    tables = project.tables("decisions", "analysis_results")
    (decision,) = [row for row in tables["decisions"] if row["treatment"] == ""]
    (row,) = [row for row in tables["analysis_results"] if row["role"] == "primary"]
    return decision, row, json.loads(row["details"])["sequential"]


def test_import_with_an_end_and_a_window_is_followed_daily(project, bring):
    answer = bring("--end", "2026-04-05", "--window", "spend=2")
    assert answer.code == 0
    assert "looks: daily at 00:00 UTC" in answer.out
    decision, row, place = outcome(project)
    assert (place["method"], place["looks_planned"]) == ("group_sequential", 35)
    assert decision["outcome"] == "SHIP"
    assert row["look_ts"].isoformat() == "2026-03-30T00:00:00+00:00"
    # Units of the last two days have not matured.
    assert row["n_control"] == 27 * 30


def test_import_without_an_end_is_read_by_a_confidence_sequence(project, bring):
    answer = bring()
    assert "a confidence sequence decides" in answer.out
    decision, row, place = outcome(project)
    assert place["method"] == "confidence_sequence"
    assert place["critical_value"] > 2.5
    assert row["sequential_p_value"] > row["p_value"]
    assert decision["outcome"] == "SHIP"


def test_import_fixed_is_one_test_at_the_end_of_the_data(project, bring):
    assert "valid if nobody looked before" in bring("--sequential", "fixed").out
    decision, row, place = outcome(project)
    assert place["method"] == "fixed"
    assert (row["n_control"], row["n_treatment"]) == (29 * 30, 29 * 30)
    assert row["p_value"] is not None
    assert row["sequential_p_value"] == row["p_value"]
    assert decision["outcome"] == "SHIP"


@pytest.fixture
def bring_long(project, tmp_path):
    """Import 300 units of five days, each with two outcomes days after exposure."""

    def run(*flags):
        chance = random.Random(5)
        lines = ["user,grp,exposed,m,v,ts"]
        for i in range(300):
            arm, day = "AB"[i % 2], 1 + i // 60
            for later in (1, 3):
                value = chance.gauss(6.0 if arm == "B" else 5.0, 2.0)
                lines.append(
                    f"u{i},{arm},2026-01-{day:02d}T10:00:00Z,revenue,{value:.2f},"
                    f"2026-01-{day + later:02d}T12:00:00Z"
                )
        file = tmp_path / "long.csv"
        file.write_text("\n".join(lines), "utf-8")
        words = ("--experiment-id", "exp_file", "--unit", "user", "--variant", "grp")
        words = (*words, "--control", "A", "--exposure-ts", "exposed")
        words = (*words, "--metric-column", "m", "--value-column", "v")
        words = (*words, "--outcome-ts", "ts", "--metric", "revenue")
        answer = project.exp("import", file, *words, "--start", "2026-01-01", *flags)
        assert answer.code == 0, answer.err
        return answer

    return run


@pytest.mark.parametrize(
    "flags",
    [
        ("--end", "2026-01-06", "--watermark", "2026-01-12"),
        ("--end", "2026-01-06", "--watermark", "2026-01-12", "--follow-up", "6"),
        ("--end", "2026-01-06", "--watermark", "2026-01-06"),
        ("--watermark", "2026-01-12"),
    ],
)
def test_import_fixed_without_a_window_tests_all_units_once(project, bring_long, flags):
    bring_long(*flags, "--sequential", "fixed")
    _, row, place = outcome(project)
    assert (row["n_control"], row["n_treatment"]) == (150, 150)
    assert (place["method"], place["status"]) == ("fixed", "TESTED")
    assert place["why_one_look"] == "NO_WINDOW"
    fixed = [row[name] for name in ("difference", "p_value", "ci_lower", "ci_upper")]
    if "--end" in flags:
        bring_long(*flags)
        _, plain, _ = outcome(project)
        assert fixed == [
            plain[name] for name in ("difference", "p_value", "ci_lower", "ci_upper")
        ]


def test_import_fixed_with_a_window_reads_the_matured_units(project, bring_long):
    flags = (
        "--end",
        "2026-01-06",
        "--watermark",
        "2026-01-12",
        "--window",
        "revenue=4",
    )
    bring_long(*flags, "--follow-up", "4", "--sequential", "fixed")
    _, row, place = outcome(project)
    assert (row["n_control"], row["n_treatment"]) == (150, 150)
    assert place["why_one_look"] == "FIXED"


def test_import_goes_on_to_the_planned_units(project, bring):
    flags = ("--planned-units", "4000", "--window", "spend=1")
    assert "4,000 units planned" in bring(*flags).out
    decision, _, place = outcome(project)
    assert place["information_share"] == pytest.approx(0.42, abs=0.02)
    assert not place["is_final"]
    assert decision["outcome"] in {"SHIP", "KEEP_RUNNING"}
    assert bring("--planned-units", "1000", "--window", "spend=1").code == 0
    _, row, place = outcome(project)
    assert place["is_final"]
    assert row["n_control"] <= 530


def test_import_with_a_later_watermark_lets_all_units_mature(project, bring):
    flags = ("--end", "2026-03-30", "--follow-up", "7", "--window", "spend=7")
    assert bring(*flags, "--watermark", "2026-04-06").code == 0
    decision, row, place = outcome(project)
    assert row["n_control"] == 29 * 30
    assert place["is_final"]
    assert decision["outcome"] == "SHIP"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sequential", "peek"), "--sequential has a value that does not exist"),
        (("--window", "spnd=3"), "did you mean 'spend'"),
        (("--window", "spend=0"), "a number above 0"),
        (("--planned-units", "1"), "planned_units"),
    ],
)
def test_import_refuses_looks_that_cannot_be(bring, flags, message):
    answer = bring(*flags)
    assert answer.code in {2, 3}
    assert message in answer.err


def test_import_without_dates_takes_no_word_about_looks(project, tmp_path):
    file = tmp_path / "file.csv"
    file.write_text("user,grp,spend\nu1,A,1\nu2,B,2\n", "utf-8")
    words = ("--experiment-id", "exp_file", "--unit", "user", "--variant", "grp")
    answer = project.exp(
        "import",
        file,
        *words,
        "--control",
        "A",
        "--metric",
        "spend",
        "--planned-units",
        "900",
    )
    assert answer.code == 2
    assert "need" in answer.err
    assert "--exposure-ts" in answer.err


@pytest.mark.parametrize("method", ["fixed", "group_sequential"])
def test_import_whose_windows_close_after_the_last_look_says_so(
    project, bring_long, method
):
    flags = (
        "--end",
        "2026-01-06",
        "--watermark",
        "2026-01-12",
        "--window",
        "revenue=5",
    )
    answer = bring_long(*flags, "--sequential", method)
    assert "the window of revenue closes after the last look" in answer.out
    assert "with --follow-up 5 all do" in answer.out
    decision, row, _ = outcome(project)
    assert (decision["outcome"], row["reason"]) == ("REVIEW", "TOO_FEW_UNITS")
    memo = project.exp("memo", "exp_file").out
    assert "exp import --follow-up 5" in memo
    assert "Only the method that decides gives a number for" not in memo
    answer = bring_long(*flags, "--sequential", method, "--follow-up", "5")
    assert "after the last look" not in answer.out
    decision, row, _ = outcome(project)
    assert (row["n_control"], row["reason"]) == (150, "")
    assert decision["outcome"] != "KEEP_RUNNING"


def test_import_without_dates_takes_fixed_which_is_what_it_does(project, tmp_path):
    file = tmp_path / "file.csv"
    lines = [f"u{i},{'AB'[i % 2]},{i % 7 + i % 2}" for i in range(200)]
    file.write_text("\n".join(["user,grp,spend", *lines]), "utf-8")
    words = ("--experiment-id", "exp_file", "--unit", "user", "--variant", "grp")
    words = (*words, "--control", "A", "--metric", "spend", "--sequential", "fixed")
    answer = project.exp("import", file, *words)
    assert answer.code == 0, answer.err
    assert "one look: p-values and intervals are those of a single test" in answer.out
    _, row, place = outcome(project)
    assert place["why_one_look"] == "UNDATED"
    assert (row["n_control"], row["n_treatment"]) == (100, 100)
