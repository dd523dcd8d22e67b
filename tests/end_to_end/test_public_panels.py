"""Published panels through `exp import` and `exp run`, beside what was printed."""

import json
from pathlib import Path

import causaldata
import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("public_panels")]

GOLDEN = Path(__file__).parents[1] / "golden"
# Sums in another order; influence functions by linear algebra of another library.
ROUNDING = 1e-8


@pytest.fixture(scope="module", name="bring")
def _bring(tmp_path_factory, make_project):
    """Import a panel, run it, and hand back its rows by metric and method."""
    project = make_project(tmp_path_factory.mktemp("public") / "project")

    def run(file, experiment_id, *flags):
        path = file
        if not isinstance(file, Path):
            path = project.root / f"{experiment_id}.csv"
            file.to_csv(path, index=False)
        words = ("--design", "did", "--experiment-id", experiment_id)
        answer = project.exp("import", path, *words, *flags)
        assert (answer.code, answer.err) == (0, "")
        answer = project.exp("run", experiment_id, "--format", "json")
        assert (answer.code, answer.err) == (0, "")
        outcome = json.loads(answer.out)
        rows = {one["method"]: one for one in outcome["estimates"]}
        return rows, outcome, project.exp("memo", experiment_id).out

    return run


def answers(*path):
    found = json.loads((GOLDEN / path[0] / "golden.json").read_text("utf-8"))
    for name in path[1:]:
        found = found[name]
    return found


def test_minimum_wage_of_callaway_and_santanna(bring):
    """Callaway and Sant'Anna (2021); the vignette of their R package did prints, with
    never treated controls: simple -.0400, group -.0310, dynamic -.0772, calendar -.0417.
    """
    rows, outcome, memo = bring(
        *(GOLDEN / "minimum_wage" / "panel.csv", "minimum_wage", "--unit", "county"),
        *("--time", "year", "--outcome", "employment=lemp", "--cohort", "since"),
    )
    printed = {"simple": -0.0400, "group": -0.0310, "dynamic": -0.0772}
    printed["calendar"] = -0.0417
    never, not_yet = (answers("minimum_wage", n) for n in ("never", "not_yet"))
    for kind, value in printed.items():
        assert round(never[kind]["overall"], 4) == value
        row = rows[f"callaway_santanna_{kind}"]
        # A run also uses counties treated later: at most .003 from the printed numbers.
        assert row["difference"] == pytest.approx(
            not_yet[kind]["overall"], rel=ROUNDING
        )
        assert row["standard_error"] == pytest.approx(
            not_yet[kind]["overall_se"], rel=ROUNDING
        )
        assert row["difference"] == pytest.approx(value, abs=0.003)
    assert rows["callaway_santanna_simple"]["role"] == "primary"
    assert rows["did_2x2"]["reason"] == "NEEDS_STAGGERED"
    assert rows["twfe"]["role"] == "diagnostic"
    assert outcome["decision"]["outcome"] != "SHIP"
    assert "Callaway-Sant'Anna" in memo


def test_castle_doctrine(bring):
    """Cheng and Hoekstra (2013), table 5: 8 per cent more homicides (.0801)."""
    frame = causaldata.castle.load_pandas().data
    first = frame[frame.post > 0].groupby("sid").year.min()
    # Stored as 32-bit floats: as text they are read in 64.
    frame = frame.assign(
        since=frame.sid.map(first).fillna(0).astype(int),
        homicides=frame.l_homicide.astype(float),
        people=frame.popwt.astype(float),
    )
    columns = ["sid", "year", "homicides", "since", "people"]
    rows, outcome, _ = bring(
        *(frame[columns], "castle", "--unit", "sid", "--time", "year", "--cohort"),
        *("since", "--outcome", "homicides=homicides", "--weight", "people"),
        *("--decrease", "homicides"),
    )
    told = answers("twfe", "castle_weighted")
    assert rows["twfe"]["difference"] == pytest.approx(told["estimate"], rel=ROUNDING)
    assert rows["twfe"]["standard_error"] == pytest.approx(
        told["standard_error"], rel=ROUNDING
    )
    # Their treatment is the share of the first year in force, here it is 0 or 1.
    assert rows["twfe"]["difference"] == pytest.approx(0.0801, abs=0.005)
    simple = rows["callaway_santanna_simple"]
    told = answers("staggered", "csdid", "castle_weighted", "simple")
    # csdid's controls are never treated; the run adds states treated later.
    assert simple["difference"] == pytest.approx(told["overall"], abs=0.01)
    assert (simple["role"], simple["n_clusters"]) == ("primary", 50)
    assert outcome["decision"]["outcome"] != "SHIP"


def test_organ_donations_with_one_treated_state(bring):
    """Kessler and Roth (2014); Huntington-Klein, The Effect, chapter 18: -.022 (.006)."""
    frame = causaldata.organ_donations.load_pandas().data
    rows, outcome, memo = bring(
        *(frame, "organs", "--unit", "State", "--time", "Quarter_Num"),
        *("--outcome", "rate=Rate", "--treated", "State=California"),
        *("--policy-date", "4"),
    )
    # One treated state: the printed error, clustered by state, says nothing.
    plain = rows["did_2x2"]
    assert (plain["status"], plain["reason"]) == (
        "INSUFFICIENT_DATA",
        "TOO_FEW_CLUSTERS",
    )
    assert plain["p_value"] is plain["ci_lower"] is None
    dealt = rows["did_randomisation"]
    assert round(dealt["difference"], 3) == -0.022
    assert dealt["details"]["n_assignments"] == 27
    assert dealt["p_value"] > 0.05
    assert outcome["decision"]["outcome"] == "REVIEW"
    assert "too few clusters" in memo.lower()
