"""All simulations by theme, and what has none."""

from collections.abc import Callable

from exp_platform.pipelines.calibration import (
    beliefs,
    covariates,
    differences,
    families,
    few_clusters,
    growing,
    lifts,
    many_arms,
    margins,
    means,
    observed,
    peeking,
    planned_panels,
    planning,
    proportions,
    ratios,
    robustness,
    rule,
    rule_arms,
    samples,
    segments,
    sequences,
    splits,
    staggered,
    stops,
    strata,
    trends,
    trust,
    whole_clusters,
)
from exp_platform.pipelines.calibration.gate import Simulation
from exp_platform.pipelines.calibration.judge import count_gates

THEMES: tuple[tuple[str, tuple[Simulation, ...]], ...] = (
    ("Means", means.SIMULATIONS),
    ("Relative lift", lifts.SIMULATIONS),
    ("Proportions", proportions.SIMULATIONS),
    ("Ratios", ratios.SIMULATIONS),
    ("Covariates and strata", (*covariates.SIMULATIONS, *strata.SIMULATIONS)),
    ("Quantiles, bootstrap, tails", samples.SIMULATIONS),
    ("Clusters", (*whole_clusters.SIMULATIONS, *few_clusters.SIMULATIONS)),
    ("Margins", margins.SIMULATIONS),
    ("Many tests", (*families.SIMULATIONS, *many_arms.SIMULATIONS)),
    ("Looking more than once", (*peeking.SIMULATIONS, *stops.SIMULATIONS)),
    ("Looking at any time", sequences.SIMULATIONS),
    ("Sample ratio", splits.SIMULATIONS),
    ("Bayes", beliefs.SIMULATIONS),
    ("Segments, days, other experiments", segments.SIMULATIONS),
    ("Sample size", (*planning.SIMULATIONS, *planned_panels.SIMULATIONS)),
    ("Difference in differences", differences.SIMULATIONS),
    ("Pre-trends", trends.SIMULATIONS),
    ("Sensitivity to trends", robustness.SIMULATIONS),
    ("Staggered adoption", staggered.SIMULATIONS),
    ("Uptake, confounding, one place", observed.SIMULATIONS),
    ("Trust checks", trust.SIMULATIONS),
    (
        "The decision rule",
        (*rule.SIMULATIONS, *rule_arms.SIMULATIONS, *growing.SIMULATIONS),
    ),
)

SIMULATIONS: tuple[Simulation, ...] = tuple(
    simulation for _, group in THEMES for simulation in group
)

N_GATES = count_gates(SIMULATIONS)
"""Rows of the whole table; every tolerance is corrected for them."""


def name_of(function: Callable[..., object]) -> str:
    """A covered function as it stands in the table, `room.module.function`."""
    module = function.__module__.removeprefix("exp_platform.")
    return f"{module}.{function.__name__}"
