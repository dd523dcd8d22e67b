"""Staggered adoption: intervals and bands where effects differ by cohort and grow."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from exp_platform.causal.aggregation import average_effects, find_band
from exp_platform.causal.cohort_path import assess_cohorts, path_of_effects
from exp_platform.causal.cohort_totals import total_cohorts
from exp_platform.causal.group_times import (
    GroupTimes,
    compare_cohorts,
    compare_units,
)
from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.causal.relative_magnitudes import RobustInterval
from exp_platform.causal.sensitivity import Sensitivity
from exp_platform.causal.smoothness import bound_smoothness
from exp_platform.causal.staggered import StaggeredEffects, estimate_staggered
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    most,
    uniform,
)
from exp_platform.pipelines.calibration.quantities import TRUE_P, p_values_of
from exp_platform.pipelines.calibration.series import draw_ar1
from exp_platform.pipelines.calibration.totals import MEAN, columns
from exp_platform.records import EstimateStatus

STARTS = (3, 5, 7)
NEVER = np.inf
SHARES = (2 / 9, 2 / 9, 2 / 9, 1 / 3)
UNITS = 180
AGREE = 1
PERIODS = np.arange(1.0, 10.0)
FACTOR = "40 units a cohort, errors without a small-sample factor"
KINDS = ("simple", "group", "dynamic", "calendar")


def _effect_of(start: Array) -> Array:
    """Effects grow with time and differ by cohort, shape (n_units, n_periods)."""
    since = PERIODS - start[:, None]
    sizes = np.where(np.isfinite(start), (9 - start) / 4, 0.0)[:, None]
    return np.where(since >= 0, (0.2 + 0.3 * np.maximum(since, 0)) * sizes, 0.0)


EFFECTS = _effect_of(np.array(STARTS, dtype=float))
BY_COHORT = {
    float(g): float(row[g - 1 :].mean()) for g, row in zip(STARTS, EFFECTS, strict=True)
}


def _true_averages() -> tuple[float, ...]:
    """Simple, group, dynamic and calendar average; the cohorts are equally likely."""
    since = PERIODS - np.array(STARTS)[:, None]
    by_time = [EFFECTS[since == e].mean() for e in range(7)]
    by_period = [EFFECTS[since[:, t] >= 0, t].mean() for t in range(2, 9)]
    means = (EFFECTS[since >= 0], list(BY_COHORT.values()), by_time, by_period)
    return tuple(float(np.mean(one)) for one in means)


TRUTHS = _true_averages()


def _draw_panel(random: Generator) -> PanelData:
    """A unit's cohort is drawn, too: the averages weigh by estimated shares."""
    start = random.choice([*STARTS, NEVER], size=UNITS, p=SHARES)
    noise = draw_ar1(random, (UNITS, PERIODS.size), rho=0.5)
    level = random.standard_normal((UNITS, 1)) + 0.1 * PERIODS
    return PanelData(
        "simulated",
        "metric",
        np.repeat(np.arange(UNITS), PERIODS.size),
        np.tile(PERIODS, UNITS),
        (level + _effect_of(start) + noise).ravel(),
        np.repeat(start, PERIODS.size),
    )


def _is_banded(found: StaggeredEffects) -> bool:
    rows = [row for row in found.rows if row.method.endswith("group")]
    lower, upper = columns(rows, "band_lower", "band_upper")
    truth = np.array([BY_COHORT[row.at] for row in rows])
    return bool(np.all((lower <= truth) & (truth <= upper)))


def _averages(random: Generator, runs: int) -> Values:
    covered, banded, leads, by_twfe, simple = [], [], [], [], []
    for _ in range(runs):
        data = _draw_panel(random)
        found = estimate_staggered(data, MEAN)
        lower, upper = columns(found.estimates, "ci_lower", "ci_upper")
        covered.append((lower <= TRUTHS) & (upper >= TRUTHS))
        simple.append(found.estimates[0])
        banded.append(_is_banded(found))
        leads.append(found.estimates[2].details["pretrend_p_value"] < 0.05)
        lower, upper = columns([estimate_twfe(data, MEAN)], "ci_lower", "ci_upper")
        by_twfe.append(bool(lower[0] <= TRUTHS[0] <= upper[0]))
    shares = np.array(covered).T
    return {
        **{f"coverage, {kind}": c for kind, c in zip(KINDS, shares, strict=True)},
        f"{TRUE_P}, simple": p_values_of(simple, TRUTHS[0]),
        "simultaneous coverage, bands by cohort": np.array(banded),
        "alarms of the leads": np.array(leads),
        "coverage, two-way fixed effects": np.array(by_twfe),
    }


def _unbiased(random: Generator, runs: int) -> Values:
    errors = []
    for _ in range(runs):
        found = compare_cohorts(total_cohorts(arrange_panel(_draw_panel(random))))
        errors.append(average_effects(found, "simple").overall - TRUTHS[0])
    return {"error of the simple average": np.array(errors)}


def _with_covariate(random: Generator, runs: int) -> Values:
    """Trends depend on a covariate that treated units have more of; effect 1."""
    covered, plain, leads, same = [], [], [], []
    for run in range(runs):
        panel = _draw_confounded(random)
        truths = []
        for data in (panel, replace(panel, covariates=None)):
            row = estimate_staggered(data, MEAN).estimates[0]
            lower, upper = columns([row], "ci_lower", "ci_upper")
            truths.append(bool(lower[0] <= 1.0 <= upper[0]))
        covered.append(truths[0])
        plain.append(truths[1])
        bounds = _bound(panel)
        leads.append(bounds.lower <= 1.0 <= bounds.upper)
        if run < AGREE:
            same.append(_report(panel).smoothness[0] == bounds)
    return {
        "coverage, doubly robust": np.array(covered),
        "coverage without the covariate": np.array(plain),
        "straight drift covered by the bounds": np.array(leads),
        "reports with the same interval": np.array(same),
    }


def _plain_effects(panel: PanelData) -> GroupTimes:
    bare = arrange_panel(replace(panel, covariates=None))
    return compare_units(bare, base_period="universal")


def _bound(panel: PanelData) -> RobustInterval:
    """The covariate's trend is straight: M = 0 allows it."""
    path = path_of_effects(_plain_effects(panel))
    if path is None:
        raise TypeError(path)
    return bound_smoothness(path, 0.0)


def _report(panel: PanelData) -> Sensitivity:
    names = ("simulated", "metric", "not_treated", "treated")
    blank = Sensitivity(*names, EstimateStatus.INSUFFICIENT_DATA)
    return assess_cohorts(_plain_effects(panel), blank)


def _draw_confounded(random: Generator) -> PanelData:
    periods = np.arange(1.0, 6.0)
    x = random.standard_normal(UNITS)
    start = np.where(random.random(UNITS) < expit(0.7 * x), 4.0, NEVER)
    values = 0.3 * x[:, None] * periods + (periods >= start[:, None])
    values = values + 0.5 * random.standard_normal((UNITS, 5))
    return PanelData(
        "simulated",
        "metric",
        np.repeat(np.arange(UNITS), 5),
        np.tile(periods, UNITS),
        values.ravel(),
        np.repeat(start, 5),
        covariates=np.repeat(x, 5)[:, None],
    )


def _bands(random: Generator, runs: int) -> Values:
    """Five estimates with correlation .5."""
    covariance = 0.5 + 0.5 * np.eye(5)
    band = find_band(covariance, alpha=0.05)
    z = random.standard_normal((runs, 5)) @ np.linalg.cholesky(covariance).T
    return {"any outside the band": (np.abs(z) > band).any(axis=1)}


def _few_clusters(random: Generator, runs: int) -> Values:
    """Two dates, four clusters each, eight never treated; no effect."""
    cohort = np.repeat([3.0, 5.0, np.inf], [4, 4, 8])
    periods = np.arange(1.0, 8.0)
    p_values = []
    for values in draw_ar1(random, (runs, 16, 7)):
        data = PanelData(
            "simulated",
            "metric",
            np.repeat(np.arange(16), 7),
            np.tile(periods, 16),
            values.ravel(),
            np.repeat(cohort, 7),
        )
        found = estimate_staggered(data, MEAN).estimates
        p_values.append(columns(found, "p_value")[0])
    rejected = np.array(p_values).T <= 0.05
    return {
        f"false alarms, {kind}": flags
        for kind, flags in zip(KINDS, rejected, strict=True)
    }


SIMULATIONS = (
    Simulation(
        "callaway_santanna",
        "Callaway and Sant'Anna, bands by multiplier bootstrap",
        "180 units over 9 periods, AR(1) .5; two ninths of them in each of three cohorts, "
        "a third never treated; effects that grow and differ by cohort",
        (estimate_staggered, estimate_twfe),
        (
            *(equal(f"coverage, {kind}", 0.95, 0.005, FACTOR) for kind in KINDS),
            uniform(f"{TRUE_P}, simple"),
            equal(
                "simultaneous coverage, bands by cohort",
                0.95,
                0.015,
                f"{FACTOR}, normal draws",
            ),
            equal("alarms of the leads", 0.05, 0.01, FACTOR),
            disease(
                most("coverage, two-way fixed effects", 0.5),
                "stands beside with a warning of forbidden comparisons",
                "tests/causal/test_twfe.py::test_forbidden_comparisons_are_warned_of",
            ),
        ),
        4_000,
        50,
        _averages,
    ),
    Simulation(
        "group_time_averages",
        "group-time effects and their simple average",
        "the same panel",
        (compare_cohorts, total_cohorts, average_effects),
        (equal("error of the simple average", 0.0),),
        1_500,
        60,
        _unbiased,
    ),
    Simulation(
        "callaway_santanna_covariate",
        "Callaway and Sant'Anna given a covariate; bounds on its dynamic effects",
        "180 units over 5 periods, trends depend on a covariate that the treated have "
        "more of, effect 1",
        (compare_units, path_of_effects, assess_cohorts),
        (
            equal("coverage, doubly robust", 0.95, 0.01, FACTOR),
            disease(
                most("coverage without the covariate", 0.6),
                "its leads move, and bounds that allow a straight drift cover",
                "callaway_santanna_covariate",
            ),
            equal("straight drift covered by the bounds", 0.95, 0.01, FACTOR),
            equal("reports with the same interval", 1.0),
        ),
        1_200,
        15,
        _with_covariate,
    ),
    Simulation(
        "uniform_band",
        "critical value of a band",
        "five normal estimates with correlation .5",
        (find_band,),
        (equal("any outside the band", 0.05, 0.003, "10,000 draws of the band"),),
        200_000,
        40_000,
        _bands,
    ),
    Simulation(
        "staggered_few_clusters",
        "randomisation inference for several dates",
        "16 clusters, two cohorts of 4, AR(1) .8 over 7 periods, no effect",
        (estimate_staggered,),
        tuple(
            equal(f"false alarms, {kind}", 0.05, 0.003, "1,999 draws") for kind in KINDS
        ),
        2_500,
        100,
        _few_clusters,
    ),
)
