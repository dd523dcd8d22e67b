"""What stands beside the decision in a whole run: rows, reasons, and no say in it."""

import json

import numpy as np
import pytest
from scipy.stats import norm

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("views")]

BESIDE = {
    "bayes_normal",
    "bayes_beta_binomial",
    "tail_capped",
    "novelty_trend",
    "segment_interaction",
    "dunnett",
}
SKIPS = [f"--skip={name}" for name in ("bayes", "tails", "novelty", "segments", "arms")]


@pytest.fixture(scope="module")
def arms(tmp_path_factory, make_project):
    """Three arms without dates; the effect on spend exists on phones only."""
    project = make_project(tmp_path_factory.mktemp("arms") / "project")
    random = np.random.default_rng(11)
    lines = ["arm,os,spend,bought"]
    for arm, effect in (("A", 0.0), ("B", 3.0), ("C", 0.0)):
        for index in range(1500):
            device = ("phone", "desk", "rare")[0 if index < 900 else 1 + (index > 1480)]
            spend = random.normal(20, 5) + effect * (device == "phone")
            lines.append(f"{arm},{device},{spend:.4f},{int(random.random() < 0.2)}")
    path = project.root / "arms.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    answer = project.exp(
        *("import", path, "--experiment-id", "exp_arms", "--variant", "arm"),
        *("--control", "A", "--metric", "spend", "--metric", "bought:proportion"),
        *("--segment", "os"),
    )
    assert (answer.code, answer.err) == (0, "")
    assert project.exp("run", "exp_arms").code == 0
    return project


def rows(project, experiment_id="exp_arms", **wanted):
    answer = project.exp("results", experiment_id, "--format", "json")
    assert answer.code == 0
    return [
        row
        for row in json.loads(answer.out)
        if all(row[name] == value for name, value in wanted.items())
    ]


def test_interaction_is_found_where_it_is_and_single_segments_are_corrected(arms):
    found = {
        (row["metric_name"], row["treatment"]): row
        for row in rows(arms, method="segment_interaction")
    }
    assert set(found) == {(m, a) for m in ("spend", "bought") for a in ("B", "C")}
    changed = found["spend", "B"]
    assert changed["segment"] == "os"
    assert changed["p_value_adjusted"] < 1e-6
    assert changed["difference"] > 1
    assert changed["details"]["left_out"] == {"os=rare": "TOO_FEW_UNITS"}
    assert changed["role"] == "diagnostic"
    del found["spend", "B"]
    assert min(row["p_value_adjusted"] for row in found.values()) > 0.05
    levels = [
        row
        for row in rows(arms, method="welch_t")
        if "=" in row["segment"] and row["p_value"] is not None
    ]
    ordered = sorted(row["p_value"] for row in levels)
    n = len(ordered)
    by_hand = [
        min(n / (k + 1) * ordered[k] for k in range(i, n)) for i in range(len(ordered))
    ]
    adjusted = sorted(row["p_value_adjusted"] for row in levels)
    # The same products in another order.
    assert adjusted == pytest.approx(by_hand, rel=1e-12)
    (rare,) = rows(
        arms, method="welch_t", segment="os=rare", metric_name="spend", treatment="B"
    )
    assert (rare["status"], rare["reason"]) == ("INSUFFICIENT_DATA", "TOO_FEW_UNITS")


def test_dunnett_stands_beside_holm(arms):
    found = rows(arms, method="dunnett", metric_name="spend")
    alone = rows(arms, method="welch_t", metric_name="spend", segment="all")
    plain = {row["treatment"]: row for row in alone}
    assert [row["treatment"] for row in found] == ["B", "C"]
    for row in found:
        single = plain[row["treatment"]]
        assert row["role"] == "secondary"
        assert row["p_value"] <= row["p_value_adjusted"] <= min(1, 2 * row["p_value"])
        assert row["details"]["base_method"] == "welch_t"
        width = single["ci_upper"] - single["ci_lower"]
        assert row["ci_upper"] - row["ci_lower"] > width


def test_posterior_of_a_row_follows_from_its_stored_parts(arms):
    found = rows(arms, method="bayes_normal")
    assert len(found) == 4
    for row in found:
        details = row["details"]
        lift, error = details["observed_relative_lift"], details["observed_error"]
        weight = 0.3**2 / (0.3**2 + error**2)
        mean, sd = weight * lift, error * np.sqrt(weight)
        assert row["relative_lift"] == pytest.approx(mean)
        assert details["probability_to_beat"] == pytest.approx(norm.cdf(mean / sd))
        assert row["p_value"] is None
        assert row["role"] == "secondary"
    assert {row["metric_name"] for row in rows(arms, method="bayes_beta_binomial")} == {
        "bought"
    }


def test_tail_and_trend_rows_give_reasons_where_there_is_nothing_to_see(arms, ready):
    tails = rows(arms, method="tail_capped")
    assert {row["metric_name"] for row in tails} == {"spend"}
    assert all(sum(row["details"]["n_above"]) <= 4 for row in tails)
    trends = rows(arms, method="novelty_trend")
    assert {(row["status"], row["reason"]) for row in trends} == {
        ("NOT_IDENTIFIED", "UNDATED")
    }
    few = rows(ready, "exp_tiny", method="tail_capped", metric_name="revenue_per_user")
    assert {(row["status"], row["reason"]) for row in few} == {
        ("INSUFFICIENT_DATA", "TOO_FEW_UNITS")
    }
    (trend,) = rows(
        ready, "exp_tiny", method="novelty_trend", metric_name="sessions_per_user"
    )
    assert trend["status"] == "OK"
    assert [day["day"] for day in trend["details"]["days"]] == [0, 1, 2, 3]


def test_policy_has_no_view_by_chance(ready):
    assert not {row["method"] for row in rows(ready, "exp_rollout")} & BESIDE


def test_decision_is_the_same_without_any_view(arms):
    def decided():
        found = arms.tables("decisions", "check_results")
        kept = [
            {k: v for k, v in row.items() if k not in {"run_id", "computed_at"}}
            for row in (*found["decisions"], *found["check_results"])
        ]
        return sorted(map(repr, kept))

    before = decided()
    answer = arms.exp("run", "exp_arms", *SKIPS)
    assert answer.code == 0
    assert not {row["method"] for row in rows(arms)} & BESIDE
    assert decided() == before
    assert arms.exp("run", "exp_arms").code == 0


def test_table_names_the_attribute_of_a_test(arms):
    answer = arms.exp("results", "exp_arms")
    assert "spend by os" in answer.out
    assert "3 more segments" in answer.out


def test_memo_shows_every_view(arms):
    memo = arms.exp("memo", "exp_arms").out
    for title in (
        "Do effects differ between segments?",
        "### Several arms together",
        "### What to believe, given a prior",
        "### What the most extreme units carry",
        "### Does the effect last?",
    ):
        assert title in memo
