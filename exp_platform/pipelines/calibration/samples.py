"""Quantiles, the bootstrap and the tail report: methods that read units' values."""

import math

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    disease,
    equal,
    least,
)
from exp_platform.pipelines.calibration.totals import MEAN, NAMES, columns, totals_of
from exp_platform.records import MetricTotals
from exp_platform.stats.bootstrap import (
    Statistic,
    UnitSample,
    estimate_bootstrap,
    resample_statistic,
    weighted_mean,
    weighted_quantile,
    weighted_ratio,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.quantile import estimate_quantile, summarise_quantile
from exp_platform.stats.tail import (
    assess_tail,
    estimate_capped,
    find_threshold,
    summarise_tail,
)
from exp_platform.stats.welch import Arm

SHARES = (0.5, 0.9, 0.99)
# Normal quantiles at SHARES.
POINTS = (0.0, 1.2815515655446004, 2.3263478740408408)
LIFT = 0.1


def _quantiles(random: Generator, runs: int) -> Values:
    found: dict[str, list[bool]] = {f"coverage, q = {q}": [] for q in SHARES}
    for _ in range(runs):
        arms = [random.lognormal(shift, 1.0, 2000) for shift in (0.0, LIFT)]
        for q, z in zip(SHARES, POINTS, strict=True):
            totals = [summarise_quantile(NAMES, arm, q) for arm in arms]
            row = estimate_quantile(totals[0], totals[1], MEAN)
            truth = math.exp(z + LIFT) - math.exp(z)
            found[f"coverage, q = {q}"].append(_covers(row, truth))
    return {name: np.array(flags) for name, flags in found.items()}


def _covers(row: object, truth: float) -> bool:
    lower, upper = columns([row], "ci_lower", "ci_upper")
    return bool(lower[0] <= truth <= upper[0])


def _clustered_quantiles(random: Generator, runs: int) -> Values:
    """Events of one user are alike; those of both arms are drawn in one way."""
    quantities: dict[str, list[float]] = {"events of users": [], "events as units": []}
    for _ in range(runs):
        arms = [_draw_events(random) for _ in range(2)]
        for name, is_clustered in (
            ("events of users", True),
            ("events as units", False),
        ):
            totals = [
                summarise_quantile(
                    NAMES, values, 0.9, units=units if is_clustered else None
                )
                for values, units in arms
            ]
            row = estimate_quantile(totals[0], totals[1], MEAN)
            quantities[name].append(row.p_value or 1.0)
    return {
        f"false alarms, {name}": np.array(p_values) < 0.05
        for name, p_values in quantities.items()
    }


def _draw_events(random: Generator) -> tuple[Array, np.ndarray]:
    sizes = 1 + random.poisson(3 * random.gamma(2.0, 0.5, 400))
    units = np.repeat(np.arange(400), sizes)
    level = random.normal(0.0, 0.7, 400)
    return np.exp(level[units] + random.normal(0.0, 0.7, units.size)), units


def _bootstrap(random: Generator, runs: int) -> Values:
    cases: dict[str, tuple[Statistic, float]] = {
        "coverage, mean": (weighted_mean, 0.0),
        "coverage, ratio": (weighted_ratio, 0.0),
        "coverage, median": (weighted_quantile(0.5), 0.0),
    }
    found: dict[str, list[bool]] = {name: [] for name in cases}
    for run in range(runs):
        samples = []
        for variant in ("control", "treatment"):
            below = 1.0 + random.poisson(2.0, 200)
            above = below * random.gamma(2.0, 0.5, 200)
            table = np.column_stack([above, below])
            samples.append(UnitSample("simulated", "metric", variant, table))
        for name, (statistic, truth) in cases.items():
            row = estimate_bootstrap(
                samples[0], samples[1], MEAN, statistic, seed=run, n_resamples=399
            )
            found[name].append(_covers(row, truth))
    return {name: np.array(flags) for name, flags in found.items()}


def _resampled(random: Generator, runs: int) -> Values:
    ratios = []
    for _ in range(runs):
        values = random.standard_normal((100, 1))
        draws = resample_statistic(values, weighted_mean, random, n_resamples=400)
        ratios.append(draws.var(ddof=1) / (values.var() / 100))
    return {"variance of the resampled mean over that of the mean": np.array(ratios)}


def _tails(random: Generator, runs: int) -> Values:
    """Revenue of 2,000 against 2,000 visitors, the top .1 % capped."""
    capped, carried = [], []
    for _ in range(runs):
        arms = [_draw_amounts(random, 2000) for _ in range(2)]
        threshold = find_threshold(np.concatenate(arms))
        tails = [summarise_tail(NAMES, values, threshold) for values in arms]
        totals = [_totals(values) for values in arms]
        pair = (tails[0], tails[1])
        capped.append(estimate_capped(totals[0], totals[1], pair, MEAN))
        found = assess_tail(totals[0], totals[1], pair)
        carried.append(0.0 if found is None else found.shift)
    return {
        "false alarms, top .1 % capped": columns(capped, "p_value")[0] < 0.05,
        "what the tail carries, in errors": np.array(carried),
    }


def _draw_amounts(random: Generator, n: int) -> Array:
    buys = random.random(n) < 0.1
    return np.where(buys, random.lognormal(0.0, 1.2, n), 0.0)


def _totals(values: Array) -> MetricTotals:
    n, mean, variance = float(values.size), values.mean(), values.var(ddof=1)
    return totals_of(Arm(np.array([n]), np.array([mean]), np.array([variance])))[0]


SIMULATIONS = (
    Simulation(
        "quantiles",
        "Woodruff's interval",
        "2,000 against 2,000 lognormal values, quantiles differ by 10 %",
        (summarise_quantile, estimate_quantile),
        tuple(
            equal(f"coverage, q = {q}", 0.95, slack, "order statistics are discrete")
            for q, slack in zip(SHARES, (0.005, 0.005, 0.01), strict=True)
        ),
        6_000,
        800,
        _quantiles,
    ),
    Simulation(
        "quantiles_of_events",
        "Woodruff's interval with clustered shares, 90 % quantile of events",
        "400 against 400 users with 1 to about 15 events, those of one user alike; no "
        "effect",
        (summarise_quantile, estimate_quantile),
        (
            equal("false alarms, events of users", 0.05, 0.01, "400 users"),
            disease(
                least("false alarms, events as units", 0.08),
                "shares are clustered by user",
                "quantiles_of_events",
            ),
        ),
        4_000,
        600,
        _clustered_quantiles,
    ),
    Simulation(
        "bootstrap",
        "Poisson bootstrap, percentile interval of 399 resamples",
        "200 against 200 units, gamma amounts per event, no effect",
        (estimate_bootstrap, weighted_mean, weighted_ratio, weighted_quantile),
        tuple(
            equal(f"coverage, {name}", 0.95, 0.015, "percentile interval, 200 units")
            for name in ("mean", "ratio", "median")
        ),
        2_000,
        60,
        _bootstrap,
    ),
    Simulation(
        "bootstrap_variance",
        "Poisson weights",
        "100 normal values, 400 resamples",
        (resample_statistic,),
        (
            equal(
                "variance of the resampled mean over that of the mean",
                1.0,
                0.03,
                "the number of drawn units varies: 1 + 2 / n",
            ),
        ),
        2_000,
        200,
        _resampled,
    ),
    Simulation(
        "tail_capped",
        "Welch's t with the tail capped",
        "revenue, a tenth buys, lognormal with s = 1.2; 2,000 against 2,000, no effect",
        (assess_tail, estimate_capped, find_threshold, summarise_tail),
        (
            equal(
                "false alarms, top .1 % capped",
                0.05,
                0.004,
                "the cap comes from the data",
            ),
            equal("what the tail carries, in errors", 0.0),
        ),
        6_000,
        600,
        _tails,
    ),
)
