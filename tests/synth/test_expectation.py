import pytest

from exp_platform.checks.catalogue import CATALOGUE
from exp_platform.config import Scenario, load_settings
from exp_platform.decision.reasons import Reason
from exp_platform.records import Outcome, Verdict
from exp_platform.synth.expectation import find_expectation

ENOUGH = 1000
MODES = [
    {"sample_ratio_mismatch": 0.1},
    {"guardrail_degradation": 0.5},
    {"duplicate_share": 0.1},
    {"late_share": 0.1},
    {"crossover_share": 0.15},
    {"crossover_share": 0.05},
    {"bot_share": 0.02},
    {"missing_pre_period": True},
    {"novelty_half_life_days": 2.0},
    {"outlier_value": 1e6},
    {"missing_day": 3},
    {"spike_day": 9},
]


def scenario(effect, **changes):
    return Scenario(days=14, n_users=6000, effect_lift_conversion=effect, **changes)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("effect", [0.0, 0.05])
def test_find_expectation_names_known_checks_and_reasons(mode, effect):
    expected = find_expectation(scenario(effect, failure_modes=mode), ENOUGH)
    assert expected.check in {"", *CATALOGUE}
    assert expected.reason in {"", *Reason}
    assert expected.verdicts
    assert (Outcome.SHIP not in expected.decisions) or effect > 0


def test_find_expectation_too_little_data_comes_first():
    broken = scenario(0.05, failure_modes={"sample_ratio_mismatch": 0.1})
    expected = find_expectation(broken, 99)
    assert expected.reason == "INSUFFICIENT_DATA"
    assert expected.decisions == (Outcome.REVIEW,)


def test_find_expectation_gravest_mode_decides():
    modes = {"sample_ratio_mismatch": 0.1, "duplicate_share": 0.1}
    expected = find_expectation(scenario(0.05, failure_modes=modes), ENOUGH)
    assert expected.check == "SRM"
    assert expected.verdicts == (Verdict.DO_NOT_USE,)


@pytest.mark.parametrize(
    ("effect", "decisions"),
    [
        (0.05, (Outcome.SHIP,)),
        (0.0, (Outcome.REVIEW,)),
        (-0.05, (Outcome.ROLL_BACK, Outcome.REVIEW)),
    ],
)
def test_find_expectation_clean_follows_the_effect(effect, decisions):
    expected = find_expectation(scenario(effect), ENOUGH)
    assert expected.check == ""
    assert expected.decisions == decisions


@pytest.mark.parametrize(
    ("drift", "decisions"),
    [(0.0, {Outcome.SHIP, Outcome.REVIEW}), (0.02, {Outcome.REVIEW})],
)
def test_find_expectation_rollout(drift, decisions):
    modes = {"trend_drift": drift}
    rollout = scenario(0.05, assignment="policy", policy_day=7, failure_modes=modes)
    expected = find_expectation(rollout, ENOUGH)
    assert expected.check == "PRETREND"
    assert set(expected.decisions) == decisions


def test_find_expectation_covers_the_development_scenarios(request):
    settings = load_settings(request.config.rootpath / "configs" / "dev.yaml")
    found = {
        find_expectation(scenario, ENOUGH).check
        for scenario in settings.experiments.values()
    }
    assert {"SRM", "PRETREND", "CROSSOVER", "DUPLICATES", "LATE_DATA"} <= found
