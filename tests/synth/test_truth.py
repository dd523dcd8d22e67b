import json

import numpy as np
import pytest


def test_build_truth_is_json(clean):
    assert json.loads(json.dumps(clean.truth)) is not None


def test_build_truth_counts_units_before_anything_is_lost(deliver, clean):
    broken = deliver(failure_modes={"sample_ratio_mismatch": 0.1})
    assert broken.truth["n_exposed"] == clean.truth["n_exposed"]
    assert clean.truth["n_exposed"]["treatment"] == clean.arms.sum()
    assert broken.truth["failure_modes"] == {"sample_ratio_mismatch": 0.1}
    assert clean.truth["failure_modes"] == {}


def test_build_truth_revenue_effect_is_recovered(deliver):
    delivered = deliver(n_users=20_000, effect_lift_conversion=0.1)
    revenue, arms = delivered.sums("revenue"), delivered.arms
    truth = delivered.truth["effects"]["revenue_per_user"]
    treated, control = revenue[arms], revenue[~arms]
    error = np.sqrt(treated.var() / treated.size + control.var() / control.size)
    difference = treated.mean() - control.mean()
    assert difference == pytest.approx(truth["absolute"], abs=4 * error)


def test_build_truth_rollout_effect_is_on_the_treated(deliver):
    delivered = deliver(
        n_users=20_000, assignment="policy", policy_day=5, base_conversion=0.3
    )
    truth = delivered.truth
    assert truth["estimand"] == "ATT"
    effect = truth["effects"]["conversion"]
    assert effect["absolute"] == pytest.approx(0.05, abs=1e-9)
    converted = (delivered.sums("conversion") > 0)[delivered.arms]
    error = converted.std() / np.sqrt(converted.size)
    assert converted.mean() == pytest.approx(effect["treatment"], abs=4 * error)
