"""Pre-trends: size, power, what a passed test is worth, and slow drift."""

import numpy as np
from numpy.random import Generator
from scipy.special import chdtrc

from exp_platform.causal.contrasts import contrast_days
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.causal.trend import TrendTest, assess_trend
from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    least,
    most,
    uniform,
)
from exp_platform.pipelines.calibration.series import draw_arms
from exp_platform.pipelines.calibration.totals import columns
from exp_platform.records import (
    EstimateRole,
    GramTotals,
    PretrendOutcome,
    PretrendTest,
)

BEFORE = range(-6, 1)
AROUND = range(-7, 7)
ROTH = "100 against 100 units, 5 leads, independent days"
CHI_SQUARE = "alarms, joint by chi-square"
Pairs = list[tuple[GramTotals, GramTotals]]


def _test(control: GramTotals, treatment: GramTotals) -> TrendTest:
    found = assess_trend(
        contrast_days(control, treatment, BEFORE[:-2], reference_day=-1)
    )
    if isinstance(found, str):
        raise TypeError(found)
    return found


def _chi_square(test: TrendTest) -> float:
    """Of the same statistic, its covariance taken for known."""
    q, df = test.df_numerator, test.df_denominator
    return float(chdtrc(q, test.f_statistic * q * (df + q - 1) / df))


def _p_values(pairs: Pairs) -> tuple[Array, Array]:
    found = columns([_test(*pair) for pair in pairs], "p_joint", "p_slope")
    return found[0], found[1]


def _size_at(n: int, chi_square: float) -> Simulation:
    def draw(random: Generator, runs: int) -> Values:
        """Leads without a trend."""
        tests = [_test(*p) for p in draw_arms(random, runs, (n, n), BEFORE, rho=0.5)]
        joint, slope = columns(tests, "p_joint", "p_slope")
        known = np.array([_chi_square(test) for test in tests])
        return {
            "alarms, joint": joint < 0.05,
            "alarms, slope": slope < 0.05,
            "p-values, joint": joint,
            "p-values, slope": slope,
            CHI_SQUARE: known < 0.05,
        }

    return Simulation(
        f"pretrend_size_{n}",
        "joint and slope test of the leads",
        f"{n} against {n} units, 5 leads, AR(1) .5, no trend",
        (assess_trend, contrast_days),
        (
            equal("alarms, joint", 0.05),
            equal("alarms, slope", 0.05),
            uniform("p-values, joint"),
            uniform("p-values, slope"),
            disease(
                least(CHI_SQUARE, chi_square, why="it takes errors for known"),
                "the joint test is Hotelling's",
                f"pretrend_size_{n}",
            ),
        ),
        6_000,
        800,
        draw,
    )


def _unequal(random: Generator, runs: int) -> Values:
    joint, slope = _p_values(draw_arms(random, runs, (100, 25), BEFORE, rho=0.5))
    return {"alarms, joint": joint < 0.05, "alarms, slope": slope < 0.05}


def _slope_of(drift: float, power: float, bias: float) -> Simulation:
    def draw(random: Generator, runs: int) -> Values:
        """What is left of the drift one day after the reference."""
        trend = drift * np.array(BEFORE)
        pairs = draw_arms(random, runs, (100, 100), BEFORE, rho=0.0, drift=trend)
        is_found = _p_values(pairs)[0] < 0.05
        gaps = [np.array(t.means) - np.array(c.means) for c, t in pairs]
        after = np.array([gap[-1] - gap[-2] for gap in gaps])
        return {
            "power, joint": is_found,
            "bias of the first day": after,
            "bias of the first day given a passed test": after[~is_found],
        }

    return Simulation(
        f"pretrend_slope_{drift}",
        "joint test of the leads",
        f"{ROTH}, drift of {drift} sd a day",
        (assess_trend,),
        (
            equal("power, joint", power, 0.033, "reference value, by chi-square"),
            equal("bias of the first day", drift),
            equal(
                "bias of the first day given a passed test",
                bias,
                0.033,
                "reference value: a passed test makes it worse",
            ),
        ),
        6_000,
        800,
        draw,
    )


def _drift(random: Generator, runs: int) -> Values:
    """An effect of .1 sd was planned, so a bias of .05 sd could be tolerated."""
    trend = 0.02 * np.array(AROUND)
    pairs = draw_arms(random, runs, (500, 500), AROUND, rho=0.0, drift=trend)
    outcomes = [_assess(*pair).outcome for pair in pairs]
    return {
        "drift that HOLDS": np.array([o is PretrendOutcome.HOLDS for o in outcomes])
    }


def _no_drift(random: Generator, runs: int) -> Values:
    """Trends run parallel; an effect of 1 sd was planned."""
    pairs = draw_arms(random, runs, (500, 500), AROUND, rho=0.0)
    outcomes = [_assess(*pair, planned=1.0).outcome for pair in pairs]
    return {
        "clean experiments FAILED or NEGLIGIBLE": np.array(
            [
                o in (PretrendOutcome.FAILED, PretrendOutcome.NEGLIGIBLE)
                for o in outcomes
            ]
        ),
        "clean experiments that HOLD": np.array(
            [o is PretrendOutcome.HOLDS for o in outcomes]
        ),
    }


def _assess(
    control: GramTotals, treatment: GramTotals, planned: float | None = 0.1
) -> PretrendTest:
    return assess_pretrends(
        control,
        treatment,
        planned_effect=planned,
        estimate=None,
        role=EstimateRole.PRIMARY,
    )


def _detectable(random: Generator, runs: int) -> Values:
    """Drift exactly as large as the test says it finds in 80 %."""
    quiet = draw_arms(random, 200, (300, 300), AROUND, rho=0.0)
    found = [_assess(*pair, planned=None) for pair in quiet]
    drift = float(columns(found, "detectable_bias")[0].mean()) / 7
    trend = drift * np.array(AROUND)
    moved = draw_arms(random, runs, (300, 300), AROUND, rho=0.0, drift=trend)
    tests = [_assess(*pair, planned=None) for pair in moved]
    p_values = columns(tests, "p_adjusted")[0]
    return {"found": p_values < 0.05}


SIMULATIONS = (
    _size_at(100, 0.05),
    _size_at(20, 0.08),
    Simulation(
        "pretrend_size_unequal",
        "joint and slope test of the leads",
        "100 against 25 units, 5 leads, AR(1) .5, no trend",
        (assess_trend,),
        tuple(
            equal(f"alarms, {name}", 0.05, 0.006, "CR1 has one factor for both arms")
            for name in ("joint", "slope")
        ),
        6_000,
        800,
        _unequal,
    ),
    _slope_of(0.05, 0.17, 0.072),
    _slope_of(0.1, 0.62, 0.188),
    Simulation(
        "pretrend_drift",
        "outcome of the pre-trend test",
        "500 against 500 units, 7 days before and 7 after, drift of .02 sd a day, an "
        "effect of .1 sd planned",
        (assess_pretrends,),
        (most("drift that HOLDS", 0.20),),
        3_000,
        400,
        _drift,
    ),
    Simulation(
        "pretrend_clean",
        "outcome of the pre-trend test",
        "500 against 500 units, 7 days before and 7 after, no drift, an effect of 1 sd "
        "planned",
        (assess_pretrends,),
        (
            most("clean experiments FAILED or NEGLIGIBLE", 0.05),
            least("clean experiments that HOLD", 0.93),
        ),
        3_000,
        400,
        _no_drift,
    ),
    Simulation(
        "pretrend_detectable",
        "minimum detectable violation",
        "300 against 300 units, drift as large as the test says it finds in 80 %",
        (assess_pretrends,),
        (least("found", 0.8),),
        4_000,
        500,
        _detectable,
    ),
)
