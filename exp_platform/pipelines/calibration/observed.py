"""Effects without a clean experiment: uptake, confounding, one treated place."""

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from exp_platform.causal.did_adjusted import UnitChanges, estimate_did_adjusted
from exp_platform.causal.instrument import compliance_of_units, estimate_cace
from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.causal.synthetic_control import (
    DonorPanel,
    estimate_synthetic_control,
)
from exp_platform.pipelines.calibration.gate import (
    Array,
    Flags,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
    uniform,
)
from exp_platform.pipelines.calibration.quantities import (
    TRUE_P,
    both_misses,
    misses,
    p_values_of,
)
from exp_platform.pipelines.calibration.series import draw_ar1
from exp_platform.pipelines.calibration.totals import MEAN, columns
from exp_platform.records import Estimate
from exp_platform.stats.welch import Arm, compare_arms

CONFOUNDED = (
    "300 units; one covariate drives both the choice and the outcome, effect .5"
)


def _covers(rows: list[Estimate], truth: float) -> Flags:
    lower, upper = columns(rows, "ci_lower", "ci_upper")
    return np.asarray((lower <= truth) & (truth <= upper))


def _compliance(random: Generator, runs: int) -> Values:
    """Compliers (40 %) gain 1; those who would never take it are lower by 1."""
    rows, weak = [], []
    for _ in range(runs):
        rows.append(_offer(random, 300, 0.4))
        weak.append(_offer(random, 300, 0.03))
    known = [row for row in weak if row.is_ok]
    return {
        **misses(columns(rows, "ci_lower", "ci_upper"), 1.0),
        "weak offers refused": np.array([not row.is_ok for row in weak]),
        "coverage, weak offers that are told": _covers(known, 1.0),
    }


def _offer(random: Generator, n: int, share: float) -> Estimate:
    arms = []
    for variant, is_offered in (("control", False), ("treatment", True)):
        is_complier = random.random(n) < share
        takes = is_complier & is_offered
        value = is_complier + random.standard_normal(n) + 1.0 * takes
        found = compliance_of_units(value, takes.astype(float), variant=variant)
        arms.append(found)
    return estimate_cace(arms[0], arms[1], MEAN)


def _draw_units(random: Generator, strength: float) -> ObservedUnits:
    x = random.standard_normal((300, 2))
    is_treated = random.random(300) < expit(strength * x[:, 0])
    outcome = x @ [1.0, 0.5] + 0.5 * is_treated + random.standard_normal(300)
    return ObservedUnits(
        "simulated",
        "metric",
        "control",
        "treatment",
        outcome,
        is_treated,
        x,
        ("x", "z"),
    )


def _observational(random: Generator, runs: int) -> Values:
    adjusted, weighted, naive, apart = [], [], [], []
    for _ in range(runs):
        units = _draw_units(random, 0.6)
        adjusted.append(estimate_regression_adjustment(units, MEAN))
        weighted.append(estimate_aipw(units, MEAN))
        naive.append(_naive(units))
        apart.append(estimate_aipw(_draw_units(random, 6.0), MEAN).reason)
    return {
        "coverage, regression adjustment": _covers(adjusted, 0.5),
        f"{TRUE_P}, regression adjustment": p_values_of(adjusted, 0.5),
        f"{TRUE_P}, AIPW": p_values_of(weighted, 0.5),
        "coverage, AIPW": _covers(weighted, 0.5),
        "coverage, plain difference": np.array(naive),
        "refused without overlap": np.array([r == "POOR_OVERLAP" for r in apart]),
    }


def _naive(units: ObservedUnits) -> bool:
    arms = [_arm(units.outcome[side]) for side in (~units.is_treated, units.is_treated)]
    found = compare_arms(arms[0], arms[1], 0.05).inference
    return bool(found.ci_lower[0] <= 0.5 <= found.ci_upper[0])


def _arm(values: Array) -> Arm:
    columns_ = ([float(values.size)], [values.mean()], [values.var(ddof=1)])
    return Arm(*(np.array(column) for column in columns_))


def _curved(random: Generator, runs: int) -> Values:
    """The outcome is curved in x; only the choice is modelled rightly."""
    rows = []
    for _ in range(runs):
        x = random.standard_normal((1000, 1))
        is_treated = random.random(1000) < expit(0.5 * x[:, 0])
        outcome = np.exp(0.5 * x[:, 0]) + 0.5 * is_treated
        outcome += 0.5 * random.standard_normal(1000)
        names = ("simulated", "metric", "control", "treatment")
        units = ObservedUnits(*names, outcome, is_treated, x, ("x",))
        rows.append(estimate_aipw(units, MEAN))
    return {"coverage": _covers(rows, 0.5)}


def _adjusted_did(random: Generator, runs: int) -> Values:
    """Trends depend on a covariate that the treated have more of."""
    adjusted, plain = [], []
    for _ in range(runs):
        x = random.standard_normal((300, 2))
        is_treated = random.random(300) < expit(0.6 * x[:, 0] - 0.5)
        pre = random.normal(5.0, 1.0, 300)
        post = pre + x @ [0.8, -0.4] + 0.5 * is_treated + random.standard_normal(300)
        names = ("simulated", "metric", "control", "treatment")
        units = UnitChanges(*names, is_treated, pre, post, x)
        adjusted.append(estimate_did_adjusted(units, MEAN))
        bare = UnitChanges(*names, is_treated, pre, post, x[:, :0])
        plain.append(estimate_did_adjusted(bare, MEAN))
    return {
        **misses(columns(adjusted, "ci_lower", "ci_upper"), 0.5),
        TRUE_P: p_values_of(adjusted, 0.5),
        "coverage without covariates": _covers(plain, 0.5),
    }


def _places(random: Generator, runs: int) -> Values:
    """40 places follow two common factors; the treated one is any of them."""
    p_values, covered, is_ok = [], [], []
    periods = tuple(range(-15, 5))
    for _ in range(runs):
        factors = draw_ar1(random, (2, 20), rho=0.7)
        loads = random.uniform(0.0, 1.0, (40, 2))
        values = 3 * loads @ factors + 0.5 * random.standard_normal((40, 20))
        names = tuple(str(k) for k in range(39))
        panel = DonorPanel(
            "simulated",
            "metric",
            "donors",
            "place",
            periods,
            values[0],
            values[1:],
            names,
        )
        row = estimate_synthetic_control(panel, MEAN)
        is_ok.append(row.is_ok)
        if row.is_ok:
            p_values.append(row.p_value or 0.0)
            lower, upper = columns([row], "ci_lower", "ci_upper")
            covered.append(bool(lower[0] <= 0 <= upper[0]))
    return {
        "false alarms, placebo test": np.array(p_values) <= 0.05,
        "coverage": np.array(covered),
        "experiments with an answer": np.array(is_ok),
    }


SIMULATIONS = (
    Simulation(
        "compliers",
        "effect on compliers, Anderson and Rubin's interval",
        "300 against 300 units, 40 % take the offer and gain 1; and an offer that 3 % take",
        (compliance_of_units, estimate_cace),
        (
            *both_misses(slack=0.002, why="CR1 and t(G - 1)"),
            least("weak offers refused", 0.4, why="first-stage F below 10"),
            least("coverage, weak offers that are told", 0.93),
        ),
        5_000,
        400,
        _compliance,
    ),
    Simulation(
        "confounded",
        "regression adjustment and AIPW",
        CONFOUNDED,
        (estimate_regression_adjustment, estimate_aipw),
        (
            equal("coverage, regression adjustment", 0.95, 0.007, "300 units"),
            equal("coverage, AIPW", 0.95, 0.01, "300 units, five folds"),
            uniform(f"{TRUE_P}, regression adjustment"),
            uniform(f"{TRUE_P}, AIPW"),
            disease(
                most("coverage, plain difference", 0.3),
                "units that chose are never compared as if randomised",
                "tests/causal/test_identification.py::test_self_selected_units_are_adjusted_and_nothing_is_primary",
            ),
            least("refused without overlap", 0.99),
        ),
        4_000,
        100,
        _observational,
    ),
    Simulation(
        "aipw_curved",
        "AIPW with a wrong outcome model",
        "1,000 units, the outcome is curved in the covariate, effect .5",
        (estimate_aipw,),
        (equal("coverage", 0.95, 0.01, "one of two models is right"),),
        1_500,
        40,
        _curved,
    ),
    Simulation(
        "did_adjusted",
        "2x2 difference with covariates, doubly robust",
        "300 units, trends depend on a covariate that the treated have more of, effect .5",
        (estimate_did_adjusted,),
        (
            *both_misses(slack=0.004, why="errors without a small-sample factor"),
            uniform(TRUE_P),
            disease(
                most("coverage without covariates", 0.6),
                "without a pre-period whose trends hold nothing ships",
                "rule_drift",
            ),
        ),
        4_000,
        250,
        _adjusted_did,
    ),
    Simulation(
        "synthetic_control",
        "synthetic control, placebo test",
        "40 places that follow two common factors over 15 + 5 periods, no effect",
        (estimate_synthetic_control,),
        (
            most("false alarms, placebo test", 0.05),
            least("coverage", 0.95),
            least("experiments with an answer", 0.5),
        ),
        1_500,
        20,
        _places,
    ),
)
