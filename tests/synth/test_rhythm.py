from datetime import UTC, date, datetime

import numpy as np
import pytest

from exp_platform.config import Scenario
from exp_platform.synth.rhythm import DAY_MS, WEEKDAY_WEIGHTS, read_rhythm


@pytest.fixture
def rhythm():
    return read_rhythm(Scenario(days=14, n_users=10, pre_period_days=7))


def test_read_rhythm_puts_the_pre_period_before_the_start(rhythm):
    assert rhythm.origin == datetime(2025, 12, 29, tzinfo=UTC)
    assert rhythm.instant(rhythm.start_ms) == datetime(2026, 1, 5, tzinfo=UTC)
    assert rhythm.instant(rhythm.end_ms) == datetime(2026, 1, 19, tzinfo=UTC)


def test_weekday_weights_have_mean_one():
    assert np.mean(WEEKDAY_WEIGHTS) == pytest.approx(1.0, abs=1e-12)


def test_day_weights_follow_the_weekday_of_the_start():
    scenario = Scenario(
        days=2, n_users=10, pre_period_days=0, start_date=date(2026, 1, 10)
    )
    assert read_rhythm(scenario).day_weights == pytest.approx(WEEKDAY_WEIGHTS[5:])


def test_draw_between_stays_between(rhythm):
    since = np.repeat([0, rhythm.start_ms, rhythm.end_ms - 1], 1000)
    at_ms = rhythm.draw_between(since, np.random.default_rng(1))
    assert np.all(at_ms >= since)
    assert at_ms.max() < rhythm.end_ms


def test_draw_between_follows_the_weekday(rhythm):
    n = 210_000
    at_ms = rhythm.draw_between(np.zeros(n, dtype=np.int64), np.random.default_rng(1))
    counts = np.bincount(at_ms // DAY_MS, minlength=rhythm.n_days)
    expected = n * rhythm.day_weights / rhythm.day_weights.sum()
    # 5 Poisson standard deviations over 21 days
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
