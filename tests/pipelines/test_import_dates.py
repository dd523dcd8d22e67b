"""`exp import` of files with instants: long files, windows and ends."""

import random

import pytest

from tests.pipelines.imported import (
    BASE,
    DATED,
    LONG,
    LONG_FILE,
    arm,
    csv,
    rows,
    spend,
    welch,
)


def test_import_of_a_long_file_sums_rows_since_exposure(project, bring):
    answer = bring(LONG_FILE, *LONG, "--metric", "a", "--metric", "b")
    assert answer.code == 0
    assert project.exp("run", "exp_file").code == 0
    sums = dict.fromkeys("AB", 0)
    for i in range(960):
        if i % 2 == 0:
            sums[arm(i // 4)] += i % 7
    row = welch(project, "a")
    assert row["control_mean"] == pytest.approx(sums["A"] / 120, rel=1e-14)
    assert row["treatment_mean"] == pytest.approx(sums["B"] / 120, rel=1e-14)


def test_import_of_a_long_file_takes_covariates_from_before_exposure(project, bring):
    def line(i):
        unit, is_before = i // 2, i % 2
        day = "2025-12-30" if is_before else "2026-01-02"
        value = unit % 11 + (0 if is_before else unit % 3)
        return f"u{unit},{arm(unit)},2026-01-01,a,{value},{day}"

    content = csv("user,grp,ts,m,v,ots", line, 480)
    answer = bring(content, *LONG, "--metric", "a", "--covariate", "a=a")
    assert answer.code == 0
    assert project.exp("run", "exp_file").code == 0
    (cuped,) = rows(project, "analysis_results", method="cuped", segment="all")
    assert (cuped["status"], cuped["role"]) == ("OK", "primary")
    assert cuped["standard_error"] < welch(project, "a")["standard_error"] / 2


def test_import_sends_instants_out_of_range_to_quarantine(project, bring):
    def line(i):
        odd = {3: "9999-12-31", 5: "infinity", 7: "1950-01-01", 9: "never"}
        return f"{spend(i)},{odd.get(i, '2026-01-01')}"

    assert bring(csv(DATED, line), *BASE, "--exposure-ts", "ts").code == 0
    answer = project.exp("run", "exp_file")
    assert (answer.code, answer.err) == (0, "")
    rejected = rows(project, "quarantine", table_name="exposures")
    assert {(r["row_number"], r["reason"]) for r in rejected} == {
        (4, "TIMESTAMP_OUT_OF_RANGE"),
        (6, "TIMESTAMP_OUT_OF_RANGE"),
        (8, "TIMESTAMP_OUT_OF_RANGE"),
        (10, "BAD_TIMESTAMP"),
    }
    (registry,) = rows(project, "experiment_registry")
    assert (registry["start_ts"].year, registry["end_ts"].year) == (2026, 2026)


def decision(project):
    (overall,) = rows(project, "decisions", treatment="")
    return overall["outcome"], overall["reasons"]


def test_import_that_ends_before_the_registered_end_keeps_running(project, bring):
    content = csv(DATED, lambda i: f"{spend(i)},2026-03-0{1 + i % 3}")
    flags = (*BASE, "--exposure-ts", "ts", "--end", "2026-03-20")
    assert bring(content, *flags).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert decision(project)[0] == "KEEP_RUNNING"


def test_import_counts_whole_days_of_exposure_only(project, bring):
    def line(i):
        better = 100 if arm(i) == "B" else 0
        instant = "2026-03-01T23:59:00Z" if i % 2 < 1 else "2026-03-07T00:00:30Z"
        return (
            f"u{i},{arm(i // 2)},{random.Random(i).gauss(10 + better, 2):.2f},{instant}"
        )

    assert bring(csv(DATED, line), *BASE, "--exposure-ts", "ts").code == 0
    assert project.exp("run", "exp_file").code == 0
    outcome, reasons = decision(project)
    assert outcome == "REVIEW"
    assert "TOO_FEW_DAYS" in reasons


def test_import_is_not_stretched_by_one_date_from_the_future(project, bring):
    def line(i):
        return f"{spend(i)},{'2126-03-02' if i == 7 else '2026-03-02'}"

    assert bring(csv(DATED, line), *BASE, "--exposure-ts", "ts").code == 0
    assert project.exp("run", "exp_file").code == 0
    (registry,) = rows(project, "experiment_registry")
    assert registry["end_ts"].year == 2026


def test_import_of_the_future_alone_says_what_it_found(bring):
    content = csv(DATED, lambda i: f"{spend(i)},2126-03-0{1 + i % 5}")
    answer = bring(content, *BASE, "--exposure-ts", "ts")
    assert answer.code == 2
    assert "holds no instant from 1970 until now" in answer.err
    assert "2126-03-01 00:00:00" in answer.err


@pytest.mark.parametrize(
    "instant", ["05/0{}/2026 10:00:00", "05-0{}-2026 10:00:00 AM", "05/0{}/2026"]
)
def test_import_does_not_guess_which_number_is_the_day(bring, instant):
    content = csv(DATED, lambda i: f"{spend(i)},{instant.format(1 + i % 5)}")
    answer = bring(content, *BASE, "--exposure-ts", "ts")
    assert answer.code == 2
    assert "holds no instant that can be read" in answer.err


def test_import_of_a_long_file_keeps_names_that_look_like_decimals_apart(
    project, bring
):
    def line(i):
        unit, name = i // 2, ("12.1", "12.10")[i % 2]
        return f"u{unit},{arm(unit)},2026-01-01,{name},{5 if i % 2 else unit % 4},2026-01-02"

    content = csv("user,grp,ts,m,v,ots", line, 480)
    assert bring(content, *LONG, "--metric", "12.1").code == 0
    assert project.exp("run", "exp_file").code == 0
    assert welch(project, "12.1")["control_mean"] == 1.0


def test_import_tells_instants_with_a_zone_in_utc(bring):
    zoned = [
        "--start",
        "2026-01-01T19:00:00-05:00",
        "--end",
        "2026-01-03T01:00:00+01:00",
    ]
    content = csv(DATED, lambda i: f"{spend(i)},2026-01-02")
    answer = bring(content, *BASE, "--exposure-ts", "ts", *zoned)
    assert answer.code == 0
    assert "from 2026-01-02 00:00 to 2026-01-03 00:00 UTC" in answer.out


def late_gain(i):
    """A purchase at exposure, alike in both arms, and one after the end, which is not."""
    unit, after = divmod(i, 2)
    value = random.Random(i).gauss(10, 3) + after * 5 * (arm(unit) == "B")
    ts = f"2026-01-{1 + unit % 10:02}"
    return f"u{unit},{arm(unit)},{ts},buy,{value:.2f},{'2026-01-20' if after else ts}"


def test_one_look_taken_again_on_later_data_never_ships(project, bring):
    flags = (*LONG, "--metric", "buy:mean", "--end", "2026-01-12")
    file = csv("user,grp,ts,m,v,ots", late_gain, 1200)
    outcomes = []
    for watermark in ("2026-01-12", "2026-01-25"):
        assert bring(file, *flags, "--watermark", watermark).code == 0
        assert project.job("exp_file").code == 0
        (decision,) = rows(project, "decisions", treatment="")
        (check,) = rows(project, "check_results", check_name="LOOK_RESTATED")
        found = (decision["outcome"], decision["rule"])
        outcomes.append((*found, check["status"], check["reason"]))
    assert outcomes == [
        ("REVIEW", "f", "PASSED", "AS_TOLD"),
        ("REVIEW", "a", "FAILED", "LATER_WATERMARK"),
    ]
