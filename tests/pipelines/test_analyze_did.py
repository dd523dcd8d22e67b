"""Difference in differences of a roll-out by market, from rows by user and instant."""

import json

import pytest


def test_a_rollout_in_few_markets_is_bootstrapped(ready):
    stored = json.loads(ready.exp("results", "exp_rollout", "--format", "json").out)
    rows = {(e["metric_name"], e["method"]): e for e in stored}
    for metric in ("conversion", "revenue_per_user"):
        row = rows[metric, "did_2x2"]
        assert (row["status"], row["role"], row["n_clusters"]) == ("OK", "primary", 30)
        assert row["details"]["inference"] == "wild_cluster_bootstrap"
        assert row["details"]["sensitivity"]["status"] == "OK"
        dealt = rows[metric, "did_randomisation"]
        assert (dealt["status"], dealt["role"]) == ("OK", "diagnostic")
        assert dealt["difference"] == pytest.approx(row["difference"], rel=1e-9)
    found = rows["sessions_per_user", "did_2x2"]["details"]["noninferiority"]
    assert found["test"] == "wild_cluster_bootstrap"
    assert rows["conversion", "cluster_delta"]["reason"] == "NOT_RANDOMISED"
    reasons = [
        json.loads(row["reasons"])
        for row in ready.tables("decisions")["decisions"]
        if row["experiment_id"] == "exp_rollout"
    ]
    assert all("SENSITIVITY_FAILED" in found for found in reasons)
