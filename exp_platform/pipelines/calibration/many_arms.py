"""Several arms against one control."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    equal,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.totals import MEAN, columns, totals_of
from exp_platform.records import MetricTotals
from exp_platform.stats.dunnett import (
    adjust_dunnett,
    critical_dunnett,
    exceed_largest,
)
from exp_platform.stats.multiplicity import adjust_estimates
from exp_platform.stats.welch import estimate_welch

SIZES = np.array([4000.0, 1000.0, 500.0, 2000.0])
ANY = "any false alarm"


def _errors() -> tuple[Array, Array]:
    """Errors of the differences, and their loadings on the control's."""
    errors = np.sqrt(1 / SIZES[1:] + 1 / SIZES[0])
    return errors, np.sqrt(1 / SIZES[0]) / errors


def _known_variance(random: Generator, runs: int) -> Values:
    errors, loadings = _errors()
    means = random.standard_normal((runs, 4)) / np.sqrt(SIZES)
    z = np.abs((means[:, 1:] - means[:, :1]) / errors)
    critical = critical_dunnett(loadings, 0.05)
    largest = z.max(axis=1)
    p_values = exceed_largest(largest[:2000], loadings)
    return {ANY: largest > critical, "p-values of the largest below .2": p_values < 0.2}


def _pooled_variance(random: Generator, runs: int) -> Values:
    """Five arms of 8: one pooled variance with 35 degrees of freedom."""
    df, loadings = 35.0, np.full(4, np.sqrt(0.5))
    means = random.standard_normal((runs, 5)) / np.sqrt(8)
    sd = np.sqrt(random.chisquare(df, (runs, 1)) / df)
    t = np.abs(means[:, 1:] - means[:, :1]) / (sd * np.sqrt(2 / 8))
    return {ANY: t.max(axis=1) > critical_dunnett(loadings, 0.05, df=df)}


def _draw_arms(random: Generator, runs: int) -> list[tuple[MetricTotals, ...]]:
    arms = [
        totals_of(draw_normal(random, runs, n, mean=5.0)) for n in (400, 100, 60, 200)
    ]
    return list(zip(*arms, strict=True))


def _rows(random: Generator, runs: int) -> Values:
    is_false, is_covered, is_false_holm = [], [], []
    for control, *others in _draw_arms(random, runs):
        named = zip("abc", others, strict=True)
        welch = [estimate_welch(control, _name(arm, v), MEAN) for v, arm in named]
        rows = adjust_dunnett(welch)
        p_values, lower, upper = columns(
            rows, "p_value_adjusted", "ci_lower", "ci_upper"
        )
        is_false.append(bool(np.any(p_values <= 0.05)))
        is_covered.append(bool(np.all((lower <= 0) & (upper >= 0))))
        holm = columns(adjust_estimates(welch), "p_value_adjusted")[0]
        is_false_holm.append(bool(np.any(holm <= 0.05)))
    return {
        f"{ANY}, Dunnett": np.array(is_false),
        "all intervals cover": np.array(is_covered),
        f"{ANY}, Holm": np.array(is_false_holm),
    }


def _name(totals: MetricTotals, variant: str) -> MetricTotals:
    return MetricTotals(
        totals.experiment_id,
        totals.metric_name,
        variant,
        totals.n,
        totals.mean,
        totals.variance,
    )


SIMULATIONS = (
    Simulation(
        "dunnett",
        "Dunnett's test, known variance",
        "4,000 in control, 1,000, 500 and 2,000 in three arms, no effect",
        (critical_dunnett, exceed_largest),
        (equal(ANY, 0.05), equal("p-values of the largest below .2", 0.2)),
        200_000,
        40_000,
        _known_variance,
    ),
    Simulation(
        "dunnett_t",
        "Dunnett's test, pooled variance",
        "five arms of 8 normal values, no effect",
        (critical_dunnett,),
        (equal(ANY, 0.05),),
        200_000,
        40_000,
        _pooled_variance,
    ),
    Simulation(
        "dunnett_rows",
        "Dunnett's test and intervals, whole rows by Welch",
        "400 in control, 100, 60 and 200 in three arms, no effect",
        (adjust_dunnett, adjust_estimates),
        (
            equal(f"{ANY}, Dunnett", 0.05, 0.003, "Welch's t read as normal z"),
            equal("all intervals cover", 0.95, 0.003, "Welch's t read as normal z"),
            most(f"{ANY}, Holm", 0.05, 0.003, "Welch's degrees of freedom"),
        ),
        4_000,
        250,
        _rows,
    ),
)
