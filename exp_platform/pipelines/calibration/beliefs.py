"""Bayesian answers: calibrated when the prior is right, and what looking costs."""

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from exp_platform.pipelines.calibration.gate import (
    Simulation,
    Values,
    disease,
    equal,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.paths import DAYS, draw_paths
from exp_platform.pipelines.calibration.totals import (
    MEAN,
    PROPORTION,
    columns,
    details,
    pair_up,
    totals_of,
    totals_of_events,
)
from exp_platform.stats.bayes import (
    NormalPrior,
    estimate_bayes_normal,
    tabulate_sensitivity,
    update_normal,
)
from exp_platform.stats.bayes_binomial import (
    BetaPrior,
    estimate_bayes_proportions,
    update_rates,
)
from exp_platform.stats.beta_rates import compare_rates
from exp_platform.stats.score import Counts
from exp_platform.stats.welch import Arm

OUTSIDE = "true effects outside the 90 % interval"
PROMISE = "effect above 0, less its probability, where that is .90 to .95"
NOISY = "the bend of a ratio with a noisy control mean"
LOSS = "loss of choosing treatment, less the expected"


def _normal(random: Generator, runs: int) -> Values:
    effects = random.normal(0.0, 0.3, runs)
    errors = random.uniform(0.05, 0.4, runs)
    zero, prior = np.zeros(runs), np.full(runs, 0.3)
    found = update_normal(random.normal(effects, errors), errors, zero, prior, 0.1)
    above = found.probability_above
    is_bin = (above > 0.90) & (above < 0.95)
    return {
        PROMISE: (effects[is_bin] > 0) - above[is_bin],
        OUTSIDE: (effects < found.lower) | (effects > found.upper),
        LOSS: np.maximum(-effects, 0.0) - found.loss_above,
    }


def _wrong_prior(random: Generator, runs: int) -> Values:
    """The same prior where nothing has an effect, read once and every day."""
    z = draw_paths(random, runs, DAYS)
    chance = ndtr(z)
    is_extreme = (chance > 0.95) | (chance < 0.05)
    return {
        "chance to win above .95 at the end": chance[:, -1] > 0.95,
        "chance to win above .95 or below .05 on any of 14 days": (
            is_extreme[:, 1::2].any(axis=1)
        ),
    }


def _rows(random: Generator, runs: int) -> Values:
    """Relative lifts drawn from the prior N(0, .3^2)."""
    lifts = random.normal(0.0, 0.3, runs)
    control = draw_normal(random, runs, 900, mean=10.0, sd=30.0)
    treatment = draw_normal(random, runs, 900, sd=30.0)
    moved = Arm(treatment.n, treatment.mean + 10 * (1 + lifts), treatment.variance)
    pairs = zip(totals_of(control), totals_of(moved), strict=True)
    rows = [estimate_bayes_normal(*pair, MEAN) for pair in pairs]
    lower, upper = columns(rows, "relative_ci_lower", "relative_ci_upper")
    above = details(rows, "probability_to_beat")
    return {
        "true lifts outside the 95 % interval": (lifts < lower) | (lifts > upper),
        "lift above 0, less its probability": (lifts > 0) - above,
    }


def _sensitivity(random: Generator, runs: int) -> Values:
    """The table's row for the right prior."""
    effects = random.normal(0.0, 0.2, runs)
    observed = random.normal(effects, 0.1)
    prior = NormalPrior(0.0, 0.2, "absolute")
    rows = [
        tabulate_sensitivity((float(x), 0.1), prior, 0.1, factors=(1.0,))[0]
        for x in observed
    ]
    outside = [
        not row["ci_lower"] <= effect <= row["ci_upper"]
        for row, effect in zip(rows, effects, strict=True)
    ]
    return {OUTSIDE: np.array(outside)}


def _rates(random: Generator, runs: int) -> Values:
    rates = random.beta(2, 30, (2, runs))
    events = random.binomial(400, rates).astype(float)
    n = np.full(runs, 400.0)
    counts = Counts(events[0], n, events[1], n)
    found = compare_rates(*update_rates(counts, BetaPrior(2.0, 30.0)), 0.1)
    truth = rates[1] - rates[0]
    return {
        OUTSIDE: (truth < found.lower) | (truth > found.upper),
        "effect above 0, less its probability": (truth > 0) - found.probability_above,
        LOSS: np.maximum(-truth, 0.0) - found.loss_above,
        "true lifts outside the 90 % interval": (
            (rates[1] / rates[0] - 1 < found.lift_lower)
            | (rates[1] / rates[0] - 1 > found.lift_upper)
        ),
    }


def _rate_rows(random: Generator, runs: int) -> Values:
    rates = random.beta(2, 30, (2, runs))
    events = random.binomial(400, rates).astype(float)
    control, treatment = (totals_of_events(x, 400) for x in events)
    prior = BetaPrior(2.0, 30.0)
    rows = [
        estimate_bayes_proportions(c, t, PROPORTION, prior=prior)
        for c, t in pair_up(control, treatment)
    ]
    above = details(rows, "probability_to_beat")
    return {"effect above 0, less its probability": (rates[1] > rates[0]) - above}


SIMULATIONS = (
    Simulation(
        "bayes_normal",
        "normal prior, known error",
        "effects from the prior N(0, .3^2), errors of .05 to .4",
        (update_normal,),
        (equal(PROMISE, 0.0), equal(OUTSIDE, 0.1), equal(LOSS, 0.0)),
        400_000,
        100_000,
        _normal,
    ),
    Simulation(
        "bayes_flat_prior",
        "chance to win, flat prior",
        "daily looks, no effect",
        (),
        (
            equal("chance to win above .95 at the end", 0.05, 0.0, "a one-sided p"),
            disease(
                equal(
                    "chance to win above .95 or below .05 on any of 14 days",
                    0.38,
                    0.01,
                    "reference value",
                ),
                "a decision reads sequential p-values, no posterior",
                "rule_no_effect",
            ),
        ),
        100_000,
        20_000,
        _wrong_prior,
    ),
    Simulation(
        "bayes_rows",
        "normal prior on the relative lift, whole rows",
        "900 against 900 normal values, control mean known to 10 %, lifts from the "
        "prior N(0, .3^2)",
        (estimate_bayes_normal,),
        (
            equal("true lifts outside the 95 % interval", 0.05, 0.01, NOISY),
            equal("lift above 0, less its probability", 0.0, 0.015, NOISY),
        ),
        8_000,
        800,
        _rows,
    ),
    Simulation(
        "bayes_sensitivity",
        "table of priors, the right one",
        "effects from the prior N(0, .2^2), error .1",
        (tabulate_sensitivity,),
        (equal(OUTSIDE, 0.1),),
        10_000,
        2_000,
        _sensitivity,
    ),
    Simulation(
        "bayes_rates",
        "beta priors",
        "rates of both arms from Beta(2, 30), 400 units each",
        (compare_rates, update_rates),
        (
            equal(OUTSIDE, 0.1),
            equal("true lifts outside the 90 % interval", 0.1),
            equal("effect above 0, less its probability", 0.0),
            equal(LOSS, 0.0),
        ),
        8_000,
        300,
        _rates,
    ),
    Simulation(
        "bayes_rate_rows",
        "beta priors, whole rows",
        "rates of both arms from Beta(2, 30), 400 units each",
        (estimate_bayes_proportions,),
        (equal("effect above 0, less its probability", 0.0),),
        400,
        30,
        _rate_rows,
    ),
)
