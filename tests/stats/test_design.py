import numpy as np
import pytest

from exp_platform.errors import UsageError
from exp_platform.records import Covariate, MetricType
from exp_platform.stats.design import (
    Design,
    Noise,
    Target,
    noise_of_quantile,
    noise_of_rate,
    noise_of_totals,
)
from exp_platform.stats.quantile import summarise_quantile
from exp_platform.stats.settings import EstimateSettings


def _settings(define, metric_type, covariate=None):
    from dataclasses import replace

    return EstimateSettings(replace(define(metric_type), covariate=covariate))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Design(alpha=0.0),
        lambda: Design(power=1.0),
        lambda: Design(n_goals=0),
        lambda: Design(control_share=1.0),
        lambda: Design(inflation=0.9),
        lambda: Design(units_per_day=0.0),
        lambda: Noise(1.0, 0.0),
        lambda: Noise(float("nan"), 1.0),
        lambda: Noise(2.0, 1.0, "pooled_z"),
        lambda: Target(float("inf")),
        lambda: Target(margin=0.0),
        lambda: noise_of_rate(1.0),
    ],
)
def test_number_out_of_range_is_refused(make):
    with pytest.raises(UsageError, match="out of range"):
        make()


def test_shares_divide_what_control_leaves():
    assert Design(n_treatments=3).shares == (0.25, 0.25)
    assert Design(n_treatments=2, control_share=0.5).shares == (0.5, 0.25)


def test_noise_of_totals_reads_each_type(define, total):
    random = np.random.default_rng(1)
    y, d = random.gamma(2, 2, 500), 1.0 + random.poisson(2, 500)
    mean = noise_of_totals(total(y), _settings(define, MetricType.MEAN))
    assert (mean.mean, mean.variance, mean.test) == (
        pytest.approx(y.mean()),
        pytest.approx(y.var(ddof=1)),
        "t",
    )
    ratio = noise_of_totals(
        total(y, denominator=d), _settings(define, MetricType.RATIO)
    )
    left = (y - y.sum() / d.sum() * d) / d.mean()
    # The linearised values' variance, summed in another order.
    assert ratio.variance == pytest.approx(left.var(ddof=1), rel=1e-10)
    assert ratio.test == "normal"
    events = (y > 5).astype(float)
    rate = noise_of_totals(total(events), _settings(define, MetricType.PROPORTION))
    assert (rate.mean, rate.test) == (events.mean(), "pooled_z")


def test_noise_of_totals_takes_the_variance_ratio_of_a_covariate(define, total):
    random = np.random.default_rng(2)
    x = random.normal(0, 1, 4000)
    y = 0.6 * x + random.normal(0, 0.8, 4000)
    settings = _settings(define, MetricType.MEAN, Covariate("spend"))
    noise = noise_of_totals(total(y, covariate=x), settings)
    assert noise.variance_ratio == pytest.approx(1 - np.corrcoef(x, y)[0, 1] ** 2)
    assert noise_of_totals(total(y), settings).variance_ratio == 1


@pytest.mark.parametrize(
    ("values", "metric_type"),
    [
        (np.ones(200), MetricType.MEAN),
        (np.zeros(200), MetricType.PROPORTION),
        (np.arange(200.0), MetricType.RATIO),
    ],
)
def test_noise_of_totals_is_none_without_any(values, metric_type, define, total):
    assert noise_of_totals(total(values), _settings(define, metric_type)) is None


def test_noise_of_quantile_gives_back_its_standard_error():
    values = np.random.default_rng(3).lognormal(0, 1, 3000)
    totals = summarise_quantile(("e", "m", "c"), values, 0.9)
    noise = noise_of_quantile(totals)
    error = (totals.upper - totals.lower) / (2 * totals.z)
    assert noise.variance / 3000 == pytest.approx(error**2)
    tiny = summarise_quantile(("e", "m", "c"), values[:5], 0.99)
    assert noise_of_quantile(tiny) is None


def test_noise_of_a_ratio_without_denominator_is_none(define, total):
    from dataclasses import replace

    bare = replace(total(np.arange(200.0)), denominator_mean=0.0)
    assert noise_of_totals(bare, _settings(define, MetricType.RATIO)) is None
    unknown = replace(bare, mean=None)
    assert noise_of_totals(unknown, _settings(define, MetricType.MEAN)) is None
