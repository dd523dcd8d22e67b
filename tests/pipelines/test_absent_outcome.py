"""An outcome that never came, at all or in one arm, is named."""

import pyarrow.compute as pc


def test_job_says_which_outcome_never_came(deliver, delivered):
    outcomes = delivered["outcomes"]
    names = pc.replace_substring_regex(outcomes["metric_name"], "^revenue$", "revenu")
    place = outcomes.column_names.index("metric_name")
    project = deliver(outcomes=outcomes.set_column(place, "metric_name", names))
    assert project.job("exp_tiny").code == 0
    tables = project.tables()
    (check,) = (c for c in tables["check_results"] if c["check_name"] == "KEYS")
    assert (check["status"], check["reason"]) == ("WARNED", "NOTHING_DELIVERED")
    assert check["message"] == (
        "No row that counts was delivered of 'revenue' (did you mean 'revenu'?)."
    )
    assert "SHIP" not in {decision["outcome"] for decision in tables["decisions"]}


def test_job_says_which_arm_no_outcome_came_from(deliver, delivered):
    exposures, outcomes = delivered["exposures"], delivered["outcomes"]
    is_treated = pc.equal(exposures["variant"], "treatment")
    treated = exposures.filter(is_treated)["user_id"].unique()
    is_lost = pc.and_(
        pc.is_in(outcomes["user_id"], treated),
        pc.equal(outcomes["metric_name"], "revenue"),
    )
    project = deliver(outcomes=outcomes.filter(pc.invert(is_lost)))
    assert project.job("exp_tiny").code == 0
    tables = project.tables()
    found = [c for c in tables["check_results"] if c["reason"] == "SILENT_ARM"]
    assert {c["status"] for c in found} == {"WARNED"}
    subjects = sorted(c["subject"] for c in found)
    assert subjects == ["revenue_per_session", "revenue_per_user"]
    assert "All units of treatment have 0" in found[0]["message"]
    assert "SHIP" not in {decision["outcome"] for decision in tables["decisions"]}
