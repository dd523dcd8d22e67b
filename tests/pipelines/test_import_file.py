"""`exp import`: what a file may hold, what is refused, and what is inferred."""

import gzip
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SQL = 'x"; drop table exp_run.delivered; --'
BASE = ("--unit", "user", "--variant", "grp", "--control", "A", "--metric", "spend")
LONG = (
    *("--unit", "user", "--variant", "grp", "--control", "A", "--exposure-ts", "ts"),
    *("--metric-column", "m", "--value-column", "v", "--outcome-ts", "ots"),
)


def arm(i):
    return "AB"[i % 2]


def csv(header, line, n=240):
    return "".join(f"{text}\n" for text in (header, *map(line, range(n))))


def spend(i):
    return f"u{i},{arm(i)},{random.Random(i).gauss(10, 2):.2f}"


GOOD = csv("user,grp,spend", spend)
DATED = "user,grp,spend,ts"


def long_line(i):
    day = 1 + i % 5
    return f"u{i // 4},{arm(i // 4)},2026-01-01,{'ab'[i % 2]},{i % 7},2026-01-0{day}"


LONG_FILE = csv("user,grp,ts,m,v,ots", long_line, 960)


@pytest.fixture
def bring(project):
    """Import a file, and run it when that worked."""

    def make(content, *flags, name="file.csv", experiment_id="exp_file"):
        file = project.root / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return project.exp("import", file, "--experiment-id", experiment_id, *flags)

    return make


def rows(project, table, **only):
    found = project.tables(table)[table]
    return [r for r in found if all(r[name] == value for name, value in only.items())]


def welch(project, metric="spend", treatment="B"):
    (row,) = rows(
        project,
        "analysis_results",
        metric_name=metric,
        treatment=treatment,
        method="welch_t",
        segment="all",
    )
    return row


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


def test_import_keeps_ids_that_look_like_decimals_apart(project, bring):
    def line(i):
        return f"{i // 20}.{1 + i % 20},{arm(i)},{i % 7}"

    assert bring(csv("user,grp,spend", line), *BASE).code == 0
    assert project.exp("run", "exp_file").code == 0
    assert welch(project)["n_control"] == 120


def test_import_keeps_other_metrics_covariates_when_one_is_missing(project, bring):
    def line(i):
        before = random.Random(i).gauss(10, 2)
        known = f"{before:.3f}" if i % 3 else ""
        noise = random.Random(-i).gauss(0, 0.1)
        return f"u{i},{arm(i)},{i % 5},{before + noise:.3f},{known},{before:.3f}"

    flags = (*BASE, "--metric", "z", "--covariate", "spend=xp", "--covariate", "z=zp")
    assert bring(csv("user,grp,spend,z,xp,zp", line), *flags).code == 0
    assert project.exp("run", "exp_file").code == 0
    (cuped,) = rows(
        project, "analysis_results", method="cuped", metric_name="z", segment="all"
    )
    # z is its covariate plus a little: nearly all variance goes
    assert json.loads(cuped["details"])["variance_ratio"] < 0.05


def adjust(units):
    """CUPED of (arm, value, covariate) by numpy: difference and standard error."""
    found = {}
    for name in "AB":
        mine = np.array([(y, x) for a, y, x in units if a == name], float)
        found[name] = (len(mine), mine.mean(axis=0), np.cov(mine.T))
    pooled = sum((n - 1) * spread for n, _, spread in found.values())
    theta = pooled[0, 1] / pooled[1, 1]
    slope = np.array([1, -theta])
    difference = slope @ (found["B"][1] - found["A"][1])
    variance = sum(slope @ spread @ slope / n for n, _, spread in found.values())
    return difference, np.sqrt(variance), theta


@pytest.mark.parametrize("lowest", [1.0, 0.0, -2.0])
def test_import_takes_the_covariate_of_a_proportion_as_it_is(project, bring, lowest):
    draw = random.Random(4)
    units = []
    for i in range(800):
        before = round(max(lowest, draw.gauss(1.5, 2)), 3)
        bought = int(draw.random() < min(0.9, 0.1 + 0.12 * max(before, 0)))
        units.append((arm(i), bought, before))

    def line(i):
        return f"u{i},{','.join(map(str, units[i]))}"

    flags = (*BASE[:-1], "bought", "--covariate", "bought=before")
    answer = bring(csv("user,grp,bought,before", line, 800), *flags)
    assert "covariates of bought: before" in answer.out
    assert project.exp("run", "exp_file").code == 0
    (cuped,) = rows(project, "analysis_results", method="cuped", segment="all")
    difference, error, theta = adjust(units)
    details = json.loads(cuped["details"])
    assert details["theta"] == pytest.approx(theta, rel=1e-9)
    assert cuped["difference"] == pytest.approx(difference, abs=1e-9)
    assert cuped["standard_error"] == pytest.approx(error, rel=1e-9)


def test_import_says_that_a_covariate_is_the_same_for_all_units(project, bring):
    content = csv("user,grp,spend,x", lambda i: f"{spend(i)},7")
    assert bring(content, *BASE, "--covariate", "spend=x").code == 0
    assert project.exp("run", "exp_file").code == 0
    (check,) = rows(project, "check_results", check_name="PRE_PERIOD_PRESENT")
    assert (check["status"], check["reason"]) == ("WARNED", "CONSTANT_PRE_PERIOD")
    assert "the same in all units" in check["message"]


def test_import_takes_several_covariates_of_a_metric(project, bring):
    def line(i):
        parts = [random.Random(f"{i}{name}").gauss(5, 1) for name in "xye"]
        values = (2 * parts[0] - parts[1] + parts[2] / 10, *parts[:2])
        return f"u{i},{arm(i)},{','.join(f'{v:.4f}' for v in values)}"

    flags = (*BASE, "--covariate", "spend=x", "--covariate", "spend=y")
    answer = bring(csv("user,grp,spend,x,y", line), *flags)
    assert (answer.code, answer.err) == (0, "")
    assert "covariates of spend: x, y" in answer.out
    assert project.exp("run", "exp_file").code == 0
    (primary,) = rows(project, "analysis_results", role="primary", segment="all")
    # both together leave a tenth of a standard deviation
    assert primary["standard_error"] < welch(project)["standard_error"] / 15


@pytest.mark.parametrize(
    ("covariates", "words"),
    [
        (("spend=x", "spend=x"), "each NAME=VALUE once"),
        (("spend=age",), "covariate 'age' has no number at all"),
    ],
)
def test_import_refuses_covariates_it_cannot_use(bring, covariates, words):
    content = csv("user,grp,spend,x,age", lambda i: f"{spend(i)},{i % 9},25-34")
    flags = [part for one in covariates for part in ("--covariate", one)]
    answer = bring(content, *BASE, *flags)
    assert answer.code == 2
    assert words in answer.err


@pytest.mark.parametrize("flag", [("--covariate", "spend=z"), ("--segment", "z")])
def test_import_refuses_an_outcome_as_a_fact_from_before(bring, flag):
    content = csv("user,grp,spend,z", lambda i: f"u{i},{arm(i)},{i % 5},{i % 3}")
    answer = bring(content, *BASE, "--metric", "z", *flag)
    assert answer.code == 2
    assert "is an outcome of this import" in answer.err
