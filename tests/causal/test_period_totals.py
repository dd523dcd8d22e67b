import numpy as np
import pytest

from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.period_totals import total_periods
from exp_platform.errors import ContractError

NAMES = ("exp_1", "spend")
PERIODS = (-3, -2, -1, 0, 1)


def _draw(seed, n=60, gap=0.0):
    random = np.random.default_rng(seed)
    values = random.normal(10, 2, (n, 1)) + random.normal(0, 1, (n, 5))
    values[:, 3:] += gap
    return values


def _total(values, variant="control", *, weight=None, cluster=None):
    return total_periods(
        values,
        weight=np.ones(len(values)) if weight is None else weight,
        cluster=np.arange(len(values)) if cluster is None else cluster,
        periods=PERIODS,
        totals_of=(*NAMES, variant),
    )


def test_total_periods_of_a_balanced_panel_are_the_days_totals(gram):
    values, cluster = _draw(1), np.arange(60) % 25
    found = _total(values, cluster=cluster)
    expected = gram(values, PERIODS, cluster=cluster)
    assert found.n_clusters == 25
    assert found.means == pytest.approx(expected.means)
    assert np.array(found.score_gram) == pytest.approx(np.array(expected.score_gram))


def test_whole_weights_are_copies_of_units():
    values, weight = _draw(2), np.resize([1, 2, 3], 60)
    weighted = _total(values, weight=weight.astype(float))
    cluster = np.repeat(np.arange(60), weight)
    copied = _total(np.repeat(values, weight, axis=0), cluster=cluster)
    assert weighted.means == pytest.approx(copied.means)
    # Errors of the means: scores are kept per unit counted.
    assert np.array(weighted.score_gram) / 60**2 == pytest.approx(
        np.array(copied.score_gram) / copied.n**2
    )


def test_units_not_seen_in_a_period_add_nothing_to_it():
    values = _draw(3)
    values[:30, 4] = np.nan
    found = _total(values)
    assert found.means[4] == pytest.approx(values[30:, 4].mean())
    error = found.score_gram[4][4] / found.n**2
    assert error == pytest.approx(values[30:, 4].var() / 30)


def test_an_empty_period_is_refused():
    values = _draw(4)
    values[:, 2] = np.nan
    with pytest.raises(ContractError, match="nobody in some period"):
        _total(values)


def test_estimate_event_study_with_one_period_before_is_the_2x2(settings):
    arms = [_draw(5)[:, 2:], _draw(6, gap=1.0)[:, 2:]]
    control, treatment = (
        total_periods(
            values,
            weight=np.ones(60),
            cluster=np.arange(60),
            periods=PERIODS[2:],
            totals_of=(*NAMES, variant),
        )
        for values, variant in zip(arms, ("control", "treated"), strict=True)
    )
    found = estimate_event_study(control, treatment, settings)
    expected = estimate_did(panel_of(control), panel_of(treatment), settings)
    for name in ("difference", "standard_error", "p_value", "ci_lower", "ci_upper"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert (found.method, found.estimand, found.period) == (
        "event_study",
        "ATT",
        "post",
    )


def test_estimate_event_study_lists_every_period(settings):
    control, treatment = _total(_draw(5)), _total(_draw(6, gap=1.0), "treated")
    found = estimate_event_study(control, treatment, settings)
    effects = found.details["effects"]
    assert [row["day"] for row in effects] == list(PERIODS)
    assert effects[2]["standard_error"] is None
    mean = np.mean([row["delta"] for row in effects[3:]])
    assert found.difference == pytest.approx(mean)


@pytest.mark.parametrize(
    ("keep", "reason"),
    [(slice(3, 5), "NO_PRE_PERIOD"), (slice(0, 3), "NO_POST_PERIOD")],
)
def test_estimate_event_study_needs_before_and_after(keep, reason, settings):
    arms = [
        total_periods(
            _draw(seed)[:, keep],
            weight=np.ones(60),
            cluster=np.arange(60),
            periods=PERIODS[keep],
            totals_of=(*NAMES, variant),
        )
        for seed, variant in ((1, "control"), (2, "treated"))
    ]
    assert estimate_event_study(*arms, settings).reason == reason


@pytest.mark.parametrize(
    ("n_clusters", "reason"), [(4, "TOO_FEW_CLUSTERS"), (8, "NEEDS_WILD_BOOTSTRAP")]
)
def test_estimate_event_study_refuses_few_clusters(n_clusters, reason, settings):
    cluster = np.arange(60) % n_clusters
    arms = (_total(_draw(1), cluster=cluster), _total(_draw(2), "treated"))
    assert estimate_event_study(*arms, settings).reason == reason
