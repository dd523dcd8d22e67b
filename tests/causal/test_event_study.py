from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.clusters import cr1_factor
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_study import assess_novelty, estimate_deltas
from exp_platform.errors import ContractError
from exp_platform.records import EstimateStatus

DAYS = list(range(-4, 6))


def _draw(gram, seed=1, n=200, effect=0.0, variant="control"):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (n, 1)) + random.normal(5, 1, (n, len(DAYS)))
    return gram(values + effect * (np.array(DAYS) >= 0), DAYS, variant)


def test_estimate_deltas_agrees_with_pyfixest(golden, gram):
    answer = golden("event_study")
    values, cluster = np.array(answer["values"]), np.array(answer["cluster"])
    treated = np.array(answer["treated"]) == 1
    control, treatment = (
        gram(values[side], answer["days"], name, cluster[side])
        for name, side in (("control", ~treated), ("new", treated))
    )
    rows = {row.day: row for row in estimate_deltas(control, treatment)}
    # The golden errors carry no small-sample factor, ours the one of the 2x2 estimate.
    factor = np.sqrt(cr1_factor(50, len(values)))
    for day, delta, error in zip(
        answer["delta_days"],
        answer["deltas"],
        answer["raw_standard_errors"],
        strict=True,
    ):
        # pyfixest removes the fixed effects iteratively, to 1e-8.
        assert rows[day].delta == pytest.approx(delta, rel=1e-6)
        assert rows[day].standard_error == pytest.approx(factor * error, rel=1e-6)
    assert rows[-1].is_reference
    assert (rows[-1].delta, rows[-1].standard_error) == (0.0, None)
    assert [row.period for row in rows.values()] == ["pre"] * 5 + ["post"] * 4


def test_delta_of_two_days_is_the_2x2_estimate(gram, settings):
    random = np.random.default_rng(2)
    control = gram(random.normal(5, 1, (80, 2)), [-1, 0])
    treatment = gram(random.normal(5, 1, (60, 2)), [-1, 0], "new")
    row = estimate_deltas(control, treatment)[1]
    did = estimate_did(panel_of(control), panel_of(treatment), settings)
    assert row.delta == pytest.approx(did.difference)
    assert row.standard_error == pytest.approx(did.standard_error)
    assert row.p_value == pytest.approx(did.p_value)


def test_estimate_deltas_without_reference_day_has_no_numbers(gram):
    rows = estimate_deltas(_draw(gram, 1), _draw(gram, 2), reference_day=-99)
    assert len(rows) == len(DAYS)
    assert all(row.delta is None and row.p_value is None for row in rows)


def test_estimate_deltas_of_a_single_unit_has_no_numbers(gram):
    rows = estimate_deltas(_draw(gram, 1, n=1), _draw(gram, 2, n=1))
    assert all(row.delta is None for row in rows)


@pytest.mark.parametrize("n_clusters", [4, 5, 19])
def test_estimate_deltas_with_few_clusters_has_no_errors(n_clusters, gram):
    few = replace(_draw(gram, 1), n_clusters=n_clusters)
    rows = estimate_deltas(few, _draw(gram, 2))
    assert all(row.standard_error is None for row in rows)
    assert all(row.delta is not None for row in rows)


def test_estimate_deltas_of_constant_days_has_no_errors(gram):
    constant = gram(np.full((50, 2), 3.0), [-1, 0])
    rows = estimate_deltas(constant, constant)
    assert (rows[1].delta, rows[1].standard_error) == (0.0, None)


def test_estimate_deltas_of_a_broken_day_has_no_number(gram):
    control = _draw(gram, 1)
    broken = replace(control, means=(float("nan"), *control.means[1:]))
    rows = estimate_deltas(broken, _draw(gram, 2))
    assert rows[0].delta is None
    assert rows[1].delta is not None


def test_estimate_deltas_refuses_different_days(gram):
    other = replace(_draw(gram), days=tuple(day + 1 for day in DAYS))
    with pytest.raises(ContractError, match="do not belong together"):
        estimate_deltas(_draw(gram), other)


def test_assess_novelty_finds_an_effect_that_wears_off(gram):
    random = np.random.default_rng(4)
    fading = 2 * np.exp(-np.arange(10) / 3) * (np.array(DAYS) >= 0)
    treatment = gram(random.normal(5, 1, (400, 10)) + fading, DAYS, "new")
    found = assess_novelty(_draw(gram, 1, 400), treatment)
    assert found.status is EstimateStatus.OK
    assert found.p_value < 0.001
    assert found.slope < 0
    assert found.change == pytest.approx(5 * found.slope)
    assert found.n_days == 6


def test_assess_novelty_of_a_steady_effect_finds_nothing(gram):
    found = assess_novelty(_draw(gram, 1), _draw(gram, 2, effect=3.0))
    assert found.p_value > 0.01


def test_assess_novelty_ignores_the_pre_period(gram):
    control, treatment = _draw(gram, 1), _draw(gram, 2)
    post = [day for day in DAYS if day >= 0]

    def cut(arm):
        return replace(
            arm,
            days=tuple(post),
            means=arm.means[4:],
            score_gram=tuple(row[4:] for row in arm.score_gram[4:]),
        )

    whole = assess_novelty(control, treatment)
    alone = assess_novelty(cut(control), cut(treatment))
    assert whole.slope == pytest.approx(alone.slope, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"n_clusters": 4}, "TOO_FEW_CLUSTERS"), ({"n_clusters": 5}, "TOO_FEW_CLUSTERS")],
)
def test_assess_novelty_needs_clusters(change, reason, gram):
    arms = (replace(_draw(gram, seed), **change) for seed in (1, 2))
    found = assess_novelty(*arms)
    assert (found.status, found.reason) == (EstimateStatus.INSUFFICIENT_DATA, reason)
    assert found.slope is None


def test_assess_novelty_needs_days_and_variance(gram):
    two = gram(np.random.default_rng(1).normal(0, 1, (50, 3)), [-1, 0, 1])
    assert assess_novelty(two, two).reason == "TOO_FEW_DAYS"
    flat = gram(np.ones((50, 4)), [0, 1, 2, 3])
    assert assess_novelty(flat, flat).reason == "ZERO_VARIANCE"


def test_assess_novelty_marks_broken_moments(gram):
    control = _draw(gram, 1)
    broken = replace(control, means=(*control.means[:-1], float("inf")))
    found = assess_novelty(broken, _draw(gram, 2))
    assert found.status is EstimateStatus.METRIC_ERRORED
