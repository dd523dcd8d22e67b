import numpy as np
import pytest

from exp_platform.causal.event_path import choose_period, gather_path, path_of


@pytest.mark.parametrize(
    ("n_pre", "n_post", "is_daily", "period"),
    [
        (13, 14, True, 1),
        (14, 14, True, 7),
        (14, 14, False, 2),
        (13, 28, False, 1),
        # thirteen weeks, then fortnights
        (91, 28, True, 7),
        (92, 28, True, 14),
        (60, 60, False, 5),
        # at least two periods stay before the event, whatever follows it
        (2, 400, False, 1),
        (6, 400, False, 3),
        (1, 5, True, 1),
        (0, 5, True, 1),
    ],
)
def test_choose_period_gathers_long_paths(n_pre, n_post, is_daily, period):
    days = tuple(range(-n_pre, n_post))
    assert choose_period(days, is_daily=is_daily) == period


@pytest.mark.parametrize("period", [1, 2, 3])
def test_gather_path_is_the_path_of_gathered_totals(period, gram):
    days = np.arange(-7, 8)
    random = np.random.default_rng(2)
    arms = (
        gram(random.normal(5, 1, (30, days.size)), days),
        gram(random.normal(5, 1, (40, days.size)), days, variant="new"),
    )
    found = gather_path(path_of(*arms, period_days=1), period)
    expected = path_of(*arms, period_days=period)
    # The same linear map of the totals, in another order of sums.
    for name in ("coefficients", "covariance", "weights"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert found.n_pre == expected.n_pre
    if period == 1:
        assert found.estimate == pytest.approx(path_of(*arms, period_days=1).estimate)
