"""`exp run` on a ready-made panel: methods by design, counts, decision and memo."""

import csv
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from causaldata import texas

GOLDEN = Path(__file__).parents[1] / "golden" / "panel" / "golden.json"
NJMIN = Path(__file__).parents[3] / "shared" / "data" / "njmin.csv"

# Sums in another order.
ROUNDING = 1e-8


def _write(folder, name, columns):
    file = folder / f"{name}.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


@pytest.fixture
def analyze(project):
    """Import columns as a panel and run it: estimates by method, and all there is."""

    def make(columns, *flags, name="panel"):
        file = columns
        if not isinstance(columns, Path):
            file = _write(project.root, name, columns)
        answer = project.exp(
            "import", file, "--design", "did", "--experiment-id", name, *flags
        )
        assert answer.code == 0, answer.err
        answer = project.exp("run", name, "--format", "json")
        assert answer.code == 0, answer.err
        outcome = json.loads(answer.out)
        return {e["method"]: e for e in outcome["estimates"]}, outcome

    return make


def _draw(n=80, n_periods=8, *, cohorts=(4,), effect=2.0, seed=5):
    """Units in equal groups: one per cohort and one that is never treated."""
    random = np.random.default_rng(seed)
    since = np.resize([0, *(2000 + c for c in cohorts)], n)
    unit = np.repeat(np.arange(n), n_periods)
    year = np.tile(2000 + np.arange(n_periods), n)
    since = since[unit]
    is_on = (since > 0) & (year >= since)
    level = random.normal(20, 3, n)[unit]
    sales = (
        level + 0.2 * (year - 2000) + effect * is_on + random.normal(0, 1, len(unit))
    )
    return {
        "shop": [f"s{u:03d}" for u in unit],
        "year": year.tolist(),
        "since": since.tolist(),
        "sales": sales.round(6).tolist(),
        "size": random.normal(0, 1, n)[unit].round(4).tolist(),
        "town": [f"t{u // 2:03d}" for u in unit],
    }


BASE = ("--unit", "shop", "--time", "year", "--outcome", "sales=sales")
COHORTS = (*BASE, "--cohort", "since")


def _drop(columns, keep):
    return {
        k: [v for v, kept in zip(c, keep, strict=True) if kept]
        for k, c in columns.items()
    }


def test_card_krueger(analyze):
    """Fast food and the minimum wage, Card and Krueger (1994): +2.75."""
    if not NJMIN.exists():
        pytest.skip(f"{NJMIN} is not here: public data are not part of the project")
    flags = ("--time", "year", "--outcome", "fte=fte", "--treated", "state=New Jersey")
    found, outcome = analyze(NJMIN, *flags, "--policy-date", "1992-04-01")
    did = found["did_2x2"]
    assert did["difference"] == pytest.approx(2.7536, abs=5e-5)
    # HC1 of the regression on the four cells.
    assert did["standard_error"] == pytest.approx(1.795, abs=5e-4)
    assert did["n_clusters"] == 794
    assert outcome["decision"]["outcome"] == "REVIEW"
    missing = next(c for c in outcome["checks"] if c["check_name"] == "MISSING_VALUES")
    assert missing["value"] == pytest.approx(26 / 820)


@pytest.mark.parametrize("method", ["did_2x2", "event_study"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_clustered_panels_agree_with_statsmodels(analyze, method, is_weighted):
    answer = json.loads(GOLDEN.read_text())
    flags = (
        *BASE,
        "--treated",
        "treated",
        "--policy-date",
        "2004",
        "--cluster",
        "town",
    )
    weights = ("--weight", "weight") if is_weighted else ()
    found, _ = analyze(answer["rows"], *flags, *weights)
    case = answer[f"{method}_weighted" if is_weighted else method]
    for name, value in case.items():
        assert found[method][name] == pytest.approx(value, rel=ROUNDING), name
    assert found[method]["n_clusters"] == 48


def test_cross_sections_agree_with_statsmodels(analyze):
    answer = json.loads(GOLDEN.read_text())
    keep = [year in {2003, 2004} for year in answer["rows"]["year"]]
    flags = ("--time", "year", "--outcome", "sales=sales", "--treated", "treated")
    found, _ = analyze(_drop(answer["rows"], keep), *flags, "--policy-date", "2004")
    for name, value in answer["cross_section"].items():
        assert found["did_2x2"][name] == pytest.approx(value, rel=ROUNDING)
    assert found["did_2x2"]["details"]["design"] == "cross-sections"
    assert found["twfe"]["reason"] == "REPEATED_CROSS_SECTIONS"


def test_one_date_makes_the_2x2_estimate_primary(analyze):
    found, outcome = analyze(_draw(), *COHORTS)
    roles = {method: e["role"] for method, e in found.items() if e["status"] == "OK"}
    assert roles == {
        "did_2x2": "primary",
        "event_study": "diagnostic",
        "callaway_santanna_simple": "secondary",
        "callaway_santanna_group": "secondary",
        "callaway_santanna_dynamic": "secondary",
        "callaway_santanna_calendar": "secondary",
        "twfe": "diagnostic",
    }
    assert found["synthetic_control"]["reason"] == "ENOUGH_CLUSTERS"
    assert found["did_2x2"]["difference"] == pytest.approx(
        found["twfe"]["difference"], rel=1e-9
    )
    effects = found["event_study"]["details"]["effects"]
    assert [row["label"] for row in effects] == [str(2000 + t) for t in range(8)]
    assert {e["treatment"] for e in found.values()} == {"treated"}
    # An effect of two standard deviations, but trends must bear violations too.
    assert outcome["decision"]["outcome"] == "REVIEW"
    assert "SENSITIVITY_FAILED" in outcome["decision"]["reasons"]


@pytest.mark.parametrize("cohorts", [(4,), (3, 5)])
def test_a_robust_effect_ships(cohorts, analyze, project):
    found, outcome = analyze(_draw(150, cohorts=cohorts, effect=5.0), *COHORTS)
    assert outcome["decision"]["outcome"] == "SHIP"
    assert outcome["decision"]["reasons"] == ["GOAL_SUPERIOR"]
    method = "did_2x2" if len(cohorts) == 1 else "callaway_santanna_simple"
    assert found[method]["role"] == "primary"
    bounds = found[method]["details"]["sensitivity"]
    assert (bounds["status"], bounds["period_days"]) == ("OK", 1)
    assert bounds["n_pre"] == max(cohorts) - 1
    decisive = bounds["relative_magnitudes"][1]
    assert decisive["bound"] == 1.0
    assert 0 < decisive["lower"] < bounds["estimate"] < decisive["upper"]
    assert bounds["breakdown_mbar"] > 1
    # Only the row that decides has bounds.
    noted = [m for m, e in found.items() if "sensitivity" in e["details"]]
    assert noted == [method]
    memo = project.exp("memo", "panel").out
    assert "If trends were not parallel" in memo
    assert "With trends as unequal after the start as before it" in memo


def test_harm_on_trends_that_nobody_could_have_seen_says_so(analyze, project):
    """Few noisy units: the effect is clear, a drift of its size would not be."""
    random = np.random.default_rng(5)
    columns = _draw(60, 12, cohorts=(8,), effect=0.0)
    noise = random.normal(0, 3, len(columns["sales"]))
    is_on = np.array(columns["since"]) == 2008
    is_on &= np.array(columns["year"]) >= 2008
    columns["sales"] = (columns["sales"] + noise - 2.0 * is_on).round(6).tolist()
    found, outcome = analyze(columns, *COHORTS)
    assert outcome["decision"]["outcome"] == "ROLL_BACK"
    noted = found["did_2x2"]["details"]["pretrend"]
    assert noted["outcome"] == "UNDERPOWERED"
    assert noted["detectable_bias"] > noted["tolerance"]
    weak = "the pre-trend test of sales has too little power to be trusted"
    assert weak in outcome["decision"]["rationale"].lower()
    (check,) = (c for c in outcome["checks"] if c["check_name"] == "PRETREND")
    assert "too little power to be trusted" in check["message"]
    assert "the effect is of size" in check["message"]
    memo = (project.root / "data" / "memos" / "panel.md").read_text("utf-8")
    assert weak in memo.lower()
    assert weak in project.exp("results", "panel").out


def test_a_single_period_before_never_ships(analyze):
    columns = _draw(150, cohorts=(1,), effect=5.0)
    found, outcome = analyze(columns, *COHORTS)
    assert found["did_2x2"]["status"] == "OK"
    bounds = found["did_2x2"]["details"]["sensitivity"]
    assert (bounds["status"], bounds["reason"]) == (
        "INSUFFICIENT_DATA",
        "NO_PRE_PERIOD",
    )
    # The pre-trend check, which is required, had nothing to look at either.
    assert outcome["decision"]["outcome"] == "REVIEW"
    assert outcome["decision"]["reasons"] == ["CHECK_NOT_RUN"]


def test_weeks_are_the_steps_of_a_daily_panel(analyze):
    columns = _draw(60, 28, cohorts=(14,), effect=5.0)
    days = [f"2024-03-{1 + year - 2000:02d}" for year in columns["year"]]
    columns["day"] = days
    columns["since"] = ["2024-03-15" if since else "" for since in columns["since"]]
    flags = ("--unit", "shop", "--time", "day", "--outcome", "sales=sales")
    found, _ = analyze(columns, *flags, "--cohort", "since")
    bounds = found["did_2x2"]["details"]["sensitivity"]
    assert (bounds["period_days"], bounds["n_pre"], bounds["n_post"]) == (7, 1, 2)


def test_several_dates_make_callaway_santanna_primary(analyze, project):
    columns = _draw(150, cohorts=(3, 5))
    found, outcome = analyze(columns, *COHORTS)
    assert found["callaway_santanna_simple"]["role"] == "primary"
    assert found["callaway_santanna_simple"]["difference"] == pytest.approx(2, abs=0.3)
    assert found["twfe"]["role"] == "diagnostic"
    for method in ("did_2x2", "event_study"):
        assert found[method]["reason"] == "NEEDS_STAGGERED"
    rows = found["callaway_santanna_group"]["details"]["effects"]
    assert [row["label"] for row in rows] == ["2003", "2005"]
    tables = project.tables()
    days = [row["day"] for row in tables["did_pretrend_delta"]]
    assert days == list(range(-5, 5))
    test = tables["did_pretrend_tests"][0]
    assert (test["status"], test["role"]) == ("OK", "primary")
    assert outcome["decision"]["outcome"] == "REVIEW"
    assert outcome["decision"]["rule"] == "f"
    assert outcome["decision"]["reasons"] == ["SENSITIVITY_FAILED"]


def test_a_drift_before_several_dates_fails(analyze, project):
    columns = _draw(150, cohorts=(3, 5), effect=0.5)
    columns["sales"] = [
        sale + 0.5 * (year - 2000) * (since > 0)
        for sale, year, since in zip(
            columns["sales"], columns["year"], columns["since"], strict=True
        )
    ]
    _, outcome = analyze(columns, *COHORTS)
    assert project.tables()["did_pretrend_tests"][0]["outcome"] == "FAILED"
    assert outcome["verdict"] == "DO_NOT_USE"
    assert outcome["decision"]["outcome"] == "REVIEW"


def test_everybody_treated_in_the_end_is_compared_before(analyze):
    columns = _draw(120, cohorts=(3, 6))
    columns["since"] = [since or 2006 for since in columns["since"]]
    columns["sales"] = [
        sale + 2.0 * (year >= 2006) * (number % 3 == 0)
        for number, (sale, year) in enumerate(
            zip(columns["sales"], columns["year"], strict=True)
        )
    ]
    found, _ = analyze(columns, *COHORTS)
    simple = found["callaway_santanna_simple"]
    assert simple["status"] == "OK"
    assert simple["difference"] == pytest.approx(2, abs=0.6)


def test_everybody_treated_on_one_date_has_no_control(analyze):
    columns = _draw(cohorts=(4,))
    columns["since"] = [2004] * len(columns["since"])
    found, outcome = analyze(columns, *COHORTS)
    assert {e["status"] for e in found.values()} <= {
        "NOT_IDENTIFIED",
        "INSUFFICIENT_DATA",
    }
    assert found["did_2x2"]["reason"] == "ONE_ARM"
    assert outcome["decision"]["outcome"] == "REVIEW"


def test_one_treated_unit_has_a_synthetic_control(analyze, project):
    frame = texas.load_pandas().data
    columns = {name: frame[name].tolist() for name in ("state", "year", "bmprison")}
    flags = ("--unit", "state", "--time", "year", "--outcome", "prison=bmprison")
    found, outcome = analyze(
        columns, *flags, "--treated", "state=Texas", "--policy-date", "1993"
    )
    estimate = found["synthetic_control"]
    assert estimate["difference"] == pytest.approx(21_013.188, abs=0.01)
    assert estimate["role"] == "secondary"
    assert set(estimate["details"]["weights"]) == {"Florida", "Illinois", "New York"}
    assert estimate["details"]["gaps"][0]["label"] == "1985"
    assert found["did_2x2"]["reason"] == "TOO_FEW_CLUSTERS"
    assert outcome["decision"]["outcome"] == "REVIEW"
    memo = (project.root / "data" / "memos" / "panel.md").read_text("utf-8")
    assert "Synthetic control" in memo


def test_few_clusters_are_bootstrapped(analyze):
    columns = _draw(n=120)
    columns["town"] = [f"t{int(shop[1:]) % 16:02d}" for shop in columns["shop"]]
    found, _ = analyze(columns, *COHORTS, "--cluster", "town")
    did = found["did_2x2"]
    assert (did["status"], did["role"], did["n_clusters"]) == ("OK", "primary", 16)
    assert "bootstrap" in json.dumps(did["details"]).lower()


def test_incomplete_and_always_treated_units_are_left_out_and_counted(analyze, project):
    columns = _draw()
    columns["since"] = [
        2000 if shop in {"s000", "s002"} else since
        for shop, since in zip(columns["shop"], columns["since"], strict=True)
    ]
    keep = [
        (shop, year) != ("s004", 2003)
        for shop, year in zip(columns["shop"], columns["year"], strict=True)
    ]
    found, outcome = analyze(_drop(columns, keep), *COHORTS)
    did = found["did_2x2"]
    assert (did["n_control"], did["n_treatment"]) == (37, 40)
    assert did["details"]["n_incomplete"] == 1
    assert did["details"]["n_always_treated"] == 2
    assert did["details"]["left_out"] == {
        "not_treated": {"units": 1, "why": {"missing_value": 1}},
        "treated": {"units": 2, "why": {"always_treated": 2}},
    }
    ledger = project.exp("memo", "panel").out
    assert "77 of 80 units" in ledger
    assert "4 years before the start" in ledger
    assert "reference year" in ledger
    missing = next(c for c in outcome["checks"] if c["check_name"] == "MISSING_VALUES")
    assert missing["details"]["missing"] == {"not_treated": 1, "treated": 0}
    assert "Not treated from the first period on" in ledger


def test_units_that_were_always_treated_lack_no_value(analyze):
    columns = _draw(200, cohorts=(4, 5))
    first = {shop for shop in columns["shop"] if shop < "s090"}
    columns["since"] = [
        2000 if since and shop in first else since
        for shop, since in zip(columns["shop"], columns["since"], strict=True)
    ]
    found, outcome = analyze(columns, *COHORTS)
    assert found["callaway_santanna_simple"]["details"]["n_always_treated"] == 60
    missing = next(c for c in outcome["checks"] if c["check_name"] == "MISSING_VALUES")
    assert (missing["status"], missing["value"]) == ("PASSED", 0)
    assert outcome["verdict"] != "DO_NOT_USE"


def test_covariates_adjust_the_cohorts(analyze):
    found, _ = analyze(_draw(), *COHORTS, "--covariate", "size")
    assert found["callaway_santanna_simple"]["details"]["adjustment"] == "doubly_robust"


def test_a_unit_without_covariate_is_left_out(analyze):
    columns = _draw()
    columns["size"] = [
        "" if s == "s004" else v
        for s, v in zip(columns["shop"], columns["size"], strict=True)
    ]
    found, _ = analyze(columns, *COHORTS, "--covariate", "size")
    assert found["did_2x2"]["details"]["n_incomplete"] == 1


def test_a_cluster_in_several_cohorts_is_no_error(analyze):
    found, _ = analyze(_draw(150, cohorts=(3, 5)), *COHORTS, "--cluster", "town")
    assert found["callaway_santanna_simple"]["status"] == "OK"


def test_running_twice_gives_equal_rows(analyze, project, comparable):
    analyze(_draw(), *COHORTS)
    names = ("analysis_results", "did_pretrend_delta", "check_results", "decisions")
    before = {name: comparable(project.tables()[name]) for name in names}
    assert project.exp("run", "panel").code == 0
    assert {name: comparable(project.tables()[name]) for name in names} == before


def _without(row, name):
    details = json.loads(row["details"])
    return {key: value for key, value in details.items() if key != name}


def test_the_stage_alone_gives_the_same_estimates(analyze, project, comparable):
    from exp_platform.config import load_settings
    from exp_platform.pipelines.analyze_panel import run_alone
    from exp_platform.pipelines.run import open_run

    analyze(_draw(), *COHORTS)
    before = project.tables()
    with open_run(load_settings(project.config), "panel", "analyze_panel") as run:
        run_alone(run)
        run.publish()
    after = project.tables()
    assert comparable(after["did_pretrend_tests"]) == comparable(
        before["did_pretrend_tests"]
    )
    # The judgement of a whole run adds these two.
    plain = [
        [
            {**row, "p_value_adjusted": None, "details": _without(row, "pretrend")}
            for row in tables["analysis_results"]
        ]
        for tables in (before, after)
    ]
    assert comparable(plain[1]) == comparable(plain[0])


def test_the_stage_refuses_an_experiment(project):
    from exp_platform.config import load_settings
    from exp_platform.errors import UsageError
    from exp_platform.pipelines.analyze_panel import run_alone
    from exp_platform.pipelines.run import open_run

    assert project.job("exp_tiny", "--generate-synth").code == 0
    settings = load_settings(project.config)
    with (
        pytest.raises(UsageError, match="not a ready-made panel"),
        open_run(settings, "exp_tiny", "analyze_panel") as run,
    ):
        run_alone(run)


def test_a_panel_replaces_an_experiment_of_the_same_name(analyze, project):
    assert project.job("exp_tiny", "--generate-synth").code == 0
    analyze(_draw(), *COHORTS, name="exp_tiny")
    tables = project.tables()
    assert not [
        row
        for row in tables["metric_aggregates_overall"]
        if row["experiment_id"] == "exp_tiny"
    ]
    methods = {r["method"] for r in tables["analysis_results"]}
    assert "welch_t" not in methods


def test_the_memo_alone_says_what_the_run_said(analyze, project, call, comparable):
    from exp_platform.pipelines.write_memo import main

    analyze(_draw(cohorts=(4, 6)), *COHORTS)
    names = ("analysis_results", "check_results", "decisions", "did_pretrend_tests")
    before = {name: comparable(project.tables()[name]) for name in names}
    memo = project.root / "data" / "memos" / "panel.md"
    told = memo.read_text("utf-8").split("## 7. How to reproduce")[0]
    memo.unlink()
    answer = call(
        *(main, "write_memo", "--config", project.config, "--experiment-id", "panel")
    )
    assert (answer.code, answer.err) == (0, "")
    assert memo.read_text("utf-8").split("## 7. How to reproduce")[0] == told
    assert "Methods chosen and refused" in memo.read_text("utf-8")
    assert {name: comparable(project.tables()[name]) for name in names} == before


@pytest.mark.parametrize("stage", ["metrics", "did", "pretrends"])
def test_a_panel_has_no_stages_to_skip(stage, analyze, project):
    analyze(_draw(), *COHORTS)
    before = project.snapshots()
    answer = project.job("panel", f"--skip-{stage}")
    assert answer.code == 2
    assert f"skipped: {stage}" in answer.err
    assert "allowed: to skip dq: `exp run --skip dq`" in answer.err
    assert project.snapshots() == before


def test_a_panel_without_the_check_of_its_data_is_not_trusted(analyze, project):
    analyze(_draw(), *COHORTS)
    answer = project.exp("run", "panel", "--skip", "dq", "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    outcome = json.loads(answer.out)
    assert outcome["verdict"] == "CAUTION"
    assert outcome["decision"]["outcome"] != "SHIP"


@pytest.mark.parametrize(
    "name", ["compute_metric_aggregates", "analyze_experiment", "did_pretrends"]
)
def test_stages_for_rows_by_user_refuse_a_panel(name, analyze, project, call):
    stage = importlib.import_module(f"exp_platform.pipelines.{name}")
    analyze(_draw(), *COHORTS)
    before = project.snapshots()
    flags = ("--config", project.config, "--experiment-id", "panel")
    answer = call(stage.main, name, *flags)
    assert answer.code == 2
    assert "is a ready-made panel" in answer.err
    assert "analyze_panel" in answer.err
    assert project.snapshots() == before


def test_flags_are_outcomes_of_0_and_1(analyze):
    columns = _draw()
    columns["sales"] = [str(value > 20).lower() for value in columns["sales"]]
    flags, _ = analyze(columns, *COHORTS)
    columns["sales"] = [int(value == "true") for value in columns["sales"]]
    numbers, _ = analyze(columns, *COHORTS, name="numbers")
    assert flags["did_2x2"]["difference"] == numbers["did_2x2"]["difference"]
    assert flags["did_2x2"]["p_value"] == numbers["did_2x2"]["p_value"]
