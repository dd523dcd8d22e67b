"""Many tests at once: family-wise error, false discoveries, simultaneous intervals."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr, ndtri

from exp_platform.pipelines.calibration.gate import (
    Array,
    Flags,
    Simulation,
    Values,
    equal,
    least,
    most,
)
from exp_platform.stats.multiplicity import (
    CORRECTIONS,
    adjust_bh,
    adjust_bonferroni,
    adjust_by,
    adjust_hochberg,
    adjust_holm,
    bound_holm,
    interval_alphas,
)

FAMILY_WISE = ("bonferroni", "holm", "hochberg")
EFFECT = 3.0


def _draw(random: Generator, runs: int, effects: Array, shared: float = 0.0) -> Array:
    """Statistics of many tests per run; their correlation is `shared`."""
    own = random.standard_normal((runs, effects.size))
    common = random.standard_normal((runs, 1))
    return np.asarray(effects + np.sqrt(shared) * common + np.sqrt(1 - shared) * own)


def _p_values(z: Array) -> Array:
    return np.asarray(2 * ndtr(-np.abs(z)))


def _any_false(z: Array, is_null: Flags, name: str) -> Flags:
    """Did the correction reject any test without an effect?"""
    adjusted = np.array([CORRECTIONS[name](row) for row in _p_values(z)])
    return np.asarray((adjusted[:, is_null] <= 0.05).any(axis=1))


def _nothing(random: Generator, runs: int) -> Values:
    z = _draw(random, runs, np.zeros(10))
    null = np.ones(10, dtype=bool)
    return {
        f"any false alarm, {name}": _any_false(z, null, name) for name in FAMILY_WISE
    }


def _some(random: Generator, runs: int) -> Values:
    effects = np.repeat([0.0, EFFECT], 5)
    z = _draw(random, runs, effects, shared=0.5)
    return {
        f"any false alarm, {name}": _any_false(z, effects == 0, name)
        for name in FAMILY_WISE
    }


def _discoveries(adjust: Callable[[Array], Array], z: Array, is_null: Flags) -> Values:
    is_found = np.array([adjust(row) for row in _p_values(z)]) <= 0.05
    false = (is_found & is_null).sum(axis=1)
    share = false / np.maximum(is_found.sum(axis=1), 1)
    return {
        "share of false discoveries": share,
        "effects found": is_found[:, ~is_null].mean(axis=1),
    }


def _bh(random: Generator, runs: int) -> Values:
    effects = np.repeat([0.0, EFFECT], [80, 20])
    return _discoveries(adjust_bh, _draw(random, runs, effects), effects == 0)


def _by(random: Generator, runs: int) -> Values:
    """Pairs of opposite tests."""
    half = _draw(random, runs, np.zeros(20))
    effects = np.repeat([0.0, EFFECT], [40, 10])
    z = np.hstack([half, -half, _draw(random, runs, np.full(10, EFFECT))])
    return _discoveries(adjust_by, z, effects == 0)


def _intervals(random: Generator, runs: int) -> Values:
    effects = np.repeat([0.0, 2.0, EFFECT], [10, 5, 5])
    z = _draw(random, runs, effects)
    together, missed = [], []
    for row, p in zip(z, _p_values(z), strict=True):
        wide = -ndtri(interval_alphas(p, 0.05, "holm") / 2)
        together.append(bool(np.all(np.abs(row - effects) <= wide)))
        chosen = -ndtri(interval_alphas(p, 0.05, "bh") / 2)
        is_chosen = ~np.isnan(chosen)
        wrong = np.abs(row - effects)[is_chosen] > chosen[is_chosen]
        missed.append(wrong.sum() / max(is_chosen.sum(), 1))
    return {
        "all Bonferroni intervals cover": np.array(together),
        "share of selected intervals that miss, bh": np.array(missed),
    }


def _holm_bounds(random: Generator, runs: int) -> Values:
    effects = np.array([0.0, 0.0, 1.0, 2.5, 4.0])
    one, normal = np.ones(5), np.full(5, np.inf)
    quantities = {}
    for name, truth in (("", effects), (", all tests rejected", effects + 8)):
        drawn = _draw(random, runs, truth)
        found = np.array([bound_holm(z, one, normal, 0.05) for z in drawn])
        quantities[f"all lower bounds hold{name}"] = (found <= truth).all(axis=1)
    return quantities


SIMULATIONS = (
    Simulation(
        "corrections_no_effect",
        "Bonferroni, Holm, Hochberg",
        "10 independent tests without an effect",
        (adjust_bonferroni, adjust_holm, adjust_hochberg),
        (
            equal("any false alarm, bonferroni", 1 - 0.995**10),
            equal("any false alarm, holm", 1 - 0.995**10),
            most("any false alarm, hochberg", 0.05),
        ),
        20_000,
        3_000,
        _nothing,
    ),
    Simulation(
        "corrections_some_effects",
        "Bonferroni, Holm, Hochberg",
        "10 tests with correlation .5, five with an effect of 3 errors",
        (adjust_bonferroni, adjust_holm, adjust_hochberg),
        tuple(most(f"any false alarm, {name}", 0.05) for name in FAMILY_WISE),
        20_000,
        3_000,
        _some,
    ),
    Simulation(
        "benjamini_hochberg",
        "Benjamini and Hochberg",
        "80 independent tests without and 20 with an effect of 3 errors",
        (adjust_bh,),
        (
            equal("share of false discoveries", 0.8 * 0.05),
            equal("effects found", 0.61, 0.01, "reference value"),
        ),
        20_000,
        2_000,
        _bh,
    ),
    Simulation(
        "benjamini_yekutieli",
        "Benjamini and Yekutieli",
        "20 tests without an effect, their 20 opposites, and 10 with 3 errors",
        (adjust_by,),
        (most("share of false discoveries", 0.05), least("effects found", 0.3)),
        20_000,
        2_000,
        _by,
    ),
    Simulation(
        "simultaneous_intervals",
        "intervals beside Holm, and of tests selected by BH",
        "20 independent tests, effects of 0, 2 and 3 errors",
        (interval_alphas,),
        (
            least("all Bonferroni intervals cover", 0.95),
            most("share of selected intervals that miss, bh", 0.05),
        ),
        20_000,
        2_000,
        _intervals,
    ),
    Simulation(
        "holm_bounds",
        "lower bounds that agree with Holm's one-sided tests",
        "5 independent tests, effects of 0 to 4 errors",
        (bound_holm,),
        (
            least("all lower bounds hold", 0.95),
            equal("all lower bounds hold, all tests rejected", 0.99**5),
        ),
        20_000,
        2_000,
        _holm_bounds,
    ),
)
