"""Assigned is not received: the effect on compliers through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from causaldata import thornton_hiv

from exp_platform.causal.instrument import compliance_of_units

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("received")]

# The golden answer is two regressions by QR; here sums of scores, taken in SQL.
ROUNDING = 1e-8
GOLDEN = Path(__file__).parents[1] / "golden" / "instrument" / "golden.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_project):
    return make_project(tmp_path_factory.mktemp("received") / "project")


def bring(project, name, header, lines, *flags):
    file = project.root / f"{name}.csv"
    file.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    answer = project.exp(
        *("import", file, "--experiment-id", name, "--variant", "arm"),
        *("--control", "A", "--received", "took", *flags),
    )
    assert (answer.code, answer.err) == (0, "")
    return answer.out


def run(project, name):
    answer = project.exp("run", name, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    outcome = json.loads(answer.out)
    rows = {
        (e["metric_name"], e["method"], e["treatment"]): e
        for e in outcome["estimates"]
        if e["segment"] == "all"
    }
    return outcome, rows


def test_thornton_agrees_with_two_stage_least_squares(project):
    """Incentive and learning one's HIV result: Thornton (2008), +.45."""
    frame = thornton_hiv.load_pandas().data.dropna(subset=["got", "any", "hiv2004"])
    lines = [
        f"{'AB'[int(one['any'])]},{one['got']:g},{one['hiv2004']:g}"
        for one in frame.to_dict("records")
    ]
    shares = float(frame["any"].mean())
    told = bring(
        *(project, "thornton", "arm,took,hiv", lines, "--metric", "hiv:mean"),
        *("--weight", f"A={1 - shares!r}", "--weight", f"B={shares!r}"),
    )
    assert "took says who took the treatment" in told
    _, rows = run(project, "thornton")
    answer, row = (
        json.loads(GOLDEN.read_text("utf-8"))["thornton"],
        rows["hiv", "cace", "B"],
    )
    assert (row["status"], row["role"], row["estimand"]) == ("OK", "secondary", "CACE")
    assert row["difference"] == pytest.approx(answer["difference"], abs=1e-12)
    assert row["standard_error"] == pytest.approx(
        answer["standard_error"], rel=ROUNDING
    )
    assert row["details"]["first_stage_f"] == pytest.approx(
        answer["first_stage_f"], rel=ROUNDING
    )
    # Thornton's table 4, column 1: 34 % without, 45 points more with an incentive.
    assert row["details"]["uptake_control"] == pytest.approx(0.34, abs=0.005)
    assert row["details"]["complier_share"] == pytest.approx(0.45, abs=0.005)
    # The effect of assignment decides, and stands in its own row.
    whole = rows["hiv", "welch_t", "B"]
    assert whole["role"] == "primary"
    assert whole["difference"] == pytest.approx(row["details"]["itt"], abs=1e-15)
    assert ("took", "cace", "B") not in rows
    first = rows["took", "welch_t", "B"]
    assert first["difference"] == pytest.approx(row["details"]["complier_share"])
    memo = project.exp("memo", "thornton").out
    assert "What it did to those who took it (compliers)" in memo
    assert "45.1 %" in memo


def test_three_arms_clusters_and_what_is_no_mean(project):
    random = np.random.default_rng(5)
    lines, units = [], []
    for place in range(75):
        arm, mood = "ABC"[place % 3], random.normal(0, 0.5)
        for _ in range(int(random.integers(10, 20))):
            took = float(random.random() < {"A": 0.1, "B": 0.7, "C": 0.5}[arm])
            spend = 5 + mood + took + random.normal()
            units.append((arm, place, took, round(spend, 6)))
            lines.append(f"{arm},{place},{took:g},{spend:.6f},{random.poisson(4)}")
    bring(
        *(project, "places", "arm,place,took,spend,visits", lines),
        *("--metric", "spend", "--metric", "visits", "--cluster", "place"),
        *("--ratio", "per_visit=spend/visits"),
    )
    _, rows = run(project, "places")
    for arm in "BC":
        row = rows["spend", "cace", arm]
        assert (row["status"], row["reason"], row["n_clusters"]) == ("OK", "", 50)
        totals = [
            compliance_of_units(*np.array([(y, d) for _, _, d, y in mine]).T,
                cluster=np.array([place for _, place, _, _ in mine]))
            for mine in ([u for u in units if u[0] == one] for one in ("A", arm))
        ]  # fmt: skip
        share = totals[1].mean_uptake - totals[0].mean_uptake
        assert row["details"]["complier_share"] == pytest.approx(share, rel=1e-12)
        itt = totals[1].mean_outcome - totals[0].mean_outcome
        assert row["difference"] == pytest.approx(itt / share, rel=1e-9)
        spread = sum(one.outcome_squares / one.n**2 for one in totals)
        n = totals[0].n + totals[1].n
        factor = 50 / 49 * (n - 1) / (n - 2)
        assert row["details"]["itt_standard_error"] == pytest.approx(
            np.sqrt(factor * spread), rel=1e-9
        )
        assert rows["spend", "cluster_delta", arm]["role"] == "primary"
    assert rows["per_visit", "cace", "B"]["reason"] == "RATIO_NOT_SUPPORTED"


def test_weak_offer_and_unknown_uptake_have_a_status_and_no_number(project):
    random = np.random.default_rng(8)
    weak = [
        f"{'AB'[i % 2]},{int(random.random() < 0.3)},{random.normal():.6f}"
        for i in range(1000)
    ]
    bring(project, "weak", "arm,took,spend", weak, "--metric", "spend")
    _, rows = run(project, "weak")
    row = rows["spend", "cace", "B"]
    assert (row["status"], row["reason"]) == ("INSUFFICIENT_DATA", "WEAK_FIRST_STAGE")
    assert row["difference"] is row["p_value"] is row["ci_lower"] is None
    assert row["details"]["first_stage_f"] < 10
    assert rows["spend", "welch_t", "B"]["status"] == "OK"
    memo = project.exp("memo", "weak").out
    assert "the arm hardly changed who received the treatment" in memo
    unknown = [
        f"{'AB'[i % 2]},{'' if i % 20 < 2 else i % 2},{random.normal():.6f}"
        for i in range(1000)
    ]
    bring(project, "unknown", "arm,took,spend", unknown, "--metric", "spend")
    _, rows = run(project, "unknown")
    row = rows["spend", "cace", "B"]
    assert (row["reason"], row["difference"]) == ("UPTAKE_UNKNOWN", None)


def test_stage_alone_gives_the_same_rows(project, call, comparable):
    from exp_platform.pipelines.analyze_compliance import main

    before = project.tables("analysis_results")["analysis_results"]
    answer = call(
        *(main, "analyze_compliance", "--config", project.config),
        *("--experiment-id", "places"),
    )
    assert (answer.code, answer.err) == (0, "")
    after = project.tables("analysis_results")["analysis_results"]
    chosen = [[r for r in rows if r["method"] == "cace"] for rows in (before, after)]
    assert comparable(chosen[0]) == comparable(chosen[1])


def test_received_needs_a_randomised_offer(project):
    file = project.root / "chosen.csv"
    file.write_text("arm,took,hiv\nA,0,1\nB,1,0\n", "utf-8")
    answer = project.exp(
        *("import", file, "--experiment-id", "x", "--variant", "arm"),
        *("--control", "A", "--metric", "hiv", "--received", "took"),
        *("--assignment", "self_selected"),
    )
    assert answer.code == 2
    assert "--received tells the effect of a randomised offer" in answer.err


@pytest.mark.parametrize("code", ["2", "80", "-1"])
@pytest.mark.parametrize("is_long", [False, True])
def test_received_refuses_what_is_no_yes_or_no(project, code, is_long):
    file = project.root / "coded.csv"
    flags = ["--metric", "spend", "--received", "took"]
    if is_long:
        lines = [
            f"{i},{'AB'[i % 2]},2026-01-01,{name},{value}"
            for i in range(40)
            for name, value in (("spend", i), ("took", code if i % 2 else 1))
        ]
        header = "id,arm,at,name,value"
        flags += ["--unit", "id", "--exposure-ts", "at", "--metric-column", "name"]
        flags += ["--value-column", "value", "--outcome-ts", "at"]
    else:
        lines = [f"{'AB'[i % 2]},{code if i % 2 else 1},{i}" for i in range(40)]
        header = "arm,took,spend"
    file.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    answer = project.exp(
        *("import", file, "--experiment-id", "coded", "--variant", "arm"),
        *("--control", "A", *flags),
    )
    assert answer.code == 2
    assert "--received 'took' is no yes or no" in answer.err
    assert f"20 values, e.g. {code}" in answer.err
