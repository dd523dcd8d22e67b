"""Units that chose their arm, through the command line: adjusted, and no experiment."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from causaldata import nhefs_complete

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("observational")]

# Linear algebra by another route, and iterations ended at 1e-14.
ROUNDING = 1e-8
GOLDEN = Path(__file__).parents[1] / "golden" / "observational" / "golden.json"
METHODS = ("regression_adjustment", "aipw")


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_project):
    return make_project(tmp_path_factory.mktemp("observational") / "project")


def bring(project, name, rows, *flags):
    file = project.root / f"{name}.csv"
    lines = [",".join(rows[0])] + [",".join(map(str, r.values())) for r in rows]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return project.exp(
        *("import", file, "--experiment-id", name, "--variant", "arm"),
        *("--control", "without", "--assignment", "self_selected", *flags),
    )


def run(project, name):
    answer = project.exp("run", name, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    outcome = json.loads(answer.out)
    rows = {(e["metric_name"], e["method"]): e for e in outcome["estimates"]}
    return outcome, rows


def covariates(*names):
    return [word for name in names for word in ("--covariate", name)]


def test_both_estimates_agree_with_statsmodels_and_doubleml(project):
    answer = json.loads(GOLDEN.read_text("utf-8"))
    units = answer["units"]
    rows = [
        {"arm": "with" if treated else "without", "x0": x0, "x1": x1, "x2": x2, "y": y}
        for x0, x1, x2, treated, y in zip(
            *(units[n] for n in ("x0", "x1", "x2", "treated", "outcome")), strict=True
        )
    ]
    told = bring(
        project, "golden", rows, "--metric", "y", *covariates("x0", "x1", "x2")
    )
    assert (told.code, told.err) == (0, "")
    assert "no experiment; adjusted for x0, x1, x2" in told.out
    outcome, found = run(project, "golden")
    shrink = math.sqrt((len(rows) - 1) / len(rows))
    for method, case, name in (
        ("regression_adjustment", answer["statsmodels"], "ra_"),
        ("aipw", answer["doubleml"], ""),
    ):
        row = found["y", method]
        assert (row["status"], row["role"]) == ("OK", "secondary")
        assert row["difference"] == pytest.approx(
            case[f"{name}difference"], rel=ROUNDING
        )
        assert row["standard_error"] * shrink == pytest.approx(
            case[f"{name}standard_error"], rel=ROUNDING
        )
        assert "unmeasured" in row["estimand"]
    assert_no_experiment(project, "golden", outcome, found)


def assert_no_experiment(project, name, outcome, found):
    """The numbers stand there, and nobody can take them for an experiment's."""
    assert not [e for e in found.values() if e["role"] == "primary"]
    plain = found["y", "welch_t"]
    assert (plain["status"], plain["reason"]) == ("NOT_IDENTIFIED", "NOT_IDENTIFIED")
    assert plain["difference"] is plain["p_value"] is None
    assert outcome["verdict"] == "CAUTION"
    decision = outcome["decision"]
    assert decision["outcome"] == "REVIEW"
    assert decision["reasons"][0] == "NOT_AN_EXPERIMENT"
    checks = {c["check_name"]: c for c in outcome["checks"]}
    assert checks["ASSIGNMENT"]["status"] == "WARNED"
    assert not {"SRM", "SQL_TWIN"} & checks.keys()
    memo = project.exp("memo", name).out
    assert "chose their arm: not an experiment" in memo
    assert "This is not an experiment: units chose their arm" in memo
    assert "assigned at random" not in memo


def test_giving_up_smoking_adds_weight(project):
    """Hernan and Robins, What If, chapters 13 and 21: 3.5 kg (2.6 to 4.5)."""
    frame = nhefs_complete.load_pandas().data
    numbers = ("sex", "race", "age", "smokeintensity", "smokeyrs", "wt71")
    levels = ("education", "exercise", "active")
    rows = [
        {
            "arm": "with" if one["qsmk"] == 1 else "without",
            "y": one["wt82_71"],
            **{name: one[name] for name in numbers},
            **{f"{name}_2": one[name] ** 2 for name in numbers[2:]},
            **{name: f"level {one[name]}" for name in levels},
        }
        for one in frame.to_dict("records")
    ]
    names = [name for name in rows[0] if name not in {"arm", "y"}]
    bring(project, "smoking", rows, "--metric", "y", *covariates(*names))
    outcome, found = run(project, "smoking")
    for method in METHODS:
        row = found["y", method]
        assert row["difference"] == pytest.approx(3.5, abs=0.15)
        assert row["ci_lower"] == pytest.approx(2.6, abs=0.25)
        assert row["ci_upper"] == pytest.approx(4.5, abs=0.25)
        assert row["details"]["unadjusted_difference"] == pytest.approx(2.5, abs=0.05)
    # Highly significant, and still nothing to ship on.
    assert found["y", "aipw"]["p_value"] < 1e-6
    assert_no_experiment(project, "smoking", outcome, found)


def draw(pull, n=900):
    random = np.random.default_rng(4)
    for i in range(n):
        x = random.normal()
        chooses = random.random() < 1 / (1 + math.exp(-pull * x))
        yield {
            "arm": ("without", "with")[chooses],
            "x": f"{x:.6f}" if i % 10 else "",
            "os": ("ios", "web", "tv")[random.integers(3)],
            "place": i % 60,
            "y": f"{x + 0.3 * chooses + random.normal():.6f}",
            "z": random.poisson(3),
        }


def test_units_without_counterpart_have_a_status_and_no_number(project):
    bring(
        *(project, "apart", list(draw(9.0)), "--metric", "y", "--metric", "z"),
        *("--ratio", "per=y/z", *covariates("x")),
    )
    outcome, found = run(project, "apart")
    for method in METHODS:
        row = found["y", method]
        assert (row["status"], row["reason"]) == ("INSUFFICIENT_DATA", "POOR_OVERLAP")
        assert row["difference"] is row["p_value"] is None
        assert found["per", method]["reason"] == "RATIO_NOT_SUPPORTED"
    assert "too few units have a counterpart" in project.exp("memo", "apart").out
    assert outcome["decision"]["outcome"] == "REVIEW"


def test_texts_gaps_and_clusters_are_adjusted_for(project, call, comparable):
    bring(
        *(project, "mixed", list(draw(0.7)), "--metric", "y", "--cluster", "place"),
        *("--guardrail", "y=0.5", *covariates("x", "os")),
    )
    _, found = run(project, "mixed")
    row = found["y", "aipw"]
    assert row["details"]["covariates"][:2] == ["x", "x missing"]
    assert len(row["details"]["covariates"]) == 4
    assert row["n_clusters"] == 60
    from exp_platform.pipelines.analyze_observational import main

    before = project.tables("analysis_results")["analysis_results"]
    done = call(
        *(main, "analyze_observational", "--config", project.config),
        *("--experiment-id", "mixed"),
    )
    assert (done.code, done.err) == (0, "")
    after = project.tables("analysis_results")["analysis_results"]
    chosen = [[r for r in rows if r["method"] in METHODS] for rows in (before, after)]
    assert comparable(chosen[0]) == comparable(chosen[1])


def test_one_unit_of_a_rare_value_takes_no_number_away(project):
    rows = [{**row, "x": row["x"] or "0"} for row in draw(0.7)]
    names = ("--metric", "y", *covariates("x", "os"))
    bring(project, "whole", rows, *names)
    _, found = run(project, "whole")
    rows[7] |= {"x": "", "os": "fridge"}
    bring(project, "one_rare", rows, *names)
    _, again = run(project, "one_rare")
    for method in METHODS:
        row, before = again["y", method], found["y", method]
        assert row["status"] == "OK"
        assert row["details"]["too_rare"] == {"x missing": 1, "os=fridge": 1}
        assert (
            abs(row["difference"] - before["difference"]) < 0.2 * row["standard_error"]
        )
    memo = project.exp("memo", "one_rare").out
    assert "has too few such units: os=fridge (1), x missing (1)." in memo


def test_without_covariates_there_is_a_reason_and_no_number(project):
    bring(project, "bare", list(draw(0.7)), "--metric", "y")
    outcome, found = run(project, "bare")
    assert found["y", "aipw"]["reason"] == "NO_COVARIATE_DATA"
    assert found["y", "aipw"]["difference"] is None
    assert outcome["decision"]["outcome"] == "REVIEW"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("xx",), "the file has no column 'xx'"),
        (("y",), "'y' is an outcome of this import"),
        (("key",), "too many values that are no numbers"),
    ],
)
def test_covariates_that_cannot_be_are_refused(project, names, words):
    rows = [{**row, "key": f"k{i}"} for i, row in enumerate(draw(0.7, 200))]
    answer = bring(project, "wrong", rows, "--metric", "y", *covariates(*names))
    assert answer.code == 2
    assert words in answer.err
