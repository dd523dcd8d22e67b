"""Two public experiments from file to results, beside answers of independent tools.

The files are not part of the project (the licence of Cookie Cats is unclear); the
answers were computed with scipy, statsmodels, R, gbstats and tea-tasting. The ends of a
lift's interval are the lifts at which scipy's Welch test of treatment against the scaled
control has p = .05 at the degrees of freedom of the difference (looked for with brentq).
"""

import json
from pathlib import Path

import pytest
from scipy.special import stdtr

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("real_data")]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
# The answers are given with ten digits.
GIVEN = 1e-9
# A gap of two total-covariance and within-arm slopes, times a small difference in the
# covariate; METHODS section 2 says why ours is the within-arm one.
OTHER_THETA = 2e-4

COOKIE_CATS = {
    "retention_1": {
        "difference": -0.005905169787,
        "standard_error": 0.003309928986,
        "statistic": -1.784077487,
        "df": 90155.11213,
        "p_value": 0.07441443714,
        "ci_lower": -0.01239259849,
        "ci_upper": 0.0005822589136,
        "relative_lift": -0.01317565586,
        "relative_ci_lower": -0.02745116109,
        "relative_ci_upper": 0.001308710149,
    },
    "retention_7": {
        "difference": -0.008201298315,
        "standard_error": 0.002592042757,
        "statistic": -3.164028947,
        "df": 90079.82814,
        "p_value": 0.001556530181,
        "ci_lower": -0.01328167703,
        "ci_upper": -0.003120919602,
        "relative_lift": -0.0431190349,
        "relative_ci_lower": -0.0689020864,
        "relative_ci_upper": -0.01663546366,
    },
    "sum_game_rounds": {
        "difference": -1.157488454,
        "standard_error": 1.307250417,
        "statistic": -0.8854374331,
        "df": 58595.48142,
        "p_value": 0.3759243841,
        "ci_lower": -3.719705116,
        "ci_upper": 1.404728209,
        "relative_lift": -0.0220657814,
        "relative_ci_lower": -0.06805687046,
        "relative_ci_upper": 0.02795947292,
    },
}
PROPORTION_P = {"retention_1": 0.0744096553, "retention_7": 0.001554249976}

HILLSTROM = {
    ("visit", "Mens E-Mail"): {
        "difference": 0.07658956365,
        "standard_error": 0.003385887812,
        "statistic": 22.62023077,
        "p_value": 1.364451196e-112,
        "ci_lower": 0.06995314761,
        "ci_upper": 0.08322597969,
        "relative_lift": 0.7214046168,
        "relative_ci_lower": 0.6409247829,
        "relative_ci_upper": 0.807118995,
    },
    ("conversion", "Mens E-Mail"): {
        "difference": 0.00680500652,
        "standard_error": 0.0009208727857,
        "statistic": 7.389735721,
        "p_value": 1.501815785e-13,
        "ci_lower": 0.005000070748,
        "ci_upper": 0.008609942291,
        "relative_lift": 1.188421876,
        "relative_ci_lower": 0.7795214149,
        "relative_ci_upper": 1.738793299,
    },
    ("spend", "Mens E-Mail"): {
        "difference": 0.7698271559,
        "standard_error": 0.1452465602,
        "statistic": 5.300140358,
        "p_value": 1.163814968e-07,
        "ci_lower": 0.4851397326,
        "ci_upper": 1.054514579,
        "relative_lift": 1.17928877,
        "relative_ci_lower": 0.6436753844,
        "relative_ci_upper": 1.977480792,
    },
    ("visit", "Womens E-Mail"): {
        "difference": 0.04523310659,
        "standard_error": 0.003234462099,
        "statistic": 13.98473848,
        "p_value": 2.432447702e-44,
        "ci_lower": 0.03889349376,
        "ci_upper": 0.05157271941,
        "relative_lift": 0.4260550703,
        "relative_ci_lower": 0.3564780436,
        "relative_ci_upper": 0.4999685183,
    },
    ("conversion", "Womens E-Mail"): {
        "difference": 0.003111057511,
        "standard_error": 0.0008226770776,
        "statistic": 3.78162659,
        "p_value": 0.0001560283951,
        "ci_lower": 0.001498592366,
        "ci_upper": 0.004723522656,
        "relative_lift": 0.5433130437,
        "relative_ci_lower": 0.234012051,
        "relative_ci_upper": 0.9523812534,
    },
    ("spend", "Womens E-Mail"): {
        "difference": 0.4244122159,
        "standard_error": 0.1303328585,
        "statistic": 3.256371576,
        "p_value": 0.001129397102,
        "ci_lower": 0.1689567899,
        "ci_upper": 0.679867642,
        "relative_lift": 0.6501518639,
        "relative_ci_lower": 0.224161724,
        "relative_ci_upper": 1.274964694,
    },
}
# Of the delta method.
LIFT_ERRORS = {
    "retention_1": 0.007336156527,
    "retention_7": 0.01332975094,
    "sum_game_rounds": 0.02444708102,
    ("visit", "Mens E-Mail"): 0.0423427859,
    ("conversion", "Mens E-Mail"): 0.2382137945,
    ("spend", "Mens E-Mail"): 0.3239768974,
    ("visit", "Womens E-Mail"): 0.03655982343,
    ("conversion", "Womens E-Mail"): 0.1786158126,
    ("spend", "Womens E-Mail"): 0.255629323,
}
PER_VISIT = {
    "Mens E-Mail": (6.148687003, 7.784203903, 1.635516901, 0.9871405202, 0.09755531003),
    "Womens E-Mail": (
        6.148687003,
        7.114919704,
        0.9662327009,
        0.9985317047,
        0.3332174475,
    ),
}
CUPED = {
    "Mens E-Mail": (0.00122289652, 0.7674384994, 0.1452150422, 0.9995660533),
    "Womens E-Mail": (0.001034651294, 0.4227009232, 0.1303082191, 0.9996219352),
}


@pytest.fixture(scope="module", name="bring")
def _bring(tmp_path_factory, make_project):
    """Import a file, run it, and hand its project back."""
    project = make_project(tmp_path_factory.mktemp("real") / "project")

    def run(file, experiment_id, *flags):
        path = DATA / file
        if not path.is_file():
            pytest.skip(f"{file} is not beside the checkout (shared/data)")
        words = (path, "--experiment-id", experiment_id, *flags)
        assert project.exp("import", *words).code == 0
        assert project.exp("run", experiment_id).code == 0
        return project

    return run


@pytest.fixture(scope="module")
def cookie_cats(bring):
    return bring(
        "cookie_cats.csv",
        "cookie_cats",
        *("--unit", "userid", "--variant", "version", "--control", "gate_30"),
        *("--metric", "retention_1", "--metric", "retention_7"),
        *("--metric", "sum_game_rounds"),
    )


@pytest.fixture(scope="module")
def hillstrom(bring):
    return bring(
        "hillstrom.csv",
        "hillstrom",
        *("--variant", "segment", "--control", "No E-Mail", "--metric", "visit"),
        *("--metric", "conversion", "--metric", "spend"),
        *("--covariate", "spend=history", "--ratio", "spend_per_visit=spend/visit"),
        *("--segment", "channel"),
    )


def estimates(project, experiment_id, method):
    answer = project.exp("results", experiment_id, "--format", "json")
    return {
        (row["metric_name"], row["treatment"]): row
        for row in json.loads(answer.out)
        if row["method"] == method and row["segment"] == "all"
    }


def check(project, experiment_id, name, subject=""):
    (row,) = (
        r
        for r in project.tables("check_results")["check_results"]
        if (r["experiment_id"], r["check_name"], r["subject"])
        == (experiment_id, name, subject)
    )
    return row


def assert_given(row, expected):
    assert row["status"] == "OK"
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=GIVEN), name


def assert_lift(row, lift_error):
    assert row["relative_method"] == "fieller"
    assert row["relative_p_value"] == row["p_value"]
    # The lift's own p is another one: of the published error, at the t of the row.
    own = 2 * stdtr(row["df"], -abs(row["relative_lift"]) / lift_error)
    # A tail moves z squared times as much as its ten digits do.
    assert row["details"]["delta_p_value"] == pytest.approx(own, rel=1e-6)


def test_cookie_cats_agrees_with_the_published_answers(cookie_cats):
    welch = estimates(cookie_cats, "cookie_cats", "welch_t")
    for metric, expected in COOKIE_CATS.items():
        row = welch[metric, "gate_40"]
        assert_given(row, expected)
        assert_lift(row, LIFT_ERRORS[metric])
        assert (row["n_control"], row["n_treatment"]) == (44_700, 45_489)
    proportions = estimates(cookie_cats, "cookie_cats", "two_proportion_z")
    for metric, p_value in PROPORTION_P.items():
        row = proportions[metric, "gate_40"]
        assert row["p_value"] == pytest.approx(p_value, rel=GIVEN)


def test_cookie_cats_memo_names_the_split_its_rule_and_the_outlier(cookie_cats):
    srm = check(cookie_cats, "cookie_cats", "SRM")
    details = json.loads(srm["details"])
    assert details["chi_square"] == pytest.approx(6.9024, abs=5e-5)
    assert srm["p_value"] == pytest.approx(0.00860799, abs=5e-9)
    assert srm["status"] == "PASSED"
    outlier = check(cookie_cats, "cookie_cats", "OUTLIER", "sum_game_rounds:gate_40")
    without = json.loads(outlier["details"])
    assert outlier["status"] == "WARNED"
    assert without["value"] == 49_854
    assert without["difference_without"] == pytest.approx(-0.04333503361, rel=GIVEN)
    assert without["standard_error_without"] == pytest.approx(0.6837954631, rel=GIVEN)
    assert without["p_value_without"] == pytest.approx(0.9494686215, rel=GIVEN)
    memo = cookie_cats.exp("memo", "cookie_cats").out
    for words in ("0.0086", "0.001", "49,854", "44,700", "45,489"):
        assert words in memo


def test_cookie_cats_is_no_case_for_shipping(cookie_cats):
    rows = cookie_cats.tables("decisions")["decisions"]
    (overall,) = (
        r for r in rows if r["experiment_id"] == "cookie_cats" and not r["treatment"]
    )
    assert overall["outcome"] == "ROLL_BACK"


def test_hillstrom_agrees_with_the_published_answers(hillstrom):
    welch = estimates(hillstrom, "hillstrom", "welch_t")
    for key, expected in HILLSTROM.items():
        assert_given(welch[key], expected)
        assert_lift(welch[key], LIFT_ERRORS[key])
    ratio = estimates(hillstrom, "hillstrom", "ratio_delta")
    names = (
        "control_mean",
        "treatment_mean",
        "difference",
        "standard_error",
        "p_value",
    )
    for arm, values in PER_VISIT.items():
        assert_given(
            ratio["spend_per_visit", arm], dict(zip(names, values, strict=True))
        )


def test_hillstrom_split_is_as_planned(hillstrom):
    srm = check(hillstrom, "hillstrom", "SRM")
    assert json.loads(srm["details"])["chi_square"] == pytest.approx(0.20253, abs=5e-6)
    assert srm["p_value"] == pytest.approx(0.90369, abs=5e-6)
    assert srm["status"] == "PASSED"


def test_hillstrom_rejects_all_six_comparisons_after_holm(hillstrom):
    found = {
        **estimates(hillstrom, "hillstrom", "welch_t"),
        **{
            key: row
            for key, row in estimates(hillstrom, "hillstrom", "cuped").items()
            if row["status"] == "OK"
        },
    }
    adjusted = [found[key]["p_value_adjusted"] for key in HILLSTROM]
    assert len(adjusted) == 6
    assert max(adjusted) < 0.05


def test_hillstrom_covariate_does_not_help_and_says_so(hillstrom):
    cuped = estimates(hillstrom, "hillstrom", "cuped")
    for arm, (theta, difference, error, variance_ratio) in CUPED.items():
        row = cuped["spend", arm]
        assert row["status"] == "OK"
        assert row["difference"] == pytest.approx(difference, rel=OTHER_THETA)
        assert row["standard_error"] == pytest.approx(error, rel=1e-7)
        details = row["details"]
        assert details["theta"] == pytest.approx(theta, rel=0.01)
        assert details["variance_ratio"] == pytest.approx(variance_ratio, rel=1e-7)
        assert details["note"] == "COVARIATE_DOES_NOT_HELP"
    assert "It does not help" in hillstrom.exp("memo", "hillstrom").out


def test_hillstrom_has_several_arms_and_no_tie_break(hillstrom):
    rows = hillstrom.tables("decisions")["decisions"]
    mine = {r["treatment"]: r for r in rows if r["experiment_id"] == "hillstrom"}
    assert set(mine) == {"", "Mens E-Mail", "Womens E-Mail"}
    assert mine[""]["outcome"] == "REVIEW"
