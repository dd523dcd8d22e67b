"""Two proportions: large counts, small counts, and no events at all."""

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Array,
    Flags,
    Simulation,
    Values,
    equal,
    least,
    most,
)
from exp_platform.pipelines.calibration.quantities import (
    DISAGREES,
    both_tails,
    disagrees,
    tails,
)
from exp_platform.pipelines.calibration.totals import (
    PROPORTION,
    columns,
    pair_up,
    totals_of_events,
)
from exp_platform.stats.exact import clopper_pearson, fisher_p_value, mid_p_value
from exp_platform.stats.proportion import (
    ProportionInterval,
    ProportionTest,
    compare_proportions,
    estimate_proportions,
)
from exp_platform.stats.rate_lift import infer_rate_lift, wilson
from exp_platform.stats.score import Counts, bound_difference, bound_ratio

DISCRETE = "counts are whole numbers: the rate jumps with n and p"
INTERVALS: tuple[ProportionInterval, ...] = ("wald", "newcombe", "miettinen_nurminen")


def _draw(
    random: Generator, runs: int, units: tuple[int, int], rates: tuple[float, float]
) -> Counts:
    control, treatment = (
        random.binomial(n, p, runs).astype(float)
        for n, p in zip(units, rates, strict=True)
    )
    sizes = [np.full(runs, float(n)) for n in units]
    return Counts(control, sizes[0], treatment, sizes[1])


def _tested(counts: Counts, test: ProportionTest) -> tuple[Array, Array]:
    found = compare_proportions(counts, 0.05, test=test).inference
    return found.p_value, found.difference


def _large_counts(random: Generator, runs: int) -> Values:
    return tails(*_tested(_draw(random, runs, (5000, 5000), (0.1, 0.1)), "pooled_z"))


def _unequal_split(random: Generator, runs: int) -> Values:
    return tails(*_tested(_draw(random, runs, (9000, 1000), (0.1, 0.1)), "pooled_z"))


def _intervals(random: Generator, runs: int) -> Values:
    counts = _draw(random, runs, (400, 300), (0.1, 0.15))
    quantities = {}
    for name in INTERVALS:
        compared = compare_proportions(counts, 0.05, interval=name)
        found, lift = compared.inference, compared.relative
        ends = (found.ci_lower, found.ci_upper)
        quantities[f"coverage, {name}"] = _inside(ends, 0.05)
        ends = (lift.ci_lower, lift.ci_upper)
        quantities[f"coverage, lift beside {name}"] = _inside(ends, 0.5)
    return quantities


def _rare_lifts(random: Generator, runs: int) -> Values:
    counts = _draw(random, runs, (400, 400), (0.03, 0.015))
    quantities = {}
    for name in INTERVALS:
        compared = compare_proportions(counts, 0.05, interval=name)
        found, lift = compared.inference, compared.relative
        quantities[f"coverage, lift beside {name}"] = _inside(
            (lift.ci_lower, lift.ci_upper), -0.5
        )
        quantities[f"{DISAGREES}, {name}"] = disagrees(found, lift)
    return quantities


def _small_counts(random: Generator, runs: int) -> Values:
    counts = _draw(random, runs, (50, 40), (0.06, 0.06))
    return {
        "false alarms, fisher": fisher_p_value(counts) < 0.05,
        "false alarms, mid_p": mid_p_value(counts) < 0.05,
        "false alarms, yates": _tested(counts, "yates")[0] < 0.05,
        "false alarms, auto": _tested(counts, "auto")[0] < 0.05,
    }


def _rows(random: Generator, runs: int) -> Values:
    events = [random.binomial(2000, p, runs).astype(float) for p in (0.05, 0.06)]
    control, treatment = (totals_of_events(x, 2000) for x in events)
    pairs = pair_up(control, treatment)
    rows = [estimate_proportions(c, t, PROPORTION) for c, t in pairs]
    lower, upper = columns(rows, "ci_lower", "ci_upper")
    return {"coverage": (lower <= 0.01) & (upper >= 0.01)}


def _one_proportion(random: Generator, runs: int) -> Values:
    n = np.full(runs, 100.0)
    rates = random.uniform(0.02, 0.5, runs)
    events = random.binomial(100, rates).astype(float)
    score, exact = wilson(events / n, n, 0.05), clopper_pearson(events, n, 0.05)
    return {
        "coverage, wilson": _inside(score, rates),
        "coverage, clopper_pearson": _inside(exact, rates),
    }


def _inside(limits: tuple[Array, Array], truth: Array | float) -> Flags:
    return np.asarray((limits[0] <= truth) & (truth <= limits[1]))


def _score_bounds(random: Generator, runs: int) -> Values:
    counts = _draw(random, runs, (300, 300), (0.02, 0.03))
    lower = bound_difference(counts, 0.025, is_upper=False)
    has_events = counts.control_events > 0
    some = Counts(
        counts.control_events[has_events],
        counts.control_n[has_events],
        counts.treatment_events[has_events],
        counts.treatment_n[has_events],
    )
    upper = bound_ratio(some, 0.025, is_upper=True)
    return {
        "lower bounds of the difference above the truth": lower > 0.01,
        "upper bounds of the ratio below the truth": upper < 1.5,
    }


SIMULATIONS = (
    Simulation(
        "proportions_5000",
        "chi-square (pooled z)",
        "5,000 against 5,000 units, 10 % have the event, no effect",
        (compare_proportions,),
        both_tails(slack=0.001, why=DISCRETE),
        200_000,
        40_000,
        _large_counts,
    ),
    Simulation(
        "proportions_90_10",
        "chi-square (pooled z)",
        "9,000 against 1,000 units, 10 % have the event, no effect",
        (compare_proportions,),
        both_tails(slack=0.003, why="skew of a rare event at an unequal split"),
        200_000,
        40_000,
        _unequal_split,
    ),
    Simulation(
        "proportion_intervals",
        "intervals of the difference and of the lift",
        "10 % of 400 against 15 % of 300 units",
        (compare_proportions, infer_rate_lift),
        tuple(
            equal(f"coverage, {kind}{name}", 0.95, 0.004, DISCRETE)
            for name in INTERVALS
            for kind in ("", "lift beside ")
        ),
        100_000,
        20_000,
        _intervals,
    ),
    Simulation(
        "rare_lifts",
        "interval of the lift of a rare event",
        "3 % of 400 against 1.5 % of 400 units",
        (compare_proportions, infer_rate_lift),
        (
            *(
                equal(f"coverage, lift beside {name}", 0.95, 0.01, DISCRETE)
                for name in INTERVALS
            ),
            *(most(f"{DISAGREES}, {name}", 0.0) for name in INTERVALS),
        ),
        100_000,
        20_000,
        _rare_lifts,
    ),
    Simulation(
        "proportions_small_counts",
        "exact tests",
        "50 against 40 units, 6 % have the event, no effect",
        (fisher_p_value, mid_p_value, compare_proportions),
        (
            most("false alarms, fisher", 0.05),
            most("false alarms, yates", 0.05),
            most("false alarms, mid_p", 0.05, 0.01, "mid-p is not bounded by alpha"),
            most("false alarms, auto", 0.05, 0.01, "mid-p where 5 are not expected"),
        ),
        20_000,
        2_000,
        _small_counts,
    ),
    Simulation(
        "proportion_rows",
        "chi-square with Newcombe's interval, whole rows",
        "5 % against 6 % of 2,000 units each",
        (estimate_proportions,),
        (equal("coverage", 0.95, 0.003, DISCRETE),),
        10_000,
        2_000,
        _rows,
    ),
    Simulation(
        "one_proportion",
        "interval of one proportion",
        "100 units, the true rate drawn between .02 and .5",
        (wilson, clopper_pearson),
        (
            equal("coverage, wilson", 0.95, 0.005, "on average over rates"),
            least("coverage, clopper_pearson", 0.95),
        ),
        100_000,
        20_000,
        _one_proportion,
    ),
    Simulation(
        "score_bounds",
        "Miettinen and Nurminen's bounds",
        "2 % against 3 % of 300 units each",
        (bound_difference, bound_ratio),
        (
            equal(
                "lower bounds of the difference above the truth",
                0.025,
                0.005,
                DISCRETE,
            ),
            equal("upper bounds of the ratio below the truth", 0.025, 0.01, DISCRETE),
        ),
        50_000,
        10_000,
        _score_bounds,
    ),
)
