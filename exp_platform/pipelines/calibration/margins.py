"""Guardrails at their margin, harm, and equivalence."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.covariates import draw_pair
from exp_platform.pipelines.calibration.gate import (
    Flags,
    Simulation,
    Values,
    equal,
    most,
)
from exp_platform.pipelines.calibration.moments import draw_normal
from exp_platform.pipelines.calibration.totals import (
    MEAN,
    PROPORTION,
    columns,
    totals_of,
    totals_of_events,
    totals_with_covariate,
)
from exp_platform.records import (
    Direction,
    MarginScale,
    MetricPlan,
    MetricRole,
    MetricTotals,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.equivalence import (
    EquivalenceStatus,
    Margins,
    assess_equivalence,
    compare_margin,
)
from exp_platform.stats.group_sequential import Estimator
from exp_platform.stats.guardrail import GuardrailStatus, assess_guardrail
from exp_platform.stats.harm import harm_p_value
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.score import Counts, score_difference, score_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

PASSED = "arms at the margin called harmless"
WORSE = replace(MEAN, definition=replace(MEAN.definition, direction=Direction.DECREASE))
RELATIVE, ABSOLUTE = MarginScale.RELATIVE, MarginScale.ABSOLUTE


def _share_harmless(
    pairs: list[tuple[MetricTotals, MetricTotals]],
    margin: float,
    scale: MarginScale,
    *,
    settings: EstimateSettings = MEAN,
    estimator: Estimator = estimate_welch,
) -> Flags:
    plan = MetricPlan("metric", MetricRole.GUARDRAIL, margin, scale)
    found = [
        assess_guardrail(
            *pair, estimator(*pair, settings), plan, settings.definition
        ).status
        for pair in pairs
    ]
    return np.array([status is GuardrailStatus.NON_INFERIOR for status in found])


def _draw(
    random: Generator, runs: int, mean: float
) -> list[tuple[MetricTotals, MetricTotals]]:
    control = draw_normal(random, runs, 900, mean=2.0)
    treatment = draw_normal(random, runs, 300, mean=mean)
    return list(zip(totals_of(control), totals_of(treatment), strict=True))


def _guardrails(random: Generator, runs: int) -> Values:
    low, high = _draw(random, runs, 1.8), _draw(random, runs, 2.2)
    return {
        f"{PASSED}, absolute": _share_harmless(low, 0.2, ABSOLUTE),
        f"{PASSED}, relative": _share_harmless(low, 0.1, RELATIVE),
        f"{PASSED}, relative, less is good": _share_harmless(
            high, 0.1, RELATIVE, settings=WORSE
        ),
    }


def _adjusted_guardrail(random: Generator, runs: int) -> Values:
    arms = (
        draw_pair(random, runs, 400, 0.6, mean=2.0),
        draw_pair(random, runs, 400, 0.6, mean=1.8),
    )
    pairs = list(zip(*map(totals_with_covariate, arms), strict=True))
    found = _share_harmless(pairs, 0.1, RELATIVE, estimator=estimate_cuped)
    return {PASSED: found}


def _rare_events(random: Generator, runs: int) -> Values:
    """No event in control: only the score tests can speak."""
    definition = replace(PROPORTION.definition, direction=Direction.DECREASE)
    settings = replace(PROPORTION, definition=definition)
    events = [np.zeros(runs), random.binomial(1000, 0.004, runs).astype(float)]
    arms = [totals_of_events(x, 1000) for x in events]
    found = _share_harmless(
        list(zip(*arms, strict=True)),
        0.004,
        ABSOLUTE,
        settings=settings,
        estimator=estimate_proportions,
    )
    return {PASSED: found}


def _scores(random: Generator, runs: int) -> Values:
    sizes = (np.full(runs, 400.0), np.full(runs, 600.0))
    events = [
        random.binomial(n, p, runs).astype(float) for n, p in ((400, 0.10), (600, 0.12))
    ]
    counts = Counts(events[0], sizes[0], events[1], sizes[1])
    by_difference = score_difference(counts, np.full(runs, 0.02))
    by_ratio = score_ratio(counts, np.full(runs, 1.2))
    return {
        "rejections of the true difference": np.abs(by_difference) > 1.959964,
        "rejections of the true ratio": np.abs(by_ratio) > 1.959964,
    }


def _harm(random: Generator, runs: int) -> Values:
    rows = [estimate_welch(*pair, MEAN) for pair in _draw(random, runs, 2.0)]
    found = [harm_p_value(row, Direction.INCREASE) or 0.0 for row in rows]
    return {"false alarms, one-sided": np.array(found) < 0.025}


def _equivalence(random: Generator, runs: int) -> Values:
    """Known errors: margins of .2, an error of .05."""
    quantities = {}
    for truth in (-0.2, 0.2):
        difference = random.normal(truth, 0.05, runs)
        variance = np.full(runs, 0.05**2)
        above = compare_margin(difference, variance, -0.2)
        below = compare_margin(difference, variance, 0.2)
        is_inside = (above > 1.6448536) & (below < -1.6448536)
        quantities[f"called equivalent, effect {truth:+}"] = is_inside
    return quantities


def _equivalent_rows(random: Generator, runs: int) -> Values:
    margins = Margins(-0.1, 0.1)
    found = {
        name: [
            assess_equivalence(estimate_welch(*pair, MEAN), margins)
            for pair in _draw(random, runs, mean)
        ]
        for name, mean in (("at the margin", 1.8), ("without an effect", 2.0))
    }
    quantities = {
        f"called equivalent {name}": np.array(
            [one.status is EquivalenceStatus.EQUIVALENT for one in rows]
        )
        for name, rows in found.items()
    }
    lower, upper = columns(found["at the margin"], "ci_lower", "ci_upper")
    quantities["coverage of the 90 % interval"] = (lower <= -0.1) & (upper >= -0.1)
    return quantities


FEW = "Welch's degrees of freedom"

SIMULATIONS = (
    Simulation(
        "guardrail_at_margin",
        "non-inferiority",
        "900 against 300 normal values, the treatment worse by exactly the margin of 10 %",
        (assess_guardrail,),
        tuple(
            equal(f"{PASSED}, {name}", 0.025, 0.001, FEW)
            for name in ("absolute", "relative", "relative, less is good")
        ),
        10_000,
        1_500,
        _guardrails,
    ),
    Simulation(
        "guardrail_cuped",
        "non-inferiority by CUPED, relative margin",
        "400 against 400 values with a covariate of correlation .6, worse by exactly "
        "the margin of 10 %",
        (assess_guardrail,),
        (equal(PASSED, 0.025, 0.001, FEW),),
        6_000,
        600,
        _adjusted_guardrail,
    ),
    Simulation(
        "guardrail_no_events",
        "non-inferiority by Miettinen and Nurminen's score",
        "1,000 units without an event against 1,000 of which .4 % have one, at the "
        "absolute margin",
        (assess_guardrail,),
        (most(PASSED, 0.025),),
        3_000,
        300,
        _rare_events,
    ),
    Simulation(
        "score_tests",
        "Miettinen and Nurminen's score",
        "10 % of 400 against 12 % of 600 units",
        (score_difference, score_ratio),
        (
            equal("rejections of the true difference", 0.05, 0.003, "counts are whole"),
            equal("rejections of the true ratio", 0.05, 0.003, "counts are whole"),
        ),
        100_000,
        20_000,
        _scores,
    ),
    Simulation(
        "harm",
        "one-sided test of harm",
        "900 against 300 normal values, no effect",
        (harm_p_value,),
        (equal("false alarms, one-sided", 0.025, 0.001, FEW),),
        20_000,
        2_000,
        _harm,
    ),
    Simulation(
        "equivalence_known_error",
        "two one-sided tests",
        "normal estimates four errors wide of 0, at each margin",
        (compare_margin,),
        tuple(equal(f"called equivalent, effect {x:+}", 0.05) for x in (-0.2, 0.2)),
        200_000,
        40_000,
        _equivalence,
    ),
    Simulation(
        "equivalence",
        "two one-sided tests, relative margins of 10 %, whole rows",
        "900 against 300 normal values, control mean 2, at the margin and at 0",
        (assess_equivalence,),
        (
            most("called equivalent at the margin", 0.05),
            equal("called equivalent without an effect", 0.824, 0.01, "normal theory"),
            equal("coverage of the 90 % interval", 0.90, 0.002, FEW),
        ),
        8_000,
        1_000,
        _equivalent_rows,
    ),
)
