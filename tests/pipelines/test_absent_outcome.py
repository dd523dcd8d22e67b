"""A metric of an outcome that never came is named, and what was probably meant."""

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
