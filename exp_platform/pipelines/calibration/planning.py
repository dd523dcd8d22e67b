"""Sample sizes: does an experiment of the planned size find what it was planned for?"""

import math
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.covariates import draw_pair
from exp_platform.pipelines.calibration.gate import (
    Drawn,
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_joint, draw_normal
from exp_platform.pipelines.calibration.paths import DAYS, draw_paths, schedule_at
from exp_platform.pipelines.calibration.totals import MEAN, NAMES, RATIO, totals_of
from exp_platform.records import LookMethod, MarginScale, MetricTotals
from exp_platform.stats.adjustment import adjust_arms
from exp_platform.stats.design import (
    Design,
    Noise,
    Target,
    noise_of_quantile,
    noise_of_rate,
    noise_of_totals,
)
from exp_platform.stats.power import (
    MetricDesign,
    find_margin,
    find_mde,
    find_power,
    find_units,
    size_experiment,
)
from exp_platform.stats.proportion import compare_proportions
from exp_platform.stats.quantile import estimate_quantile, summarise_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.score import Counts
from exp_platform.stats.sequential_cost import LookRule, find_cost
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.spending import Spending
from exp_platform.stats.welch import Arm, compare_arms

NOISE = Noise(mean=2.0, variance=1.0)
POWER = "power at the planned size"


def _draw(
    random: Generator, runs: int, sizes: tuple[int, int], effect: float
) -> tuple[Arm, Arm]:
    control = draw_normal(random, runs, sizes[0], mean=2.0)
    return control, draw_normal(random, runs, sizes[1], mean=2.0 + effect)


def _found(arms: tuple[Arm, Arm], alpha: float = 0.05) -> Flags:
    return np.asarray(compare_arms(*arms, alpha).inference.p_value <= alpha)


def _sizes(metric: MetricDesign, design: Design) -> tuple[int, int]:
    size = find_units(metric, design)
    return size.n_control or 0, size.n_treatment or 0


def _means(random: Generator, runs: int) -> Values:
    design = Design(control_share=0.7)
    sizes = _sizes(MetricDesign("metric", NOISE, Target(0.4)), design)
    arms = _draw(random, runs, sizes, 0.4)
    predicted = find_power(NOISE, Target(0.4), design, sum(sizes))
    return {POWER: _found(arms), "power, less the predicted": _found(arms) - predicted}


def _smallest(random: Generator, runs: int) -> Values:
    mde = find_mde(NOISE, Design(), 300) or math.nan
    margin = find_margin(NOISE, Target(margin=0.1), Design(n_guardrails=1), 300)
    control, treatment = _draw(random, runs, (150, 150), 0.0)
    shifted = Arm(treatment.n, treatment.mean + mde, treatment.variance)
    return {
        "power at the smallest effect": _found((control, shifted)),
        "power at the smallest margin": _harmless((control, treatment), margin or 0.0),
    }


def _harmless(arms: tuple[Arm, Arm], margin: float) -> Flags:
    """One-sided test of a relative margin, normal quantile."""
    control, treatment = arms
    excess = treatment.mean - (1 - margin) * control.mean
    spread = treatment.variance_of_mean + (1 - margin) ** 2 * control.variance_of_mean
    return np.asarray(excess / np.sqrt(spread) > 1.959964)


def _rates(random: Generator, runs: int) -> Values:
    metric = MetricDesign("metric", noise_of_rate(0.1), Target(0.02))
    sizes = _sizes(metric, Design())
    events = [
        random.binomial(n, p, runs).astype(float)
        for n, p in zip(sizes, (0.1, 0.12), strict=True)
    ]
    n = [np.full(runs, float(size)) for size in sizes]
    counts = Counts(events[0], n[0], events[1], n[1])
    return {POWER: compare_proportions(counts, 0.05).inference.p_value <= 0.05}


def _cuped(random: Generator, runs: int) -> Values:
    noise = Noise(mean=2.0, variance=1.0, variance_ratio=0.64)
    sizes = _sizes(MetricDesign("metric", noise, Target(0.2)), Design())
    arms = [
        draw_pair(random, runs, n, 0.6, mean=mean)
        for n, mean in zip(sizes, (2.0, 2.2), strict=True)
    ]
    covariates = (arms[0].covariates, arms[1].covariates)
    found = adjust_arms(arms[0].arm, arms[1].arm, covariates, alpha=0.05).comparison
    return {POWER: found.inference.p_value <= 0.05}


def _past_data(random: Generator, runs: int) -> Values:
    """A pilot of 2,000 units tells the noise; the metric is planned for and run."""
    target, found, found_quantile = Target(0.2), [], []
    pilots = totals_of(draw_normal(random, runs, 2000, mean=2.0))
    for pilot in pilots:
        noise = noise_of_totals(pilot, MEAN)
        sizes = _sizes(MetricDesign("metric", noise or NOISE, target), Design())
        found.append(bool(_found(_draw(random, 1, sizes, 0.2))[0]))
        found_quantile.append(_finds_median(random))
    return {
        "power for a mean": np.array(found),
        "power for a median": np.array(found_quantile),
    }


def _finds_median(random: Generator) -> bool:
    pilot = summarise_quantile(NAMES, random.standard_normal(2000), 0.5)
    noise = noise_of_quantile(pilot) or NOISE
    n = _sizes(MetricDesign("metric", noise, Target(0.3)), Design())[0]
    arms = [random.normal(mean, 1.0, n) for mean in (0.0, 0.3)]
    totals = [summarise_quantile(NAMES, arm, 0.5) for arm in arms]
    return (estimate_quantile(totals[0], totals[1], MEAN).p_value or 1.0) <= 0.05


def _daily_looks(random: Generator, runs: int) -> Values:
    """What 28 looks cost is paid in units; some come back by stopping early."""
    cost = find_cost(LookRule(LookMethod.GROUP_SEQUENTIAL, DAYS.size), 0.05, 0.8)
    metric = MetricDesign("metric", NOISE, Target(0.1))
    n = _sizes(metric, Design(goal_cost=cost))[0]
    quantities: dict[str, Drawn] = {}
    for name, effect, share in (
        ("the planned effect", 0.1, cost.expected),
        ("no effect", 0.0, cost.expected_null),
    ):
        z = draw_paths(random, runs, DAYS, drift=effect / math.sqrt(2 / n))
        p = track_sequential_p(z, schedule_at(DAYS, DAYS), Spending())
        is_out = p <= 0.05
        used = np.where(is_out.any(axis=1), DAYS[np.argmax(is_out, axis=1)], 1.0)
        quantities[f"units used under {name}, less the predicted"] = used - share
        quantities[f"found under {name}"] = is_out[:, -1]
    return quantities


def _three_arms(random: Generator, runs: int) -> Values:
    """One of three treatments is better; the first step of Holm must find it."""
    design = Design(n_treatments=3)
    sizes = _sizes(MetricDesign("metric", NOISE, Target(0.2)), design)
    return {POWER: _found(_draw(random, runs, sizes, 0.2), design.goal_alpha)}


def _ratios(random: Generator, runs: int) -> Values:
    """Value and denominator jointly normal; the ratio rises from .5 to .52."""
    found = []
    for _ in range(runs):
        pilot = _ratio_totals(random, 4000, 2.0)
        noise = noise_of_totals(pilot, RATIO) or NOISE
        sizes = _sizes(MetricDesign("metric", noise, Target(0.02)), Design())
        arms = [
            _ratio_totals(random, n, mean)
            for n, mean in zip(sizes, (2.0, 2.08), strict=True)
        ]
        row = estimate_ratio(arms[0], arms[1], RATIO)
        found.append((row.p_value or 1.0) <= 0.05)
    return {POWER: np.array(found)}


def _ratio_totals(random: Generator, n: int, mean: float) -> MetricTotals:
    covariance = [[1.0, 0.5], [0.5, 0.6]]
    drawn = draw_joint(random, 1, n, mean=[mean, 4.0], covariance=covariance)
    return replace(
        totals_of(drawn.arm)[0],
        denominator_mean=float(drawn.means[0, 1]),
        denominator_variance=float(drawn.covariances[0, 1, 1]),
        denominator_covariance=float(drawn.covariances[0, 0, 1]),
    )


def _goals_and_guardrails(random: Generator, runs: int) -> Values:
    """One goal at its target, two goals and three guardrails without an effect."""
    metrics = [MetricDesign("goal", NOISE, Target(0.1)) for _ in range(3)]
    guardrail = Target(0.0, margin=0.05, margin_scale=MarginScale.RELATIVE)
    metrics += [MetricDesign("guardrail", NOISE, guardrail) for _ in range(3)]
    found = size_experiment(metrics, Design())
    n = (found.total.n_control or 0) if found else 0
    naive = max(
        find_units(one, Design()).n_control or 0 for one in (metrics[0], metrics[-1])
    )
    return {
        "shipped at the planned size": _shipped(random, runs, n),
        "shipped at the size of one metric": _shipped(random, runs, naive),
    }


def _shipped(random: Generator, runs: int, n: int) -> Flags:
    goal = _found(_draw(random, runs, (n, n), 0.1), 0.05 / 3)
    for _ in range(3):
        goal &= _harmless(_draw(random, runs, (n, n), 0.0), 0.05)
    return goal


SIMULATIONS = (
    Simulation(
        "power_means",
        "sample size for Welch's t",
        "normal values, 70 / 30, the planned effect",
        (find_units, find_power),
        (
            equal(POWER, 0.8, 0.003, "whole units"),
            equal(
                "power, less the predicted", 0.0, 0.001, "Welch's degrees of freedom"
            ),
        ),
        100_000,
        20_000,
        _means,
    ),
    Simulation(
        "power_smallest",
        "smallest effect, smallest margin",
        "150 against 150 normal values",
        (find_mde, find_margin),
        (
            equal("power at the smallest effect", 0.8),
            equal("power at the smallest margin", 0.8, 0.005, "t against normal"),
        ),
        100_000,
        20_000,
        _smallest,
    ),
    Simulation(
        "power_rates",
        "sample size for proportions",
        "10 % against 12 %",
        (find_units, noise_of_rate),
        (equal(POWER, 0.8, 0.003, "counts are whole"),),
        100_000,
        20_000,
        _rates,
    ),
    Simulation(
        "power_cuped",
        "sample size for CUPED",
        "a covariate of correlation .6, the planned effect",
        (find_units,),
        (equal(POWER, 0.8, 0.003, "slopes are estimated"),),
        50_000,
        10_000,
        _cuped,
    ),
    Simulation(
        "power_past_data",
        "sample size from past data",
        "a pilot of 2,000 normal values, then the experiment it plans",
        (noise_of_totals, noise_of_quantile),
        (
            equal("power for a mean", 0.8, 0.01, "the noise is estimated"),
            equal("power for a median", 0.8, 0.05, "order statistics of few units"),
        ),
        2_500,
        150,
        _past_data,
    ),
    Simulation(
        "power_ratio",
        "sample size for a ratio, from past data",
        "a pilot of 4,000 units, value and denominator jointly normal, the planned "
        "effect",
        (noise_of_totals,),
        (equal(POWER, 0.8, 0.01, "the noise is estimated"),),
        4_000,
        300,
        _ratios,
    ),
    Simulation(
        "power_three_arms",
        "sample size for three treatments",
        "normal values, one treatment with the planned effect, first level of Holm",
        (find_units,),
        (equal(POWER, 0.8, 0.003, "whole units"),),
        100_000,
        20_000,
        _three_arms,
    ),
    Simulation(
        "power_daily_looks",
        "sample size for the group sequential default",
        "28 daily looks, the planned effect and none",
        (find_units, find_cost),
        (
            equal("found under the planned effect", 0.8, 0.001, "whole units"),
            equal("found under no effect", 0.05),
            equal("units used under the planned effect, less the predicted", 0.0),
            equal("units used under no effect, less the predicted", 0.0),
        ),
        100_000,
        20_000,
        _daily_looks,
    ),
    Simulation(
        "power_experiment",
        "size of an experiment with 3 goals and 3 guardrails",
        "independent metrics, one goal at its target",
        (size_experiment,),
        (
            least("shipped at the planned size", 0.8),
            disease(
                most("shipped at the size of one metric", 0.4),
                "the size is that of the whole decision",
                "power_experiment",
            ),
        ),
        20_000,
        4_000,
        _goals_and_guardrails,
    ),
)
